"""Independent components: directions along which tokens are as far from Gaussian as can be.

Source: Hyvärinen and Oja (2000), "Independent Component Analysis: Algorithms and Applications", section 6.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary, Fit, TokenSource, TrainingFlops, take_tensors
from fairfight.dictionaries.settings import check_positive
from fairfight.dictionaries.weights import project
from fairfight.errors import DataError, StudyError
from fairfight.seeds import seed_of, torch_stream

_CHUNK_TOKENS = 8192
_LEAST_VARIANCE = 1e-6
"""Share of the largest variance below which a direction is left out: a thousandth of its spread is where the rounding
of bfloat16 stores begins, and whitening would raise it to the height of a latent. LayerNorm alone gives one direction
of no variance."""


@dataclass(frozen=True)
class ICA:
    """FastICA (parallel, log cosh) on tokens that principal components have whitened.

    FastICA often stops without having settled: some directions of a model's activations are so near to Gaussian that
    no rotation of them is better than another, and its steps go round in circles there while the others stand still.
    That is no error here: every step's outcome is a rotation of the whitened tokens and thus a whole dictionary, as
    good at reconstruction as the settled one, and a study should not lose a contender that more iterations may never
    settle. It is recorded instead: `cfg.json` holds `iterations_run` and `has_converged`.
    """

    is_seeded: ClassVar[bool] = True

    latents: int | None = None
    """Components kept, those of largest variance before they are rotated; None keeps all that have variance."""
    fit_tokens: int = 131_072
    """Training tokens that components are fitted to, at most; every iteration goes through all of them.

    With fewer it settles later or never: on MiniLM's activations the default took 160 iterations, and half as many
    tokens had not settled after 400.
    """
    iterations: int = 200
    """Iterations, at most."""
    tolerance: float = 1e-4
    """It has settled where no component's cosine with itself one iteration before is further than this from one."""

    def __post_init__(self) -> None:
        for name in ("fit_tokens", "iterations", "tolerance"):
            check_positive(name, getattr(self, name))
        if self.latents is not None:
            check_positive("latents", self.latents)

    @classmethod
    def small(cls, folder: Path) -> ICA:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(fit_tokens=2048, iterations=50)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the components, those that explain most variance first.

        A component's sign is chosen so that the largest coordinate of its atom is positive. FLOPs are the covariance,
        the eigenvectors (9 d_model^3), the whitening, and for each iteration two products of all tokens with all
        components and the symmetric decorrelation (15 components^3); tanh and sums are left out.

        Raises:
            StudyError: more components are asked for than the site is wide.
            DataError: more are asked for than the tokens have directions of variance, or they have none.
        """
        width = tokens.d_model
        if self.latents is not None and self.latents > width:
            raise StudyError(
                f"The recipe has latents = {self.latents}, but a site of width {width} has 1 to {width} components. "
                "Change latents in the study, or leave it out to keep all."
            )
        x = tokens.sample(self.fit_tokens, torch_stream("dictionary", "ica", seed))
        white = _whiten(x, self.latents)
        components = len(white.to_white)
        rotation, iterations_run, has_converged = self._rotate(white.tokens, seed)
        unmixing, atoms = _canonical(rotation @ white.to_white, rotation @ white.from_white)
        dictionary = ICADictionary(unmixing, atoms, white.mean.float(), iterations_run, has_converged)
        whitening_flops = 2 * len(x) * width * (width + components) + 9 * width**3
        flops = whitening_flops + iterations_run * (4 * len(x) * components**2 + 15 * components**3)
        return Fit(dictionary, len(x) * (1 + iterations_run), TrainingFlops(flops, flops))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ICADictionary:
        """Give the components that were saved."""
        width, latents = cfg["d_in"], cfg["d_sae"]
        found = take_tensors(tensors, {"W_enc": (width, latents), "W_dec": (latents, width), "b_dec": (width,)})
        unmixing = found["W_enc"].T.contiguous()
        return ICADictionary(unmixing, found["W_dec"], found["b_dec"], cfg["iterations_run"], cfg["has_converged"])

    def _rotate(
        self, white: Float[Tensor, "token latent"], seed: int
    ) -> tuple[Float[Tensor, "latent latent"], int, bool]:
        """Give the rotation that FastICA finds, in float64, how many iterations it took, and whether it settled."""
        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        fast_ica = FastICA(
            whiten=False,  # pyright: ignore[reportArgumentType] documented, but not in its stub
            max_iter=self.iterations,
            tol=self.tolerance,
            random_state=seed_of("dictionary", "ica", seed) % 2**32,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fast_ica.fit(white.numpy())
        has_converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        return torch.from_numpy(fast_ica.components_).double(), fast_ica.n_iter_, has_converged


@dataclass(frozen=True, eq=False)
class ICADictionary(Dictionary):
    """Independent components; a code is a signed coordinate, of unit variance on the tokens that it was fitted to.

    Encoding is a product with the unmixing matrix, decoding one with the mixing matrix: they are each other's inverse
    where all components are kept, so that decoding is exact up to rounding.
    """

    kind: ClassVar[str] = "ica"
    architecture: ClassVar[str] = "ica"
    is_signed: ClassVar[bool] = True

    unmixing: Float[Tensor, "latent d_model"]
    mixing: Float[Tensor, "latent d_model"]
    """The transpose of what the literature calls the mixing matrix: a row for each component."""
    mean: Float[Tensor, " d_model"]
    iterations_run: int
    has_converged: bool
    """Whether FastICA settled within its tolerance."""

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The rows of the mixing; their squared norm is the variance that a component explains."""
        return self.mixing

    @property
    def encode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.unmixing.numel()

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.mixing.numel()

    def tensors(self) -> dict[str, Tensor]:
        """Give the unmixing as `W_enc`, the mixing as `W_dec` and the mean as `b_dec`."""
        return {"W_enc": self.unmixing.T.contiguous(), "W_dec": self.mixing, "b_dec": self.mean}

    def _settings(self) -> dict[str, Any]:
        return {"iterations_run": self.iterations_run, "has_converged": self.has_converged}

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        return project(x - self.mean, self.unmixing)

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return torch.addmm(self.mean, codes, self.mixing)


