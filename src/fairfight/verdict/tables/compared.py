"""A pair with its chance: the p-values of the three claims and the interval, both of the same replicates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Literal

import numpy as np
from jaxtyping import Float

from fairfight.verdict.draws import stream
from fairfight.verdict.statistics import words
from fairfight.verdict.statistics.words import Chances
from fairfight.verdict.tables.pairs import Pair

_IN_TAIL = 5
"""Replicates that should lie beyond each end of an interval."""
_MOST_DRAWS = 200_000
_ALIKE = 1e-12
"""Replicates that differ by no more than rounding."""


@dataclass(frozen=True)
class Compared:
    """A pair, and how the chance in its difference is read: off one set of replicates, or off Student's t.

    Student's t is taken where levels are few, where the replicates are all alike, and where `draws` is 0.
    """

    pair: Pair
    names: tuple[str, ...]
    """Of the stream of chance: the table's and both methods'."""
    draws: int

    @cached_property
    def interval_by(self) -> Literal["Student's t", "bootstrap"]:
        """What p-values and interval are read off."""
        if not self.draws or self.pair.are_levels_few or np.ptp(self.replicates) <= _ALIKE:
            return "Student's t"
        return "bootstrap"

    @cached_property
    def replicates(self) -> Float[np.ndarray, " replicate"]:
        """The mean difference in resamples, in order of size; drawn once."""
        return np.sort(self.pair.replicates(stream(*self.names), self.draws))

    def chances(self, margin: float) -> Chances:
        """Give the p-values of the three claims.

        Of replicates it is the share on the wrong side of the margin, between neighbours as `np.quantile` has it, so that
        an interval of coverage L clears the margin exactly where twice the share is below 1 - L. No share is smaller than
        one draw's.
        """
        if self.interval_by == "Student's t":
            return words.chances(self.pair.estimate(), margin)
        below, above = self.replicates, -self.replicates[::-1]
        ties = max(_share(below, -margin), _share(above, -margin)) if margin else 1.0
        return Chances(_share(below, margin), _share(above, margin), ties)

    def interval(self, level: float) -> tuple[float, float]:
        """Give the interval of the mean difference."""
        if self.interval_by == "Student's t":
            return words.interval(self.pair.estimate(), level)
        low, high = np.quantile(self.replicates, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


def draws_for(least: int, level: float, questions: int) -> int:
    """Give how many draws an interval at `level` needs that is shared by so many questions; 0 if no number that fits does."""
    needed = ceil(2 * _IN_TAIL * questions / (1 - level))
    return max(least, needed) if needed <= _MOST_DRAWS else 0


def _share(replicates: Float[np.ndarray, " replicate"], bound: float) -> float:
    """Give the share of sorted replicates that is at most `bound`: the inverse of `np.quantile`, one draw at least."""
    draws = len(replicates)
    return max(float(np.interp(bound, replicates, np.linspace(0, 1, draws))), 1 / draws)
