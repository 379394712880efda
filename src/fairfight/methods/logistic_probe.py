"""L2-regularised logistic regression on pooled activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fairfight.contests.examples import Labelled
from fairfight.contests.views import Views
from fairfight.methods._linear import PENALTIES, LinearDetector, fit_ridge_probe
from fairfight.methods._looks import PooledLook


@dataclass(frozen=True)
class LogisticProbe:
    """Logistic regression on pooled activations: the baseline that a sparse probe must beat.

    It sees the same examples and has the same search budget, and no dictionary.
    """

    family: ClassVar[str] = "probing"
    needs_dictionary: ClassVar[bool] = False
    runs_on_controls: ClassVar[bool] = False

    site: str
    """Where activations are read."""
    pooling: str
    """How the tokens of a text become one vector."""
    is_standardised: bool = True
    """Whether columns are divided by their standard deviation before they are penalised."""
    penalty: float = 1.0
    """Weight of the squared norm, an example."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from."""
        return {"site": sites, "pooling": poolings, "is_standardised": (True, False), "penalty": PENALTIES}

    @property
    def strength(self) -> float:
        """The penalty: among equals, the stronger wins."""
        return self.penalty

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> LinearDetector:
        """Give the fitted probe; `chance` is not used."""
        look = PooledLook("activations", self.site, self.pooling)
        return fit_ridge_probe(look, train, views, penalty=self.penalty, is_standardised=self.is_standardised)

    def notes(self, detector: LinearDetector) -> Mapping[str, Any]:
        """Give the solver's steps."""
        return {"n_iter": detector.iterations}
