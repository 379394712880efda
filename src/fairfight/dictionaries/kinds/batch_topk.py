"""BatchTopK sparse autoencoder: k latents a token on the mean over a batch.

Source: Bussmann, Leask and Nanda (2024), "BatchTopK Sparse Autoencoders".
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


@dataclass(frozen=True)
class BatchTopK(RevivingRecipe):
    """A sparse autoencoder whose codes, in training, are the k x batch largest pre-activations of a batch.

    A token by itself is encoded with one threshold for all latents, which followed the smallest code in training.
    """

    kind: ClassVar[str] = "batch_topk"

    @classmethod
    def small(cls, folder: Path) -> BatchTopK:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, k=4, steps=200, batch=256)

    def rule(self) -> Rule:
        """Give the largest of the batch."""
        return BatchTopKRule(self.k)

    def dictionary(self, state: SaeState) -> BatchTopKDictionary:
        """Give the autoencoder with its threshold."""
        return BatchTopKDictionary(weights_of(state), torch.full((self.latents,), state.scalars["threshold"]))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> BatchTopKDictionary:
        """Give the autoencoder that was saved."""
        return BatchTopKDictionary.restored(cfg, tensors)


class BatchTopKDictionary(ThresholdSae):
    """A trained BatchTopK autoencoder; SAELens, too, keeps one as JumpReLU with equal thresholds."""

    kind: ClassVar[str] = "batch_topk"
