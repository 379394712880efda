"""ReLU sparse autoencoder with an L1 penalty, the classical kind.

Source: Bricken et al. (2023), "Towards Monosemanticity"; the penalty weighs codes by the norm of their atoms as in the
April 2024 update of the same group, which for unit atoms is the plain L1 norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.rules import ReLURule
from fairfight.dictionaries.sae import Sae, SaeRecipe, weights_of
from fairfight.dictionaries.settings import check_positive
from fairfight.dictionaries.trainer import Rule, SaeState
from fairfight.dictionaries.weights import SaeWeights


@dataclass(frozen=True)
class ReLU(SaeRecipe):
    """A sparse autoencoder whose codes are the positive pre-activations."""

    kind: ClassVar[str] = "relu"

    learning_rate: float = 2e-3
    l1: float = 3.0
    """Weight of the sum of codes, for input whose mean squared norm is d_model; larger is sparser."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("l1", self.l1)

    @classmethod
    def small(cls, folder: Path) -> ReLU:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, steps=40, batch=256)

    def rule(self) -> Rule:
        """Give the positive ones; the penalty grows over the warm-up of the learning rate."""
        return ReLURule(self.l1, warm_up_steps=max(1, self.steps // 20))

    def dictionary(self, state: SaeState) -> ReLUDictionary:
        """Give the autoencoder."""
        return ReLUDictionary(weights_of(state))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ReLUDictionary:
        """Give the autoencoder that was saved."""
        return ReLUDictionary(SaeWeights.restore(cfg, tensors))


@dataclass(frozen=True, eq=False)
class ReLUDictionary(Sae):
    """A trained ReLU autoencoder; SAELens calls it standard."""

    kind: ClassVar[str] = "relu"
    architecture: ClassVar[str] = "standard"

    weights: SaeWeights

    def _activated(self, pre: Float[Tensor, "token latent"]) -> Float[Tensor, "token latent"]:
        return pre.relu_()
