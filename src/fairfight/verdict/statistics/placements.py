"""AUROC of one score vector with what each cluster contributes to its error, in one sort."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fairfight.errors import EmptyClassError


class Placed(NamedTuple):
    """An AUROC, and by how much each cluster moves it."""

    auroc: float
    spread: Float[np.ndarray, " cluster"]
    """Its squares add up to the variance of the AUROC under another sample of clusters."""


class Placements(NamedTuple):
    """For each example the share of the other class that it stands on the right side of, ties counting one half."""

    of_positives: Float[np.ndarray, " positive"]
    of_negatives: Float[np.ndarray, " negative"]


def placements(scores: Float[np.ndarray, " example"], is_positive: np.ndarray) -> Placements:
    """Give the placements of one score vector.

    Raises:
        EmptyClassError: one class is missing; AUROC is then undefined, not 0.5.
    """
    above, below = scores[is_positive], scores[~is_positive]
    if not len(above) or not len(below):
        raise EmptyClassError(
            f"AUROC needs both classes; found {len(above)} positives and {len(below)} negatives. Add some, or drop the set."
        )
    return Placements(_rank_shares(below, above), 1 - _rank_shares(above, below))


def _rank_shares(among: np.ndarray, values: np.ndarray) -> np.ndarray:
    ranked = np.sort(among)
    return (np.searchsorted(ranked, values, "left") + np.searchsorted(ranked, values, "right")) / (2 * len(among))


def placed(
    scores: Float[np.ndarray, " example"],
    labels: Int[np.ndarray, " example"],
    clusters: Int[np.ndarray, " example"],
    count: int,
) -> Placed:
    """Give the AUROC and each cluster's part in its error; `count` is the length of the clusters' axis.

    A cluster moves the AUROC by the sum of its examples' placements less the AUROC, over the size of their class; the
    squares are scaled by K / (K - 1) with the K clusters that hold the class, so that clusters of one example give
    DeLong's variance.

    Raises:
        EmptyClassError: one class is missing.

    Source: Obuchowski (1997), for clustered data; DeLong, DeLong and Clarke-Pearson (1988).
    """
    is_positive = labels == 1
    own = placements(scores, is_positive)
    auroc = float(own.of_positives.mean())
    spread = np.zeros(count)
    for values, places in ((own.of_positives, clusters[is_positive]), (own.of_negatives, clusters[~is_positive])):
        held = len(np.unique(places))
        scale = np.sqrt(held / (held - 1)) if held > 1 else 1.0
        spread += np.bincount(places, values - auroc, minlength=count) * (scale / len(values))
    return Placed(auroc, spread)
