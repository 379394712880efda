"""L2-regularised logistic regression on all latents of a dictionary."""

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
class LatentProbe:
    """A dense probe on the pooled codes: every latent may carry weight."""

    family: ClassVar[str] = "dictionary"
    needs_dictionary: ClassVar[bool] = True
    runs_on_controls: ClassVar[bool] = False

    site: str
    """Where the dictionary stands."""
    pooling: str
    """How the codes of a text's tokens become one vector."""
    is_standardised: bool = True
    """Whether codes are divided by their standard deviation, so that rare latents are not penalised harder."""
    penalty: float = 1.0
    """Weight of the squared norm, an example."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from."""
        return {"site": sites, "pooling": poolings, "is_standardised": (True, False), "penalty": PENALTIES}

    @property
    def strength(self) -> float:
        """The penalty."""
        return self.penalty

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> LinearDetector:
        """Give the fitted probe; `chance` is not used."""
        look = PooledLook("codes", self.site, self.pooling)
        return fit_ridge_probe(look, train, views, penalty=self.penalty, is_standardised=self.is_standardised)

    def notes(self, detector: LinearDetector) -> Mapping[str, Any]:
        """Give the solver's steps."""
        return {"n_iter": detector.iterations}
