"""Sparse autoencoders that change each token by its own statistics before they read it, and change it back afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary
from fairfight.dictionaries.sparse import SparseCodes
from fairfight.errors import InputError

Rescaling = Literal["layer_norm", "constant_norm_rescale"]
"""In SAELens's words for `normalize_activations`."""
Step = Literal["centre"] | Rescaling
LAYER_NORM_EPSILON = 1e-5
"""Added to the standard deviation, as SAELens and OpenAI do."""


_CENTRED = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
"""SAELens's words for tokens of mean zero: it has the model make them so, and does nothing about it itself."""


class Normalised(NamedTuple):
    """A token after a step, and what brings it back: `x` * `scale` + `shift`."""

    x: Float[Tensor, "token d_model"]
    scale: Float[Tensor, "token 1"]
    shift: Float[Tensor, "token 1"]


def normalise(x: Float[Tensor, "token d_model"], step: Step) -> Normalised:
    """Give each token after `step`.

    `centre` takes off its mean over coordinates; `layer_norm` also divides by its standard deviation (with Bessel's
    correction) plus epsilon; `constant_norm_rescale` brings its norm to the root of d_model, a zero token staying zero.
    Layer norm comes back without the epsilon: so SAELens and OpenAI do it, and so the codes were trained.
    """
    if step == "constant_norm_rescale":
        norm = x.norm(dim=1, keepdim=True)
        factor = torch.where(norm > 0, x.shape[1] ** 0.5 / norm, 1.0)
        return Normalised(x * factor, 1 / factor, torch.zeros_like(factor))
    mean = x.mean(dim=1, keepdim=True)
    if step == "centre":
        return Normalised(x - mean, torch.ones_like(mean), mean)
    deviation = (x - mean).std(dim=1, keepdim=True)
    return Normalised((x - mean) / (deviation + LAYER_NORM_EPSILON), deviation, mean)


@dataclass(frozen=True, eq=False)
class NormalisedSae(Dictionary):
    """An autoencoder behind steps that look at the whole token.

    Codes are those of the inner autoencoder, to the letter. Its reconstruction is in the changed space, and the way back
    needs the token's own statistics, which codes do not hold: `rebuild` takes the token too, `decode` refuses.
    """

    inner: Dictionary
    steps: tuple[Step, ...]
    """In the order in which they are taken."""

    @property
    def kind(self) -> str:
        """The inner autoencoder's, which restores it."""
        return self.inner.kind

    @property
    def architecture(self) -> str:
        """The inner autoencoder's: in SAELens too, the steps are no architecture of their own."""
        return self.inner.architecture

    @property
    def is_signed(self) -> bool:
        """The inner autoencoder's."""
        return self.inner.is_signed

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """What a code of one adds in the changed space; in the token's own it is as many times as loud as the token."""
        return self.inner.atoms

    @property
    def encode_flops_per_token(self) -> int:
        """The inner autoencoder's, and four operations a coordinate and step."""
        return self.inner.encode_flops_per_token + 4 * len(self.steps) * self.d_model

    @property
    def decode_flops_per_token(self) -> int:
        """The inner autoencoder's, and two operations a coordinate and step."""
        return self.inner.decode_flops_per_token + 2 * len(self.steps) * self.d_model

    @torch.no_grad()
    def rebuild(
        self, x: Float[Tensor, "token d_model"], codes: Float[Tensor, "token latent"] | SparseCodes
    ) -> Float[Tensor, "token d_model"]:
        """Give the tokens that the codes of the tokens `x` stand for."""
        x_hat = self.inner.decode(codes)
        for _, scale, shift in reversed(self._taken(x.float())):
            x_hat = x_hat * scale + shift
        return x_hat

    def tensors(self) -> dict[str, Tensor]:
        """Give the inner autoencoder's parameters."""
        return self.inner.tensors()

    def _settings(self) -> dict[str, Any]:
        rescaling = self.steps[1:] if self.steps[:1] == ("centre",) else self.steps
        if len(rescaling) > 1 or "centre" in rescaling:
            raise InputError(
                f"This dictionary changes each token by {' and '.join(self.steps)}; a folder has words for centre, for one of "
                f"{' and '.join(get_args(Rescaling))}, and for centre before either. Put the steps into such an order."
            )
        settings = {**self.inner.cfg(), "normalize_activations": rescaling[0] if rescaling else "none"}
        return settings | ({"metadata": _CENTRED} if rescaling != self.steps else {})

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        return self.inner.encode(self._taken(x)[-1].x)

    def _encode_sparse(self, x: Float[Tensor, "token d_model"]) -> SparseCodes:
        return self.inner.encode_sparse(self._taken(x)[-1].x)

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        raise InputError(
            f"Codes alone do not say what they reconstruct: this dictionary changes each token by {' and '.join(self.steps)} "
            "first, and the way back needs the token's own mean and size. Call `rebuild(x, codes)`."
        )

    def _taken(self, x: Float[Tensor, "token d_model"]) -> list[Normalised]:
        taken: list[Normalised] = []
        for step in self.steps:
            taken.append(normalise(taken[-1].x if taken else x, step))
        return taken


def steps_in(cfg: Mapping[str, Any]) -> tuple[Step, ...]:
    """Give the steps that the `cfg()` of a dictionary stands for, none for one that takes tokens as they are."""
    centred = cfg.get("metadata", {}).get("model_from_pretrained_kwargs", {}).get("center_writing_weights", False)
    rescaling = tuple(step for step in get_args(Rescaling) if step == cfg.get("normalize_activations"))
    return (*(("centre",) if centred else ()), *rescaling)
