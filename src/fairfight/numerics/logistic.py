"""L2-regularised logistic regression by Newton's method, solved with Cholesky factors only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import LinAlgError, cho_factor, cho_solve, qr
from scipy.linalg.lapack import dormqr  # pyright: ignore[reportAttributeAccessIssue]  # made at import, unseen by checkers
from scipy.special import expit, logit

from fairfight.errors import EmptyClassError, InputError, LabelError, NonFiniteError, NotConvergedError
from fairfight.numerics.columns import Matrix, dense, is_compressed
from fairfight.shapes import DesignMatrix, Labels

Unknowns = Float[np.ndarray, " unknown"]
Margins = Float[np.ndarray, " example"]

MAX_ITERATIONS = 200
MAX_CORRECTIONS = 10
"""Conjugate-gradient steps that an old Cholesky factor is given before a new one is computed."""
_SMALLEST_STEP = 2.0**-40
_ROUNDING = 1e-14
"""Relative size of what rounding does to the objective; a step that changes less is taken."""


class LogisticFit(NamedTuple):
    """A fitted logistic regression; the score of an example is `x @ weights + intercept`."""

    weights: Float[np.ndarray, " feature"]
    intercept: float
    iterations: int
    """Newton steps taken."""
    flops: int
    """What the fit cost. With n examples and p unknowns: np² + p³/3 a Cholesky factor, 4np + 2p² a product with the
    Hessian and its correction, 6np a step; with more features than examples 2n² features for the basis as well."""


def fit_logistic(x: DesignMatrix, y: Labels, penalty: float, *, tolerance: float = 1e-10) -> LogisticFit:
    """Give the minimiser of mean log-loss + penalty / 2 * |weights|², the intercept unpenalised.

    The penalty counts an example: duplicating every row changes nothing, and scikit-learn's `C` is 1 / (examples *
    penalty). Iterates until no component of the gradient exceeds `tolerance` times the largest mean |x| of a column.
    With more features than examples the weights lie in the span of the examples; the problem is then solved in an
    orthonormal basis of that span, which is the same problem in fewer unknowns.

    Raises:
        InputError: the penalty is not positive, or x and y do not fit together.
        LabelError: a label is neither 0 nor 1.
        EmptyClassError: y holds one class only.
        NonFiniteError: x holds NaN or infinity.
        NotConvergedError: the gradient is still above the tolerance after `MAX_ITERATIONS` steps.

    Source: Hastie, Tibshirani and Friedman (2009), sections 4.4.1 (Newton steps) and 18.3.5 (span of the examples);
    Nocedal and Wright (2006), section 7.1 (Newton steps solved as far as they are worth).
    """
    x, y = checked(x, y)
    if not (np.isfinite(penalty) and penalty > 0):
        raise InputError(
            f"The penalty is {penalty!r}; a positive number was expected, or separable data has no solution."
        )
    # With a free intercept, centring changes nothing but the conditioning.
    mean = x.mean(axis=0)
    examples, features = x.shape
    if features > examples:
        solution, iterations, flops = _in_span(x - mean, y, penalty, tolerance)
        flops += 2 * examples**2 * features
    else:
        solution, iterations, flops = _newton(x - mean, y, penalty, tolerance)
    weights = solution[:-1]
    return LogisticFit(weights, float(solution[-1] - mean @ weights), iterations, flops)


def checked(x: Matrix, y: Labels) -> tuple[Matrix, Float[np.ndarray, " example"]]:
    """Give x and y as float64 when a classifier can be fitted to them; raises as `fit_logistic` does."""
    x = x.astype(np.float64, copy=False) if is_compressed(x) else np.asarray(x, dtype=np.float64)
    labels = np.asarray(y)
    if x.ndim != 2 or labels.shape != x.shape[:1]:
        raise InputError(
            f"x has shape {x.shape} and y has shape {labels.shape}; [example, feature] and [example] were expected. "
            "Give one label a row."
        )
    if not np.isfinite(x.data if is_compressed(x) else x).all():
        example, feature = np.argwhere(~np.isfinite(dense(x)))[0]
        raise NonFiniteError(
            f"x[{example}, {feature}] is {x[example, feature]}; finite numbers were expected. Look at where x comes from."
        )
    if unknown := sorted(set(np.unique(labels).tolist()) - {0, 1}):
        raise LabelError(f"y holds the label {unknown[0]!r}; 0 and 1 were expected. Map yours to these two.")
    positives = int((labels == 1).sum())
    if positives in (0, len(labels)):
        raise EmptyClassError(
            f"{positives} of {len(labels)} labels are positive; both classes were expected. Add examples."
        )
    return x, labels.astype(np.float64)


def _in_span(x: DesignMatrix, y: Margins, penalty: float, tolerance: float) -> tuple[Unknowns, int, int]:
    """Solve in the coordinates of the examples' span: x.T = QR, so x @ Q = R.T."""
    (reflectors, scales), triangle = qr(x.T, mode="raw", overwrite_a=True, check_finite=False)  # pyright: ignore[reportAssignmentType]
    examples, features = len(y), len(reflectors)
    solution, iterations, flops = _newton(triangle[:examples].T, y, penalty, tolerance)
    coordinates = np.zeros((features, 1))
    coordinates[:examples, 0] = solution[:-1]
    weights, _, _ = dormqr("L", "N", reflectors, scales, coordinates, lwork=64 * features)
    return np.append(weights[:, 0], solution[-1]), iterations, flops


