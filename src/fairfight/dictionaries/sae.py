"""What the kinds of sparse autoencoder share: how a trained one encodes and decodes, and how one is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary, Fit, TokenSource, TrainingFlops, take_tensors
from fairfight.dictionaries.fit import Job, Plan, Scaling, fit, scaling_of
from fairfight.dictionaries.mixing import Mixing
from fairfight.dictionaries.settings import check_k, check_positive
from fairfight.dictionaries.sparse import SparseCodes
from fairfight.dictionaries.trainer import Revival, Rule, SaeState
from fairfight.dictionaries.weights import SAE_SETTINGS, SaeWeights, project
from fairfight.seeds import torch_stream

SAMPLE_TOKENS = 65_536


class Sae(Dictionary):
    """x_hat = f((x - b_dec) W_enc + b_enc) W_dec + b_dec; kinds differ in f."""

    is_signed: ClassVar[bool] = False

    weights: SaeWeights

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The decoder's rows."""
        return self.weights.W_dec

    @property
    def encode_flops_per_token(self) -> int:
        """One dense product; choosing among its results is not counted."""
        return self.weights.product_flops

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product."""
        return self.weights.product_flops

    def tensors(self) -> dict[str, Tensor]:
        """Give the parameters under SAELens's names."""
        return self.weights.tensors()

    def _settings(self) -> dict[str, Any]:
        return SAE_SETTINGS

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        return self._activated(self.weights.pre_codes(x))

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return self.weights.decode(codes)

    @abstractmethod
    def _activated(self, pre: Float[Tensor, "token latent"]) -> Float[Tensor, "token latent"]:
        """Give the codes; `pre` may be overwritten."""


