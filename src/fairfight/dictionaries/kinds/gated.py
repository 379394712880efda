"""Gated sparse autoencoder: whether a latent speaks and how loud are learned apart.

Source: Rajamanoharan et al. (2024), "Improving Dictionary Learning with Gated Sparse Autoencoders".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from fairfight.dictionaries.rules import GatedRule
from fairfight.dictionaries.sae import GatedSae, SaeRecipe
from fairfight.dictionaries.settings import check_positive
from fairfight.dictionaries.trainer import Rule, SaeState


@dataclass(frozen=True)
class Gated(SaeRecipe):
    """A sparse autoencoder whose gates pay the penalty, so that it does not shrink the magnitudes."""

    kind: ClassVar[str] = "gated"

    learning_rate: float = 2e-3
    l1: float = 3.0
    """Weight of the sum of open gates, for input whose mean squared norm is d_model; larger is sparser."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("l1", self.l1)

    @classmethod
    def small(cls, folder: Path) -> Gated:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, steps=40, batch=256)

    def rule(self) -> Rule:
        """Give gates and magnitudes."""
        return GatedRule(self.l1, warm_up_steps=max(1, self.steps // 20))

    def dictionary(self, state: SaeState) -> GatedSae:
        """Give the autoencoder."""
        return GatedSae(state.W_enc, state.W_dec, state.b_dec, **state.vectors)

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> GatedSae:
        """Give the autoencoder that was saved."""
        return GatedSae.restored(cfg, tensors)
