"""JumpReLU sparse autoencoder: each latent learns the threshold above which it speaks.

Source: Rajamanoharan et al. (2024), "Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse Autoencoders";
Smith et al. (2025), "Negative Results for Sparse Autoencoders on Downstream Tasks", for the quadratic-frequency penalty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from fairfight.dictionaries.rules import JumpReLURule
from fairfight.dictionaries.sae import SaeRecipe, ThresholdSae, weights_of
from fairfight.dictionaries.settings import check_positive
from fairfight.dictionaries.trainer import Rule, SaeState


@dataclass(frozen=True)
class JumpReLU(SaeRecipe):
    """A sparse autoencoder whose codes are the pre-activations above a threshold for each latent.

    The penalty is l0 sum_i p_i, or l0 sum_i p_i (1 + p_i / frequency_scale), where p_i is how often latent i speaks; it is
    for input whose mean squared norm is d_model, as are threshold and bandwidth.
    """

    kind: ClassVar[str] = "jumprelu"

    learning_rate: float = 2e-3
    l0: float = 1.0
    """Price of one active latent a token."""
    frequency_scale: float | None = None
    """A latent that speaks on this share of tokens pays twice; None charges all latents alike."""
    threshold: float = 0.1
    """At the start."""
    bandwidth: float = 0.1
    """Width of the window around the threshold in which it has a gradient."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("l0", "threshold", "bandwidth"):
            check_positive(name, getattr(self, name))
        if self.frequency_scale is not None:
            check_positive("frequency_scale", self.frequency_scale)

    @classmethod
    def small(cls, folder: Path) -> JumpReLU:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, steps=40, batch=256)

    def rule(self) -> Rule:
        """Give the learned thresholds; the penalty grows over the first fifth of the steps."""
        return JumpReLURule(
            self.l0,
            warm_up_steps=max(1, self.steps // 5),
            bandwidth=self.bandwidth,
            threshold=self.threshold,
            frequency_scale=self.frequency_scale,
        )

    def dictionary(self, state: SaeState) -> JumpReLUDictionary:
        """Give the autoencoder with its thresholds."""
        return JumpReLUDictionary(weights_of(state), state.vectors["threshold"].clamp(min=0.0))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> JumpReLUDictionary:
        """Give the autoencoder that was saved."""
        return JumpReLUDictionary.restored(cfg, tensors)


class JumpReLUDictionary(ThresholdSae):
    """A trained JumpReLU autoencoder."""

    kind: ClassVar[str] = "jumprelu"
