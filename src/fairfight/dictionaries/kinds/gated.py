"""Gated sparse autoencoder: whether a latent speaks and how loud are learned apart.

Source: Rajamanoharan et al. (2024), "Improving Dictionary Learning with Gated Sparse Autoencoders".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from fairfight.dictionaries.contract import Fit, TokenSource
from fairfight.dictionaries.fit import Plan
from fairfight.dictionaries.rules import GatedRule
from fairfight.dictionaries.sae import GatedSae, train_by_rule
from fairfight.dictionaries.train import check_positive


@dataclass(frozen=True)
class Gated:
    """A sparse autoencoder whose gates pay the penalty, so that it does not shrink the magnitudes."""

    is_seeded: ClassVar[bool] = True

    latents: int = 2048
    l1: float = 3.0
    """Weight of the sum of open gates, for input whose mean squared norm is d_model; larger is sparser."""
    steps: int = 700
    batch: int = 2048
    """Tokens a step."""
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        for name in ("latents", "l1"):
            check_positive(name, getattr(self, name))

    @classmethod
    def small(cls, folder: Path) -> Gated:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, steps=40, batch=256)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the trained autoencoder."""
        plan = Plan(self.steps, self.batch, self.learning_rate)
        rule = GatedRule(self.l1, warm_up_steps=max(1, self.steps // 20))
        state, flops = train_by_rule(tokens, rule, self.latents, plan, kind="gated", seed=seed)
        found = GatedSae(state.W_enc, state.W_dec, state.b_dec, **state.vectors)
        return Fit(found, self.steps * self.batch, flops)

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> GatedSae:
        """Give the autoencoder that was saved."""
        return GatedSae.restored(cfg, tensors)
