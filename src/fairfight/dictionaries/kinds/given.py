"""A dictionary that somebody has trained: read in any format, checked on the study's own tokens, used as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from fairfight.dictionaries.contract import Card, Fit, TokenSource
from fairfight.dictionaries.formats import save
from fairfight.dictionaries.from_files import FromFiles
from fairfight.dictionaries.kinds.relu import ReLUDictionary
from fairfight.dictionaries.weights import SaeWeights


@dataclass(frozen=True)
class Given(FromFiles):
    """What lies in a path, of whatever library; nothing is trained, and it keeps its own kind and the cost on its card."""

    @classmethod
    def small(cls, folder: Path) -> Given:
        """Give a recipe whose dictionary is exact on any tokens of the conformance checks' width."""
        axes = torch.cat([torch.eye(24), -torch.eye(24)])
        exact = ReLUDictionary(SaeWeights(axes, torch.zeros(48), axes, torch.zeros(24)))
        card = Card("relu", {}, 0, "resid_post.1", "a model", "", None, None, None, fvu=0.0, l0=24.0, dead_share=0.0)
        save(exact, card, folder / "given")
        return cls(path=str(folder / "given"))

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the dictionary and what its card says it cost; None where nobody says.

        Raises:
            InputError, DictionaryError, WidthMismatchError: as `FromFiles.checked`.
        """
        foreign = self.checked(tokens, seed)
        if foreign.card is None:
            return Fit(foreign.dictionary, None, None)
        return Fit(
            foreign.dictionary, foreign.card.tokens_seen, foreign.card.training_flops, foreign.card.harvest_flops
        )
