"""Linear detectors: one weight a column of what is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fairfight.contests.examples import Examples, Labelled
from fairfight.contests.views import Views
from fairfight.methods._looks import Look, column_scales
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
