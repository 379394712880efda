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

from fairfight.dictionaries.contract import Fit, TokenSource
from fairfight.dictionaries.fit import Plan
from fairfight.dictionaries.rules import JumpReLURule
from fairfight.dictionaries.sae import ThresholdSae, train_by_rule, weights_of
from fairfight.dictionaries.train import check_positive


@dataclass(frozen=True)
class JumpReLU:
    """A sparse autoencoder whose codes are the pre-activations above a threshold for each latent.

    The penalty is l0 sum_i p_i, or l0 sum_i p_i (1 + p_i / frequency_scale), where p_i is how often latent i speaks; it is
    for input whose mean squared norm is d_model, as are threshold and bandwidth.
    """

    is_seeded: ClassVar[bool] = True

    latents: int = 2048
    l0: float = 1.0
    """Price of one active latent a token."""
    frequency_scale: float | None = None
    """A latent that speaks on this share of tokens pays twice; None charges all latents alike."""
    threshold: float = 0.1
    """At the start."""
    bandwidth: float = 0.1
    """Width of the window around the threshold in which it has a gradient."""
    steps: int = 700
    batch: int = 2048
    """Tokens a step."""
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        for name in ("latents", "l0", "threshold", "bandwidth"):
            check_positive(name, getattr(self, name))
        if self.frequency_scale is not None:
            check_positive("frequency_scale", self.frequency_scale)

    @classmethod
    def small(cls, folder: Path) -> JumpReLU:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, steps=40, batch=256)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the trained autoencoder."""
        plan = Plan(self.steps, self.batch, self.learning_rate)
        rule = JumpReLURule(
            self.l0,
            warm_up_steps=max(1, self.steps // 5),
            bandwidth=self.bandwidth,
            threshold=self.threshold,
            frequency_scale=self.frequency_scale,
        )
        state, flops = train_by_rule(tokens, rule, self.latents, plan, kind="jumprelu", seed=seed)
        threshold = state.vectors["threshold"].clamp(min=0.0)
        return Fit(JumpReLUDictionary(weights_of(state), threshold), self.steps * self.batch, flops)

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> JumpReLUDictionary:
        """Give the autoencoder that was saved."""
        return JumpReLUDictionary.restored(cfg, tensors)


class JumpReLUDictionary(ThresholdSae):
    """A trained JumpReLU autoencoder."""

    kind: ClassVar[str] = "jumprelu"
