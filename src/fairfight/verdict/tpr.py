"""True positive rate at a small false positive rate, with the threshold set where a user would set it.

The threshold comes from the negatives of the calibration set (in-distribution validation), never from a test set; what
false positive rate it then has on a shifted test set is reported beside the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fairfight.verdict.roster import CALIBRATION, Entry, Play, Roster, SetIndex

STRICT_FPR, LOOSE_FPR = 0.01, 0.05
LEAST_NEGATIVES, LEAST_CLUSTERS = 500, 100
"""What a threshold at 1 % needs: five expected false alarms, from texts that are not variants of a few prompts."""
LEAST_LOOSE_NEGATIVES, LEAST_LOOSE_CLUSTERS = 30, 15
"""What one at 5 % needs: with half as many, intervals held the truth in 81 % of simulated studies, with these in 92 to 96 %."""

Replicates = Float[np.ndarray, " replicate"]
"""A statistic under every draw; the first is the sample's own."""

_CHUNK = 2_000_000
"""Weights held at once while thresholds are set: 16 MB."""


@dataclass(frozen=True)
class OperatingPoint:
    """The false positive rate at which thresholds are set, and why that one."""

    fpr: float
    negatives: int
    """Calibration negatives, in the seed that has fewest."""
    clusters: int
    """Their clusters, in the seed that has fewest."""

    @property
    def reason(self) -> str:
        """Why this rate, in words."""
        has = f"the calibration set has {self.negatives} negative texts in {self.clusters} clusters"
        if self.fpr == STRICT_FPR:
            return has
        return f"{has}; a threshold at 1 % needs {LEAST_NEGATIVES} in {LEAST_CLUSTERS}"


class Rates(NamedTuple):
    """Share of texts flagged at the threshold."""

    tpr: float
    fpr: float


def operating_point(roster: Roster) -> OperatingPoint | None:
    """Give the rate that the calibration set can support: 1 %, else 5 %, else none; None too where it has no scores."""
    if not roster.has_scores(CALIBRATION):
        return None
    indices = [roster.indices[seed, CALIBRATION] for seed in roster.seeds]
    negatives = min(int((index.labels == 0).sum()) for index in indices)
    clusters = min(len(np.unique(index.clusters[index.labels == 0])) for index in indices)
    can_be_strict = negatives >= LEAST_NEGATIVES and clusters >= LEAST_CLUSTERS
    if negatives < LEAST_LOOSE_NEGATIVES or clusters < LEAST_LOOSE_CLUSTERS:
        return None
    return OperatingPoint(STRICT_FPR if can_be_strict else LOOSE_FPR, negatives, clusters)


def thresholds(
    scores: Float[np.ndarray, " negative"], weights: Float[np.ndarray, "replicate negative"], fpr: float
) -> Float[np.ndarray, " replicate"]:
    """Give the smallest observed score above which at most a share `fpr` of the weighted negatives lies.

    A text is flagged when its score is greater than the threshold, so tied negatives are never split.
    """
    values, place = np.unique(-scores, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(place))[:-1]])
    mass = np.add.reduceat(weights[:, order], starts, axis=1)
    above = np.cumsum(mass, axis=1) - mass
    allowed = fpr * mass.sum(axis=1, keepdims=True) + 1e-9
    return -values[(above <= allowed).sum(axis=1) - 1]


def tprs_of_play(
    roster: Roster, play: Play, weights: Float[np.ndarray, "replicate cluster"], fpr: float
) -> dict[str, Replicates]:
    """Give the TPR of one trial by test set under every draw of clusters, its threshold drawn anew each time."""
    seed = play.trial.spec.seed
    at = _drawn_thresholds(play, roster.indices[seed, CALIBRATION], weights, fpr)
    return {
        name: flagged_share(play.scores[name], roster.indices[seed, name], weights, at, label=1)
        for name in roster.test_sets
    }


def _drawn_thresholds(
    play: Play, index: SetIndex, weights: Float[np.ndarray, "replicate cluster"], fpr: float
) -> Replicates:
    is_negative = index.labels == 0
    scores, places = play.scores[CALIBRATION][is_negative], index.clusters[is_negative]
    parts = np.array_split(weights, max(1, weights.shape[0] * len(scores) // _CHUNK))
    return np.concatenate([thresholds(scores, part[:, places], fpr) for part in parts])


def flagged_share(
    scores: Float[np.ndarray, " example"],
    index: SetIndex,
    weights: Float[np.ndarray, "replicate cluster"],
    at: Float[np.ndarray, " replicate"],
    *,
    label: int,
) -> Replicates:
    """Give the weighted share of the examples of one label whose score exceeds each replicate's threshold."""
    own = index.labels == label
    clusters, place = np.unique(index.clusters[own], return_inverse=True)
    distinct, which = np.unique(at, return_inverse=True)
    flagged = _sums_by_cluster((scores[own][None, :] > distinct[:, None]).astype(np.float64), place)
    drawn = weights[:, clusters]
    return np.einsum("rc,rc->r", drawn, flagged[which]) / (drawn @ np.bincount(place).astype(np.float64))


def _sums_by_cluster(
    values: Float[np.ndarray, "threshold example"], place: Int[np.ndarray, " example"]
) -> Float[np.ndarray, "threshold cluster"]:
    order = np.argsort(place, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(place))[:-1]])
    return np.add.reduceat(values[:, order], starts, axis=1)


def sample_threshold(play: Play, index: SetIndex, fpr: float) -> float:
    """Give the threshold that a play's own calibration negatives set; `index` is that of the calibration set."""
    scores = play.scores[CALIBRATION][index.labels == 0]
    return float(thresholds(scores, np.ones((1, len(scores))), fpr)[0])


def achieved_rates(roster: Roster, entry: Entry, fpr: float) -> dict[str, Rates]:
    """Give TPR and FPR at the threshold on each test set, averaged over seeds and dictionary seeds."""
    found: dict[str, list[Rates]] = {name: [] for name in roster.test_sets}
    for (seed, _), play in entry.plays.items():
        at = sample_threshold(play, roster.indices[seed, CALIBRATION], fpr)
        for name, rates in found.items():
            labels, flags = roster.indices[seed, name].labels, play.scores[name] > at
            rates.append(Rates(float(flags[labels == 1].mean()), float(flags[labels == 0].mean())))
    return {name: Rates(*np.mean(rates, axis=0).tolist()) for name, rates in found.items()}
