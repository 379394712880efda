"""Ranking statistics of one score vector."""

from __future__ import annotations

import numpy as np

from fairfight.errors import EmptyClassError
from fairfight.shapes import ExampleScores, Labels


def auroc(scores: ExampleScores, labels: Labels) -> float:
    """Give the probability that a positive outranks a negative, ties counting one half.

    Computed from midranks (Mann and Whitney 1947): (R - p(p+1)/2) / (pn), R the ranks' sum over p positives.

    Raises:
        EmptyClassError: one class is missing; AUROC is then undefined, not 0.5.
    """
    from scipy.stats import rankdata  # Two seconds to import, which every command would wait for.

    labels = np.asarray(labels)
    positives = int((labels == 1).sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        raise EmptyClassError(f"AUROC needs both classes; found {positives} positives and {negatives} negatives.")
    ranks = rankdata(np.asarray(scores, dtype=np.float64))
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))
