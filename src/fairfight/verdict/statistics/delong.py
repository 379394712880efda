"""DeLong's test of two AUROCs on the same independent examples: the textbook's answer where its assumptions hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fairfight.errors import InputError
from fairfight.verdict.statistics.placements import placements

LEAST_MISPLACED = 10
"""Examples of each class that a score vector must put on the wrong side of some other; fewer carry no variance."""


class DeLong(NamedTuple):
    """The difference of two AUROCs, first minus second, its standard error and two-sided p-value."""

    difference: float
    error: float
    p: float


def delong(
    first: Float[np.ndarray, " example"],
    second: Float[np.ndarray, " example"],
    labels: Int[np.ndarray, " example"],
    *,
    clusters: Int[np.ndarray, " example"] | None = None,
) -> DeLong:
    """Give DeLong's test of the difference of two AUROCs, in O(n log n) from placements.

    Raises:
        InputError: examples share clusters, or a score vector is so near to perfect that its variance rests on fewer
            than ten examples of a class: the test's normal error is then wrong, and nothing here would show it.
        EmptyClassError: one class is missing.

    Source: DeLong, DeLong and Clarke-Pearson (1988); the fast form is Sun and Xu's (2014).
    """
    from scipy.special import ndtr

    if clusters is not None and len(np.unique(clusters)) < len(labels):
        raise InputError(
            f"DeLong's test takes independent examples; found {len(labels)} examples in {len(np.unique(clusters))} "
            "clusters. Use the clustered comparison instead."
        )
    is_positive = labels == 1
    one, two = (placements(scores, is_positive) for scores in (first, second))
    for name, own in (("first", one), ("second", two)):
        misplaced = min(int((values < 1).sum()) for values in own)
        if misplaced < LEAST_MISPLACED:
            raise InputError(
                f"The {name} AUROC is {own.of_positives.mean():.4f}, with only {misplaced} misplaced examples of one "
                f"class; DeLong's error needs {LEAST_MISPLACED}. Compare the TPR at a small FPR, or use harder examples."
            )
    difference = float(one.of_positives.mean() - two.of_positives.mean())
    variance = sum(float(np.var(ours - theirs, ddof=1)) / len(ours) for ours, theirs in zip(one, two, strict=True))
    error = float(np.sqrt(variance))
    p = float(2 * ndtr(-abs(difference) / error)) if error else float(difference == 0)
    return DeLong(difference, error, p)
