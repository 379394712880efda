"""Sparse coding: atoms learned on line for sparse codes that a solver finds, where an autoencoder guesses them.

Source: Mairal et al. (2009), "Online Dictionary Learning for Sparse Coding"; Rubinstein, Zibulevsky and Elad (2008),
"Efficient Implementation of the K-SVD Algorithm using Batch Orthogonal Matching Pursuit", for codes out of the Gram
matrix.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary, Fit, TokenSource, TrainingFlops, take_tensors
from fairfight.dictionaries.settings import check_k, check_positive
from fairfight.dictionaries.weights import project
from fairfight.errors import EmptyBatchError, StudyError
from fairfight.seeds import seed_of, torch_stream

_MOST_LATENTS = 256
_MOST_SWEEPS = 100
"""Rounds of coordinate descent for a token's LASSO, at most; few tokens need as many, and those are then all but done."""
_ENCODED_TOKENS = 2048
_LEAST_PEAK = 1e-5
"""A token is done where no atom's product with the rest exceeds this share of the largest before: that is rounding."""
_LEAST_PIVOT = 1e-6
"""An atom whose squared distance from the span of those chosen is no more than this is taken to lie in it: to tell them
apart would take codes of a thousand times the token. The token is done, as it is where an atom wins twice."""


@dataclass(frozen=True)
class SparseCoding:
    """Mini-batch dictionary learning with LASSO codes; then codes of at most k latents by orthogonal matching pursuit.

    Tokens are scaled so that their mean squared distance from the mean token is one, which makes `l1` comparable
    between sites.
    """

    is_seeded: ClassVar[bool] = True

    latents: int = 256
    """Number of atoms, at most 256: the work grows with their square, in training as in encoding, to minutes beyond."""
    k: int = 16
    """Active latents a token, at most: fewer only where fewer give the token exactly."""
    l1: float = 0.1
    """Weight of the codes' absolute sum in training. On MiniLM's activations 0.1 makes about 14 latents active."""
    steps: int = 512
    batch: int = 256
    """Tokens a step."""

    def __post_init__(self) -> None:
        check_k(self.k, self.latents)
        for name in ("l1", "steps", "batch"):
            check_positive(name, getattr(self, name))
        if self.latents > _MOST_LATENTS:
            raise StudyError(
                f"The recipe has latents = {self.latents}, but sparse coding takes at most {_MOST_LATENTS}: every token "
                "is solved for by itself, in training as in encoding, and the work grows with the square of the atoms "
                "(1,024 take minutes of a core, where 256 take a quarter of one). Lower latents, or choose another kind."
            )

    @classmethod
    def small(cls, folder: Path) -> SparseCoding:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=32, k=4, steps=16, batch=128)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the atoms, of unit norm.

        FLOPs of a step are the Gram matrix, the products of tokens and atoms, the LASSO of each token, and the update
        of the atoms. scikit-learn does not say how many sweeps over the latents a LASSO takes, so that those of the
        last step stand for all; a sweep that skips silent latents is what was executed, one that does not is dense.

        Raises:
            EmptyBatchError: all tokens are equal.
        """
        from sklearn.decomposition import MiniBatchDictionaryLearning
        from sklearn.exceptions import ConvergenceWarning

        mean, scale = _mean_and_scale(tokens)
        learner = MiniBatchDictionaryLearning(
            self.latents,
            alpha=self.l1,  # pyright: ignore[reportArgumentType] any positive number; its stub says int
            batch_size=self.batch,
            fit_algorithm="cd",
            transform_max_iter=_MOST_SWEEPS,
            random_state=seed_of("dictionary", "sparse_coding", seed) % 2**32,
        )
        stream = torch_stream("dictionary", "sparse_coding", seed)
        x = np.empty(0)
        with _global_chance_kept(), warnings.catch_warnings():
            # A step needs no exact codes: what a token's LASSO misses after the last sweep moves no atom that matters.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for step_tokens in tokens.batches(self.batch, self.steps, stream):
                # In float32 the LASSO never reaches scikit-learn's tolerance and sweeps ten times as long.
                x = ((step_tokens - mean).double() * scale).numpy()
                learner.partial_fit(x)
            flops = self._flops(learner.components_, x)
        atoms = torch.nn.functional.normalize(torch.from_numpy(learner.components_), dim=1).float().contiguous()
        return Fit(SparseCodingDictionary(atoms, mean, self.k), self.steps * self.batch, flops)

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SparseCodingDictionary:
        """Give the atoms that were saved."""
        found = take_tensors(tensors, {"W_dec": (cfg["d_sae"], cfg["d_in"]), "b_dec": (cfg["d_in"],)})
        return SparseCodingDictionary(found["W_dec"], found["b_dec"], cfg["k"])

    def _flops(
        self, atoms: Float[np.ndarray, "latent d_model"], x: Float[np.ndarray, "token d_model"]
    ) -> TrainingFlops:
        from sklearn.linear_model import Lasso

        latents, width = atoms.shape
        lasso = Lasso(self.l1 / width, fit_intercept=False, precompute=True, tol=1e-8, max_iter=_MOST_SWEEPS)
        lasso.fit(atoms.T, x.T)
        sweeps = float(np.mean(lasso.n_iter_))
        active = np.count_nonzero(lasso.coef_) / len(x)
        # Gram matrix and update of the atoms; products, error and statistics; the last alone depend on what is active.
        products = 4 * latents**2 * width + self.batch * (6 * latents * width + 2 * latents**2)
        executed, dense = (products + self.batch * sweeps * 2 * latents * changed for changed in (active, latents))
        return TrainingFlops(int(self.steps * executed), int(self.steps * dense))


@dataclass(frozen=True, eq=False)
class SparseCodingDictionary(Dictionary):
    """Unit atoms and the mean token; codes are signed, and at most k a token are not zero.

    Codes are found by orthogonal matching pursuit: k times, the atom with the largest product with what is still
    unexplained joins, and the codes of all that joined are the least-squares ones. Decoding adds the atoms up.
    """

    kind: ClassVar[str] = "sparse_coding"
    architecture: ClassVar[str] = "sparse_coding"
    is_signed: ClassVar[bool] = True

    W_dec: Float[Tensor, "latent d_model"]
    mean: Float[Tensor, " d_model"]
    k: int

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The atoms, of unit norm."""
        return self.W_dec

    @property
    def encode_flops_per_token(self) -> int:
        """The products with all atoms, k times those of codes and Gram matrix, and k least-squares solutions (k^3)."""
        return 2 * self.W_dec.numel() + self.k * 2 * self.latents**2 + self.k**3

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.W_dec.numel()

    def tensors(self) -> dict[str, Tensor]:
        """Give the atoms as `W_dec` and the mean token as `b_dec`."""
        return {"W_dec": self.W_dec, "b_dec": self.mean}

    def _settings(self) -> dict[str, Any]:
        return {"k": self.k}

    @cached_property
    def _gram(self) -> Float[Tensor, "latent latent"]:
        return self.W_dec @ self.W_dec.T

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        chunks = (x - self.mean).split(_ENCODED_TOKENS)
        return torch.cat([_matching_pursuit(project(chunk, self.W_dec), self._gram, self.k) for chunk in chunks])

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return torch.addmm(self.mean, codes, self.W_dec)


