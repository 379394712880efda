"""The formulas of reconstruction and sparsity, each in one place.

"Explained variance" has gone by several formulas that give other numbers on the same data. Here it is 1 - FVU, with
the sums over tokens and dimensions taken first and one ratio after. The mean over dimensions (or over tokens) of a ratio
each is another number: it gives a dimension that hardly varies the same say as one that carries the variance.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
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


def variance_explained(x: Float[Tensor, "token d_model"], x_hat: Float[Tensor, "token d_model"]) -> float:
    """Give the share of variance explained: VE = 1 - FVU, nothing else.

    It is negative where the reconstruction is worse than the mean.

    Raises:
        EmptyBatchError: as for `fvu`.
    """
    return 1.0 - fvu(x, x_hat)


def norm_ratio(x: Float[Tensor, "token d_model"], x_hat: Float[Tensor, "token d_model"]) -> float:
    """Give the ratio of mean squared norms: sum_t ||x_hat_t||^2 / sum_t ||x_t||^2.

    1 is neither shrunk nor blown up; a penalty on codes makes it fall short.

    Raises:
        EmptyBatchError: no token, or all of them are zero.
    """
    _check_tokens(x)
    if not (squared_norm := x.double().square().sum().item()):
        raise EmptyBatchError(f"All {len(x)} tokens are zero, so no ratio to their norm exists. Choose another site.")
    return x_hat.double().square().sum().item() / squared_norm


def cosine(x: Float[Tensor, "token d_model"], x_hat: Float[Tensor, "token d_model"]) -> float:
    """Give the mean over tokens of x_t . x_hat_t / (||x_t|| ||x_hat_t||).

    Tokens of which either vector is zero have no cosine and are left out.

    Raises:
        EmptyBatchError: no token has a cosine.
    """
    found, is_defined = token_cosines(x.double(), x_hat.double())
    if not is_defined.any():
        raise EmptyBatchError(
            f"Of {len(x)} tokens none has a cosine with its reconstruction, because one of both is zero each time. "
            "Choose other texts, or a dictionary that is not dead."
        )
    return found[is_defined].mean().item()


def token_cosines(
    x: Float[Tensor, "token d_model"], x_hat: Float[Tensor, "token d_model"]
) -> tuple[Float[Tensor, " token"], Bool[Tensor, " token"]]:
    """Give the cosine of each token and its reconstruction, and where there is one (it is 0 elsewhere)."""
    norms = x.norm(dim=1) * x_hat.norm(dim=1)
    is_defined = norms > 0
    return torch.where(
        is_defined, (x * x_hat).sum(dim=1) / norms.where(is_defined, torch.ones_like(norms)), 0.0
    ), is_defined


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
    """Give the quality of `dictionary` on up to 32,768 of the tokens; a transcoder's FVU is that of the target.

    They are drawn by the name of the activations alone, so every recipe and seed is measured on the same ones.

    Raises:
        EmptyBatchError: fewer than two different tokens.
    """
    x, target = tokens.sample_pairs(_MEASURED_TOKENS, seeds.torch_stream("dictionary quality", tokens.key))
    wanted = target if dictionary.is_transcoder else x
    squared_error, active = 0.0, 0
    is_alive = torch.zeros(dictionary.latents, dtype=torch.bool)
    for chunk, given in zip(x.split(_CHUNK_TOKENS), wanted.split(_CHUNK_TOKENS), strict=True):
        codes = dictionary.encode_sparse(chunk)
        squared_error += (given.double() - dictionary.rebuild(chunk, codes).double()).square().sum().item()
        active += len(codes.values)
        is_alive |= codes.firing > 0
    dead = 1.0 - is_alive.double().mean().item()
    return Quality(_share_of_variance(squared_error, wanted), active / len(x), dead)


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
