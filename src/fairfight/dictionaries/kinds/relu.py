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

from fairfight.dictionaries.contract import Dictionary, Fit, TokenSource, TrainingFlops
from fairfight.dictionaries.settings import check_positive
from fairfight.dictionaries.train import Schedule, train_sae
from fairfight.dictionaries.weights import SAE_SETTINGS, SaeWeights, project
from fairfight.seeds import torch_stream


@dataclass(frozen=True)
class ReLU:
    """A sparse autoencoder whose codes are the positive pre-activations."""

    is_seeded: ClassVar[bool] = True

    latents: int = 2048
    l1: float = 3.0
    """Weight of the sum of codes, for input whose mean squared norm is d_model; larger is sparser."""
    steps: int = 700
    batch: int = 2048
    """Tokens a step."""
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        check_positive("latents", self.latents)

    @classmethod
    def small(cls, folder: Path) -> ReLU:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, steps=40, batch=256)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the trained autoencoder."""
        schedule = Schedule(self.steps, self.batch, self.learning_rate)
        objective = L1Objective(self.l1, warm_up_steps=max(1, self.steps // 20))
        stream = torch_stream("dictionary", "relu", seed)
        weights = train_sae(tokens, objective, self.latents, schedule=schedule, stream=stream)
        return Fit(ReLUDictionary(weights), self.steps * self.batch, objective.flops())

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ReLUDictionary:
        """Give the autoencoder that was saved."""
        return ReLUDictionary(SaeWeights.restore(cfg, tensors))


@dataclass(frozen=True, eq=False)
class ReLUDictionary(Dictionary):
    """A trained ReLU autoencoder; SAELens calls it standard."""

    kind: ClassVar[str] = "relu"
    architecture: ClassVar[str] = "standard"
    is_signed: ClassVar[bool] = False

    weights: SaeWeights

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The decoder's rows, of unit norm."""
        return self.weights.W_dec

    @property
    def encode_flops_per_token(self) -> int:
        """One dense product."""
        return self.weights.product_flops

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product."""
        return self.weights.product_flops

    def tensors(self) -> dict[str, Tensor]:
        """Give the parameters under SAELens's names."""
        return self.weights.tensors()

    def _settings(self) -> dict[str, Any]:
        return SAE_SETTINGS

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        return self.weights.pre_codes(x).relu_()

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return self.weights.decode(codes)


class L1Objective:
    """loss = mean_t ||x_t - x_hat_t||^2 + l1 mean_t sum_i codes_ti; the penalty grows linearly over the warm-up."""

    def __init__(self, l1: float, *, warm_up_steps: int) -> None:
        self._l1 = l1
        self._warm_up_steps = warm_up_steps
        self._steps = self._flops = 0

    def flops(self) -> TrainingFlops:
        """Give what all calls took: forward two products, backward three, all of them dense."""
        return TrainingFlops(self._flops, self._flops)

    def gradients(self, weights: SaeWeights, x: Float[Tensor, "token d_model"]) -> tuple[float, SaeWeights]:
        """Give the loss of a batch and its gradient."""
        self._steps += 1
        self._flops += 5 * len(x) * weights.product_flops
        l1 = self._l1 * min(1.0, self._steps / self._warm_up_steps)
        centred = x - weights.b_dec
        codes = project(centred, weights.encoder_rows, weights.b_enc).relu_()
        error = project(codes, weights.W_dec.T) - centred
        loss = (error.square().sum().item() + l1 * codes.sum().item()) / len(x)
        pull = error * (2 / len(x))
        code_gradient = (project(pull, weights.W_dec) + l1 / len(x)).mul_(codes > 0)
        rows = project(code_gradient.T, centred.T)
        b_enc = code_gradient.sum(dim=0)
        W_dec = project(codes.T, pull.T)
        b_dec = pull.sum(dim=0) - b_enc @ weights.encoder_rows
        return loss, SaeWeights(rows, b_enc, W_dec, b_dec)
