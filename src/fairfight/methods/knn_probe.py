"""The nearest training examples vote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from fairfight.contests.examples import Examples, Labelled
from fairfight.contests.views import Views
from fairfight.methods._looks import PooledLook
from fairfight.shapes import DesignMatrix, ExampleScores

Metric = Literal["cosine", "euclidean"]
_SCORED_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class KNNDetector:
    """The training examples, kept."""

    look: PooledLook
    metric: Metric
    neighbours: int
    points: DesignMatrix
    sides: Float[np.ndarray, " example"]
    """1 for a positive training example, -1 for a negative."""

    def score(self, examples: Examples, views: Views) -> ExampleScores:
        """Give the vote of the nearest examples, from -1 to 1; costs 2 operations a coordinate and pair."""
        queries = _placed(self.look.matrix(examples, views), self.metric)
        views.meter.charge_fit(2 * len(queries) * self.points.size, fits=0)
        parts = [
            self._votes(queries[start : start + _SCORED_AT_ONCE]) for start in range(0, len(queries), _SCORED_AT_ONCE)
        ]
        return np.concatenate(parts)

    def _votes(self, queries: DesignMatrix) -> ExampleScores:
        squares = (queries**2).sum(axis=1)[:, None] + (self.points**2).sum(axis=1) - 2 * queries @ self.points.T
        nearest = np.argpartition(squares, self.neighbours - 1, axis=1)[:, : self.neighbours]
        distances = np.maximum(np.take_along_axis(squares, nearest, axis=1), 0.0)
        farthest = np.maximum(distances.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        weights = np.exp(-distances / farthest)
        return (weights * self.sides[nearest]).sum(axis=1) / weights.sum(axis=1)


@dataclass(frozen=True)
class KNNProbe:
    """Nearest neighbours on pooled activations, closer ones weighing more.

    A neighbour at squared distance d weighs exp(-d / D), D that of the farthest of the k: each text has its own scale.
    Source: Zelnik-Manor and Perona (2004), section 2.
    """

    family: ClassVar[str] = "probing"
    needs_dictionary: ClassVar[bool] = False

    site: str
    """Where activations are read."""
    pooling: str
    """How the tokens of a text become one vector."""
    neighbours: int = 20
    """How many training examples vote, or all of them if there are fewer."""
    metric: Metric = "cosine"
    """What is near: `cosine` compares directions, `euclidean` positions."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from."""
        return {"site": sites, "pooling": poolings, "neighbours": (5, 10, 20, 50), "metric": ("cosine", "euclidean")}

    @property
    def strength(self) -> float:
        """The number of neighbours: more of them smooth more."""
        return float(self.neighbours)

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> KNNDetector:
        """Keep the training examples; costs nothing until something is scored, and `chance` is not used."""
        look = PooledLook("activations", self.site, self.pooling)
        points = _placed(look.matrix(train.examples, views), self.metric)
        views.meter.charge_fit(0)
        return KNNDetector(look, self.metric, min(self.neighbours, len(points)), points, 2.0 * train.labels - 1.0)

    def notes(self, detector: KNNDetector) -> Mapping[str, Any]:
        """Give how many examples vote."""
        return {"neighbours": detector.neighbours}


def _placed(x: DesignMatrix, metric: Metric) -> DesignMatrix:
    """Give points whose Euclidean distance orders as the metric does: for cosine, those on the unit sphere."""
    if metric == "euclidean":
        return x
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norms > 0, norms, 1.0)
