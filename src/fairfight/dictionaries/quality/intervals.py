"""Ratios of sums over texts, with intervals from resampling texts: tokens of one text are not independent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

REPLICATES = 2000
LEVEL = 0.95

Replicates = Float[np.ndarray, " replicate"]
"""A sum over texts under every draw; the first is the sample's own."""


class Estimate(NamedTuple):
    """A number with its interval; the bounds are None where there is none."""

    value: float
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        return self._asdict()


class Undefined(NamedTuple):
    """A number that does not exist here, and why."""

    reason: str

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {"undefined": self.reason}


def resample(
    columns: Mapping[str, Float[np.ndarray, " example"]], chance: np.random.Generator, replicates: int = REPLICATES
) -> dict[str, Replicates]:
    """Give the sum of each column over the texts, and over as many texts drawn with replacement, `replicates` times.

    All columns see the same draws. A single text has no others to draw, so it gives its own sums alone.
    """
    matrix = np.stack([np.asarray(column, dtype=np.float64) for column in columns.values()], axis=1)
    texts = len(matrix)
    sums = np.empty((1 + (replicates if texts > 1 else 0), matrix.shape[1]))
    sums[0] = matrix.sum(axis=0)
    for replicate in range(1, len(sums)):
        sums[replicate] = np.bincount(chance.integers(texts, size=texts), minlength=texts) @ matrix
    return dict(zip(columns, sums.T, strict=True))


def ratio(numerators: Replicates, denominators: Replicates, *, why: str, level: float = LEVEL) -> Estimate | Undefined:
    """Give sum / sum with its percentile interval; `why` says what it means that the denominator is not above zero.

    There is no interval where a single replicate has no ratio: leaving that one out would be a choice of what to see.
    """
    if not denominators[0] > 0:
        return Undefined(why)
    value = float(numerators[0] / denominators[0])
    if len(numerators) == 1 or not (denominators > 0).all():
        return Estimate(value, None, None)
    tail = (1 - level) / 2
    low, high = np.quantile(numerators[1:] / denominators[1:], [tail, 1 - tail])
    return Estimate(value, float(low), float(high))
