"""Matryoshka sparse autoencoder: prefixes of the latents have to reconstruct by themselves.

Source: Bussmann, Nabeshima, Karvonen and Nanda (2025), "Learning Multi-Level Features with Matryoshka Sparse
Autoencoders".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from fairfight.dictionaries.contract import Fit, TokenSource
from fairfight.dictionaries.fit import Plan
from fairfight.dictionaries.rules import BatchTopKRule
from fairfight.dictionaries.sae import ThresholdSae, train_by_rule, weights_of
from fairfight.dictionaries.train import check_k
from fairfight.dictionaries.trainer import Revival
from fairfight.errors import StudyError


@dataclass(frozen=True)
class Matryoshka:
    """A BatchTopK autoencoder whose first latents are a coarser one, and so on.

    The loss is the sum of the squared errors of all prefixes.
    """

    is_seeded: ClassVar[bool] = True

    latents: int = 2048
    k: int = 32
    """Latents a token, on the mean."""
    shares: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
    """Ends of the prefixes as shares of the latents, ascending; the last is all of them."""
    steps: int = 700
    batch: int = 2048
    """Tokens a step."""
    learning_rate: float = 4e-3
    dead_after_tokens: int = 131_072
    """A latent that was silent for so many tokens counts as dead and takes part in the auxiliary loss."""
    aux_weight: float = 1 / 32
    """Weight of the auxiliary loss, in which dead latents explain what the others left over."""

    def __post_init__(self) -> None:
        check_k(self.k, self.latents)
        ends = self.prefixes
        if (
            not ends
            or ends[-1] != self.latents
            or ends[0] < 1
            or any(a >= b for a, b in zip(ends, ends[1:], strict=False))
        ):
            raise StudyError(
                f"The recipe has shares = {list(self.shares)}, which end prefixes of {list(ends)} of {self.latents} "
                "latents; they must ascend and end with 1.0. Change shares or latents in the study."
            )

    @property
    def prefixes(self) -> tuple[int, ...]:
        """Ends of the prefixes in latents."""
        return tuple(round(share * self.latents) for share in self.shares)

    @classmethod
    def small(cls, folder: Path) -> Matryoshka:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, k=4, steps=200, batch=256)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the trained autoencoder."""
        plan = Plan(self.steps, self.batch, self.learning_rate)
        revival = Revival(self.dead_after_tokens, self.aux_weight)
        rule = BatchTopKRule(self.k, prefixes=self.prefixes)
        state, flops = train_by_rule(tokens, rule, self.latents, plan, kind="matryoshka", seed=seed, revival=revival)
        threshold = torch.full((self.latents,), state.scalars["threshold"])
        return Fit(MatryoshkaDictionary(weights_of(state), threshold), self.steps * self.batch, flops)

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> MatryoshkaDictionary:
        """Give the autoencoder that was saved."""
        return MatryoshkaDictionary.restored(cfg, tensors)


class MatryoshkaDictionary(ThresholdSae):
    """A trained Matryoshka autoencoder; SAELens, too, keeps one as JumpReLU with equal thresholds."""

    kind: ClassVar[str] = "matryoshka"
