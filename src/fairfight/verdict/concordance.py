"""AUROC of resampled clusters without sorting again: one small matrix of won pairs a trial and set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fairfight.errors import EmptyClassError


@dataclass(frozen=True)
class ClusterPairs:
    """Won pairs between each cluster with positives and each cluster with negatives."""

    wins: Float[np.ndarray, "positive_cluster negative_cluster"]
    """Pairs in which the positive scores higher, ties counting one half."""
    positives: Float[np.ndarray, " positive_cluster"]
    """Positive examples of each cluster."""
    negatives: Float[np.ndarray, " negative_cluster"]
    """Negative examples of each cluster."""
    positive_clusters: Int[np.ndarray, " positive_cluster"]
    """Their positions on the axis of cluster weights."""
    negative_clusters: Int[np.ndarray, " negative_cluster"]


def cluster_pairs(
    scores: Float[np.ndarray, " example"], labels: Int[np.ndarray, " example"], clusters: Int[np.ndarray, " example"]
) -> ClusterPairs:
    """Give the won pairs of one score vector, cluster by cluster.

    One sort of the negatives; each positive then looks up how many negatives of each cluster stand below it. Memory:
    8 bytes x (examples + positive clusters) x negative clusters.

    Raises:
        EmptyClassError: one class is missing; AUROC is then undefined, not 0.5.
    """
    is_positive = labels == 1
    if is_positive.all() or not is_positive.any():
        count = int(is_positive.sum())
        raise EmptyClassError(
            f"AUROC needs both classes; found {count} positives and {len(labels) - count} negatives. "
            "Add some, or drop the set."
        )
    positive_clusters, of_positive = np.unique(clusters[is_positive], return_inverse=True)
    negative_clusters, of_negative = np.unique(clusters[~is_positive], return_inverse=True)
    order = np.argsort(scores[~is_positive], kind="stable")
    ranked = scores[~is_positive][order]
    below = np.zeros((len(ranked) + 1, len(negative_clusters)))
    below[np.arange(1, len(ranked) + 1), of_negative[order]] = 1.0
    np.cumsum(below, axis=0, out=below)
    by_cluster = np.argsort(of_positive, kind="stable")
    positives = scores[is_positive][by_cluster]
    won = below[np.searchsorted(ranked, positives, "left")] + below[np.searchsorted(ranked, positives, "right")]
    counts = np.bincount(of_positive)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return ClusterPairs(
        wins=np.add.reduceat(won, starts, axis=0) / 2,
        positives=counts.astype(np.float64),
        negatives=np.bincount(of_negative).astype(np.float64),
        positive_clusters=positive_clusters,
        negative_clusters=negative_clusters,
    )


def weighted_aurocs(
    pairs: ClusterPairs, weights: Float[np.ndarray, "replicate cluster"]
) -> Float[np.ndarray, " replicate"]:
    """Give the AUROC under each row of cluster weights: won pairs over all pairs, w_p C w_n / (w_p N w_n).

    N, the pairs that there are, is the product of the clusters' sizes, so its quadratic form is a product of two sums.
    """
    of_positives = weights[:, pairs.positive_clusters]
    of_negatives = weights[:, pairs.negative_clusters]
    won = np.einsum("rn,rn->r", of_positives @ pairs.wins, of_negatives)
    return won / ((of_positives @ pairs.positives) * (of_negatives @ pairs.negatives))
