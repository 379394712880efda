"""Non-negative matrix factorisation: each latent is a part, and parts only ever add up.

Source: Lee and Seung (1999), "Learning the parts of objects by non-negative matrix factorization"; Hoyer (2003),
"Modeling receptive fields with non-negative sparse coding", for positive and negative parts as channels of their own;
Cichocki and Phan (2009), "Fast Local Algorithms for Large Scale Nonnegative Matrix and Tensor Factorizations", for the
updates behind a code (HALS).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary, Fit, TokenSource, TrainingFlops, take_tensors
from fairfight.dictionaries.settings import check_positive
from fairfight.dictionaries.weights import project
from fairfight.errors import DataError, StudyError
from fairfight.seeds import seed_of, torch_stream

_ENCODED_TOKENS = 2048
"""Tokens whose codes are solved for at a time: codes and products of 512 latents take 8 MiB, which stay in the cache."""
_LATENT_BLOCK = 32


@dataclass(frozen=True)
class NMF:
    """Mini-batch NMF of tokens laid out as [positive part, negative part], 2 d_model wide and nowhere negative.

    The tokens are taken as they are: NMF has no offset, and taking the mean from them would move where a part begins.
    """

    is_seeded: ClassVar[bool] = True

    latents: int = 256
    """Number of parts; more than 2 d_model are refused, as a token's codes would not be unique."""
    steps: int = 512
    batch: int = 256
    """Tokens a step; at least as many as parts, which are taken from the singular vectors of the first step."""
    updates: int = 10
    """Multiplicative updates of a step's codes before those of the parts."""
    memory: float = 0.7
    """Weight of all steps before against the present one's, a step; scikit-learn's default where it fits in parts."""
    sweeps: int = 20
    """Rounds over all latents that solve for a token's codes."""

    def __post_init__(self) -> None:
        for name in ("latents", "steps", "batch", "updates", "memory", "sweeps"):
            check_positive(name, getattr(self, name))
        if self.batch < self.latents:
            raise StudyError(
                f"The recipe has batch = {self.batch}, but a step takes at least as many tokens as there are parts "
                f"(latents = {self.latents}). Raise batch, or lower latents."
            )
        if self.memory > 1:
            raise StudyError(
                f"The recipe has memory = {self.memory}, but it is a share, above 0 and at most 1 (nothing is "
                "forgotten). Change it in the study."
            )

    @classmethod
    def small(cls, folder: Path) -> NMF:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=16, steps=40)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the parts, each of unit norm.

        FLOPs are the products: for each update of codes those of tokens and parts, of parts with parts, and of both
        outcomes; as much for the update of the parts; and the error once a step. The start (a truncated SVD of one
        batch) and divisions are left out.

        Raises:
            StudyError: there are more parts than twice the site's width.
            DataError: there are fewer tokens than parts.
        """
        from sklearn.decomposition import MiniBatchNMF

        self._check(tokens)
        factorisation = MiniBatchNMF(
            self.latents,  # pyright: ignore[reportArgumentType] its stub knows "auto" alone
            batch_size=self.batch,
            forget_factor=self.memory,
            fresh_restarts_max_iter=self.updates,
            tol=0.0,
            random_state=seed_of("dictionary", "nmf", seed) % 2**32,
        )
        for step_tokens in tokens.batches(self.batch, self.steps, torch_stream("dictionary", "nmf", seed)):
            factorisation.partial_fit(_halves(step_tokens).numpy())
        parts = torch.nn.functional.normalize(torch.from_numpy(factorisation.components_).float(), dim=1).contiguous()
        tokens_seen = self.steps * self.batch
        update_flops = 2 * (self.batch + self.latents) * parts.numel() + 2 * self.batch * self.latents**2
        flops = self.steps * ((self.updates + 1) * update_flops + 2 * self.batch * parts.numel())
        return Fit(NMFDictionary(parts, self.sweeps), tokens_seen, TrainingFlops(flops, flops))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NMFDictionary:
        """Give the parts that were saved."""
        matrix = (cfg["d_sae"], cfg["d_in"])
        found = take_tensors(tensors, {"W_dec_positive": matrix, "W_dec_negative": matrix})
        return NMFDictionary(torch.cat(list(found.values()), dim=1), cfg["sweeps"])

    def _check(self, tokens: TokenSource) -> None:
        width, token_count = tokens.d_model, tokens.token_count
        if self.latents > 2 * width:
            raise StudyError(
                f"The recipe has latents = {self.latents}, but a site of width {width} takes at most {2 * width}: with "
                "more parts than coordinates (positive and negative), many codes describe a token equally well. Lower "
                "latents in the study."
            )
        if token_count < self.latents:
            raise DataError(
                f"There are {token_count} tokens for {self.latents} parts, but at least as many tokens as parts were "
                "expected. Lower the recipe's latents, or train on more texts."
            )


@dataclass(frozen=True, eq=False)
class NMFDictionary(Dictionary):
    """Parts of [positive part, negative part]; a code is how much of a part there is.

    Codes c >= 0 minimise ||[x+, x-] - c parts||^2. They are solved for by coordinate descent from zero: `sweeps` times,
    each latent in turn is put where it minimises the error, all others held. After the default of 20 sweeps the squared
    error is 0.04 % above the least there is on MiniLM's activations (256 parts, 384 wide), and 2 % in the worst case
    tested, of nearly as many parts as 2 d_model. Codes are scikit-learn's to 0.1 % of the largest where the parts
    differ; of two parts that are nearly the same the first takes what scikit-learn's multiplicative updates would
    share out, and no error tells which is right.

    Decoding takes the negative half of c parts from the positive half; an atom is the difference of a part's halves.
    """

    kind: ClassVar[str] = "nmf"
    architecture: ClassVar[str] = "nmf"
    is_signed: ClassVar[bool] = False

    parts: Float[Tensor, "latent two_d_model"]
    """Of unit norm, or zero for a part that died in training."""
    sweeps: int

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The positive halves of the parts minus the negative halves."""
        positive, negative = self.parts.chunk(2, dim=1)
        return positive - negative

    @property
    def encode_flops_per_token(self) -> int:
        """One product with the parts, and one with their Gram matrix for each sweep."""
        return 2 * self.parts.numel() + self.sweeps * 2 * len(self.parts) ** 2

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product with the atoms."""
        return self.parts.numel()

    def tensors(self) -> dict[str, Tensor]:
        """Give the halves of the parts as `W_dec_positive` and `W_dec_negative`; the atoms are their difference."""
        positive, negative = self.parts.chunk(2, dim=1)
        return {"W_dec_positive": positive.contiguous(), "W_dec_negative": negative.contiguous()}

    def _settings(self) -> dict[str, Any]:
        return {"sweeps": self.sweeps}

    @cached_property
    def _gram(self) -> Float[Tensor, "latent latent"]:
        return self.parts @ self.parts.T

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        codes = x.new_empty(len(x), self.latents)
        for chunk, solved in zip(x.split(_ENCODED_TOKENS), codes.split(_ENCODED_TOKENS), strict=True):
            solved.copy_(_non_negative_codes(project(_halves(chunk), self.parts), self._gram, self.sweeps))
        return codes

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return codes @ self.atoms


def _halves(x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token two_d_model"]:
    return torch.cat([x.clamp(min=0.0), x.neg().clamp_(min=0.0)], dim=1)


def _non_negative_codes(
    products: Float[Tensor, "token latent"], gram: Float[Tensor, "latent latent"], sweeps: int
) -> Float[Tensor, "token latent"]:
    """Give codes c >= 0 that minimise c^T gram c / 2 - products^T c for each token, where gram's diagonal is one.

    Latents are updated in order, each with what those before it became: compiled where Numba is installed, which leaves out
    what stays at zero, and in torch for all tokens at once otherwise. They agree to rounding.
    """
    if find_spec("numba"):
        from fairfight.dictionaries.kernels.compiled.descending import non_negative_codes

        codes = torch.empty_like(products)
        non_negative_codes(products.contiguous().numpy(), gram.numpy(), sweeps, codes.numpy())
        return codes
    return _by_blocks(products.T.contiguous(), gram, sweeps).T


def _by_blocks(
    products: Float[Tensor, "latent token"], gram: Float[Tensor, "latent latent"], sweeps: int
) -> Float[Tensor, "latent token"]:
    """Give the same; blocks only save time: what other blocks take from a block's products is one matrix product."""
    codes = torch.zeros_like(products)
    for _ in range(sweeps):
        for start in range(0, len(gram), _LATENT_BLOCK):
            block = slice(start, start + _LATENT_BLOCK)
            gaps = torch.addmm(products[block], gram[block], codes, alpha=-1.0)
            own_gram, own_codes = gram[block, block], codes[block]
            for latent, (gap, code) in enumerate(zip(gaps, own_codes, strict=True)):
                step = torch.maximum(gap, -code)
                code += step
                gaps[latent + 1 :].addr_(own_gram[latent + 1 :, latent], step, alpha=-1.0)
    return codes
