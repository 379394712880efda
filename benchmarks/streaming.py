"""Ten million activations through the trainer: is memory flat, and does `kill -9` in the middle change a bit?

`python benchmarks/streaming.py training/FILE.toml` runs `fairfight train` on the file twice: once in one piece, its memory
read every second; once killed half-way and started again. The two have to end in the same bytes. Activations are
harvested before, so what is measured is training. Results: `benchmarks/results/streaming.json` and `streaming.html`.
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

import plotly.graph_objects as go

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--kill-at", type=float, default=0.5, help="share of the first run's seconds")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, halved = Path(folder) / "whole", Path(folder) / "halved"
        memory = train(asked.file, whole)
        seconds = memory[-1][0]
        killed_at = asked.kill_at * seconds
        train(asked.file, halved, seconds=killed_at)
        left = sorted(halved.rglob("*.safetensors"))
        rest = train(asked.file, halved)
        first, second = weights(whole), weights(halved)
    trained = [gib for at, gib in memory if at > 0.1 * seconds]
    found = {
        "file": asked.file.name,
        "tokens": tokens_of(asked.file),
        "seconds": round(seconds, 1),
        "killed_after_seconds": round(killed_at, 1),
        "dictionaries_before_the_kill": len(left),
        "seconds_after_the_kill": round(rest[-1][0], 1),
        "is_the_same_to_the_bit": first == second,
        "weights": first,
        "memory_gib": {"at_a_tenth": trained[0], "median": sorted(trained)[len(trained) // 2], "most": max(trained)},
        "curve": memory,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "streaming.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(memory, found["tokens"], RESULTS / "streaming.html")
    print(json.dumps({name: value for name, value in found.items() if name != "curve"}, indent=1))
    if first != second:
        sys.exit("The run that was killed ended in other bytes.")


def train(file: Path, folder: Path, seconds: float | None = None) -> list[tuple[float, float]]:
    """Run the command to its end, or for so many seconds, and give (second, GiB) as it went."""
    text = file.read_text()
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / "training.toml"
    own.write_text(f'folder = "{folder}"\ncheckpoint_seconds = 10\n' + text)
    command = [str(Path(sys.executable).parent / "fairfight"), "train", str(own), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    start, curve = time.monotonic(), []
    while process.poll() is None:
        curve.append((round(time.monotonic() - start, 2), memory_of(process.pid)))
        if seconds is not None and time.monotonic() - start > seconds:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return curve
        time.sleep(1)
    if process.returncode:
        sys.exit(f"fairfight train ended with {process.returncode}.")
    return curve


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


def weights(folder: Path) -> dict[str, str]:
    """Give the checksum of every dictionary's weights."""
    found = sorted(folder.rglob("sae_weights.safetensors"))
    return {str(file.parent.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in found}


def tokens_of(file: Path) -> int:
    """Give the tokens that one dictionary of the file sees."""
    own = next(iter(tomllib.loads(file.read_text())["dictionaries"].values()))["recipe"]
    return own["steps"] * own.get("batch", 2048)


def draw(curve: list[tuple[float, float]], tokens: int, file: Path) -> None:
    figure = go.Figure(go.Scatter(x=[at for at, _ in curve], y=[gib for _, gib in curve], mode="lines"))
    figure.update_layout(
        title=f"Memory while {tokens:,} activations stream through the trainer",
        xaxis_title="seconds",
        yaxis_title="GiB (anonymous, proportional)",
        yaxis_rangemode="tozero",
        template="simple_white",
        width=900,
        height=420,
    )
    figure.write_html(file, include_plotlyjs=True)


if __name__ == "__main__":
    main()
