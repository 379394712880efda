"""Random directions as sparse as an SAE: the control that shows what training the dictionary was worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary, Fit, TokenSource, TrainingFlops, take_tensors
from fairfight.dictionaries.settings import check_k, check_room
from fairfight.dictionaries.weights import project
from fairfight.seeds import torch_stream

_LATENT_BLOCK = 256


@dataclass(frozen=True)
class Random:
    """Gaussian unit directions with a threshold each, as many and as sparse as the autoencoder that they control for.

    Only two things are fitted: the thresholds, so that each latent is active on the share k / latents of the training
    tokens (an expected L0 of k), and one scalar and an offset for decoding.
    """

    is_seeded: ClassVar[bool] = True

    latents: int = 2048
    k: int = 32
    """Expected number of active latents a token."""
    fit_tokens: int = 16_384
    """Training tokens on which thresholds and decoding scale are fitted."""

    def __post_init__(self) -> None:
        check_k(self.k, self.latents)

    @classmethod
    def small(cls, folder: Path) -> Random:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, k=4)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give random directions with fitted thresholds.

        Raises:
            StudyError: they do not fit into memory.
        """
        check_room(f"{self.latents:,} random directions of width {tokens.d_model}", 12 * self.latents * tokens.d_model)
        stream = torch_stream("dictionary", "random", seed)
        x = tokens.sample(self.fit_tokens, stream)
        directions = torch.nn.functional.normalize(torch.randn(self.latents, tokens.d_model, generator=stream), dim=1)
        b_enc = torch.cat([self._thresholds(x, block) for block in directions.split(_LATENT_BLOCK)]).neg()
        offset, scale = _least_squares(x, directions, b_enc)
        dictionary = RandomDictionary(directions, b_enc, directions * scale, offset)
        flops = 6 * len(x) * directions.numel()
        return Fit(dictionary, len(x), TrainingFlops(flops, flops))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> RandomDictionary:
        """Give the directions that were saved."""
        matrix = (cfg["d_sae"], cfg["d_in"])
        shapes = {"W_enc": matrix[::-1], "b_enc": matrix[:1], "W_dec": matrix, "b_dec": matrix[1:]}
        found = take_tensors(tensors, shapes)
        return RandomDictionary(found["W_enc"].T.contiguous(), found["b_enc"], found["W_dec"], found["b_dec"])

    def _thresholds(
        self, x: Float[Tensor, "token d_model"], block: Float[Tensor, "latent d_model"]
    ) -> Float[Tensor, " latent"]:
        """Give for each direction the largest projection that is still silent: just k / latents of them exceed it."""
        active_tokens = round(len(x) * self.k / self.latents)
        rank = max(1, len(x) - active_tokens)
        with torch.no_grad():
            return project(x, block).T.contiguous().kthvalue(rank, dim=1).values


@dataclass(frozen=True, eq=False)
class RandomDictionary(Dictionary):
    """codes = relu(x W_enc + b_enc), x_hat = codes W_dec + b_dec, where W_dec is a multiple of W_enc's transpose."""

    kind: ClassVar[str] = "random"
    architecture: ClassVar[str] = "random"
    is_signed: ClassVar[bool] = False

    directions: Float[Tensor, "latent d_model"]
    b_enc: Float[Tensor, " latent"]
    W_dec: Float[Tensor, "latent d_model"]
    b_dec: Float[Tensor, " d_model"]

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The directions times the decoding scale."""
        return self.W_dec

    @property
    def encode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.directions.numel()

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.directions.numel()

    def tensors(self) -> dict[str, Tensor]:
        """Give the parameters under an SAE's names."""
        W_enc = self.directions.T.contiguous()
        return {"W_enc": W_enc, "b_enc": self.b_enc, "W_dec": self.W_dec, "b_dec": self.b_dec}

    def _settings(self) -> dict[str, Any]:
        return {"apply_b_dec_to_input": False}

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        return project(x, self.directions, self.b_enc).relu_()

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return torch.addmm(self.b_dec, codes, self.W_dec)


def _least_squares(
    x: Float[Tensor, "token d_model"], directions: Float[Tensor, "latent d_model"], b_enc: Float[Tensor, " latent"]
) -> tuple[Float[Tensor, " d_model"], float]:
    """Give the offset b and the scalar c that minimise the squared error of b + c codes @ directions."""
    with torch.no_grad():
        sums = torch.cat([project(part, directions, b_enc).relu_() @ directions for part in x.split(2048)])
    centred = sums - sums.mean(dim=0)
    power = centred.double().square().sum().item()
    scale = (centred.double() * (x - x.mean(dim=0)).double()).sum().item() / power if power else 0.0
    return x.mean(dim=0) - scale * sums.mean(dim=0), scale