class _White(NamedTuple):
    """Tokens as uncorrelated coordinates of unit variance, and the way there and back, in float64."""

    tokens: Float[Tensor, "token latent"]
    """In float32."""
    mean: Float[Tensor, " d_model"]
    to_white: Float[Tensor, "latent d_model"]
    from_white: Float[Tensor, "latent d_model"]


def _whiten(x: Float[Tensor, "token d_model"], latents: int | None) -> _White:
    """Whiten along the principal components of largest variance: `latents` of them, or all that have variance."""
    mean = x.double().mean(dim=0)
    scatter = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    for chunk in x.split(_CHUNK_TOKENS):
        centred = chunk.double() - mean
        scatter.addmm_(centred.T, centred)
    variances, directions = torch.linalg.eigh(scatter / len(x))
    variances, directions = variances.flip(0), directions.T.flip(0)
    rank = int((variances > _LEAST_VARIANCE * variances[0].clamp(min=0.0)).sum())
    kept = rank if latents is None else latents
    if not 1 <= kept <= rank:
        raise DataError(
            f"The {len(x)} tokens that components are fitted to vary along {rank} directions (of more than "
            f"{_LEAST_VARIANCE:g} of the largest variance), but {max(kept, 1)} are to be found. Lower the recipe's latents "
            "or leave it out, or train on more texts."
        )
    spreads = variances[:kept, None].sqrt()
    to_white, from_white = directions[:kept] / spreads, directions[:kept] * spreads
    white = torch.cat([((chunk.double() - mean) @ to_white.T).float() for chunk in x.split(_CHUNK_TOKENS)])
    return _White(white, mean, to_white, from_white)


def _canonical(
    unmixing: Float[Tensor, "latent d_model"], atoms: Float[Tensor, "latent d_model"]
) -> tuple[Float[Tensor, "latent d_model"], Float[Tensor, "latent d_model"]]:
    """Give both as float32, in the order of the atoms' norms, largest first, with each atom's largest coordinate positive."""
    order = atoms.square().sum(dim=1).argsort(descending=True, stable=True)
    unmixing, atoms = unmixing[order], atoms[order]
    signs = atoms.gather(1, atoms.abs().argmax(dim=1, keepdim=True)).sign()
    return (unmixing * signs).float().contiguous(), (atoms * signs).float().contiguous()
