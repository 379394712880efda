"""The tokens that a dictionary is trained on: one site, one set of texts, no text of a sealed set among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairfight import seeds
from fairfight.errors import EmptyBatchError

if TYPE_CHECKING:
    from fairfight.activations.shards import Activations

MEMORY_BYTES = 3 * 2**29
"""How much memory the held tokens may take unless the caller says otherwise: 1.5 GiB."""


class Needs(NamedTuple):
    """What a recipe asks for besides the tokens of its site: by default nothing."""

    random_weights: bool = False
    """Its tokens are those of the model with random weights, in training and in use."""
    labels: bool = False
    """Label and tags of each token's text. It is then trained for each split seed anew, on that split's training
    examples, whose labels every method has too; so no label of a validation, calibration or test example reaches it."""
    target: str = ""
    """The site at which the same tokens are what its dictionary has to give: a transcoder's output."""


def needs_of(recipe: Any, site: str) -> Needs:
    """Give what a recipe's own `needs(site)` says, or nothing where it has no such method."""
    return recipe.needs(site) if hasattr(recipe, "needs") else Needs()


class Attribute(NamedTuple):
    """Something that texts differ in: its values, and which of them each token's text has."""

    values: tuple[str, ...]
    of_token: Int[Tensor, " token"]
    """Positions in `values`."""

    @classmethod
    def of_texts(cls, values: Sequence[str], token_counts: Int[np.ndarray, " example"]) -> Attribute:
        """Give the attribute of texts with these values, each of so many tokens."""
        distinct, positions = np.unique(np.asarray(values), return_inverse=True)
        return cls(tuple(distinct.tolist()), torch.from_numpy(np.repeat(positions, token_counts)))


@dataclass(frozen=True, eq=False)
class TokenSource:
    """Training tokens of one site, held in memory as float32.

    Only tokens of the texts that it was made from can ever be drawn, so a recipe cannot see any other.
    """

    values: Float[Tensor, "token d_model"]
    site: str = ""
    """Canonical name of the site, "" where the tokens came from nowhere in particular."""
    key: str = ""
    """Content hash of the activations behind the tokens."""
    left_out_tokens: int = 0
    """Tokens of the same texts that did not fit into memory."""
    harvest_flops: int = 0
    """Operations of the model passes that gave the tokens, up to the site."""
    has_random_weights: bool = False
    """Whether the model that gave the tokens had random weights."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """Label and tags of the tokens' texts by name; nothing where a recipe may not see them."""
    target: Float[Tensor, "token d_out"] | None = None
    """The same tokens at the site that a transcoder predicts; None where they were not asked for."""

    def __post_init__(self) -> None:
        if not len(self.values):
            raise EmptyBatchError(
                "There is no token to train a dictionary on; at least one was expected. Choose texts with content."
            )

    @classmethod
    def from_tensor(cls, values: Float[Tensor, "token d_model"], *, site: str = "", key: str = "") -> TokenSource:
        """Give the source of these very tokens."""
        return cls(values.detach().float().contiguous(), site, key)

    @classmethod
    def from_activations(
        cls,
        activations: Activations,
        rows: Int[np.ndarray, " example"],
        *,
        attributes: Mapping[str, Sequence[str]] | None = None,
        target: Activations | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> TokenSource:
        """Give the tokens of the texts in `rows`.

        `attributes` are values of each of these texts, by name; `target` is the store of the same texts at the site that
        a transcoder predicts.

        Where they would take more than `memory_bytes`, a random part of the texts is held that does not; the choice
        hangs on the activations alone, so every recipe and seed trains on the same part. What was left out is counted.
        """
        rows = np.asarray(rows)
        stores = [activations] if target is None else [activations, target]
        limit = memory_bytes // (4 * sum(store.d_model for store in stores))
        fitting = _fitting(activations.token_counts[rows], limit, activations.key)
        kept = rows[fitting]
        counts = activations.token_counts[kept]
        spread = {
            name: Attribute.of_texts([values[int(text)] for text in fitting], counts)
            for name, values in (attributes or {}).items()
        }
        left_out = int(activations.token_counts[rows].sum() - counts.sum())
        held = [store.tokens(kept).values.float().contiguous() for store in stores]
        # One pass up to the deeper site gives both.
        harvest_flops = max(int(store.flops(store.lengths[kept]).sum()) for store in stores)
        return cls(
            held[0],
            str(activations.site),
            activations.key,
            left_out,
            harvest_flops,
            attributes=spread,
            target=None if target is None else held[1],
        )

    @property
    def d_model(self) -> int:
        """Width of the site."""
        return self.values.shape[1]

    @property
    def token_count(self) -> int:
        """How many tokens are held."""
        return len(self.values)

    def sample(self, tokens: int, stream: torch.Generator) -> Float[Tensor, "token d_model"]:
        """Give that many different tokens in random order, or all of them where there are fewer."""
        return self.sample_pairs(tokens, stream)[0]

    def sample_pairs(
        self, tokens: int, stream: torch.Generator
    ) -> tuple[Float[Tensor, "token d_model"], Float[Tensor, "token d_out"]]:
        """Give the tokens that `sample` gives, and each at the target's site, or itself where there is no target."""
        chosen = torch.randperm(self.token_count, generator=stream)[:tokens]
        return self.values[chosen], (self.values if self.target is None else self.target)[chosen]

    def batches(self, batch: int, steps: int, stream: torch.Generator) -> Iterator[Float[Tensor, "token d_model"]]:
        """Give `steps` full batches: every token once in random order, then all again in a new order, and so on."""
        order = torch.randperm(self.token_count, generator=stream)
        for _ in range(steps):
            while len(order) < batch:
                order = torch.cat([order, torch.randperm(self.token_count, generator=stream)])
            chosen, order = order[:batch], order[batch:]
            yield self.values[chosen]


def _fitting(counts: Int[np.ndarray, " example"], limit: int, key: str) -> Int[np.ndarray, " example"]:
    """Give the positions of the texts that are held: all, or a random part with at most `limit` tokens."""
    if counts.sum() <= limit:
        return np.arange(len(counts))
    order = seeds.stream("tokens in memory", key).permutation(len(counts))
    return np.sort(order[np.cumsum(counts[order]) <= limit])
