"""How well a dictionary reconstructs, and how many of its latents speak."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight import seeds
from fairfight.dictionaries.contract import Dictionary, TokenSource
from fairfight.errors import EmptyBatchError

_CHUNK_TOKENS = 4096
_MEASURED_TOKENS = 32_768


class Quality(NamedTuple):
    """The three numbers of a card; see `fvu`, `l0` and `dead_share`."""

    fvu: float
    l0: float
    dead_share: float


def fvu(x: Float[Tensor, "token d_model"], x_hat: Float[Tensor, "token d_model"]) -> float:
    """Give the fraction of variance unexplained.

    FVU = sum_t ||x_t - x_hat_t||^2 / sum_t ||x_t - m||^2, where m is the mean of x over its tokens: 0 is perfect, 1 is
    what the mean alone would do. Sums are in float64.

    Raises:
        EmptyBatchError: fewer than two different tokens, so that there is no variance to explain.
    """
    return _share_of_variance((x.double() - x_hat.double()).square().sum().item(), x)


def l0(codes: Float[Tensor, "token latent"]) -> float:
    """Give the mean number of latents a token whose code is not zero.

    Raises:
        EmptyBatchError: `codes` has no token.
    """
    _check_tokens(codes)
    return torch.count_nonzero(codes).item() / len(codes)


def dead_share(codes: Float[Tensor, "token latent"]) -> float:
    """Give the share of latents whose code is zero on every token.

    Raises:
        EmptyBatchError: `codes` has no token.
    """
    _check_tokens(codes)
    return 1.0 - (codes != 0).any(dim=0).double().mean().item()


def measure(dictionary: Dictionary, tokens: TokenSource) -> Quality:
    """Give the quality of `dictionary` on up to 32,768 of the tokens.

    They are drawn by the name of the activations alone, so every recipe and seed is measured on the same ones.

    Raises:
        EmptyBatchError: fewer than two different tokens.
    """
    x = tokens.sample(_MEASURED_TOKENS, seeds.torch_stream("dictionary quality", tokens.key))
    squared_error, active = 0.0, 0
    is_alive = torch.zeros(dictionary.latents, dtype=torch.bool)
    for chunk in x.split(_CHUNK_TOKENS):
        codes = dictionary.encode(chunk)
        squared_error += (chunk.double() - dictionary.decode(codes).double()).square().sum().item()
        is_active = codes != 0
        active += int(is_active.sum())
        is_alive |= is_active.any(dim=0)
    dead = 1.0 - is_alive.double().mean().item()
    return Quality(_share_of_variance(squared_error, x), active / len(x), dead)


def _share_of_variance(squared_error: float, x: Float[Tensor, "token d_model"]) -> float:
    _check_tokens(x)
    mean = x.double().mean(dim=0)
    variance = sum((chunk.double() - mean).square().sum().item() for chunk in x.split(_CHUNK_TOKENS))
    if variance == 0:
        raise EmptyBatchError(
            f"All {len(x)} tokens are equal, so they have no variance to explain. Give at least two different tokens."
        )
    return squared_error / variance


def _check_tokens(matrix: Tensor) -> None:
    if not len(matrix):
        raise EmptyBatchError(
            "Found no token, expected at least one: a mean of nothing is undefined. Choose other texts."
        )
