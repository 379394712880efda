"""Who stands for a side: the one that is named, the only one, or the best on what its methods share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from fairfight.errors import TableError
from fairfight.verdict.tables.pairs import Grid, Units

How = Literal["named", "the only one", "best on validation", "best on the scores themselves"]

_MOST_NAMED = 12
_TIED = 1e-12


@dataclass(frozen=True)
class Champion:
    """A side's method, and how it came to stand for it."""

    name: str
    place: int
    how: How
    picked_from: int = 1
    """Methods among which the scores that it is judged by have chosen; 1 where they chose nothing."""
    limits: tuple[str, ...] = ()
    """What the choice leaves open."""


def champion(grid: Grid, side: Literal["dictionary", "baseline"], named: str | None) -> Champion:
    """Give the method that stands for a side: the one named, else the best on validation, or on scores without one.

    Means are compared over the units that all candidates share. Candidates are those that played at least 90 % of the
    units that anybody of their side played; where nobody did, those that played most. Ties go to the first by name.

    Raises:
        TableError: the table has no such method, or none of that side.
    """
    table = grid.table
    if named is not None:
        return Champion(named, table.named(named), "named")
    places = sorted(table.on_side(side), key=lambda place: table.methods[place].name)
    if not places:
        sides = ", ".join(sorted({method.side for method in table.methods}))
        raise TableError(
            f"{table.name} has no method on the {side} side (only {sides}); its methods are "
            f"{listed([method.name for method in table.methods])}. Say which methods use a dictionary with --dictionary "
            "'PATTERN', or map a column of sides (--map side=COLUMN)."
        )
    if len(places) == 1:
        return Champion(table.methods[places[0]].name, places[0], "the only one")
    return _best(grid, places)


def listed(names: Sequence[str]) -> str:
    """Give up to twelve names, and how many more there are."""
    more = f", and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _best(grid: Grid, places: Sequence[int]) -> Champion:
    has_validation = grid.table.validation is not None
    seen = grid.validation if has_validation else grid.scores
    candidates = _candidates([int(_is_played(seen(place)).sum()) for place in places], _anywhere(grid, places), places)
    shared = np.logical_and.reduce([_is_played(seen(place)) for place in candidates])
    if not shared.any():
        candidates = candidates[:1]
        shared = _is_played(seen(candidates[0]))
    means = {place: np.nanmean(seen(place)[shared], axis=1).mean() for place in candidates}
    tied = [place for place in places if place in means and means[place] >= max(means.values()) - _TIED]

    def limits() -> Iterator[str]:
        if apart := [grid.table.methods[place].name for place in places if place not in candidates]:
            yield f"{listed(apart)} played too little of what their side played to be chosen."
        if len(tied) > 1:
            names = [grid.table.methods[place].name for place in tied]
            what = "mean validation score" if has_validation else "mean score"
            yield f"{listed(names[:-1])} and {names[-1]} have the same {what}; the first by name stands for the side."

    name = grid.table.methods[tied[0]].name
    if has_validation:
        return Champion(name, tied[0], "best on validation", limits=tuple(limits()))
    return Champion(name, tied[0], "best on the scores themselves", len(candidates), tuple(limits()))


def _candidates(counts: Sequence[int], there: int, places: Sequence[int]) -> list[int]:
    """Give the methods that played at least 90 % of what is there, else those that played most; most first."""
    least = min(9 * there, 10 * max(counts))
    order = sorted(range(len(places)), key=lambda i: -counts[i])
    return [places[i] for i in order if 10 * counts[i] >= least]


def _anywhere(grid: Grid, places: Sequence[int]) -> int:
    """Give the number of units that any of the methods played."""
    return int(np.logical_or.reduce([_is_played(grid.scores(place)) for place in places]).sum())


def _is_played(own: Units) -> Bool[np.ndarray, " unit"]:
    return np.asarray(~np.isnan(own).all(axis=1))
