"""Logistic regression on the k latents that an L1 penalty keeps longest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fairfight.contests.examples import Labelled
from fairfight.contests.views import Views
from fairfight.methods._looks import Source
from fairfight.methods._sparse import NUMBERS_OF_LATENTS, CodesLook, SparseDetector, refit, sparse_notes
from fairfight.numerics.columns import column_scales, divided
from fairfight.numerics.lasso import select_by_l1


@dataclass(frozen=True)
class KSparseL1:
    """A k-sparse probe: latents chosen together by L1 logistic regression, weights refitted without regularisation.

    The penalty falls until at least k latents have a weight; the k largest are kept.
    """

    family: ClassVar[str] = "dictionary"
    needs_dictionary: ClassVar[bool] = True
    source: ClassVar[Source] = "codes"

    site: str
    """Where the dictionary stands."""
    pooling: str
    """How the codes of a text's tokens become one vector."""
    is_standardised: bool = True
    """Whether codes are divided by their standard deviation first; else by one number for all, so that rare and weak
    latents are penalised harder."""
    k: int = 10
    """Latents kept, or all that survive the weakest penalty if those are fewer."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from."""
        return {"site": sites, "pooling": poolings, "is_standardised": (True, False), "k": NUMBERS_OF_LATENTS}

    @property
    def strength(self) -> float:
        """Fewer latents are stronger."""
        return 1 / self.k

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> SparseDetector:
        """Give the fitted probe; `chance` is not used."""
        look = CodesLook(self.site, self.pooling)
        codes = look.matrix(train.examples, views)
        scales = column_scales(codes)
        units = scales if self.is_standardised else np.full_like(scales, scales.max())
        selection = select_by_l1(divided(codes, units), train.labels, self.k)
        views.meter.charge_fit(selection.flops, fits=selection.fits)
        return refit(look, codes, selection.columns, train, views)

    def notes(self, detector: SparseDetector) -> Mapping[str, Any]:
        """Give the latents and their weights, the largest penalised weight first."""
        return sparse_notes(detector)
