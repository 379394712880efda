"""What a study could have shown, and what more of it would show."""

from __future__ import annotations

import math
from typing import NamedTuple

from fairfight.verdict.statistics.crossed import Estimate, Parts

POWER = 0.8
"""Share of studies like this one that are to find what is there."""


def smallest_effect(own: Estimate, margin: float, level: float) -> float:
    """Give the smallest true difference that this study would have called a win (or a loss) with a chance of 80 %.

    margin + (t(1 - alpha/2) + t(0.8)) standard errors, t by the estimate's degrees of freedom; with many degrees and
    no margin these are the 2.80 standard errors of Miller (2024), section 5.
    """
    return margin + _reach(own.degrees, level) * own.error


class Needed(NamedTuple):
    """How many times as much of what would settle a question, were the difference what it seems to be."""

    clusters: float | None
    """Test clusters, all else the same; None where seeds alone leave too much."""
    everything: float | None
    """Test clusters, split seeds and dictionary seeds alike; None where the difference lies on the margin itself."""


def needed(own: Estimate, parts: Parts, margin: float, level: float) -> Needed:
    """Give what would settle the question with a chance of 80 %, if the difference seen were the true one.

    The distance to the nearer edge of the margin has to be (z(1 - alpha/2) + z(0.8)) standard errors: n is about
    (z + z)^2 variance / distance^2 (Miller 2024, section 5). A tie has to keep clear of both edges: in its middle, with
    equal chances at both, of (z(1 - alpha/2) + z(0.9)) standard errors.
    """
    if abs(own.value) == margin:
        return Needed(None, None)
    allowed = _allowed_error(abs(own.value), margin, level) ** 2
    left = allowed - parts.seeds - parts.dictionary_seeds
    return Needed(parts.clusters / left if left > 0 else None, own.error**2 / allowed)


def _allowed_error(value: float, margin: float, level: float) -> float:
    """Give the standard error at which a true difference of size `value` is called what it is with a chance of 80 %."""
    from scipy.special import ndtr, ndtri

    far = abs(value - margin) / _reach(math.inf, level)
    if value > margin:
        return far

    edge = float(ndtri((1 + level) / 2))

    def power(error: float) -> float:
        return float(ndtr((margin - value) / error - edge) + ndtr((margin + value) / error - edge) - 1)

    # Both edges at the distance of the nearer one need less than half as small an error; power falls with the error.
    low, high = far / 2, far
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) > POWER else (low, middle)
    return low


def _reach(degrees: float, level: float) -> float:
    from scipy.special import ndtri, stdtrit

    def quantile(p: float) -> float:
        return float(ndtri(p) if math.isinf(degrees) else stdtrit(degrees, p))

    return quantile((1 + level) / 2) + quantile(POWER)
