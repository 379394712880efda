"""The error of a mean over crossed trials: test clusters, split seeds and dictionary seeds, each drawn from many.

Every split seed meets every dictionary seed on the same test clusters. What repeating the whole study would move is
therefore a sum of parts: other clusters, other split seeds, other dictionary seeds. Clusters are many, and their part
is read off the covariance of the trials under another sample of them; seeds are few, and theirs off the spread of the
trials beyond what clusters explain. An interval with Satterthwaite's degrees of freedom then knows that three
dictionary seeds say little about dictionary seeds, which percentiles of a bootstrap do not.

Two levels of a factor are too few for Satterthwaite's degrees: where the one difference between them happens to be small,
they jump to those of the clusters. There the quantile is the mean of every part's own, weighted by the parts.

Source: the analysis of many readers and many cases by Obuchowski and Rockette (1995), with the degrees of freedom of
Hillis (2007), carried from one factor of readers to several; Satterthwaite (1946); Cochran (1964) for the weighted mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fairfight.errors import EmptyBatchError

_HIGH = 0.975
_ROUNDING = 1e-9
"""Of a sum of floats, beside the sum: an error below that is none."""


class Estimate(NamedTuple):
    """A mean over trials, its standard error, and the degrees of freedom of that error."""

    value: float
    error: float
    degrees: float


class Parts(NamedTuple):
    """What each factor adds to the variance of the mean, none of it below zero."""

    clusters: float
    seeds: float
    dictionary_seeds: float

    def variance(self, *, clusters: float = 1.0, seeds: float = 1.0, dictionary_seeds: float = 1.0) -> float:
        """Give the variance with so many times as many clusters, split seeds and dictionary seeds."""
        return self.clusters / clusters + self.seeds / seeds + self.dictionary_seeds / dictionary_seeds


@dataclass(frozen=True)
class Played:
    """One contender's statistic in every trial, and how it would move with other test clusters."""

    values: Float[np.ndarray, "seed dictionary_seed"]
    spread: Float[np.ndarray, "seed dictionary_seed draw"]
    """Products of two trials' rows, summed over draws, are their covariance under another sample of clusters. Rows of
    contenders that are compared stand on the same draws."""

    def __sub__(self, other: Played) -> Played:
        """Give the difference, trial by trial: for two that share their dictionary's seeds, or one of which has none."""
        return Played(self.values - other.values, self.spread - other.spread)

    def times(self, factor: float) -> Played:
        """Give the same statistic, `factor` times as large."""
        return Played(factor * self.values, factor * self.spread)

    @property
    def mean(self) -> Played:
        """The mean over all trials, as of one trial."""
        own = self.over_dictionary_seeds
        return Played(own.values.mean(axis=0, keepdims=True), own.spread.mean(axis=0, keepdims=True))

    @property
    def cluster_error(self) -> float:
        """Standard error of the mean over trials under another sample of clusters, seeds as they are."""
        return float(np.sqrt((self.spread.mean(axis=(0, 1)) ** 2).sum()))

    @property
    def over_dictionary_seeds(self) -> Played:
        """The mean over dictionary seeds, as one that has a single seed."""
        return Played(self.values.mean(axis=1, keepdims=True), self.spread.mean(axis=1, keepdims=True))