@contextmanager
def _global_chance_kept() -> Iterator[None]:
    """Put NumPy's global generator back: scikit-learn's LASSO draws a number from it for an order that it does not use."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _mean_and_scale(tokens: TokenSource) -> tuple[Float[Tensor, " d_model"], float]:
    mean = tokens.values.mean(dim=0)
    chunks = tokens.values.split(_ENCODED_TOKENS)
    power = sum((chunk - mean).double().square().sum().item() for chunk in chunks) / tokens.token_count
    if not power > 0:
        raise EmptyBatchError(
            f"All {tokens.token_count} tokens are equal, so no atom can be learned from them. Give at least two "
            "different tokens."
        )
    return mean, power**-0.5


def _matching_pursuit(
    products: Float[Tensor, "token latent"], gram: Float[Tensor, "latent latent"], k: int
) -> Float[Tensor, "token latent"]:
    """Give the codes of `k` steps of orthogonal matching pursuit, out of the tokens' products with the atoms.

    The Cholesky factor of the chosen atoms' Gram matrix grows by one row a step, for all tokens at once. A token that
    is done early gets a row of the identity and a target of zero from then on, which leave its codes as they are.
    """
    token_count = len(products)
    codes = torch.zeros_like(products)
    chosen = torch.zeros(token_count, k, dtype=torch.int64)
    factor, targets = torch.eye(k).repeat(token_count, 1, 1), torch.zeros(token_count, k)
    is_open = torch.ones(token_count, dtype=torch.bool)
    floor = _LEAST_PEAK * products.abs().amax(dim=1)
    for step in range(k):
        before, now = chosen[:, :step], step + 1
        peak, latent = torch.addmm(products, codes, gram, alpha=-1.0).abs_().max(dim=1)
        shared = gram[before, latent.unsqueeze(1)].unsqueeze(2)
        row = torch.linalg.solve_triangular(factor[:, :step, :step], shared, upper=False).squeeze(2)
        pivot = gram.diagonal()[latent] - row.square().sum(dim=1)
        is_open &= (peak > floor) & (pivot > _LEAST_PIVOT)
        factor[:, step, :step] = torch.where(is_open.unsqueeze(1), row, 0.0)
        factor[:, step, step] = torch.where(is_open, pivot, 1.0).sqrt()
        chosen[:, step] = latent
        targets[:, step] = torch.where(is_open, products.gather(1, latent.unsqueeze(1)).squeeze(1), 0.0)
        solved = torch.cholesky_solve(targets[:, :now].unsqueeze(2), factor[:, :now, :now]).squeeze(2)
        codes.zero_().scatter_add_(1, chosen[:, :now], solved)
    return codes
