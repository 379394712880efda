"""A TopK autoencoder whose decoder stays as it was drawn: the control that shows what learning the atoms was worth.

Source: "Sanity Checks for Sparse Autoencoders" (2026, arXiv 2602.14111), where such ones nearly match trained ones on
interpretability and probing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from fairfight.dictionaries.kinds.topk import TopKDictionary
from fairfight.dictionaries.rules import TopKRule
from fairfight.dictionaries.sae import RevivingRecipe, weights_of
from fairfight.dictionaries.trainer import Rule, SaeState
from fairfight.dictionaries.weights import SaeWeights


@dataclass(frozen=True)
class Frozen(RevivingRecipe):
    """Random unit atoms; encoder and biases learn to use them, k at a time."""

    kind: ClassVar[str] = "frozen"
    has_frozen_atoms: ClassVar[bool] = True

    @classmethod
    def small(cls, folder: Path) -> Frozen:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, k=4, steps=40, batch=256)

    def rule(self) -> Rule:
        """Give the k largest of a token."""
        return TopKRule(self.k)

    def dictionary(self, state: SaeState) -> FrozenDictionary:
        """Give the autoencoder."""
        return FrozenDictionary(weights_of(state), self.k)

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> FrozenDictionary:
        """Give the autoencoder that was saved."""
        return FrozenDictionary(SaeWeights.restore(cfg, tensors), cfg["k"])


class FrozenDictionary(TopKDictionary):
    """It encodes and decodes as a TopK autoencoder does."""

    kind: ClassVar[str] = "frozen"
