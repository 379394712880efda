"""Conditional means: an atom for each value of each labelled attribute, the skyline that needs no training.

Source: Makelov, Lange and Nanda (2024), "Towards Principled Evaluations of Sparse Autoencoders for Interpretability and
Control": a = E[a] + sum over attributes of u_{attribute = value} + error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary, Fit, Needs, TokenSource, TrainingFlops, take_tensors
from fairfight.dictionaries.tokens import Attribute
from fairfight.dictionaries.weights import project
from fairfight.errors import StudyError

_CHUNK_TOKENS = 8192
_LEAST_POWER = 1e-6
"""Directions in which the atoms have less than this share of their strongest direction's squared length are left out of
the codes: to read them would take codes of hundreds of atoms that cancel."""


@dataclass(frozen=True)
class Supervised:
    """The mean token of each value less the mean token, for the label and every tag; no settings.

    Labels are those of the training examples of one split, which every method fits on as well; a study trains it anew for
    each split seed, because what one split trains on is another's validation. Attributes that go together share their
    difference: an atom is a difference of means, and not the effect of its attribute with the others held. A skyline is
    no control, which a contestant has to beat: its role is `rival`.
    """

    is_seeded: ClassVar[bool] = False

    def needs(self, site: str) -> Needs:
        """Ask for labels and tags."""
        return Needs(labels=True)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the conditional means; `seed` changes nothing. An attribute with one value has no atom.

        Raises:
            StudyError: no attribute of the tokens has two values.
        """
        varied = {name: own for name, own in tokens.attributes.items() if len(own.values) > 1}
        if not varied:
            raise StudyError(
                f"The tokens have {len(tokens.attributes)} attributes, none with two values; a dictionary of the kind "
                "'supervised' takes the mean of each value. Give `TokenSource` labels or tags that differ."
            )
        mean = tokens.values.mean(dim=0, dtype=torch.float64)
        atoms = torch.cat([_means(tokens.values, own) - mean for own in varied.values()])
        # The pseudo-inverse of the atoms, by way of their Gram matrix: values of one attribute always depend on each other.
        encoder_rows = torch.linalg.pinv(atoms @ atoms.T, rtol=_LEAST_POWER, hermitian=True) @ atoms
        names = tuple(f"{name}={value}" for name, own in varied.items() for value in own.values)
        flops = tokens.values.numel() * (1 + len(varied)) + 4 * len(atoms) ** 2 * tokens.d_model + 9 * len(atoms) ** 3
        dictionary = SupervisedDictionary(encoder_rows.float(), atoms.float(), mean.float(), names)
        return Fit(dictionary, tokens.token_count, TrainingFlops(flops, flops))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SupervisedDictionary:
        """Give the conditional means that were saved."""
        width, latents = cfg["d_in"], cfg["d_sae"]
        found = take_tensors(tensors, {"W_enc": (width, latents), "W_dec": (latents, width), "b_dec": (width,)})
        encoder_rows = found["W_enc"].T.contiguous()
        return SupervisedDictionary(encoder_rows, found["W_dec"], found["b_dec"], tuple(cfg["latent_names"]))


@dataclass(frozen=True, eq=False)
class SupervisedDictionary(Dictionary):
    """Atoms that have a name each, and the mean token; codes are signed.

    A token's own attributes are not known when it is encoded. Its codes are the least-squares ones, of all that give the
    same reconstruction those with the smallest sum of squares, so that the reconstruction is the token's projection onto
    the plane of the atoms through the mean.
    """

    kind: ClassVar[str] = "supervised"
    architecture: ClassVar[str] = "supervised"
    is_signed: ClassVar[bool] = True

    encoder_rows: Float[Tensor, "latent d_model"]
    W_dec: Float[Tensor, "latent d_model"]
    mean: Float[Tensor, " d_model"]
    names: tuple[str, ...]
    """`attribute=value` of each latent."""

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The conditional means less the mean, of any norm."""
        return self.W_dec

    @property
    def encode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.W_dec.numel()

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.W_dec.numel()

    def tensors(self) -> dict[str, Tensor]:
        """Give atoms, mean and encoder under an SAE's names."""
        return {"W_enc": self.encoder_rows.T.contiguous(), "W_dec": self.W_dec, "b_dec": self.mean}

    def _settings(self) -> dict[str, Any]:
        return {"latent_names": list(self.names)}

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        return project(x - self.mean, self.encoder_rows)

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return torch.addmm(self.mean, codes, self.W_dec)


def _means(values: Float[Tensor, "token d_model"], attribute: Attribute) -> Float[Tensor, "value d_model"]:
    """Give the mean token of each value of an attribute, in float64."""
    sums = torch.zeros(len(attribute.values), values.shape[1], dtype=torch.float64)
    for chunk, own in zip(values.split(_CHUNK_TOKENS), attribute.of_token.split(_CHUNK_TOKENS), strict=True):
        sums.index_add_(0, own, chunk.double())
    return sums / attribute.of_token.bincount(minlength=len(sums)).unsqueeze(1)
