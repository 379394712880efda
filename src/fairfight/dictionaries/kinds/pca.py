"""Principal components: the best linear code of any given length, and no chance in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary, Fit, TokenSource, TrainingFlops, take_tensors
from fairfight.dictionaries.weights import project
from fairfight.errors import StudyError

_CHUNK_TOKENS = 8192


@dataclass(frozen=True)
class PCA:
    """The directions of largest variance of the mean-centred tokens, largest first."""

    is_seeded: ClassVar[bool] = False

    latents: int | None = None
    """Components kept; None keeps all d_model of them."""

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the components, out of the covariance in float64; `seed` changes nothing.

        A component's sign is chosen so that its largest coordinate is positive.

        Raises:
            StudyError: more components are asked for than the site is wide.
        """
        width = tokens.d_model
        latents = width if self.latents is None else self.latents
        if not 1 <= latents <= width:
            raise StudyError(
                f"The recipe has latents = {latents}, but a site of width {width} has 1 to {width} components. "
                "Change latents in the study, or leave it out to keep all."
            )
        mean = tokens.values.double().mean(dim=0)
        scatter = torch.zeros(width, width, dtype=torch.float64)
        for chunk in tokens.values.split(_CHUNK_TOKENS):
            centred = chunk.double() - mean
            scatter.addmm_(centred.T, centred)
        components = torch.linalg.eigh(scatter).eigenvectors.T.flip(0)[:latents]
        peaks = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
        components = (components * peaks.sign()).float().contiguous()
        flops = 2 * tokens.token_count * width**2 + 9 * width**3
        return Fit(PCADictionary(components, mean.float()), tokens.token_count, TrainingFlops(flops, flops))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> PCADictionary:
        """Give the components that were saved."""
        found = take_tensors(tensors, {"W_dec": (cfg["d_sae"], cfg["d_in"]), "b_dec": (cfg["d_in"],)})
        return PCADictionary(found["W_dec"], found["b_dec"])


@dataclass(frozen=True, eq=False)
class PCADictionary(Dictionary):
    """Orthonormal components and the mean; a code is a signed coordinate."""

    kind: ClassVar[str] = "pca"
    architecture: ClassVar[str] = "pca"
    is_signed: ClassVar[bool] = True

    components: Float[Tensor, "latent d_model"]
    mean: Float[Tensor, " d_model"]

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The components, orthonormal."""
        return self.components

    @property
    def encode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.components.numel()

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.components.numel()

    def tensors(self) -> dict[str, Tensor]:
        """Give the components as `W_dec` and the mean as `b_dec`."""
        return {"W_dec": self.components, "b_dec": self.mean}

    def _settings(self) -> dict[str, Any]:
        return {}

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        return project(x - self.mean, self.components)

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return torch.addmm(self.mean, codes, self.components)
