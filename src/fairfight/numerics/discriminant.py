"""Two-class discriminants: the difference of class means, with or without the inverse of a covariance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

from fairfight.errors import InputError
from fairfight.numerics.columns import Matrix, column_means
from fairfight.numerics.logistic import checked
from fairfight.shapes import DesignMatrix, Labels


class Discriminant(NamedTuple):
    """A direction; the score of an example is `x @ weights + intercept`, zero half-way between the class means."""

    weights: Float[np.ndarray, " feature"]
    intercept: float
    flops: int


def mean_difference(x: Matrix, y: Labels) -> Float[np.ndarray, " feature"]:
    """Give the mean of the positives less the mean of the negatives."""
    x, labels = checked(x, y)
    return column_means(x[labels == 1]) - column_means(x[labels == 0])


def fit_mean_difference(x: DesignMatrix, y: Labels) -> Discriminant:
    """Give the difference of class means as a direction; costs 2 operations an entry of x."""
    x, labels = checked(x, y)
    return _halfway(x, labels, mean_difference(x, labels), 2 * x.size)


def fit_lda(x: DesignMatrix, y: Labels, shrinkage: float) -> Discriminant:
    """Give Fisher's linear discriminant with a shrunk within-class covariance.

    The covariance S becomes (1 - shrinkage) S + shrinkage * trace(S) / features * I; a shrinkage of 1 leaves the difference
    of means. Costs n p² + p³/3 for n examples and p features.

    Raises:
        InputError: the shrinkage is not in (0, 1]; 0 would need an invertible covariance.

    Source: Hastie, Tibshirani and Friedman (2009), section 4.3; Ledoit and Wolf (2004) for the target.
    """
    x, labels = checked(x, y)
    if not 0 < shrinkage <= 1:
        raise InputError(f"The shrinkage is {shrinkage!r}; a number above 0 and at most 1 was expected.")
    examples, features = x.shape
    within = x - np.where(labels[:, None] == 1, x[labels == 1].mean(axis=0), x[labels == 0].mean(axis=0))
    covariance = within.T @ within / examples
    # Where no feature varies within a class, the mean difference is all there is.
    level = float(np.trace(covariance)) / features or 1.0
    covariance *= 1 - shrinkage
    covariance.flat[:: features + 1] += shrinkage * level
    factor = cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
    weights = cho_solve(factor, mean_difference(x, labels), check_finite=False)
    return _halfway(x, labels, weights, examples * features**2 + features**3 // 3)


def _halfway(
    x: DesignMatrix, labels: Float[np.ndarray, " example"], weights: Float[np.ndarray, " feature"], flops: int
) -> Discriminant:
    centre = (x[labels == 1].mean(axis=0) + x[labels == 0].mean(axis=0)) / 2
    return Discriminant(weights, -float(centre @ weights), flops)
