"""Hands batches to a training loop and times it from outside: the loop's step is the time between two requests.

Between steps, in the same process, a plain float32 product of the batch with an encoder is timed: the floor that every
step is compared with, measured on the same machine in the same second.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

THREADS = int(os.environ.get("BENCH_THREADS", "2"))
torch.set_num_threads(THREADS)


class Size(NamedTuple):
    """A configuration that is timed."""

    d_model: int
    latents: int
    k: int
    batch: int
    warm_up: int
    timed: int


SIZES = {
    "A": Size(384, 4096, 32, 2048, warm_up=5, timed=15),
    "B": Size(768, 16384, 32, 2048, warm_up=2, timed=5),
}


class Feed:
    """An iterator over batches of real token states, for a peer's own loop."""

    def __init__(self, name: str, *, warm_up: int | None = None, timed: int | None = None) -> None:
        size = SIZES[name]
        self.size = size._replace(
            warm_up=size.warm_up if warm_up is None else warm_up, timed=size.timed if timed is None else timed
        )
        tokens = torch.from_numpy(np.load(os.environ["BENCH_TOKENS"]))
        # Twice over gives the two-layer width: states of the same token side by side.
        self.tokens = tokens if tokens.shape[1] == size.d_model else tokens.repeat(1, size.d_model // tokens.shape[1])
        self.weights = torch.randn(size.latents, size.d_model) * 0.05
        self.product = torch.empty(size.batch, size.latents)
        self.total = self.size.warm_up + self.size.timed
        self.given = 0
        self.steps: list[float] = []
        self.floors: list[float] = []
        self._since: float | None = None

    def __iter__(self) -> Iterator[torch.Tensor]:
        return self

    def __len__(self) -> int:
        return self.total

    def __next__(self) -> torch.Tensor:
        now = time.perf_counter()
        if self._since is not None:
            self.steps.append(now - self._since)
            self._since = None
        if self.given >= self.total:
            raise StopIteration
        batch = self._batch(self.given)
        start = time.perf_counter()
        with torch.no_grad():
            torch.mm(batch, self.weights.T, out=self.product)
        self.floors.append(time.perf_counter() - start)
        self.given += 1
        self._since = time.perf_counter()
        return batch

    def _batch(self, number: int) -> torch.Tensor:
        parts = len(self.tokens) // self.size.batch
        first = number % parts * self.size.batch
        return self.tokens[first : first + self.size.batch]

    def report(self, **more: object) -> None:
        """Print medians over the timed steps as one line of JSON."""
        steps, floors = self.steps[self.size.warm_up :], self.floors[self.size.warm_up :]
        step, floor = statistics.median(steps), statistics.median(floors)
        found = {"step_ms": step * 1e3, "floor_ms": floor * 1e3, "ratio": step / floor, "n": len(steps), **more}
        print("RESULT " + json.dumps(found))
        sys.stdout.flush()
