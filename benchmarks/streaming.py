"""Ten million activations through the trainer: is memory flat, and does `kill -9` in the middle change a bit?

`python benchmarks/streaming.py training/FILE.toml` runs `fairfight train` on the file twice: once in one piece, its memory
read every second, activations harvested first where they are not there yet; once killed when half of the steps are done,
and started again. The two have to end in the same bytes. Results: `benchmarks/results/streaming.json` and `streaming.svg`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).parent / "results"


class Course(NamedTuple):
    """What one run of the command held, and how far it came."""

    curve: list[tuple[float, float]]
    """Seconds since the start, and GiB."""
    trains_from: float | None
    """The second at which the first steps were reported."""
    steps: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--kill-at", type=float, default=0.5, help="share of the steps")
    asked = parser.parse_args()
    recipe = next(iter(tomllib.loads(asked.file.read_text())["dictionaries"].values()))["recipe"]
    tokens = recipe["steps"] * recipe.get("batch", 2048)
    with tempfile.TemporaryDirectory() as folder:
        whole, halved = Path(folder) / "whole", Path(folder) / "halved"
        course = train(asked.file, whole)
        killed = train(asked.file, halved, kill_at=int(asked.kill_at * recipe["steps"]))
        was_left = sorted(halved.rglob("*.safetensors"))
        rest = train(asked.file, halved)
        first, second = weights(whole), weights(halved)
    found = {
        "file": asked.file.name,
        "tokens": tokens,
        "steps": recipe["steps"],
        "seconds": course.curve[-1][0],
        "training_from_second": course.trains_from,
        "killed_at_step": killed.steps,
        "dictionaries_before_the_kill": len(was_left),
        "seconds_after_the_kill": rest.curve[-1][0],
        "is_the_same_to_the_bit": first == second,
        "weights": first,
        "gib_while_training": quarters(course),
        "curve": course.curve,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "streaming.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "streaming.svg").write_text(drawn(course, tokens))
    print(json.dumps({name: value for name, value in found.items() if name != "curve"}, indent=1))
    if first != second:
        sys.exit("The run that was killed ended in other bytes.")


def train(file: Path, folder: Path, kill_at: int | None = None) -> Course:
    """Run the command to its end, or until it reports this step, and give how it went."""
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / "training.toml"
    own.write_text(f'folder = "{folder}"\ncheckpoint_seconds = 10\n' + file.read_text())
    command = [str(Path(sys.executable).parent / "fairfight"), "train", str(own), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    start, curve, trains_from, step = time.monotonic(), [], None, 0
    while process.poll() is None:
        second = round(time.monotonic() - start, 1)
        curve.append((second, memory_of(process.pid)))
        step = reported(folder)
        if step and trains_from is None:
            trains_from = second
        if kill_at is not None and step >= kill_at:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return Course(curve, trains_from, step)
        time.sleep(1)
    if process.returncode:
        sys.exit(f"fairfight train ended with {process.returncode}.")
    return Course(curve[:-1], trains_from, reported(folder))


def reported(folder: Path) -> int:
    """Give the last step that the run's metrics speak of."""
    rows = [row for file in folder.rglob("progress-*.json") for row in json.loads(file.read_text())["content"]]
    return max((row["step"] for row in rows), default=0)


def memory_of(pid: int) -> float:
    """Give the proportional set size of a process in GiB: what it holds, pages shared with others in part.

    Pages of memory-mapped shards are the system's to take back and are left out.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("Pss_Anon", "Pss_Shmem"))}
    return round(sum(int(size) for size in sizes.values()) / 2**20, 3)


def quarters(course: Course) -> list[dict[str, float]]:
    """Give the least and the most memory in each quarter of the training."""
    held = [gib for second, gib in course.curve if second >= (course.trains_from or 0.0)]
    parts = [held[len(held) * i // 4 : len(held) * (i + 1) // 4] for i in range(4)]
    return [{"least": min(part), "most": max(part)} for part in parts if part]


def weights(folder: Path) -> dict[str, str]:
    """Give the checksum of every dictionary's weights."""
    found = sorted(folder.rglob("sae_weights.safetensors"))
    return {str(file.parent.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in found}


def drawn(course: Course, tokens: int) -> str:
    """Give memory over time as a picture, with a line where training begins."""
    width, height, left, bottom = 900, 320, 60, 50
    last, most = course.curve[-1][0], max(gib for _, gib in course.curve)
    top = 0.5 * (int(most / 0.5) + 1)

    def at(second: float, gib: float) -> tuple[float, float]:
        return left + (width - left - 20) * second / last, height - bottom - (height - bottom - 40) * gib / top

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in course.curve))
    parts = [
        f'<text x="{left}" y="22" font-size="15">Memory while {tokens:,} activations are harvested and trained on</text>'
    ]
    for tick in range(int(top / 0.5) + 1):
        _, y = at(0, tick / 2)
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick / 2:g}</text>')
    if course.trains_from is not None:
        x, y = at(course.trains_from, top)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{height - bottom}" stroke="#888" stroke-dasharray="4"/>'
        )
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 14:.1f}" text-anchor="end" fill="#555">training</text>')
    parts.append(f'<polyline points="{line}" fill="none" stroke="#1f5fa8" stroke-width="2"/>')
    parts.append(f'<text x="{width - 20}" y="{height - 18}" text-anchor="end">{last:,.0f} seconds</text>')
    parts.append(
        f'<text x="14" y="{height / 2}" transform="rotate(-90 14 {height / 2})" text-anchor="middle">GiB</text>'
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
    return head + f'<rect width="{width}" height="{height}" fill="white"/>' + "".join(parts) + "</svg>\n"


if __name__ == "__main__":
    main()
