"""Replicates of a contender's score, and the intervals that they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fairfight.errors import InputError
from fairfight.verdict.concordance import cluster_pairs, weighted_aurocs
from fairfight.verdict.draws import Draws, cluster_counts, seed_shares
from fairfight.verdict.roster import Entry, Play, Roster, SetIndex

MACRO = "macro"
"""The mean over test sets, each counting the same."""

Replicates = Float[np.ndarray, " replicate"]
"""A statistic under every draw; the first is the sample's own."""

PlayReplicates = Callable[[Play, SetIndex, str], Replicates]


class Interval(NamedTuple):
    """An estimate with its percentile interval."""

    score: float
    low: float
    high: float


def interval(replicates: Replicates, level: float) -> Interval:
    """Give the estimate and the percentile interval of coverage `level`."""
    tail = (1 - level) / 2
    low, high = np.quantile(replicates[1:], [tail, 1 - tail])
    return Interval(float(replicates[0]), float(low), float(high))


@dataclass(frozen=True)
class Board:
    """Replicates of every contender asked for, under one draw; nothing is calculated twice."""

    roster: Roster
    draws: Draws
    kept: dict[tuple[str, str], Mapping[str, Replicates]]

    @staticmethod
    def of(roster: Roster, draws: Draws) -> Board:
        """Give an empty board."""
        return Board(roster, draws, {})

    def aurocs(self, name: str) -> Mapping[str, Replicates]:
        """Give the AUROC of a contender by test set, and `macro`."""
        return self.replicates(name, "auroc", self._auroc)

    def replicates(self, name: str, metric: str, of_play: PlayReplicates) -> Mapping[str, Replicates]:
        """Give the replicates of a statistic of single plays, by test set, and `macro`."""
        if (name, metric) not in self.kept:
            sets = self.roster.test_sets
            by_set = {own: over_seeds(self.roster, self.roster.entries[name], own, self.draws, of_play) for own in sets}
            self.kept[name, metric] = {**by_set, MACRO: np.mean(list(by_set.values()), axis=0)}
        return self.kept[name, metric]

    def _auroc(self, play: Play, index: SetIndex, name: str) -> Replicates:
        return weighted_aurocs(cluster_pairs(play.scores[name], index.labels, index.clusters), self.draws.clusters)


def over_seeds(roster: Roster, entry: Entry, name: str, draws: Draws, of_play: PlayReplicates) -> Replicates:
    """Give a contender's replicates on a set, averaged over the drawn split seeds and dictionary seeds.

    Seeds and clusters are crossed: each replicate draws clusters, split seeds and dictionary seeds once, and every
    trial is seen under that draw. With few levels the bootstrap of seeds is too narrow by about sqrt((n - 1) / n) of
    their part of the variance.
    """
    own = draws.dictionary_seeds(entry.dictionary_seeds)
    total = np.zeros(len(draws.clusters))
    for row, seed in enumerate(roster.seeds):
        for column, dictionary_seed in enumerate(entry.dictionary_seeds):
            values = of_play(entry.plays[seed, dictionary_seed], roster.indices[seed, name], name)
            total += draws.seeds[:, row] * own[:, column] * values
    return total


def auroc_interval(
    scores: Float[np.ndarray, "seed example"] | Float[np.ndarray, " example"],
    labels: Int[np.ndarray, " example"] | Sequence[int],
    clusters: Sequence[str],
    *,
    chance: np.random.Generator,
    level: float = 0.95,
    replicates: int = 2000,
) -> Interval:
    """Give the mean AUROC over seeds of one contender on one set, with clusters and seeds resampled, crossed.

    One row of `scores` a seed; a single row has no seeds to resample. Clusters are drawn within strata of the classes
    that they hold.

    Raises:
        InputError: scores, labels and clusters differ in length.
        EmptyClassError: one class is missing.
    """
    rows, labels = np.atleast_2d(np.asarray(scores, dtype=np.float64)), np.asarray(labels, dtype=np.int64)
    if not rows.shape[1] == len(labels) == len(clusters):
        raise InputError(
            f"There are {rows.shape[1]} scores, {len(labels)} labels and {len(clusters)} clusters; one each an example "
            "is expected. Give them in the same order."
        )
    places = np.unique(np.asarray(clusters), return_inverse=True)[1]
    pairs = [cluster_pairs(row, labels, places) for row in rows]
    holds = np.zeros((2, places.max() + 1), dtype=bool)
    holds[labels, places] = True
    weights = cluster_counts(holds[0] + 2 * holds[1], holds, replicates, chance)
    shares = seed_shares(len(rows), replicates, chance)
    values = np.stack([weighted_aurocs(own, weights) for own in pairs], axis=1)
    return interval((values * shares).sum(axis=1), level)
