"""Studies with a known answer, to measure how often the verdict errs.

A score is a normal draw whose mean depends on the label. What moves it beside the label is shared in the ways of a
real study: by all methods on a cluster, by one method on a cluster, by all examples under a split seed or a dictionary
seed. The mean AUROC over all seeds and clusters that could have been drawn is then known in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fairfight.verdict.statistics.crossed import Crossed, Played
from fairfight.verdict.statistics.placements import placed


@dataclass(frozen=True)
class World:
    """Where studies are drawn from; deviations are in units of an example's own."""

    clusters: int = 200
    cluster_size: int = 1
    seeds: int = 5
    dictionary_seeds: int = 3
    distance: float = 1.5
    """Between the means of the classes, for every method."""
    advantage: float = 0.0
    """Added to the distance for the dictionary's methods."""
    cluster_deviation: float = 0.0
    """Of what moves all examples of a cluster under all methods."""
    method_deviation: float = 0.5
    """Of what moves an example under one method, in all of its trials."""
    trial_deviation: float = 0.5
    """Of what moves an example in one trial."""
    seed_deviation: float = 0.1
    """Of the distance, by split seed, for each method anew."""
    dictionary_deviation: float = 0.1
    """Of the distance, by dictionary seed, for each method that has a dictionary."""
    contestants: int = 1
    baselines: int = 1

    @property
    def _noise(self) -> float:
        squares = (self.cluster_deviation, self.method_deviation, self.trial_deviation)
        return float(np.sqrt(2 * (1 + sum(own**2 for own in squares))))

    def auroc(self, *, has_dictionary: bool) -> float:
        """Give the mean AUROC over seeds of a method on one side: Phi(distance / deviation of all that moves it)."""
        from scipy.special import ndtr

        moved = self.seed_deviation**2 + (self.dictionary_deviation**2 if has_dictionary else 0.0)
        distance = self.distance + (self.advantage if has_dictionary else 0.0)
        return float(ndtr(distance / np.sqrt(self._noise**2 + moved)))

    @property
    def difference(self) -> float:
        """The true difference: the dictionary's methods minus the baselines."""
        return self.auroc(has_dictionary=True) - self.auroc(has_dictionary=False)

    def even(self) -> World:
        """Give the world with the advantage at which both sides have the same AUROC: no difference."""
        more = self._noise**2 + self.seed_deviation**2
        balance = float(np.sqrt((more + self.dictionary_deviation**2) / more)) - 1
        return replace(self, advantage=self.distance * balance)


class Sample(NamedTuple):
    """Examples of one set."""

    labels: Int[np.ndarray, " example"]
    clusters: Int[np.ndarray, " example"]


def draw_study(world: World, chance: np.random.Generator) -> Crossed:
    """Give the comparison of one study: every method plays, each side's best on validation is compared on the test set."""
    test, validation = (_sample(world, chance) for _ in range(2))
    shared = {id(sample): _shared(world, sample, chance) for sample in (test, validation)}
    chosen = []
    for count, columns in ((world.contestants, world.dictionary_seeds), (world.baselines, 0)):
        best: tuple[float, Played] | None = None
        for _ in range(count):
            distances = _distances(world, columns, chance)
            on_validation = 0.0
            if count > 1:
                on_validation = float(_play(world, validation, shared[id(validation)], distances, chance).values.mean())
            if best is None or on_validation > best[0]:
                best = on_validation, _play(world, test, shared[id(test)], distances, chance)
        assert best is not None, "a side has a method"
        chosen.append(Crossed((best[1],), world.clusters))
    return chosen[0] - chosen[1]


def _sample(world: World, chance: np.random.Generator) -> Sample:
    clusters = np.repeat(np.arange(world.clusters), world.cluster_size)
    labels = np.repeat(np.arange(world.clusters) % 2, world.cluster_size)
    return Sample(labels, chance.permutation(world.clusters)[clusters])


def _shared(world: World, sample: Sample, chance: np.random.Generator) -> Float[np.ndarray, " example"]:
    of_clusters = world.cluster_deviation * chance.standard_normal(world.clusters)
    return of_clusters[sample.clusters] + chance.standard_normal(len(sample.labels))


def _distances(world: World, columns: int, chance: np.random.Generator) -> Float[np.ndarray, "seed dictionary_seed"]:
    distances = np.full((world.seeds, max(columns, 1)), world.distance + (world.advantage if columns else 0.0))
    distances += world.seed_deviation * chance.standard_normal((world.seeds, 1))
    if columns:
        distances += world.dictionary_deviation * chance.standard_normal((1, columns))
    return distances


def _play(
    world: World,
    sample: Sample,
    shared: Float[np.ndarray, " example"],
    distances: Float[np.ndarray, "seed dictionary_seed"],
    chance: np.random.Generator,
) -> Played:
    own = shared + world.method_deviation * chance.standard_normal(len(shared))
    found = []
    for distance in distances.ravel():
        scores = distance * sample.labels + own + world.trial_deviation * chance.standard_normal(len(shared))
        found.append(placed(scores, sample.labels, sample.clusters, world.clusters))
    values = np.array([trial.auroc for trial in found]).reshape(distances.shape)
    return Played(values, np.stack([trial.spread for trial in found]).reshape(*distances.shape, -1))
