"""Fisher's linear discriminant on pooled activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fairfight.contests.examples import Labelled
from fairfight.contests.views import Views
from fairfight.methods._linear import LinearDetector
from fairfight.methods._looks import PooledLook
from fairfight.numerics.columns import column_scales
from fairfight.numerics.discriminant import fit_lda


@dataclass(frozen=True)
class LDA:
    """Linear discriminant analysis with a shrunk covariance: the mean difference, whitened as far as data allows."""

    family: ClassVar[str] = "probing"
    needs_dictionary: ClassVar[bool] = False

    site: str
    """Where activations are read."""
    pooling: str
    """How the tokens of a text become one vector."""
    shrinkage: float = 0.1
    """How far the covariance is moved towards a multiple of the identity: above 0, at most 1."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from."""
        return {"site": sites, "pooling": poolings, "shrinkage": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9)}

    @property
    def strength(self) -> float:
        """The shrinkage."""
        return self.shrinkage

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> LinearDetector:
        """Give the direction on standardised columns; `chance` is not used."""
        look = PooledLook("activations", self.site, self.pooling)
        x = look.matrix(train.examples, views)
        scales = column_scales(x)
        found = fit_lda(x / scales, train.labels, self.shrinkage)
        views.meter.charge_fit(found.flops)
        return LinearDetector(look, found.weights / scales, found.intercept)

    def notes(self, detector: LinearDetector) -> Mapping[str, Any]:
        """Give nothing: there is no iteration."""
        return {}
