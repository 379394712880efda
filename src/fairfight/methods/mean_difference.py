"""The difference of class means as a direction."""

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
from fairfight.numerics.discriminant import fit_mean_difference


@dataclass(frozen=True)
class MeanDifference:
    """Project on the mean of the positives less the mean of the negatives."""

    family: ClassVar[str] = "probing"
    needs_dictionary: ClassVar[bool] = False

    site: str
    """Where activations are read."""
    pooling: str
    """How the tokens of a text become one vector."""
    is_standardised: bool = True
    """Whether columns are divided by their standard deviation first."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from."""
        return {"site": sites, "pooling": poolings, "is_standardised": (True, False)}

    @property
    def strength(self) -> float:
        """Nothing regularises here, so no settings are stronger than others."""
        return 0.0

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> LinearDetector:
        """Give the direction; `chance` is not used."""
        look = PooledLook("activations", self.site, self.pooling)
        x = look.matrix(train.examples, views)
        scales = column_scales(x) if self.is_standardised else np.ones(x.shape[1])
        found = fit_mean_difference(x / scales, train.labels)
        views.meter.charge_fit(found.flops)
        return LinearDetector(look, found.weights / scales, found.intercept)

    def notes(self, detector: LinearDetector) -> Mapping[str, Any]:
        """Give nothing: there is no solver."""
        return {}
