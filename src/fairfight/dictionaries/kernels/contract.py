"""What a training step asks of a back end: choosing codes, decoding them, and the gradients and Adam of sparse codes.

Two back ends give the same numbers up to rounding: `compiled` (Numba, the processor) and `plain` (torch alone). Codes are
carried as flat arrays of entries, row after row, from the encoder's product to Adam.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Codes", "Gradients", "Kernels", "Matrices", "Moments", "Reconstruction"]


class Codes(NamedTuple):
    """The entries of a batch: which latent speaks for which token, and with what pre-activation."""

    starts: Int[Tensor, " token_and_one"]
    """Where each token's entries begin, and where the last one's end."""
    latents: Int[Tensor, " entry"]
    tokens: Int[Tensor, " entry"]
    pre: Float[Tensor, " entry"]
    """Pre-activations; an entry of 0 is a place that was not needed."""


class Reconstruction(NamedTuple):
    """How far the reconstruction misses, and what that does to the codes."""

    loss: float
    """Sum over tokens (and levels) of the squared error."""
    pull: Float[Tensor, "level_token d_model"]
    """The scaled error; with levels, that of level l and all deeper ones at rows l * tokens and on."""
    code_pulls: Float[Tensor, " entry"]
    """Inner product of each entry's atom with its pull: the gradient of its value."""
    pull_sum: Float[Tensor, " d_model"]
    """Sum over tokens of the first level's pull, which holds those of all deeper ones: the gradient of `b_dec`."""


class Gradients(NamedTuple):
    """Gradients of encoder rows, atoms and biases. Rows of latents that nothing touched hold anything."""

    W_enc: Float[Tensor, "latent d_model"]
    W_dec: Float[Tensor, "latent d_model"]
    b_enc: Float[Tensor, " latent"]
    """The sum of the entries' pushes, which is the gradient of a bias that is added to pre-activations."""
    is_touched: Bool[Tensor, " latent"]
    squared_norm: float
    """Of both matrices together."""


class Matrices(NamedTuple):
    """The two matrices, a row for each latent."""

    W_enc: Float[Tensor, "latent d_model"]
    W_dec: Float[Tensor, "latent d_model"]


class Moments(NamedTuple):
    """Adam's running means of a matrix's gradient and of its square."""

    mean: Float[Tensor, "latent d_model"]
    square: Float[Tensor, "latent d_model"]


class Kernels(Protocol):
    """A back end. What it returns is overwritten by the next step's calls."""

    def top_k(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        k: int,
        *,
        any_sign: bool = False,
    ) -> Codes:
        """Give the k largest positive pre-activations of each token, or the k largest of `any_sign`.

        There are always k entries a token; where fewer are positive, the others have the value 0.
        """
        ...

    def above(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        floors: Float[Tensor, " latent"],
    ) -> Codes:
        """Give the pre-activations that exceed their latent's floor."""
        ...

    def reconstruct(
        self,
        target: Float[Tensor, "token d_model"],
        W_dec: Float[Tensor, "latent d_model"],
        codes: Codes,
        values: Float[Tensor, " entry"],
        scale: float,
        levels: Int[Tensor, " latent"] | None = None,
        depth: int = 1,
    ) -> Reconstruction:
        """Decode `values` and compare with the target, at each of `depth` nested levels where `levels` are given."""
        ...

    def gradients(
        self,
        x: Float[Tensor, "token d_model"],
        pull: Float[Tensor, "level_token d_model"],
        W_dec: Float[Tensor, "latent d_model"],
        entries: Entries,
        along: Float[Tensor, " latent"] | None,
        *,
        unit_norm: bool,
    ) -> Gradients:
        """Add up the entries' outer products by latent.

        `along` is how much of its own direction each atom's gradient gets besides; with `unit_norm` the part of its
        gradient along an atom is then taken out.
        """
        ...

    def adam(
        self,
        weights: Matrices,
        moments: tuple[Moments, Moments],
        gradients: Gradients,
        *,
        rate: float,
        step: int,
        factor: float,
        unit_norm: bool,
    ) -> None:
        """Take step number `step` (from one) of Adam in place, on gradients times `factor`; then restore unit norms."""
        ...

    def count_silence(
        self, silent: Int[Tensor, " latent"], tokens: int, codes: Codes, values: Float[Tensor, " entry"]
    ) -> int:
        """Add `tokens` to each latent's silence in place, end that of those who speak, and count the codes that do."""
        ...

    def weighted_sum(
        self, matrix: Float[Tensor, "row d_model"], weights: Float[Tensor, " row"]
    ) -> Float[Tensor, " d_model"]:
        """Give the weighted sum of rows, to the same bits on any number of threads."""
        ...


class Entries(NamedTuple):
    """What the gradients are made of: outer products of a token and its pull, for each latent that spoke."""

    latents: Int[Tensor, " entry"]
    pull_rows: Int[Tensor, " entry"]
    """The row of `pull`; modulo the number of tokens, the token."""
    values: Float[Tensor, " entry"]
    """Multiplies the pull in the atom's gradient."""
    pushes: Float[Tensor, " entry"]
    """Multiplies the token in the encoder row's gradient: the gradient of the pre-activation."""


BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
"""Adam's constants, as everybody has them."""


def adam_factors(rate: float, step: int) -> tuple[float, float]:
    """Give the step size with its bias correction, and the factor that corrects the root of the squares."""
    return rate / (1 - BETA1**step), 1 / (1 - BETA2**step) ** 0.5
