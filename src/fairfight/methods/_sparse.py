"""Sparse detectors: a logistic regression on a few chosen latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from fairfight.contests.examples import Examples, Labelled
from fairfight.contests.views import Views
from fairfight.methods._linear import weighted_rows
from fairfight.numerics.columns import Matrix, column_scales, dense_columns
from fairfight.numerics.logistic import fit_logistic
from fairfight.shapes import ExampleScores

NUMBERS_OF_LATENTS = (1, 2, 5, 10, 20, 50)
REFIT_PENALTY = 1e-6
"""An example, on standardised codes: as good as none, but a separable class still has a solution."""


@dataclass(frozen=True)
class CodesLook:
    """Pooled codes at a site, perhaps as compressed rows: few columns are ever needed with their zeros."""

    site: str
    pooling: str

    def matrix(self, examples: Examples, views: Views) -> Matrix:
        """Give the pooled codes; charges the views for the model pass and the dictionary."""
        return views.sparse_codes(examples, self.site, self.pooling)


@dataclass(frozen=True, eq=False)
class SparseDetector:
    """A fitted detector on a few columns of the codes."""

    look: CodesLook
    columns: Int[np.ndarray, " chosen"]
    latents: tuple[int, ...]
    """The latent behind each column: with minima beside maxima, two columns belong to one latent."""
    weights: Float[np.ndarray, " chosen"]
    """One a unit of the code, standardisation folded in."""
    intercept: float
    iterations: int = 0

    def score(self, examples: Examples, views: Views) -> ExampleScores:
        """Give the chosen codes, weighted; costs 2 operations a weight and example."""
        chosen = dense_columns(self.look.matrix(examples, views), self.columns)
        views.meter.charge_fit(2 * chosen.size, fits=0)
        return weighted_rows(chosen, self.weights) + self.intercept


def refit(
    look: CodesLook, codes: Matrix, columns: Int[np.ndarray, " chosen"], train: Labelled, views: Views
) -> SparseDetector:
    """Give a nearly unregularised logistic regression on the chosen columns."""
    chosen = dense_columns(codes, columns).astype(np.float64)
    scales = column_scales(chosen)
    fit = fit_logistic(chosen / scales, train.labels, REFIT_PENALTY)
    views.meter.charge_fit(fit.flops)
    latents = latents_of(columns, look, views)
    return SparseDetector(look, columns, latents, fit.weights / scales, fit.intercept, fit.iterations)


def latents_of(columns: Int[np.ndarray, " chosen"], look: CodesLook, views: Views) -> tuple[int, ...]:
    """Give the latent that each column of the pooled codes belongs to."""
    return tuple(int(column) % views.atoms(look.site).latents for column in columns)


def sparse_notes(detector: SparseDetector) -> Mapping[str, Any]:
    """Give the latents with their weights, as the ledger keeps them."""
    return {
        "latents": list(detector.latents),
        "weights": [float(f"{weight:.6g}") for weight in detector.weights],
        "n_iter": detector.iterations,
    }
