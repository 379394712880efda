"""The single latent that tells the classes apart best on the training examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from fairfight.contests.examples import Labelled
from fairfight.contests.views import Views
from fairfight.methods._looks import Source
from fairfight.methods._sparse import CodesLook, SparseDetector, latents_of, sparse_notes
from fairfight.numerics.columns import Matrix, column_scales, is_compressed
from fairfight.numerics.discriminant import mean_difference
from fairfight.shapes import Labels

Criterion = Literal["auroc", "mean_difference", "standardised_mean_difference"]


@dataclass(frozen=True)
class BestLatent:
    """One latent as a detector: its code, or minus its code where the negatives have more of it."""

    family: ClassVar[str] = "dictionary"
    needs_dictionary: ClassVar[bool] = True
    source: ClassVar[Source] = "codes"

    site: str
    """Where the dictionary stands."""
    pooling: str
    """How the codes of a text's tokens become one vector."""
    criterion: Criterion = "auroc"
    """What the best latent has most of, on the training examples and in absolute value (AUROC: distance from 0.5)."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from."""
        criteria = ("auroc", "mean_difference", "standardised_mean_difference")
        return {"site": sites, "pooling": poolings, "criterion": criteria}

    @property
    def strength(self) -> float:
        """One latent whatever the settings: none is stronger than another."""
        return 0.0

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> SparseDetector:
        """Give the latent and its sign; `chance` is not used.

        Costs n log2(n) operations a latent for AUROC (ranks of n examples), 2n for a mean difference.
        """
        look = CodesLook(self.site, self.pooling)
        codes = look.matrix(train.examples, views)
        separation = _separation(codes, train.labels, self.criterion)
        a_code = np.log2(codes.shape[0]) if self.criterion == "auroc" else 2
        views.meter.charge_fit(a_code * math.prod(codes.shape))
        column = np.array([np.argmax(np.abs(separation))])
        sign = np.where(separation[column] < 0, -1.0, 1.0)
        return SparseDetector(look, column, latents_of(column, look, views), sign, 0.0)

    def notes(self, detector: SparseDetector) -> Mapping[str, Any]:
        """Give the latent and its sign."""
        return sparse_notes(detector)


def _separation(codes: Matrix, labels: Labels, criterion: Criterion) -> Float[np.ndarray, " latent"]:
    if criterion == "auroc":
        return auroc_by_column(codes, labels) - 0.5
    difference = mean_difference(codes, labels)
    return difference / column_scales(codes) if criterion == "standardised_mean_difference" else difference


def auroc_by_column(codes: Matrix, labels: Labels) -> Float[np.ndarray, " latent"]:
    """Give the training AUROC of every column as a score, by midranks as in `numerics.ranking.auroc`."""
    positives = int(labels.sum())
    ranks = _sparse_rank_sums(codes, labels) if is_compressed(codes) else _rank_sums(codes, labels)
    return (ranks - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))


def _rank_sums(codes: Float[np.ndarray, "example latent"], labels: Labels) -> Float[np.ndarray, " latent"]:
    """Give the sum of the positives' midranks in every column."""
    return rankdata(codes, axis=0)[labels == 1].sum(axis=0)


def _sparse_rank_sums(codes: Matrix, labels: Labels) -> Float[np.ndarray, " latent"]:
    """Give what `_rank_sums` gives: a column's zeros are one tie, between its negative codes and its positive ones."""
    examples, latents = codes.shape
    by_latent = codes.tocsc()
    entries = np.diff(by_latent.indptr)
    latent, values = np.repeat(np.arange(latents), entries), by_latent.data
    order = np.lexsort((values, latent))
    latent, values = latent[order], values[order]
    is_positive = labels[by_latent.indices[order]] == 1
    is_new = (np.diff(latent, prepend=-1) != 0) | (np.diff(values, prepend=np.nan) != 0)
    starts = np.flatnonzero(is_new)
    midranks = (starts + np.append(starts[1:], len(values)) + 1) / 2
    zeros = examples - entries
    ranks = midranks[is_new.cumsum() - 1] - by_latent.indptr[latent] + np.where(values > 0, zeros[latent], 0)
    silent_positives = labels.sum() - np.bincount(latent[is_positive], minlength=latents)
    negatives = np.bincount(latent[values < 0], minlength=latents)
    spoken = np.bincount(latent[is_positive], ranks[is_positive], minlength=latents)
    return spoken + silent_positives * (negatives + (zeros + 1) / 2)
