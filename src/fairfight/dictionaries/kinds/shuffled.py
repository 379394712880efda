"""A TopK autoencoder whose atoms were dealt out anew after training: the control for which latent has which atom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from fairfight.dictionaries.contract import Fit, TokenSource
from fairfight.dictionaries.kinds.topk import TopK, TopKDictionary
from fairfight.dictionaries.weights import SaeWeights
from fairfight.seeds import torch_stream


@dataclass(frozen=True)
class Shuffled(TopK):
    """The TopK autoencoder of the same settings and seed, its decoder's rows in a random order.

    Codes are that autoencoder's to the bit; what they stand for is another's. So it bites where reconstructions or atoms
    are used (a probe on reconstructions, steering, splicing): what still works there needed no more than as many codes
    and the same set of directions. A probe on codes scores as on the autoencoder itself, and shows nothing: the
    criteria leave it out there.
    """

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the autoencoder, shuffled; what it took is what its training took."""
        trained = TopK.train(self, tokens, seed)
        weights: SaeWeights = trained.dictionary.weights  # pyright: ignore[reportAttributeAccessIssue]
        order = torch.randperm(self.latents, generator=torch_stream("dictionary", "shuffled", seed))
        return trained._replace(dictionary=ShuffledDictionary(weights._replace(W_dec=weights.W_dec[order]), self.k))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ShuffledDictionary:
        """Give the autoencoder that was saved."""
        return ShuffledDictionary(SaeWeights.restore(cfg, tensors), cfg["k"])


class ShuffledDictionary(TopKDictionary):
    """It encodes and decodes as a TopK autoencoder does."""

    kind: ClassVar[str] = "shuffled"
