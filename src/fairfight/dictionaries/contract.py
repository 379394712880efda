"""What every dictionary gives, what every recipe takes, and the card that travels with a trained one.

A kind is one file in `kinds/`: a recipe (the class that bears the file's name, a frozen dataclass of settings) and the
dictionary that it trains.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, Self, final, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from fairfight.dictionaries.sparse import SparseCodes
from fairfight.dictionaries.tokens import Needs, TokenSource
from fairfight.errors import DamagedFileError, WidthMismatchError

__all__ = ["Card", "Dictionary", "Fit", "Needs", "Recipe", "TokenSource", "TrainingFlops", "take_tensors"]


TRAINING_VERSION = 5
"""Raise it when one of our own recipes gives another dictionary than before: cached ones are trained anew."""


class Dictionary(ABC):
    """A basis of a site: `encode` turns tokens into codes, `decode` turns codes back into tokens.

    `encode`, `encode_sparse` and `decode` check the width, in this one place, and take no gradient.
    """

    kind: ClassVar[str]
    """Name of the plug-in file that restores it."""
    architecture: ClassVar[str]
    """The word for it in `cfg.json`: SAELens's own where SAELens knows it, else the kind."""
    is_signed: ClassVar[bool]
    """Whether codes may be negative, so that pooling has to keep minima as well as maxima."""
    is_transcoder: ClassVar[bool] = False
    """Whether decoding gives the same tokens at another site, instead of those that were encoded."""

    @property
    @abstractmethod
    def atoms(self) -> Float[Tensor, "latent d_out"]:
        """What a code of one adds to the reconstruction, a row for each latent."""

    @property
    def d_model(self) -> int:
        """Width of the tokens."""
        return self.atoms.shape[1]

    @property
    def d_out(self) -> int:
        """Width of what decoding gives: that of the tokens, but for a transcoder."""
        return self.atoms.shape[1]

    @property
    def latents(self) -> int:
        """Number of atoms."""
        return self.atoms.shape[0]

    @final
    @torch.no_grad()
    def encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        """Give the codes of tokens, as float32.

        Raises:
            WidthMismatchError: the tokens have another width than the dictionary.
        """
        self._check("Activations", x.shape, self.d_model)
        return self._encode(x.float())

    @final
    @torch.no_grad()
    def encode_sparse(self, x: Float[Tensor, "token d_model"]) -> SparseCodes:
        """Give the codes of tokens without their zeros: the numbers of `encode`, to the bit.

        Raises:
            WidthMismatchError: the tokens have another width than the dictionary.
        """
        self._check("Activations", x.shape, self.d_model)
        return self._encode_sparse(x.float())

    @final
    @torch.no_grad()
    def decode(self, codes: Float[Tensor, "token latent"] | SparseCodes) -> Float[Tensor, "token d_out"]:
        """Give the tokens that the codes stand for; with zeros or without them, equal but for rounding.

        Raises:
            WidthMismatchError: there are more or fewer codes a token than latents.
        """
        self._check("Codes", codes.shape, self.latents)
        return self._decode_sparse(codes) if isinstance(codes, SparseCodes) else self._decode(codes.float())

    @torch.no_grad()
    def rebuild(
        self, x: Float[Tensor, "token d_model"], codes: Float[Tensor, "token latent"] | SparseCodes
    ) -> Float[Tensor, "token d_out"]:
        """Give the tokens that the codes of the tokens `x` stand for.

        Most dictionaries need the codes alone. Those that bring each token to a standard mean or size before they read
        it look at the token again on the way back, and so do transcoders with a skip connection.
        """
        return self.decode(codes)

    @property
    @abstractmethod
    def encode_flops_per_token(self) -> int:
        """Floating-point operations that encoding a token takes (a multiply-add counts as two)."""

    @property
    @abstractmethod
    def decode_flops_per_token(self) -> int:
        """Floating-point operations that decoding a token takes if no code is skipped for being zero."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Give what `sae_weights.safetensors` holds."""

    def cfg(self) -> dict[str, Any]:
        """Give what `cfg.json` holds, apart from the metadata that a card adds."""
        return {
            "architecture": self.architecture,
            "d_in": self.d_model,
            "d_sae": self.latents,
            "dtype": "float32",
            "device": "cpu",
            **self._settings(),
        }

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Give the entries of `cfg.json` that belong to the kind."""

    @abstractmethod
    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]: ...

    @abstractmethod
    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]: ...

    def _encode_sparse(self, x: Float[Tensor, "token d_model"]) -> SparseCodes:
        return SparseCodes.of(self._encode(x))

    def _decode_sparse(self, codes: SparseCodes) -> Float[Tensor, "token d_model"]:
        return self._decode(codes.dense())

    def _check(self, name: str, shape: tuple[int, ...], width: int) -> None:
        if len(shape) != 2 or shape[1] != width:
            found = f"width {shape[1]}" if len(shape) == 2 else f"shape {tuple(shape)}"
            raise WidthMismatchError(
                f"{name} have {found}, but this {self.kind} dictionary takes a matrix of width {width}. Choose the "
                "site of the model that the dictionary was trained on (recorded in its cfg.json)."
            )


class TrainingFlops(NamedTuple):
    """Floating-point operations of one training (a multiply-add counts as two)."""

    executed: int
    """What was done: products with codes that are known to be zero are left out."""
    dense: int
    """What a trainer without sparse products would have done."""


class Fit(NamedTuple):
    """What a recipe gives: the dictionary, and what it cost."""

    dictionary: Dictionary
    tokens_seen: int | None
    """Tokens drawn, counted again in every epoch; None where it was trained elsewhere and nobody says."""
    flops: TrainingFlops | None
    """None as above: a cost that is not known is never taken for none."""
    harvest_flops: int | None = None
    """Operations of the passes that gave its training tokens, where these are not the ones that the recipe was given."""


@runtime_checkable
class Recipe(Protocol):
    """What a kind's class is: a frozen dataclass whose fields are settings, and how to make its dictionary.

    A recipe that asks for more than the tokens of its site says so by a method `needs(self, site) -> Needs`.
    """

    @property
    def is_seeded(self) -> bool:
        """False where every seed gives the same dictionary; mostly a constant of the class."""
        ...

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the dictionary of these tokens; the same seed gives the same bits."""
        ...

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Dictionary:
        """Give the dictionary whose `cfg()` and `tensors()` these are."""
        ...


