"""From a difference and its error to the four words, with the probability that each would be said wrongly."""

from __future__ import annotations

from typing import Literal, NamedTuple

from fairfight.verdict.statistics.crossed import Estimate

Word = Literal["wins", "loses", "ties", "undecided"]


class Chances(NamedTuple):
    """One-sided p-values of the three claims against a margin: how easily a difference that refutes one looks like it."""

    wins: float
    """Of a difference above the margin, if it were no larger than the margin."""
    loses: float
    ties: float
    """Of a difference within the margin, if it were outside: the larger of two one-sided tests (Schuirmann 1987)."""

    @property
    def least(self) -> float:
        """Twice the smallest: at most alpha of all studies say any of the three words wrongly at this level."""
        return min(1.0, 2 * min(self))


def chances(own: Estimate, margin: float) -> Chances:
    """Give the p-values of the three claims, by Student's t with the estimate's degrees of freedom.

    A difference without any error is what it is: the same scores tie, whatever the margin.
    """
    if own.error == 0:
        wins, loses = own.value > margin, own.value < -margin
        return Chances(float(not wins), float(not loses), float(wins or loses or abs(own.value) == margin > 0))
    above, below = ((own.value + shift) / own.error for shift in (-margin, margin))
    wins, loses = _tail(above, own.degrees), _tail(-below, own.degrees)
    return Chances(wins, loses, max(1 - wins, 1 - loses) if margin else 1.0)


def interval(own: Estimate, level: float) -> tuple[float, float]:
    """Give Student's interval of coverage `level`."""
    from scipy.special import stdtrit

    reach = float(stdtrit(own.degrees, (1 + level) / 2)) * own.error
    return own.value - reach, own.value + reach


def word_of(low: float, high: float, margin: float) -> Word:
    """Give the word for an interval of the difference, challenger minus defender.

    wins: above +margin. loses: below -margin. ties: within (-margin, +margin), or exactly [0, 0] whatever the margin.
    undecided: the interval reaches over an edge of that band.
    """
    if low > margin:
        return "wins"
    if high < -margin:
        return "loses"
    if (low == 0 == high) or (-margin < low and high < margin):
        return "ties"
    return "undecided"


def _tail(t: float, degrees: float) -> float:
    """Give the probability that Student's t exceeds `t`."""
    from scipy.special import stdtr

    return float(stdtr(degrees, -t))
