"""A TopK autoencoder of the model with random weights: the control that shows what the model's training was worth.

Source: Heap et al. (2025), "Sparse Autoencoders Can Interpret Randomly Initialized Transformers".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from fairfight.dictionaries.contract import Fit, Needs, TokenSource
from fairfight.dictionaries.kinds.topk import TopKDictionary
from fairfight.dictionaries.rules import TopKRule
from fairfight.dictionaries.sae import RevivingRecipe, weights_of
from fairfight.dictionaries.trainer import Rule, SaeState
from fairfight.dictionaries.weights import SaeWeights
from fairfight.errors import StudyError


@dataclass(frozen=True)
class RandomModel(RevivingRecipe):
    """Trained on, and then encoding, what the model with random weights computes at the site from the same texts.

    It is not shown the real model's activations: those are another world to it, so its codes of them would be worthless
    for a reason that says nothing. What still works on the random model's own activations comes out of the texts and the
    architecture, and is no evidence that an autoencoder found what the model has learned.

    The weights are drawn once (`fairfight.models.load`); seeds vary the autoencoder, not the random model.
    """

    kind: ClassVar[str] = "random_model"

    @classmethod
    def small(cls, folder: Path) -> RandomModel:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, k=4, steps=40, batch=256)

    def needs(self, site: str) -> Needs:
        """Ask for the tokens of the model with random weights."""
        return Needs(random_weights=True)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the trained autoencoder.

        Raises:
            StudyError: the tokens are those of a model with its own weights.
            NonFiniteError: the loss or a weight became NaN or infinite.
        """
        if not tokens.has_random_weights:
            raise StudyError(
                "A dictionary of the kind 'random_model' was given tokens of a model with its own weights; those of one "
                "with random weights were expected. Harvest the model 'random:NAME', and say so in the token source."
            )
        return RevivingRecipe.train(self, tokens, seed)

    def rule(self) -> Rule:
        """Give the k largest of a token."""
        return TopKRule(self.k)

    def dictionary(self, state: SaeState) -> RandomModelDictionary:
        """Give the autoencoder."""
        return RandomModelDictionary(weights_of(state), self.k)

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> RandomModelDictionary:
        """Give the autoencoder that was saved."""
        return RandomModelDictionary(SaeWeights.restore(cfg, tensors), cfg["k"])


class RandomModelDictionary(TopKDictionary):
    """It encodes and decodes as a TopK autoencoder does, what the model with random weights computes."""

    kind: ClassVar[str] = "random_model"
