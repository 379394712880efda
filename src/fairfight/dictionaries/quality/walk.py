"""One walk over the tokens of a store, in pieces of bounded size: sums by text, counts by latent and by L0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairfight.activations.shards import Activations, TokenBatch
from fairfight.dictionaries.contract import Dictionary
from fairfight.dictionaries.quality.numbers import token_cosines
from fairfight.errors import NonFiniteError

CODE_BYTES = 2**27
"""Codes held at a time: 128 MiB, at 65,536 latents those of 512 tokens."""
_CHUNK_TOKENS = 8192

COLUMNS = (
    "tokens",
    "squared_error",
    "squared_deviation",
    "first_squared_deviation",
    "squared_norm",
    "squared_rebuilt_norm",
    "cosine",
    "cosine_tokens",
    "active",
)
"""What is summed by text. `squared_deviation` is from the mean of all tokens, `first_…` that of a text's first token;
`active` counts codes that are not zero, whatever their sign."""


@dataclass(frozen=True, eq=False)
class Walk:
    """What the tokens say of a dictionary."""

    sums: dict[str, Float[np.ndarray, " example"]]
    """By text, for each of `COLUMNS`."""
    firing: Int[np.ndarray, " latent"]
    """Tokens on which each latent's code is not zero."""
    tokens_by_l0: Int[np.ndarray, " active"]
    """How many tokens have 0, 1, 2, … active latents."""

    @property
    def tokens(self) -> int:
        """How many tokens were seen."""
        return int(self.tokens_by_l0.sum())


def held_tokens(dictionary: Dictionary, code_bytes: int = CODE_BYTES) -> int:
    """Give how many tokens' codes fit into `code_bytes`; one at least."""
    return max(1, min(_CHUNK_TOKENS, code_bytes // (4 * dictionary.latents)))


def mean_token(activations: Activations) -> Float[Tensor, " d_model"]:
    """Give the mean of all tokens, in float64."""
    total = torch.zeros(activations.d_model, dtype=torch.float64)
    for _, batch in activations.chunks(_CHUNK_TOKENS):
        total += batch.values.double().sum(dim=0)
    return total / activations.token_count


def walk(
    dictionary: Dictionary,
    activations: Activations,
    mean: Float[Tensor, " d_model"],
    advances: Callable[[int], None] = lambda _tokens: None,
    *,
    code_bytes: int = CODE_BYTES,
) -> Walk:
    """Give what one walk over all tokens says of `dictionary`; `advances` is told of tokens done.

    At most `code_bytes` of codes are held at a time, or those of one token.

    Raises:
        WidthMismatchError: the tokens have another width than the dictionary.
        NonFiniteError: a reconstruction is NaN or infinite.
    """
    held = held_tokens(dictionary, code_bytes)
    firing = torch.zeros(dictionary.latents, dtype=torch.int64)
    tokens_by_l0 = np.zeros(dictionary.latents + 1, dtype=np.int64)
    sums = {name: np.zeros(len(activations.token_counts)) for name in COLUMNS}
    for rows, batch in activations.chunks(held):
        parts = []
        for x in batch.values.split(held):
            codes = dictionary.encode_sparse(x)
            active = codes.active
            firing += codes.firing
            tokens_by_l0 += np.bincount(active.numpy(), minlength=len(tokens_by_l0))
            parts.append(
                _columns(x.double(), dictionary.rebuild(x, codes).double(), mean) | {"active": active.double()}
            )
            advances(len(x))
        for name, values in _by_text(parts, batch).items():
            sums[name][rows] = values
    if not np.isfinite(sums["squared_error"]).all():
        raise NonFiniteError(
            f"The {dictionary.kind} dictionary's reconstruction is NaN or infinite for "
            f"{(~np.isfinite(sums['squared_error'])).sum()} texts; finite numbers were expected. Check its weights."
        )
    return Walk(sums, firing.numpy(), tokens_by_l0)


def _columns(
    x: Float[Tensor, "token d_model"], x_hat: Float[Tensor, "token d_model"], mean: Float[Tensor, " d_model"]
) -> dict[str, Float[Tensor, " token"]]:
    cosines, is_defined = token_cosines(x, x_hat)
    return {
        "tokens": torch.ones(len(x), dtype=torch.float64),
        "squared_error": (x - x_hat).square().sum(dim=1),
        "squared_deviation": (x - mean).square().sum(dim=1),
        "squared_norm": x.square().sum(dim=1),
        "squared_rebuilt_norm": x_hat.square().sum(dim=1),
        "cosine": cosines,
        "cosine_tokens": is_defined.double(),
    }


def _by_text(
    parts: list[dict[str, Float[Tensor, " token"]]], batch: TokenBatch
) -> dict[str, Float[np.ndarray, " example"]]:
    starts = batch.offsets[:-1]
    columns = {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
    sums = {name: np.add.reduceat(values, starts) for name, values in columns.items()}
    return sums | {"first_squared_deviation": columns["squared_deviation"][starts]}
