"""What a training step asks of a back end: choosing codes, decoding them, and the gradients and Adam of sparse codes.

Two back ends give the same numbers up to rounding: `compiled` (Numba, the processor) and `plain` (torch alone). Codes are
carried as flat arrays of entries, row after row, from the encoder's product to Adam.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Codes", "Dead", "Entries", "Gradients", "Kernels", "Matrices", "Moments", "Moved", "Reconstruction"]


class Codes(NamedTuple):
    """The entries of a batch: which latent speaks for which token, and with what pre-activation."""

    starts: Int[Tensor, " token_and_one"]
    """Where each token's entries begin, and where the last one's end."""
    latents: Int[Tensor, " entry"]
    tokens: Int[Tensor, " entry"]
    pre: Float[Tensor, " entry"]
    """Pre-activations."""
    dead: Codes | None = None
    """What the dead latents that were asked about say, where the back end found it in the same product."""


class Dead(NamedTuple):
    """Latents whose largest pre-activations, of either sign, are wanted beside the codes."""

    latents: Int[Tensor, " dead"]
    """In rising order."""
    k: int
    """How many a token; all of them where there are no more."""


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
    through_b_enc: Float[Tensor, " d_model"]
    """The sum of the encoder's rows times `b_enc`: what reaches a vector that all tokens have subtracted."""
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


class Moved(NamedTuple):
    """A parameter beside the two matrices, and what moves it."""

    parameter: Tensor
    moments: Moments
    gradient: Tensor


class Kernels(Protocol):
    """A back end. What it returns is overwritten by the next step's calls."""

    def top_k(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        k: int,
        *,
        dead: Dead | None = None,
    ) -> Codes:
        """Give the k largest positive pre-activations of each token; fewer where fewer are positive.

        Where pre-activations are coarse, the codes hold nothing of the `dead`.
        """
        ...

    def above(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        floors: Float[Tensor, " latent"],
        *,
        dead: Dead | None = None,
    ) -> Codes:
        """Give the pre-activations that exceed their latent's floor."""
        ...

    def largest(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        dead: Dead,
    ) -> Codes:
        """Give the largest pre-activations, of either sign, of some latents alone, by a product of their own."""
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
        *,
        members: Int[Tensor, " member"] | None = None,
    ) -> Reconstruction:
        """Decode `values` and compare with the target, at each of `depth` nested levels where `levels` are given.

        `members` are the latents that codes are of, where these are not all.
        """
        ...

    def gradients(
        self,
        x: Float[Tensor, "token d_model"],
        weights: Matrices,
        parts: Sequence[Entries],
        along: Float[Tensor, " latent"] | None,
        *,
        unit_norm: bool,
    ) -> Gradients:
        """Add up the outer products of all parts' entries by latent.

        `along` is how much of its own direction each atom's gradient gets besides; with `unit_norm` the part of its
        gradient along an atom is then taken out.
        """
        ...

    def adam(
        self,
        weights: Matrices,
        moments: tuple[Moments, Moments],
        gradients: Gradients,
        others: Sequence[Moved],
        *,
        rate: float,
        step: int,
        factor: float,
        unit_norm: bool,
    ) -> None:
        """Take step number `step` (from one) of Adam in place, on gradients times `factor`; then restore unit norms."""
        ...

    def squared_norm(self, gradients: Sequence[Tensor]) -> float:
        """Give the squared norm of some gradients together."""
        ...

    def count_silence(
        self, silent: Int[Tensor, " latent"], tokens: int, codes: Codes, values: Float[Tensor, " entry"]
    ) -> int:
        """Add `tokens` to each latent's silence in place, end that of those who speak, and count the codes that do."""
        ...


class Entries(NamedTuple):
    """What the gradients of a reconstruction are made of: outer products of a token and its pull, for each that spoke."""

    pull: Float[Tensor, "level_token d_model"]
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
