"""Small tables of scores with a known answer."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np


def rows(*, tasks=40, seeds=3, gain=0.05, noise=0.01, chance=0):
    """Give rows of one SAE and two baselines: the SAE is `gain` ahead of `logistic`, which validation prefers to `length`."""
    draw = np.random.default_rng(chance)
    for task in range(tasks):
        base = 0.7 + 0.1 * np.sin(task)
        for seed in range(seeds):
            for method, side, shift in (
                ("sae", "dictionary", gain),
                ("logistic", "baseline", 0.0),
                ("length", "baseline", -0.1),
            ):
                score, validation = (base + shift + noise * draw.standard_normal() for _ in range(2))
                yield {
                    "task": f"task-{task}", "method": method, "side": side, "seed": seed, "score": round(score, 6),
                    "validation": round(validation, 6), "cost": 1e9, "cluster": f"group-{task // 2}",
                }  # fmt: skip


def write(file: Path, found) -> Path:
    """Write rows as CSV and give the file back."""
    found = list(found)
    with file.open("w", newline="") as sink:
        writer = csv.DictWriter(sink, fieldnames=list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    return file
