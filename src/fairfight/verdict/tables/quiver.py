"""Choosing a method anew for every task, by its validation score: what having more methods at hand is worth.

Ties are common there (a validation score of 1.0 on an easy task), and whoever breaks them by the order of rows has
chosen by it. The score is therefore given with its range over all ways to break them.

Source: the quiver of arrows of Kantamneni et al. (2025), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairfight.verdict.tables.pairs import Grid, Units


@dataclass(frozen=True)
class Quiver:
    """Scores of the method chosen on validation, unit by unit."""

    scores: Units
    """Ties go to the method that stands first in the table."""
    last: Units
    """Ties go to the one that stands last."""
    worst: Units
    best: Units
    tied: int
    """Units and seeds in which several methods had the best validation score, and not all the same score."""

    @property
    def mean(self) -> float:
        """Mean over what was played."""
        return float(np.nanmean(self.scores))

    @property
    def order_range(self) -> tuple[float, float]:
        """The mean with ties to the first row and to the last, smaller first."""
        means = (self.mean, float(np.nanmean(self.last)))
        return min(means), max(means)

    @property
    def full_range(self) -> tuple[float, float]:
        """The least and greatest mean that any way to break ties gives."""
        return float(np.nanmean(self.worst)), float(np.nanmean(self.best))


def quiver(grid: Grid, methods: Sequence[int]) -> Quiver:
    """Give the scores of choosing among `methods` by validation, for every unit and seed that all of them played."""
    scores = np.stack([grid.scores(method) for method in methods])
    validation = np.stack([grid.validation(method) for method in methods])
    is_played = ~np.isnan(scores).any(axis=0)
    leads = validation == np.where(is_played, np.nanmax(np.where(is_played, validation, 0.0), axis=0), np.inf)
    worst = np.where(is_played, np.where(leads, scores, np.inf).min(axis=0), np.nan)
    best = np.where(is_played, np.where(leads, scores, -np.inf).max(axis=0), np.nan)
    first, last = leads.argmax(axis=0), len(methods) - 1 - leads[::-1].argmax(axis=0)
    chosen = [
        np.where(is_played, np.take_along_axis(scores, place[None], axis=0)[0], np.nan) for place in (first, last)
    ]
    return Quiver(chosen[0], chosen[1], worst, best, int((best > worst).sum()))