@dataclass(frozen=True)
class Card:
    """Where a dictionary comes from, what it cost, and how well it reconstructs its training tokens."""

    kind: str
    recipe: Mapping[str, Any]
    """Every setting by name, defaults included."""
    seed: int
    site: str
    model: str
    activations_key: str
    tokens_seen: int | None
    training_flops: TrainingFlops | None
    """None where it was trained elsewhere and nobody says what that took."""
    harvest_flops: int | None
    """Operations of the model passes that gave the training tokens, up to the site; None as above."""
    fvu: float
    """Fraction of variance unexplained."""
    l0: float
    """Mean number of latents a token whose code is not zero."""
    dead_share: float
    """Share of latents that are silent on every measured token."""

    @property
    def spent_flops(self) -> int | None:
        """Operations of the training, dense-equivalent, and of the passes that gave its tokens; None where not known."""
        if self.training_flops is None or self.harvest_flops is None:
            return None
        return self.training_flops.dense + self.harvest_flops

    def to_json(self) -> dict[str, Any]:
        """Give the card as plain values."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        flops = self.training_flops and self.training_flops._asdict()
        return {**plain, "recipe": dict(self.recipe), "training_flops": flops}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Give the card that `to_json` wrote.

        Raises:
            DamagedFileError: an entry is missing, unknown, or of another type.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if plain.keys() != names:
            raise DamagedFileError(
                f"card.json has the entries {sorted(plain)}, but a card has {sorted(names)}. Save the dictionary again."
            )
        try:
            return TypeAdapter(cls).validate_python(plain)
        except ValidationError as error:
            first = error.errors()[0]
            raise DamagedFileError(
                f"card.json has {first['input']!r} under '{'.'.join(map(str, first['loc']))}': {first['msg']}. Save the "
                "dictionary again."
            ) from error


def take_tensors(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Give the named tensors as float32, checked for presence and shape.

    Raises:
        DamagedFileError: a tensor is missing, or has another shape than `cfg.json` says.
    """
    for name, shape in shapes.items():
        found = f"the shape {tuple(tensors[name].shape)}" if name in tensors else "nothing"
        if found != f"the shape {shape}":
            raise DamagedFileError(
                f"sae_weights.safetensors holds {found} under '{name}', but its cfg.json asks for the shape {shape}. "
                "Take both files from the same folder."
            )
    return {name: tensors[name].float().contiguous() for name in shapes}
