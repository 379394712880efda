"""Two methods of a table on the same plays: their difference, and how sure it is.

Plays are paired where task, condition and seed are the same. What is resampled are clusters of tasks, and seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from fairfight.errors import TableError
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
    """The difference of two methods on the units that both played under every seed that both have."""

    ours: Float[np.ndarray, "unit seed"]
    theirs: Float[np.ndarray, "unit seed"]
    cluster: Int[np.ndarray, " unit"]
    """Numbered without gaps."""
    unpaired: int
    """Units that one of them did not play, or not under every seed that both have."""

    @property
    def differences(self) -> Float[np.ndarray, "unit seed"]:
        """First minus second."""
        return self.ours - self.theirs

    @property
    def wins(self) -> int:
        """Units on which the first is ahead on the mean over seeds."""
        return int((self.differences.mean(axis=1) > 0).sum())

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


def pair(grid: Grid, ours: Units, theirs: Units, names: tuple[str, str]) -> Pair:
    """Give the pair of two methods' scores on a table's grid, under the seeds that both played anywhere.

    Raises:
        TableError: no unit was played by both under every such seed.
    """
    seeds = _shared_seeds(ours, theirs)
    both = _is_shared(ours, theirs)
    if not both.any():
        raise TableError(_nothing_shared(grid, (ours, theirs), names))
    units = np.flatnonzero(both)
    _, cluster = np.unique(grid.table.cluster[grid.task_of(units)], return_inverse=True)
    somewhere = _is_touched(ours) | _is_touched(theirs)
    return Pair(ours[units][:, seeds], theirs[units][:, seeds], cluster, int((somewhere & ~both).sum()))


def clusters_shared(grid: Grid, ours: Units, theirs: Units) -> int:
    """Give the number of clusters in which both played; a difference has an error from two on."""
    units = np.flatnonzero(_is_shared(ours, theirs))
    return len(np.unique(grid.table.cluster[grid.task_of(units)]))


def _shared_seeds(ours: Units, theirs: Units) -> Bool[np.ndarray, " seed"]:
    """Say which seeds both played anywhere: a seed of a third method is none that either lacks."""
    return np.asarray(~np.isnan(ours).all(axis=0) & ~np.isnan(theirs).all(axis=0))


def _is_shared(ours: Units, theirs: Units) -> Bool[np.ndarray, " unit"]:
    seeds = _shared_seeds(ours, theirs)
    if not seeds.any():
        return np.zeros(len(ours), dtype=bool)
    return np.asarray(~np.isnan(ours[:, seeds]).any(axis=1) & ~np.isnan(theirs[:, seeds]).any(axis=1))


def _is_touched(own: Units) -> Bool[np.ndarray, " unit"]:
    """Say which units were played under any seed."""
    return np.asarray(~np.isnan(own).all(axis=1))


def _nothing_shared(grid: Grid, scores: tuple[Units, Units], names: tuple[str, str]) -> str:
    """Give the reason why two methods share no unit: their seeds, holes under these, or their tasks and conditions."""
    played = [int(_is_touched(own).sum()) for own in scores]
    if not (seeds := _shared_seeds(*scores)).any():
        theirs = [_seeds_named(grid, np.asarray(~np.isnan(own).all(axis=0))) for own in scores]
        return (
            f"{names[0]} and {names[1]} share no seed: {names[0]} has {theirs[0]}, and {names[1]} has {theirs[1]}. Compare what "
            "both played, or map the column that names the seed (--map seed=COLUMN)."
        )
    whole = [int((~np.isnan(own[:, seeds]).any(axis=1)).sum()) for own in scores]
    found = f"{names[0]} and {names[1]} share no task and condition under the same seeds: {played[0]} and {played[1]} were played"
    if whole != played:
        found += f", {whole[0]} and {whole[1]} of them under every seed that both have ({_seeds_named(grid, seeds)})"
    return f"{found}. Compare what both played; map the columns that name them (--map)."


def _seeds_named(grid: Grid, seeds: Bool[np.ndarray, " seed"]) -> str:
    named = [f"'{grid.table.seeds[place]}'" for place in np.flatnonzero(seeds)]
    return ", ".join(named[:6]) + (f" and {len(named) - 6} more" if len(named) > 6 else "")
