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

from fairfight.dictionaries.contract import Fit, TokenSource
from fairfight.dictionaries.fit import Plan
from fairfight.dictionaries.rules import BatchTopKRule
from fairfight.dictionaries.sae import ThresholdSae, train_by_rule, weights_of
from fairfight.dictionaries.train import check_k
from fairfight.dictionaries.trainer import Revival


@dataclass(frozen=True)
class BatchTopK:
    """A sparse autoencoder whose codes, in training, are the k x batch largest pre-activations of a batch.

    A token by itself is encoded with one threshold for all latents, which followed the smallest code in training.
    """

    is_seeded: ClassVar[bool] = True

    latents: int = 2048
    k: int = 32
    """Latents a token, on the mean."""
    steps: int = 700
    batch: int = 2048
    """Tokens a step."""
    learning_rate: float = 4e-3
    dead_after_tokens: int = 131_072
    """A latent that was silent for so many tokens counts as dead and takes part in the auxiliary loss."""
    aux_weight: float = 1 / 32
    """Weight of the auxiliary loss, in which dead latents explain what the others left over."""

    def __post_init__(self) -> None:
        check_k(self.k, self.latents)

    @classmethod
    def small(cls, folder: Path) -> BatchTopK:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, k=4, steps=200, batch=256)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the trained autoencoder."""
        plan = Plan(self.steps, self.batch, self.learning_rate)
        revival = Revival(self.dead_after_tokens, self.aux_weight)
        rule = BatchTopKRule(self.k)
        state, flops = train_by_rule(tokens, rule, self.latents, plan, kind="batch_topk", seed=seed, revival=revival)
        threshold = torch.full((self.latents,), state.scalars["threshold"])
        return Fit(BatchTopKDictionary(weights_of(state), threshold), self.steps * self.batch, flops)

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> BatchTopKDictionary:
        """Give the autoencoder that was saved."""
        return BatchTopKDictionary.restored(cfg, tensors)


class BatchTopKDictionary(ThresholdSae):
    """A trained BatchTopK autoencoder; SAELens, too, keeps one as JumpReLU with equal thresholds."""

    kind: ClassVar[str] = "batch_topk"