@dataclass(frozen=True, eq=False)
class ThresholdSae(Sae):
    """The code is the pre-activation where it exceeds the latent's threshold, which is never negative, else zero."""

    architecture: ClassVar[str] = "jumprelu"

    weights: SaeWeights
    threshold: Float[Tensor, " latent"]

    def tensors(self) -> dict[str, Tensor]:
        """Give the parameters under SAELens's names."""
        return {**self.weights.tensors(), "threshold": self.threshold}

    @classmethod
    def restored(cls, cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Give the autoencoder that was saved."""
        threshold = take_tensors(tensors, {"threshold": (cfg["d_sae"],)})["threshold"]
        return cls(SaeWeights.restore(cfg, tensors), threshold)

    def _activated(self, pre: Float[Tensor, "token latent"]) -> Float[Tensor, "token latent"]:
        return pre.mul_(pre > self.threshold.clamp(min=0.0))

    def _decode_sparse(self, codes: SparseCodes) -> Float[Tensor, "token d_model"]:
        return self.weights.decode_sparse(codes)


@dataclass(frozen=True, eq=False)
class GatedSae(Dictionary):
    """A gate says who speaks, a magnitude how loud; both read one product with the encoder."""

    kind: ClassVar[str] = "gated"
    architecture: ClassVar[str] = "gated"
    is_signed: ClassVar[bool] = False

    encoder_rows: Float[Tensor, "latent d_model"]
    W_dec: Float[Tensor, "latent d_model"]
    b_dec: Float[Tensor, " d_model"]
    b_gate: Float[Tensor, " latent"]
    b_mag: Float[Tensor, " latent"]
    r_mag: Float[Tensor, " latent"]

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The decoder's rows."""
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
        """Give the parameters under SAELens's names."""
        vectors = {"b_dec": self.b_dec, "b_gate": self.b_gate, "b_mag": self.b_mag, "r_mag": self.r_mag}
        return {"W_enc": self.encoder_rows.T.contiguous(), "W_dec": self.W_dec, **vectors}

    @classmethod
    def restored(cls, cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Give the autoencoder that was saved."""
        width, latents = cfg["d_in"], cfg["d_sae"]
        shapes = {"W_enc": (width, latents), "W_dec": (latents, width), "b_dec": (width,)}
        found = take_tensors(tensors, shapes | dict.fromkeys(("b_gate", "b_mag", "r_mag"), (latents,)))
        return cls(found.pop("W_enc").T.contiguous(), **found)

    def _settings(self) -> dict[str, Any]:
        return SAE_SETTINGS

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        product = project(x - self.b_dec, self.encoder_rows)
        is_open = product + self.b_gate > 0
        return product.mul_(self.r_mag.exp()).add_(self.b_mag).relu_().mul_(is_open)

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return torch.addmm(self.b_dec, codes, self.W_dec)


class Sample(NamedTuple):
    """A sample of the tokens that a pass will see."""

    tokens: Float[Tensor, "token d_model"]
    """As they are."""
    site: str
    scaling: Scaling
    harvest_flops: int
    """Operations of the model passes that gave all the tokens of the pass."""


class Course(NamedTuple):
    """What is to be trained, and what becomes of it."""

    job: Job
    fitted: Callable[[SaeState], Fit]
    """Gives the dictionary of the state that training ends in, with what it took."""


@runtime_checkable
class Trainable(Protocol):
    """A recipe that is trained by steps, so that several can be trained in one pass over the data."""

    def plan(self) -> Plan:
        """Give how long to train; courses with the same plan can share a pass over the data."""
        ...

    def course(self, seed: int, sample: Sample, name: str) -> Course:
        """Give what is to be trained with this seed, under a name."""
        ...


def sample_of(tokens: TokenSource) -> Sample:
    """Give the sample that the tokens' name draws: the same for every recipe and seed."""
    drawn = tokens.sample(SAMPLE_TOKENS, torch_stream("calibration", tokens.key))
    return Sample(drawn, tokens.site, scaling_of(drawn), tokens.harvest_flops)


def train_alone(recipe: Trainable, tokens: TokenSource, seed: int) -> Fit:
    """Give what a recipe makes of tokens that are held in memory.

    Their order hangs on the tokens alone, so it is the same for every recipe and seed.

    Raises:
        NonFiniteError: the loss or a weight became NaN or infinite.
    """
    sample = sample_of(tokens)
    job, fitted = recipe.course(seed, sample, type(recipe).__name__)
    return fitted(fit([job], Mixing.of_tensor(tokens.values, tokens.key), sample.scaling, recipe.plan())[0])


@dataclass(frozen=True)
class SaeRecipe(ABC):
    """Settings that all kinds of sparse autoencoder share, and how one is trained by its rule.

    A kind adds its own settings, its rule, and what becomes of the state that training ends in.
    """

    kind: ClassVar[str]
    """Name of the plug-in file."""
    is_seeded: ClassVar[bool] = True
    has_frozen_atoms: ClassVar[bool] = False

    latents: int = 2048
    steps: int = 700
    batch: int = 2048
    """Tokens a step."""
    learning_rate: float = 4e-3

    def __post_init__(self) -> None:
        for name in ("latents", "steps", "batch", "learning_rate"):
            check_positive(name, getattr(self, name))

    @abstractmethod
    def rule(self) -> Rule:
        """Give who speaks, how loud, and what it costs."""

    @abstractmethod
    def dictionary(self, state: SaeState) -> Dictionary:
        """Give the dictionary that a trained state makes."""

    def revival(self) -> Revival | None:
        """Give the auxiliary loss of dead latents, or None."""
        return None

    def plan(self) -> Plan:
        """Give how long to train; jobs with the same plan can share a pass over the data."""
        return Plan(self.steps, self.batch)

    def course(self, seed: int, sample: Sample, name: str) -> Course:
        """Give what is to be trained; atoms are drawn by kind and seed, so the sample tells nothing more."""
        job = Job(
            name,
            self.rule(),
            self.latents,
            self.learning_rate,
            torch_stream("dictionary", self.kind, seed),
            revival=self.revival(),
            frozen_atoms=self.has_frozen_atoms,
        )
        return Course(job, self.fitted)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the trained autoencoder.

        Raises:
            NonFiniteError: the loss or a weight became NaN or infinite.
        """
        return train_alone(self, tokens, seed)

    def fitted(self, state: SaeState) -> Fit:
        """Give the dictionary of a trained state, with what it took."""
        flops = TrainingFlops(state.flops_executed, state.flops_dense)
        return Fit(self.dictionary(state), self.steps * self.batch, flops)


@dataclass(frozen=True)
class RevivingRecipe(SaeRecipe):
    """A recipe for a fixed number of active latents, whose dead ones are revived by an auxiliary loss."""

    k: int = 32
    """Latents a token."""
    dead_after_tokens: int = 131_072
    """A latent that was silent for so many tokens counts as dead and takes part in the auxiliary loss."""
    aux_weight: float = 1 / 32
    """Weight of the auxiliary loss, in which dead latents explain what the others left over; 0 turns it off."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_k(self.k, self.latents)

    def revival(self) -> Revival | None:
        """Give the auxiliary loss, or None where its weight is zero."""
        if not self.aux_weight:
            return None
        return Revival(self.dead_after_tokens, self.aux_weight)


def weights_of(state: SaeState) -> SaeWeights:
    """Give the four parameters that most kinds have."""
    return SaeWeights(state.W_enc, state.vectors["b_enc"], state.W_dec, state.b_dec)
