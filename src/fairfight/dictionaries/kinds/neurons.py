"""The site's own coordinates: what a dictionary must beat to be worth its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary, Fit, TokenSource, TrainingFlops


@dataclass(frozen=True)
class Neurons:
    """No training and no settings: a latent is a coordinate."""

    is_seeded: ClassVar[bool] = False

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the coordinates of the site; `seed` changes nothing and no token is looked at."""
        return Fit(NeuronsDictionary(tokens.d_model), 0, TrainingFlops(0, 0))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NeuronsDictionary:
        """Give the coordinates of a site as wide as `cfg` says."""
        return NeuronsDictionary(cfg["d_in"])


@dataclass(frozen=True, eq=False)
class NeuronsDictionary(Dictionary):
    """The identity: codes are the tokens themselves, signed."""

    kind: ClassVar[str] = "neurons"
    architecture: ClassVar[str] = "neurons"
    is_signed: ClassVar[bool] = True

    width: int

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The unit vectors along the axes."""
        return torch.eye(self.width)

    @property
    def encode_flops_per_token(self) -> int:
        """Nothing is computed."""
        return 0

    @property
    def decode_flops_per_token(self) -> int:
        """Nothing is computed."""
        return 0

    def tensors(self) -> dict[str, Tensor]:
        """Give nothing: the width says all."""
        return {}

    def _settings(self) -> dict[str, Any]:
        return {}

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        return x.clone()

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return codes.clone()
