"""TopK sparse autoencoder: exactly k latents may speak for a token.

Source: Gao et al. (2024), "Scaling and evaluating sparse autoencoders", sections 2.3 and A.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from fairfight.dictionaries.rules import TopKRule
from fairfight.dictionaries.sae import RevivingRecipe, Sae, weights_of
from fairfight.dictionaries.sparse import SparseCodes
from fairfight.dictionaries.trainer import Rule, SaeState
from fairfight.dictionaries.weights import SaeWeights


@dataclass(frozen=True)
class TopK(RevivingRecipe):
    """A sparse autoencoder whose codes are the k largest pre-activations that are positive."""

    kind: ClassVar[str] = "topk"

    @classmethod
    def small(cls, folder: Path) -> TopK:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, k=4, steps=40, batch=256)

    def rule(self) -> Rule:
        """Give the k largest of a token."""
        return TopKRule(self.k)

    def dictionary(self, state: SaeState) -> TopKDictionary:
        """Give the autoencoder."""
        return TopKDictionary(weights_of(state), self.k)

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TopKDictionary:
        """Give the autoencoder that was saved."""
        return TopKDictionary(SaeWeights.restore(cfg, tensors), cfg["k"])


@dataclass(frozen=True, eq=False)
class TopKDictionary(Sae):
    """A trained TopK autoencoder."""

    kind: ClassVar[str] = "topk"
    architecture: ClassVar[str] = "topk"

    weights: SaeWeights
    k: int

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "k": self.k, "rescale_acts_by_decoder_norm": False}

    def _activated(self, pre: Float[Tensor, "token latent"]) -> Float[Tensor, "token latent"]:
        values, chosen = self._largest(pre)
        return pre.zero_().scatter_(1, chosen, values)

    def _encode_sparse(self, x: Float[Tensor, "token d_model"]) -> SparseCodes:
        values, chosen = self._largest(self.weights.pre_codes(x))
        return SparseCodes.of_chosen(values, chosen, self.latents)

    def _decode_sparse(self, codes: SparseCodes) -> Float[Tensor, "token d_model"]:
        return self.weights.decode_sparse(codes)

    def _largest(self, pre: Float[Tensor, "token latent"]) -> tuple[Float[Tensor, "token k"], Int[Tensor, "token k"]]:
        values, chosen = pre.topk(self.k, dim=1, sorted=False)
        return values.relu_(), chosen
