"""Matryoshka sparse autoencoder: prefixes of the latents have to reconstruct by themselves.

Source: Bussmann, Nabeshima, Karvonen and Nanda (2025), "Learning Multi-Level Features with Matryoshka Sparse
Autoencoders".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from fairfight.dictionaries.rules import BatchTopKRule
from fairfight.dictionaries.sae import RevivingRecipe, ThresholdSae, weights_of
from fairfight.dictionaries.trainer import Rule, SaeState
from fairfight.errors import StudyError


@dataclass(frozen=True)
class Matryoshka(RevivingRecipe):
    """A BatchTopK autoencoder whose first latents are a coarser one, and so on.

    The loss is the sum of the squared errors of all prefixes.
    """

    kind: ClassVar[str] = "matryoshka"

    shares: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
    """Ends of the prefixes as shares of the latents, ascending; the last is all of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ends = self.prefixes
        if not ends or ends[-1] != self.latents or ends[0] < 1 or list(ends) != sorted(set(ends)):
            raise StudyError(
                f"The recipe has shares = {list(self.shares)}, which end prefixes of {list(ends)} of {self.latents} "
                "latents; they must ascend and end with 1.0. Change shares or latents in the study."
            )

    @property
    def prefixes(self) -> tuple[int, ...]:
        """Ends of the prefixes in latents."""
        return tuple(round(share * self.latents) for share in self.shares)

    @classmethod
    def small(cls, folder: Path) -> Matryoshka:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, k=4, steps=200, batch=256)

    def rule(self) -> Rule:
        """Give the largest of the batch, with nested levels."""
        return BatchTopKRule(self.k, prefixes=self.prefixes)

    def dictionary(self, state: SaeState) -> MatryoshkaDictionary:
        """Give the autoencoder with its threshold."""
        return MatryoshkaDictionary(weights_of(state), torch.full((self.latents,), state.scalars["threshold"]))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> MatryoshkaDictionary:
        """Give the autoencoder that was saved."""
        return MatryoshkaDictionary.restored(cfg, tensors)


class MatryoshkaDictionary(ThresholdSae):
    """A trained Matryoshka autoencoder; SAELens, too, keeps one as JumpReLU with equal thresholds."""

    kind: ClassVar[str] = "matryoshka"
