"""How long a study takes from nothing, and how much memory all of its processes take together at most.

Memory is the proportional set size of the command and all that descends from it, summed: a page that several share is
counted once. It is read from /proc, so on Linux only. The study runs into a folder of its own that is removed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.5


def descendants(root: int) -> list[int]:
    """Give a process and all that descends from it."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue  # It ended while we looked.
            children[int(parent)].append(int(entry.name))
    found = [root]
    for process in found:
        found += children[process]
    return found


def proportional_bytes(process: int) -> int:
    """Give the proportional set size of a process, 0 where it ended meanwhile."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def measure(study: Path, folder: Path) -> tuple[int, float, int]:
    """Run a study with nothing cached; give its exit code, seconds, and the peak of the summed bytes."""
    environment = {**os.environ, "FAIRFIGHT_CACHE": str(folder / "cache")}
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, "-m", "fairfight", "run", str(study)], cwd=folder, env=environment)
    while process.poll() is None:
        peak = max(peak, sum(map(proportional_bytes, descendants(process.pid))))
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return process.returncode, time.perf_counter() - start, peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    study = parser.parse_args().study.resolve()
    if not Path("/proc/self/smaps_rollup").exists():
        print("Skipped: this system has no /proc/<pid>/smaps_rollup, which memory is read from. Run it on Linux.")
        return 0
    with tempfile.TemporaryDirectory(prefix="fairfight-study-") as folder:
        code, seconds, peak = measure(study, Path(folder))
    print(f"{study.name}: exit code {code}, {seconds:.0f} s, at most {peak / 1e9:.2f} GB in all processes together")
    return code


if __name__ == "__main__":
    sys.exit(main())