@dataclass(frozen=True)
class _State:
    """The objective at one point, and what Newton's method needs to know of it there."""

    design: Float[np.ndarray, "example unknown"]
    """Its last column is ones, for the intercept."""
    sign: Float[np.ndarray, " example"]
    """1 for a positive, -1 for a negative."""
    ridge: Unknowns
    solution: Unknowns
    margins: Margins

    @cached_property
    def objective(self) -> float:
        return float(np.logaddexp(0.0, -self.margins).mean() + (self.ridge * self.solution**2).sum() / 2)

    @cached_property
    def gradient(self) -> Unknowns:
        doubt = expit(-self.margins)
        return self.ridge * self.solution - self.design.T @ (self.sign * doubt) / len(self.sign)

    @cached_property
    def curvature(self) -> Float[np.ndarray, " example"]:
        return expit(-self.margins) * expit(self.margins) / len(self.sign)

    def hessian_times(self, direction: Unknowns) -> Unknowns:
        return self.design.T @ (self.curvature * (self.design @ direction)) + self.ridge * direction

    def hessian_factor(self) -> tuple[Float[np.ndarray, "unknown unknown"], bool]:
        # NumPy sees that both factors are one array and computes half of this product.
        rooted = self.design * np.sqrt(self.curvature)[:, None]
        hessian = rooted.T @ rooted
        hessian.flat[:: len(self.ridge) + 1] += self.ridge
        try:
            return cho_factor(hessian, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError as error:
            raise NotConvergedError(
                f"The Hessian is singular to working precision at the penalty {self.ridge[0]:g}; a positive definite one "
                "was expected. Raise the penalty, or standardise the features."
            ) from error

    def moved(self, step: Unknowns) -> _State:
        """Give the state at the end of the longest halved step that lowers the objective enough (Armijo's rule)."""
        change, slope = self.sign * (self.design @ step), float(self.gradient @ step)
        length = 1.0
        while length >= _SMALLEST_STEP:
            there = _State(
                self.design, self.sign, self.ridge, self.solution + length * step, self.margins + length * change
            )
            if there.objective <= self.objective + 1e-4 * length * slope + _ROUNDING * (1 + abs(self.objective)):
                return there
            length /= 2
        raise NotConvergedError(
            f"No step along the Newton direction lowers the objective ({self.objective:.6g}). Standardise the features, or "
            "raise the penalty."
        )


def _newton(x: DesignMatrix, y: Margins, penalty: float, tolerance: float) -> tuple[Unknowns, int, int]:
    """Give weights with the intercept last, Newton steps taken and operations spent."""
    state = _start(x, y, penalty)
    examples, unknowns = state.design.shape
    limit = tolerance * float(np.abs(state.design).mean(axis=0).max())
    factor, first, flops = None, 1.0, 0
    for iteration in range(MAX_ITERATIONS):
        size = float(np.abs(state.gradient).max())
        if size <= limit:
            return state.solution, iteration, flops
        first = size if iteration == 0 else first
        step, corrections = None, 0
        if factor is not None:
            step, corrections = _corrected(state, factor, min(0.1, size / first))
        if step is None:
            factor = state.hessian_factor()
            step = -cho_solve(factor, state.gradient, check_finite=False)
            flops += examples * unknowns**2 + unknowns**3 // 3
        flops += corrections * (4 * examples * unknowns + 2 * unknowns**2) + 6 * examples * unknowns
        state = state.moved(step)
    raise NotConvergedError(
        f"The gradient is still {np.abs(state.gradient).max():.1e} after {MAX_ITERATIONS} Newton steps; at most {limit:.1e} "
        f"was expected. Standardise the features, or raise the penalty ({penalty:g})."
    )


def _start(x: DesignMatrix, y: Margins, penalty: float) -> _State:
    design, sign = np.hstack([x, np.ones((len(x), 1))]), 2 * y - 1
    ridge, solution = np.full(design.shape[1], penalty), np.zeros(design.shape[1])
    ridge[-1], solution[-1] = 0.0, logit(y.mean())
    return _State(design, sign, ridge, solution, sign * solution[-1])


def _corrected(state: _State, factor: tuple, accuracy: float) -> tuple[Unknowns | None, int]:
    """Give the Newton step by conjugate gradients, an older Hessian's factor as preconditioner, and the steps that took.

    No step where `MAX_CORRECTIONS` do not bring the residual to `accuracy` times the gradient: the factor is too old.
    """
    residual = -state.gradient
    goal = max(accuracy, 1e-6) * float(np.linalg.norm(residual))
    step = np.zeros_like(residual)
    direction = np.zeros_like(residual)
    before = 1.0
    for correction in range(1, MAX_CORRECTIONS + 1):
        preconditioned = cho_solve(factor, residual, check_finite=False)
        now = float(residual @ preconditioned)
        direction = preconditioned + (now / before if correction > 1 else 0.0) * direction
        image = state.hessian_times(direction)
        length = now / float(direction @ image)
        step = step + length * direction
        residual = residual - length * image
        if float(np.linalg.norm(residual)) <= goal:
            return step, correction
        before = now
    return None, MAX_CORRECTIONS
