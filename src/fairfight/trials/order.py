"""The order in which configurations are tried: any beginning of it is spread evenly, and luck is shared.

A method tries few of the configurations that it has, so what it happens to try moves its score. The order therefore
hangs on the names of settings and on how many values they have, not on the method: methods with the same settings try
the same configurations, and all that choose a site and a pooling meet these in the same order. What then tells two
methods apart is the methods.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from fairfight.seeds import stream

PLACES = ("site", "pooling")
"""Settings that say where a method looks; methods of every kind share them."""

Space = Mapping[str, tuple[Any, ...]]
_Grid = Int[np.ndarray, "configuration setting"]


def even_order(space: Space) -> Iterator[dict[str, Any]]:
    """Give every configuration of a space once.

    Places come first: their combinations stand in one order, and every round goes through all of them. The other
    settings of each configuration are then those that keep single settings and pairs of settings most even, by the sum
    of chi-squared statistics over all of these; what is equally even is chosen by chance.
    """
    names = sorted(space, key=lambda name: (name not in PLACES, name))
    parts = tuple(n for n in names if n in PLACES), tuple(n for n in names if n not in PLACES)
    places, others = (_shuffled([len(space[name]) for name in part], part) for part in parts)
    places = places[_evenly(places)]
    evenness = _Evenness(np.hstack([places.max(axis=0), others.max(axis=0)]) + 1)
    is_left = np.ones((len(places), len(others)), dtype=bool)
    for _, (row, place) in itertools.product(range(len(others)), enumerate(places)):
        left = np.flatnonzero(is_left[row])
        candidates = np.hstack([np.tile(place, (len(left), 1)), others[left]])
        chosen = int(evenness.costs(candidates).argmin())
        is_left[row, left[chosen]] = False
        evenness.add(candidates[chosen])
        values = dict(zip(names, candidates[chosen], strict=True))
        yield {name: choices[values[name]] for name, choices in space.items()}


class _Evenness:
    """Counts of what was tried so far, by value of each setting and by pair of values of each two settings."""

    def __init__(self, sizes: Int[np.ndarray, " setting"]) -> None:
        singles = [(setting,) for setting in range(len(sizes))]
        groups = [*singles, *itertools.combinations(range(len(sizes)), 2)]
        self._counts = {group: np.zeros([sizes[setting] for setting in group], dtype=np.int64) for group in groups}

    def costs(self, candidates: _Grid) -> Int[np.ndarray, " configuration"]:
        """Give, up to a constant factor and term, how much each candidate would add to the sum of chi-squareds.

        With n configurations over c cells, chi-squared is c / n sum counts^2 - n, and one more in a cell of count m adds
        2 m + 1 to the sum.
        """
        costs = np.zeros(len(candidates), dtype=np.int64)
        for group, counts in self._counts.items():
            costs += counts.size * counts[tuple(candidates[:, setting] for setting in group)]
        return costs

    def add(self, configuration: Int[np.ndarray, " setting"]) -> None:
        """Count one configuration."""
        for group, counts in self._counts.items():
            counts[tuple(configuration[setting] for setting in group)] += 1


def _shuffled(sizes: list[int], names: tuple[str, ...]) -> _Grid:
    """Give all combinations of values by position, in an order that hangs on the settings' names and sizes."""
    grid = np.array(list(itertools.product(*map(range, sizes))), dtype=np.int64).reshape(math.prod(sizes), len(sizes))
    return stream("configurations", *names).permutation(grid)


def _evenly(grid: _Grid) -> list[int]:
    """Give an order of the rows of which any beginning is even; where rows are equally so, the first comes first."""
    evenness, left, order = _Evenness(grid.max(axis=0) + 1), list(range(len(grid))), []
    while left:
        order.append(left.pop(int(evenness.costs(grid[left]).argmin())))
        evenness.add(grid[order[-1]])
    return order
