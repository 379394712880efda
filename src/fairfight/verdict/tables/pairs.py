"""Two methods of a table on the same plays: their difference, and how sure it is.

Plays are paired where task, condition and seed are the same. What is resampled are clusters of tasks, and seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from fairfight.errors import TableError
from fairfight.verdict.statistics import words
from fairfight.verdict.statistics.crossed import Crossed, Estimate, Played
from fairfight.verdict.tables.score_table import ScoreTable

FEW = 20
"""Clusters, or seeds beyond one, below which percentiles are too short and Student's t is used."""
_CHUNK = 4_000_000
"""Weights held at once: 32 MB."""

Units = Float[np.ndarray, "unit seed"]
"""One value a task and condition, and seed; NaN where nothing was played."""


@dataclass(frozen=True)
class Grid:
    """The table's rows on their places: a unit is a task under a condition."""

    table: ScoreTable
    unit: Int[np.ndarray, " row"]
    """Of each row; units are numbered task by task."""

    @staticmethod
    def of(table: ScoreTable) -> Grid:
        """Give the grid of a table."""
        return Grid(table, table.task.astype(np.int64) * len(table.conditions) + table.condition)

    @property
    def units(self) -> int:
        """Tasks times conditions, played or not."""
        return len(self.table.tasks) * len(self.table.conditions)

    def scores(self, method: int) -> Units:
        """Give a method's scores on their places; see `lint.duplicates` for two rows in one place."""
        return self._on_places(method, self.table.score)

    def validation(self, method: int) -> Units:
        """Give a method's validation scores on their places."""
        assert self.table.validation is not None, "asked only where the table has them"
        return self._on_places(method, self.table.validation)

    def task_of(self, unit: Int[np.ndarray, " unit"]) -> Int[np.ndarray, " unit"]:
        """Give the tasks of units."""
        return unit // len(self.table.conditions)

    def _on_places(self, method: int, values: Float[np.ndarray, " row"]) -> Units:
        rows = self._rows_of[method]
        found = np.full((self.units, len(self.table.seeds)), np.nan)
        found[self.unit[rows], self.table.seed[rows]] = values[rows]
        return found

    @cached_property
    def _rows_of(self) -> list[Int[np.ndarray, " row"]]:
        order = np.argsort(self.table.method, kind="stable")
        ends = np.cumsum(np.bincount(self.table.method, minlength=len(self.table.methods)))
        return np.split(order, ends[:-1])


@dataclass(frozen=True)
class Pair:
    """The difference of two methods on the units that both played under every seed."""

    ours: Float[np.ndarray, "unit seed"]
    theirs: Float[np.ndarray, "unit seed"]
    cluster: Int[np.ndarray, " unit"]
    """Numbered without gaps."""
    unpaired: int
    """Units that only one of them played, or not under every seed."""

    @property
    def differences(self) -> Float[np.ndarray, "unit seed"]:
        """First minus second."""
        return self.ours - self.theirs

    @property
    def wins(self) -> int:
        """Units on which the first is ahead on the mean over seeds."""
        return int((self.differences.mean(axis=1) > 0).sum())

    @property
    def tasks_alike(self) -> int:
        """Units on which both are level."""
        return int((self.differences.mean(axis=1) == 0).sum())

    @property
    def clusters(self) -> int:
        """How many clusters the units stand in."""
        return int(self.cluster.max()) + 1

    @property
    def are_levels_few(self) -> bool:
        """Whether clusters or seeds are too few for percentiles."""
        return self.clusters < FEW or 1 < self.ours.shape[1] < FEW

    @property
    def cluster_sums(self) -> Float[np.ndarray, " cluster"]:
        """The differences of each cluster, means over seeds, added up."""
        return np.bincount(self.cluster, self.differences.mean(axis=1))

    def estimate(self) -> Estimate:
        """Give the mean difference over units with its error, clusters of tasks and seeds crossed.

        A cluster moves the mean by the sum of its units' deviations over the number of units (a ratio estimate, as
        clusters differ in size), scaled by K / (K - 1).

        Raises:
            EmptyBatchError: there are fewer than two clusters.
        """
        return self._crossed.estimate()

    @property
    def _crossed(self) -> Crossed:
        values = self.differences.mean(axis=0)
        moved = np.zeros((self.clusters, self.differences.shape[1]))
        np.add.at(moved, self.cluster, self.differences - values)
        scale = np.sqrt(self.clusters / (self.clusters - 1)) / len(self.cluster) if self.clusters > 1 else 0.0
        return Crossed((Played(values[:, None], (moved * scale).T[:, None, :]),), self.clusters)

    def replicates(self, chance: np.random.Generator, draws: int) -> Float[np.ndarray, " replicate"]:
        """Give the mean difference in `draws` resamples of clusters and seeds, one draw for both methods.

        Memory: 32 MB of weights at once, whatever the number of draws.
        """
        seeds = self.differences.shape[1]
        sums = np.zeros((self.clusters, seeds))
        np.add.at(sums, self.cluster, self.differences)
        sizes = np.bincount(self.cluster).astype(np.float64)
        found = np.empty(draws)
        step = max(1, _CHUNK // self.clusters)
        for start in range(0, draws, step):
            count = min(step, draws - start)
            weights = chance.multinomial(self.clusters, np.full(self.clusters, 1 / self.clusters), size=count)
            of_seeds = chance.multinomial(seeds, np.full(seeds, 1 / seeds), size=count) / seeds
            totals = ((weights @ sums) * of_seeds).sum(axis=1)
            found[start : start + count] = totals / (weights @ sizes)
        return found

    def interval(self, level: float, chance: np.random.Generator, draws: int) -> tuple[float, float]:
        """Give the interval of the mean difference: Student's where levels are few, else percentiles."""
        if self.are_levels_few:
            return words.interval(self.estimate(), level)
        low, high = np.quantile(self.replicates(chance, draws), [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


def pair(grid: Grid, ours: Units, theirs: Units, names: tuple[str, str]) -> Pair:
    """Give the pair of two methods' scores on a table's grid.

    Raises:
        TableError: no unit was played by both under every seed.
    """
    have = [_is_played(own) for own in (ours, theirs)]
    both = have[0] & have[1]
    if not both.any():
        raise TableError(
            f"{names[0]} and {names[1]} share no task and condition under the same seeds: {int(have[0].sum())} and "
            f"{int(have[1].sum())} were played. Compare what both played; map the columns that name them (--map)."
        )
    units = np.flatnonzero(both)
    _, cluster = np.unique(grid.table.cluster[grid.task_of(units)], return_inverse=True)
    return Pair(ours[units], theirs[units], cluster, int((have[0] ^ have[1]).sum()))


def clusters_shared(grid: Grid, ours: Units, theirs: Units) -> int:
    """Give the number of clusters in which both played; a difference has an error from two on."""
    units = np.flatnonzero(_is_played(ours) & _is_played(theirs))
    return len(np.unique(grid.table.cluster[grid.task_of(units)]))


def _is_played(own: Units) -> Bool[np.ndarray, " unit"]:
    return np.asarray(~np.isnan(own).any(axis=1))
