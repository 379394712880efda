"""Linear detectors: one weight a column of what is looked at; and the probe that three methods are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from fairfight.contests.examples import Examples, Labelled
from fairfight.contests.views import Views
from fairfight.methods._looks import Look, PooledLook, Source
from fairfight.numerics.columns import column_scales
from fairfight.numerics.logistic import fit_logistic
from fairfight.shapes import DesignMatrix, ExampleScores

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)
"""Squared-norm penalties an example, from nearly none to where the weights are a shrunk difference of means."""


@dataclass(frozen=True, eq=False)
class LinearDetector:
    """A fitted linear detector, its standardisation folded into the weights."""

    look: Look
    weights: Float[np.ndarray, " feature"]
    intercept: float
    iterations: int = 0
    """Steps of the solver; 0 for a closed form."""

    def score(self, examples: Examples, views: Views) -> ExampleScores:
        """Give `x @ weights + intercept`; costs 2 operations a weight and example."""
        x = self.look.matrix(examples, views)
        views.meter.charge_fit(2 * x.size, fits=0)
        return weighted_rows(x, self.weights) + self.intercept


def weighted_rows(x: DesignMatrix, weights: Float[np.ndarray, " feature"]) -> ExampleScores:
    """Give x @ weights with the same bits for a row whatever the other rows are (a BLAS product does not promise that)."""
    return np.einsum("ij,j->i", np.asarray(x, dtype=np.float64, order="C"), weights)


def fit_ridge_probe(
    look: Look, train: Labelled, views: Views, *, penalty: float, is_standardised: bool
) -> LinearDetector:
    """Give an L2-regularised logistic regression on what a look shows; scales are those of the training examples."""
    x = look.matrix(train.examples, views)
    scales = column_scales(x) if is_standardised else np.ones(x.shape[1])
    fit = fit_logistic(x / scales, train.labels, penalty)
    views.meter.charge_fit(fit.flops)
    return LinearDetector(look, fit.weights / scales, fit.intercept, fit.iterations)


@dataclass(frozen=True)
class RidgeProbe:
    """L2-regularised logistic regression on what `source` names: the same search for activations, codes and reconstructions."""

    source: ClassVar[Source]

    site: str
    """Where the model is read."""
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
        look = PooledLook(self.source, self.site, self.pooling)
        return fit_ridge_probe(look, train, views, penalty=self.penalty, is_standardised=self.is_standardised)

    def notes(self, detector: LinearDetector) -> Mapping[str, Any]:
        """Give the solver's steps."""
        return {"n_iter": detector.iterations}
