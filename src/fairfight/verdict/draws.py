"""Bootstrap draws of clusters: how often a replicate holds each.

The first row of every array of weights is the sample itself (every weight 1), so that one pass gives the estimate and
its replicates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from fairfight.errors import EmptyClassError
from fairfight.verdict.roster import Roster, SetIndex

_REDRAWS = 100


def stream(*names: str | int | None) -> np.random.Generator:
    """Give the generator that belongs to a sequence of names, the same on every machine."""
    digest = hashlib.sha256("\x1f".join(str(name) for name in ("verdict", *names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def draw(
    roster: Roster, sets: Sequence[str], replicates: int, names: tuple[str | int | None, ...]
) -> Float[np.ndarray, "replicate cluster"]:
    """Give how often each replicate holds each cluster of `sets`, stratified by class.

    Strata are the classes that a cluster holds, apart for clusters of the test sets and others, so that a replicate
    has as many clusters of each class as the sample. Draws in which some set would lack a class are drawn again.

    Memory: 8 bytes a replicate and cluster (2,000 replicates of 1,000 clusters: 16 MB).

    Raises:
        EmptyClassError: a set has too few clusters of a class to be resampled.
    """
    indices = _distinct(roster.indices[seed, name] for seed in roster.seeds for name in sets)
    in_test = np.zeros(len(roster.clusters), dtype=bool)
    for name in roster.test_sets:
        in_test[roster.clusters_of(name)] = True
    holds = np.array([_clusters_with(indices, label, len(roster.clusters)) for label in (0, 1)])
    strata = np.where(holds.any(axis=0), holds[0] + 2 * holds[1] + 4 * in_test, -1)
    needed = [_clusters_with([index], label, len(roster.clusters)) for index in indices for label in (0, 1)]
    return cluster_counts(strata, np.array(needed), replicates, stream(*names, "clusters"))


def cluster_counts(
    strata: Int[np.ndarray, " cluster"],
    needed: Bool[np.ndarray, "need cluster"],
    replicates: int,
    chance: np.random.Generator,
) -> Float[np.ndarray, "replicate cluster"]:
    """Give how often each cluster is drawn, with replacement within its stratum; stratum -1 is never drawn.

    `needed` names groups of clusters of which every replicate must hold one at least. Row 0 is the sample.

    Raises:
        EmptyClassError: 100 redraws left a group empty in some replicate.
    """
    counts = _counts(strata, replicates, chance)
    for _ in range(_REDRAWS):
        lacking = np.flatnonzero((counts @ needed.T.astype(np.float64) == 0).any(axis=1))
        if not len(lacking):
            return np.vstack([(strata >= 0).astype(np.float64), counts])
        counts[lacking] = _counts(strata, len(lacking), chance)
    raise EmptyClassError(
        f"A set has {int(needed.sum(axis=1).min())} clusters of one class; resampling keeps losing them all. "
        "Give it more clusters of that class (20 is a sensible least), or drop the set."
    )


def _counts(strata: Int[np.ndarray, " cluster"], replicates: int, chance: np.random.Generator) -> np.ndarray:
    counts = np.zeros((replicates, len(strata)))
    for stratum in np.unique(strata[strata >= 0]):
        members = np.flatnonzero(strata == stratum)
        counts[:, members] = chance.multinomial(len(members), np.full(len(members), 1 / len(members)), size=replicates)
    return counts


def _distinct(indices: Iterable[SetIndex]) -> list[SetIndex]:
    return list({id(index): index for index in indices}.values())


def _clusters_with(indices: Sequence[SetIndex], label: int, count: int) -> Bool[np.ndarray, " cluster"]:
    mask = np.zeros(count, dtype=bool)
    for index in indices:
        mask[index.clusters[index.labels == label]] = True
    return mask
