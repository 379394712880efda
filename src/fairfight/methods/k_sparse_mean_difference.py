"""Logistic regression on the k latents whose class means differ most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fairfight.contests.examples import Labelled
from fairfight.contests.views import Views
from fairfight.methods._looks import Source
from fairfight.methods._sparse import NUMBERS_OF_LATENTS, CodesLook, SparseDetector, refit, sparse_notes
from fairfight.numerics.columns import column_scales
from fairfight.numerics.discriminant import mean_difference


@dataclass(frozen=True)
class KSparseMeanDifference:
    """A k-sparse probe: latents chosen by the difference of class means, weights fitted without regularisation.

    Source: Gurnee et al. (2023), "Finding Neurons in a Haystack", section 3 (max mean difference).
    """

    family: ClassVar[str] = "dictionary"
    needs_dictionary: ClassVar[bool] = True
    source: ClassVar[Source] = "codes"

    site: str
    """Where the dictionary stands."""
    pooling: str
    """How the codes of a text's tokens become one vector."""
    is_standardised: bool = False
    """Whether differences are divided by the latent's standard deviation before they are compared."""
    k: int = 10
    """Latents kept, or all of them if there are fewer."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from."""
        return {"site": sites, "pooling": poolings, "is_standardised": (True, False), "k": NUMBERS_OF_LATENTS}

    @property
    def strength(self) -> float:
        """Fewer latents are stronger."""
        return 1 / self.k

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> SparseDetector:
        """Give the fitted probe; `chance` is not used. Choosing costs 2 operations a code, besides the refit."""
        look = CodesLook(self.site, self.pooling)
        codes = look.matrix(train.examples, views)
        separation = np.abs(mean_difference(codes, train.labels))
        if self.is_standardised:
            separation = separation / column_scales(codes)
        views.meter.charge_fit(2 * math.prod(codes.shape), fits=0)
        columns = np.argsort(-separation, kind="stable")[: self.k]
        return refit(look, codes, columns, train, views)

    def notes(self, detector: SparseDetector) -> Mapping[str, Any]:
        """Give the latents and their weights, the largest difference first."""
        return sparse_notes(detector)
