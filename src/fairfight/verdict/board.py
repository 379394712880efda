"""Every contender's statistic in every trial, with what clusters do to it: what comparisons are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from fairfight.errors import EmptyClassError
from fairfight.verdict.draws import draw
from fairfight.verdict.roster import CALIBRATION, Entry, Roster
from fairfight.verdict.statistics import words
from fairfight.verdict.statistics.crossed import Crossed, Played
from fairfight.verdict.statistics.placements import placed
from fairfight.verdict.tpr import OperatingPoint, operating_point, tprs_of_play

MACRO = "macro"
"""The mean over test sets, each counting the same."""

Metric = Literal["auroc", "tpr"]


class Interval(NamedTuple):
    """An estimate with its interval."""

    score: float
    low: float
    high: float


def interval(own: Crossed, level: float) -> Interval:
    """Give the mean over trials with Student's interval of coverage `level`."""
    found = own.estimate()
    return Interval(found.value, *words.interval(found, level))


@dataclass(frozen=True)
class Board:
    """Statistics of the contenders asked for; nothing is calculated twice."""

    roster: Roster
    replicates: int
    """Draws of clusters behind a TPR, whose threshold is drawn anew in each."""
    kept: dict[tuple[str, Metric], Mapping[str, Played]]

    @staticmethod
    def of(roster: Roster, *, replicates: int = 2000) -> Board:
        """Give an empty board."""
        return Board(roster, replicates, {})

    def alone(self, name: str, metric: Metric) -> Mapping[str, Crossed]:
        """Give a contender's own statistic by test set, and `macro`."""
        return {own: self.crossed(found, own) for own, found in self.played(name, metric).items()}

    def crossed(self, own: Played, name: str) -> Crossed:
        """Give a statistic on a test set, or on `macro`, with the clusters that it stands on."""
        return Crossed((own,), self._clusters[name])

    def difference(self, first: str, second: str, metric: Metric) -> Mapping[str, Crossed]:
        """Give the paired difference of two contenders, first minus second, by test set, and `macro`.

        Clusters and split seeds are the same on both sides. So are dictionary seeds where both play one dictionary, or one
        of them a variant that was made from the other's, seed by seed; else they are each side's own.
        """
        ours, theirs = (self.played(name, metric) for name in (first, second))
        if self._share_dictionary_seeds(first, second):
            found = {name: self.crossed(ours[name] - theirs[name], name) for name in ours}
        else:
            found = {name: self.crossed(ours[name], name) - self.crossed(theirs[name], name) for name in ours}
        if first == second:
            return found
        return {name: self._no_surer_than(own, ours[name], theirs[name]) for name, own in found.items()}

    def played(self, name: str, metric: Metric) -> Mapping[str, Played]:
        """Give a contender's statistic in every trial, by test set, and `macro`."""
        if (name, metric) not in self.kept:
            entry = self.roster.entries[name]
            by_set = self._aurocs(entry) if metric == "auroc" else self._tprs(entry)
            self.kept[name, metric] = {**by_set, MACRO: _mean(list(by_set.values()))}
        return self.kept[name, metric]

    @cached_property
    def point(self) -> OperatingPoint | None:
        """The false positive rate of every TPR here; None where no calibration scores were kept."""
        return operating_point(self.roster)

    def _share_dictionary_seeds(self, first: str, second: str) -> bool:
        one, two = (self.roster.entries[name] for name in (first, second))
        own, other = one.contender.dictionary, two.contender.dictionary
        is_variant = None not in (own, other) and (
            self.roster.base_of(own) == other or self.roster.base_of(other) == own
        )
        return one.dictionary_seeds == two.dictionary_seeds and (own == other or is_variant)

    def _aurocs(self, entry: Entry) -> dict[str, Played]:
        return {name: auroc_of(self.roster, entry, name) for name in self.roster.test_sets}

    def _tprs(self, entry: Entry) -> dict[str, Played]:
        assert self.point is not None, "asked only where there is an operating point"
        plays = [tprs_of_play(self.roster, play, self._weights, self.point.fpr) for play in entry.plays.values()]
        return {
            name: _shaped(self.roster, entry, [own[name][0] for own in plays], [_around(own[name]) for own in plays])
            for name in self.roster.test_sets
        }

    @cached_property
    def _weights(self) -> np.ndarray:
        names = (self.roster.hash, "thresholds")
        return draw(self.roster, (*self.roster.test_sets, CALIBRATION), self.replicates, names)

    @staticmethod
    def _no_surer_than(found: Crossed, ours: Played, theirs: Played) -> Crossed:
        # Two that order every pair rightly look alike without being so: another cluster might part them.
        are_perfect = not ours.spread.any() and not theirs.spread.any()
        return replace(found, least_error=1 / found.clusters) if are_perfect else found

    @cached_property
    def _clusters(self) -> Mapping[str, float]:
        by_class = {name: [self.roster.clusters_of(name, label) for label in (0, 1)] for name in self.roster.test_sets}
        both = [np.unique(np.concatenate(own)) for own in zip(*by_class.values(), strict=True)]
        return {name: _worth(name, own) for name, own in {**by_class, MACRO: both}.items()}


def _worth(name: str, by_class: Sequence[np.ndarray]) -> float:
    """Give as how many clusters those of two classes count: few of one class are few, however many the other has.

    With K of a class its part in the variance goes with 1 / K and has K - 1 degrees of freedom; the sum of the two then has
    (1/K + 1/L)^2 / (1 / (K^2 (K - 1)) + 1 / (L^2 (L - 1))) by Satterthwaite, and never more than all clusters less one.
    """
    counts = np.array([len(own) for own in by_class], dtype=np.float64)
    if counts.min() < 2:
        label = "positive" if counts[1] < 2 else "negative"
        raise EmptyClassError(
            f"'{name}' has {counts.min():.0f} cluster(s) of {label} texts; an error needs two of each class. Add texts that are not "
            "variants of one another, or drop the set."
        )
    degrees = (1 / counts).sum() ** 2 / (1 / (counts**2 * (counts - 1))).sum()
    return 1 + min(float(degrees), len(np.unique(np.concatenate(by_class))) - 1)


def auroc_of(roster: Roster, entry: Entry, name: str) -> Played:
    """Give a contender's AUROC on a set in every trial, with each cluster's part in its error."""
    found = []
    for (seed, _), play in entry.plays.items():
        index = roster.indices[seed, name]
        found.append(placed(play.scores[name], index.labels, index.clusters, len(roster.clusters)))
    return _shaped(roster, entry, [own.auroc for own in found], [own.spread for own in found])


def _shaped(roster: Roster, entry: Entry, values: list[float], spread: list[np.ndarray]) -> Played:
    shape = (len(roster.seeds), len(entry.dictionary_seeds))
    return Played(np.array(values).reshape(shape), np.stack(spread).reshape(*shape, -1))


def _around(replicates: np.ndarray) -> np.ndarray:
    """Give deviations of which the squares add up to the replicates' variance."""
    return (replicates[1:] - replicates[1:].mean()) / np.sqrt(len(replicates) - 2)


def _mean(found: list[Played]) -> Played:
    return Played(np.mean([own.values for own in found], axis=0), np.mean([own.spread for own in found], axis=0))
