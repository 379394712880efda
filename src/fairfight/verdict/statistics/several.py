"""Several questions at once: Holm's adjustment, and a claim that must hold against everybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Adjusted(NamedTuple):
    """One of several p-values after Holm's adjustment."""

    p: float
    level: float
    """Coverage of the interval that says the same as the adjusted p-value."""


def holm(p_values: Sequence[float], levels: Sequence[float]) -> list[Adjusted]:
    """Give Holm's adjusted p-values in the order given, and the level at which each one's interval is to be read.

    With alpha = 1 - level, the smallest p / alpha of m is held against 1 / m, the next against 1 / (m - 1), and so on
    until one fails; that one and all larger ones are read at the level at which it failed. The adjusted value of rank i
    is alpha times the largest of (m - j + 1) p_(j) / alpha_(j) over j <= i, at most 1.

    Source: Holm (1979), section 4 for levels that differ.
    """
    if not p_values:
        return []
    alphas = 1 - np.asarray(levels, dtype=np.float64)
    shares = np.asarray(p_values, dtype=np.float64) / alphas
    order = np.argsort(shares, kind="stable")
    left = len(p_values) - np.arange(len(p_values))
    largest = np.maximum.accumulate(left * shares[order])
    has_failed = np.flatnonzero(largest > 1)
    last = has_failed[0] if len(has_failed) else len(left) - 1
    read_at = left[np.minimum(np.arange(len(left)), last)]
    found = {
        int(place): Adjusted(float(min(1.0, share * alphas[place])), float(1 - alphas[place] / divisor))
        for place, share, divisor in zip(order, largest, read_at, strict=True)
    }
    return [found[place] for place in range(len(p_values))]


def against_every(p_values: Sequence[float]) -> float:
    """Give the p-value of a claim that must hold against each of several: the largest (an intersection-union test).

    No adjustment is needed, because every one of them has to be refuted. Source: Berger (1982).
    """
    return max(p_values)
