"""L1-regularised logistic regression along a falling penalty, to select few features out of many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit, logit
from sklearn.linear_model import enet_path

from fairfight.errors import NotConvergedError
from fairfight.numerics.columns import Matrix, dense_columns, is_compressed
from fairfight.numerics.logistic import checked
from fairfight.shapes import Labels

KKT_TOLERANCE = 1e-4
"""Largest violation of the optimality conditions that is let pass, as a share of the penalty."""
PENALTY_RATIO = 0.9
"""Each penalty of the sweep is this share of the one before."""
SMALLEST_SHARE = 1e-3
"""The sweep ends at this share of the smallest penalty that silences every feature."""
_MAX_ROUNDS = 200
_LEAST_CURVATURE = 1e-6
_CHANGED_BY_ROUNDING = 1e-13


class L1Fit(NamedTuple):
    """The minimiser of mean log-loss + penalty * |weights|₁ at one penalty."""

    penalty: float
    weights: Float[np.ndarray, " feature"]
    intercept: float
    flops: int
    """Spent on this penalty: 2n·features a look at the whole gradient, and n·a² + 6n·a a step on a active features."""


class L1Selection(NamedTuple):
    """The features that the sweep chose, largest weight first."""

    columns: Int[np.ndarray, " chosen"]
    penalty: float
    survivors: int
    """Features with a weight at that penalty: at least as many as were asked for, unless the sweep ended."""
    fits: int
    flops: int


def select_by_l1(x: Matrix, y: Labels, k: int) -> L1Selection:
    """Give the k features with the largest weights at the largest penalty where at least k have one.

    The penalty falls geometrically from where every weight is zero. If fewer than k survive at the end of the sweep, those
    are given. Penalised weights are comparable only where features have one scale: standardise before.

    Raises:
        NotConvergedError: a fit of the sweep missed its optimality conditions.
    """
    x, labels = checked(x, y)
    flops = fits = 0
    for fit in l1_path(x, labels, penalty_sweep(x, labels)):
        fits, flops = fits + 1, flops + fit.flops
        survivors = int(np.count_nonzero(fit.weights))
        if survivors >= k:
            break
    columns = np.argsort(-np.abs(fit.weights), kind="stable")[: min(k, survivors)]
    return L1Selection(columns, fit.penalty, survivors, fits, flops)


def penalty_sweep(x: Matrix, y: Labels) -> Float[np.ndarray, " penalty"]:
    """Give falling penalties, the first just below the largest that leaves any feature a weight."""
    largest = float(np.abs(x.T @ (y - y.mean())).max()) / len(y)
    steps = int(np.ceil(np.log(SMALLEST_SHARE) / np.log(PENALTY_RATIO)))
    return largest * PENALTY_RATIO ** np.arange(1, steps + 1)


def l1_path(x: Matrix, y: Labels, penalties: Iterable[float]) -> Iterator[L1Fit]:
    """Give the fit at each penalty, each starting from the one before; penalties must fall.

    Features are left out by the sequential strong rule and let back in wherever they break the optimality conditions, so
    the solution is that of the whole problem. Each problem is a chain of weighted least-squares problems with an L1
    penalty, solved by scikit-learn's coordinate descent.

    Raises:
        NotConvergedError: a fit missed the optimality conditions by more than `KKT_TOLERANCE`.

    Source: Friedman, Hastie and Tibshirani (2010), section 3; Tibshirani et al. (2012), section 5 (strong rules).
    """
    x, y = checked(x, y)
    # Columns are picked out of x again and again: they lie together in memory.
    x = x.tocsc() if is_compressed(x) else np.asfortranarray(x)
    weights, intercept = np.zeros(x.shape[1]), float(logit(y.mean()))
    gradient = x.T @ (y.mean() - y) / len(y)
    before = float(np.abs(gradient).max())
    for penalty in penalties:
        kept = (weights != 0) | (np.abs(gradient) >= 2 * penalty - before)
        weights, intercept, gradient, flops = _solve(x, y, penalty, weights, intercept, kept)
        before = penalty
        yield L1Fit(float(penalty), weights, intercept, flops)


def _solve(
    x: Matrix,
    y: Float[np.ndarray, " example"],
    penalty: float,
    weights: Float[np.ndarray, " feature"],
    intercept: float,
    kept: Bool[np.ndarray, " feature"],
) -> tuple[Float[np.ndarray, " feature"], float, Float[np.ndarray, " feature"], int]:
    examples, features = x.shape
    flops = 0
    for _ in range(_MAX_ROUNDS):
        active = np.flatnonzero(kept)
        part = dense_columns(x, active)
        weights = weights.copy()
        weights[active], intercept = _step(part, y, penalty, weights[active], intercept)
        gradient = x.T @ (expit(part @ weights[active] + intercept) - y) / examples
        flops += 2 * examples * features + examples * len(active) ** 2 + 6 * examples * len(active)
        violation = _violation(gradient, weights, penalty)
        if float(violation.max()) <= KKT_TOLERANCE * penalty:
            return weights, intercept, gradient, flops
        kept = kept | (violation > KKT_TOLERANCE * penalty)
    raise NotConvergedError(
        f"At the L1 penalty {penalty:.3g} the optimality conditions are missed by {violation.max() / penalty:.1e} of it "
        f"after {_MAX_ROUNDS} rounds; at most {KKT_TOLERANCE:g} was expected. Standardise the features, or ask for fewer."
    )


def _violation(
    gradient: Float[np.ndarray, " feature"], weights: Float[np.ndarray, " feature"], penalty: float
) -> Float[np.ndarray, " feature"]:
    """Give by how much each feature misses its optimality condition (Karush, Kuhn and Tucker)."""
    silent = np.maximum(np.abs(gradient) - penalty, 0.0)
    return np.where(weights == 0, silent, np.abs(gradient + penalty * np.sign(weights)))


def _step(
    part: Float[np.ndarray, "example active"],
    y: Float[np.ndarray, " example"],
    penalty: float,
    weights: Float[np.ndarray, " active"],
    intercept: float,
) -> tuple[Float[np.ndarray, " active"], float]:
    """Give weights and intercept after one weighted least-squares problem, cut back until the objective does not rise."""
    margins = part @ weights + intercept
    probability = expit(margins)
    curvature = np.maximum(probability * (1 - probability), _LEAST_CURVATURE)
    target = margins + (y - probability) / curvature
    share = curvature / curvature.sum()
    centre, target_centre = share @ part, float(share @ target)
    root = np.sqrt(curvature)
    design = np.asfortranarray((part - centre) * root[:, None])
    found = _least_squares(design, (target - target_centre) * root, penalty, weights)
    found_intercept = target_centre - float(centre @ found)
    change, rise = found - weights, found_intercept - intercept
    start, length = _objective(margins, y, penalty, weights), 1.0
    shift = part @ change + rise
    while length > 1e-6:
        end = _objective(margins + length * shift, y, penalty, weights + length * change)
        if end <= start + _CHANGED_BY_ROUNDING:
            break
        length /= 2
    # The whole step keeps exact zeros exact.
    return (found, found_intercept) if length == 1.0 else (weights + length * change, intercept + length * rise)


def _least_squares(
    design: Float[np.ndarray, "example active"],
    target: Float[np.ndarray, " example"],
    penalty: float,
    weights: Float[np.ndarray, " active"],
) -> Float[np.ndarray, " active"]:
    if design.shape[1] == 0:
        return weights
    _, found, _ = enet_path(
        design,
        target,
        l1_ratio=1.0,
        alphas=[penalty],  # pyright: ignore[reportArgumentType]  # scikit-learn's defaults hide that arrays are taken
        precompute=design.T @ design,  # pyright: ignore[reportArgumentType]
        Xy=design.T @ target,
        coef_init=weights.copy(),  # scikit-learn overwrites it
        tol=1e-10,
        max_iter=20000,
        check_input=False,
        random_state=0,  # drawn from even when coordinates go round in order; else it is the global one
    )
    return found[:, 0]


def _objective(
    margins: Float[np.ndarray, " example"],
    y: Float[np.ndarray, " example"],
    penalty: float,
    weights: Float[np.ndarray, " active"],
) -> float:
    return float((np.logaddexp(0.0, margins) - y * margins).mean() + penalty * np.abs(weights).sum())