@dataclass(frozen=True)
class Crossed:
    """A sum of contenders' statistics over crossed trials: one alone, or one minus another.

    Dictionary seeds of the summands are independent of each other. A factor of one level is taken as given: its part
    cannot be known, and the interval then holds for that level alone.
    """

    summands: tuple[Played, ...]
    clusters: float
    """How many there are, or as many as their unequal classes are worth."""
    least_error: float = 0.0
    """Of the mean, where the scores show none but are not known to have none."""

    def __post_init__(self) -> None:
        """Refuse what has no error to speak of.

        Raises:
            EmptyBatchError: there are fewer than two clusters.
        """
        if self.clusters < 2:
            raise EmptyBatchError(
                f"An error needs two test clusters; found {self.clusters:g}. Score more examples that are not variants of "
                "one another."
            )

    def __sub__(self, other: Crossed) -> Crossed:
        """Give the paired difference: the same clusters and split seeds, dictionary seeds of each side's own."""
        assert self.clusters == other.clusters, "both sides score the same clusters"
        return replace(self, summands=(*self.summands, *(own.times(-1.0) for own in other.summands)))

    def estimate(self) -> Estimate:
        """Give the mean over trials with its standard error.

        The variance is the sum of the factors' parts, and never less than one of them alone shows. The degrees of
        freedom are Satterthwaite's: each mean square counts by how much of the variance rests on it. Where a factor has two
        levels they are those with which Student's t has the weighted mean of the parts' quantiles (97.5 %).

        A difference that is the same in every cluster and trial, but not zero, shows no error; it is given that of a mean
        of as many values of its size, either way.
        """
        total = self._total
        terms = [_seeds_term(total), *(term for own in self.summands for term in _dictionary_terms(own))]
        of_clusters = total.cluster_error**2
        remaining = of_clusters - sum(term.of_clusters for term in terms)
        variance = max(remaining + sum(term.seen for term in terms), of_clusters, *(term.seen for term in terms))
        value, least = float(total.values.mean()), self.least_error**2
        if variance <= (_ROUNDING * value) ** 2 and value != 0:
            least = max(least, value**2 / self.clusters)
        positive = [term for term in terms if term.seen > 0]
        rests = max(remaining, 0.0) ** 2 / self._cluster_degrees
        rests += sum(term.seen**2 / term.degrees for term in terms if term.degrees)
        if rests == 0:
            degrees = self._cluster_degrees
        elif any(term.degrees == 1 for term in positive):
            own = [(max(term.seen - term.of_clusters, 0.0), float(term.degrees)) for term in positive]
            degrees = _of_weighted_quantile([(of_clusters, self._cluster_degrees), *own])
        else:
            # The interaction is subtracted from the variance, so that Satterthwaite's degrees may fall below every part's.
            degrees = max(variance**2 / rests, min((term.degrees for term in positive), default=0))
        return Estimate(value, float(np.sqrt(max(variance, least))), float(degrees))

    def parts(self) -> Parts:
        """Give what each factor adds to the variance, to see what more of it would buy."""
        of_dictionaries = 0.0
        for own in self.summands:
            terms = _dictionary_terms(own)
            of_dictionaries += max(sum(term.seen - term.of_clusters for term in terms), 0.0)
        seeds = _seeds_term(self._total)
        return Parts(self._total.cluster_error**2, max(seeds.seen - seeds.of_clusters, 0.0), of_dictionaries)

    @property
    def _cluster_degrees(self) -> float:
        """Degrees of freedom of the clusters' part: their number less one, or fewer where a few clusters make most of it.

        Of normal contributions u the sum of squares has a variance of about 2/3 of the sum of u^4, hence
        3 (sum u^2)^2 / sum u^4 degrees. It counts the clusters that matter where sizes differ much, and where both
        sides order nearly every pair rightly.
        """
        moved = self._total.spread.mean(axis=(0, 1))
        fourth = float((moved**4).sum())
        return min(self.clusters - 1.0, 3 * float((moved**2).sum()) ** 2 / fourth) if fourth else self.clusters - 1.0

    @property
    def _total(self) -> Played:
        means = [own.over_dictionary_seeds for own in self.summands]
        return Played(sum(own.values for own in means), sum(own.spread for own in means))  # pyright: ignore[reportArgumentType]


def _of_weighted_quantile(shares: list[tuple[float, float]]) -> float:
    """Give the degrees with which t's 97.5 % quantile is the mean of the parts' own, weighted by their variance."""
    from scipy.special import stdtridf, stdtrit

    total = sum(share for share, _ in shares)
    if total == 0:
        return 1.0
    quantile = sum(share / total * float(stdtrit(degrees, _HIGH)) for share, degrees in shares)
    return max(1.0, float(stdtridf(_HIGH, quantile)))


class _Term(NamedTuple):
    """A mean square's share in the variance of the mean: as seen, and as clusters alone would make it."""

    seen: float
    of_clusters: float
    degrees: int


def _seeds_term(total: Played) -> _Term:
    seeds = len(total.values)
    seen, of_clusters = (_mean_squares(own)[0] / seeds for own in (total.values[..., None], total.spread))
    return _Term(float(seen.sum()), float(of_clusters.sum()), seeds - 1)


def _dictionary_terms(own: Played) -> tuple[_Term, _Term]:
    """Give the terms of dictionary seeds, and of split and dictionary seeds together, which the first holds too."""
    seeds, columns = own.values.shape
    seen, of_clusters = (
        _mean_squares(cube).sum(axis=1) / own.values.size for cube in (own.values[..., None], own.spread)
    )
    return (
        _Term(float(seen[1]), float(of_clusters[1]), columns - 1),
        _Term(-float(seen[2]), -float(of_clusters[2]), (seeds - 1) * (columns - 1)),
    )


def _mean_squares(values: Float[np.ndarray, "seed dictionary_seed draw"]) -> Float[np.ndarray, "factor draw"]:
    """Give the mean squares of split seeds, dictionary seeds and both together; 0 where there is one level."""
    seeds, columns = values.shape[:2]
    mean = values.mean(axis=(0, 1))
    of_seeds, of_columns = values.mean(axis=1) - mean, values.mean(axis=0) - mean
    both = values - of_seeds[:, None] - of_columns[None, :] - mean
    sums = np.stack(
        [columns * (of_seeds**2).sum(axis=0), seeds * (of_columns**2).sum(axis=0), (both**2).sum(axis=(0, 1))]
    )
    degrees = np.array([seeds - 1, columns - 1, (seeds - 1) * (columns - 1)])
    return sums / np.maximum(degrees, 1)[:, None]
