"""TopK transcoder: k latents read a token at one site and give the same token at another, such as across an MLP.

Source: Dunefsky, Chlenski and Nanda (2024), "Transcoders Find Interpretable LLM Feature Circuits"; codes as in Gao et al.
(2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary, Fit, Needs, TokenSource, take_tensors
from fairfight.dictionaries.fit import Job, fit, scaling_of
from fairfight.dictionaries.mixing import Mixing
from fairfight.dictionaries.rules import TopKRule
from fairfight.dictionaries.sae import SAMPLE_TOKENS, RevivingRecipe
from fairfight.dictionaries.trainer import Rule, SaeState, unit_rows
from fairfight.dictionaries.weights import project
from fairfight.errors import StudyError, WidthMismatchError
from fairfight.seeds import torch_stream

_START = 0.1
"""Norm of the encoder's rows at the start. Unlike an autoencoder's they begin in wrong directions, and the smaller they are
the sooner training turns them: in a planted world rows of norm 1 found 0.67 of the output's directions in the steps in
which these find 0.98 (mean cosine)."""


@dataclass(frozen=True)
class Transcoder(RevivingRecipe):
    """x at the study's site, y_hat = topk(x W_enc + b_enc) W_dec + b_dec at the output's; `b_dec` is not subtracted from x.

    A study names the sites that are read, such as `mlp_in.4`; methods see codes as an autoencoder's, and in place of its
    reconstruction what is predicted for the other site. Input and output are each brought to a mean squared norm of
    d_model for training, and the weights take them as they are. Encoder and atoms start in directions drawn apart, and
    `b_enc` such that the mean input gives zero.
    """

    kind: ClassVar[str] = "transcoder"
    has_skip: ClassVar[bool] = False

    output: str = "mlp_out"
    """What is predicted, in the layer that is read: the name of a site without its number."""

    @classmethod
    def small(cls, folder: Path) -> Transcoder:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, k=4, steps=40, batch=256)

    def needs(self, site: str) -> Needs:
        """Ask for the same tokens at the output's site."""
        return Needs(target=f"{self.output}.{site.rpartition('.')[2]}")

    def rule(self) -> Rule:
        """Give the k largest of a token."""
        return TopKRule(self.k)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the trained transcoder.

        Raises:
            StudyError: the tokens come without their target.
            WidthMismatchError: the target is wider or narrower than the tokens.
            NonFiniteError: the loss or a weight became NaN or infinite.
        """
        target = _target_of(tokens)
        x, y = tokens.sample_pairs(SAMPLE_TOKENS, torch_stream("calibration", tokens.key))
        # Training scales both sides with the output's factor, so the input is brought to the output's size before.
        scaling = scaling_of(y)
        ratio = scaling_of(x).factor / scaling.factor

        def pairs(chosen: np.ndarray) -> Float[Tensor, "token d_batch"]:
            return torch.cat([tokens.values[chosen] * ratio, target[chosen]], dim=1)

        source = Mixing(np.ones(len(target), np.int64), pairs, 2 * tokens.d_model, tokens.key)
        stream = torch_stream("dictionary", self.kind, seed)
        job = Job(
            self.kind,
            self.rule(),
            self.latents,
            self.learning_rate,
            stream,
            revival=self.revival(),
            start=self._start(ratio * x.mean(dim=0), scaling.mean, stream),
            is_transcoder=True,
        )
        state = fit([job], source, scaling, self.plan())[0]
        state.W_enc *= ratio
        if state.W_skip is not None:
            state.W_skip *= ratio
        return self.fitted(state)

    def dictionary(self, state: SaeState) -> TranscoderDictionary:
        """Give the transcoder."""
        return TranscoderDictionary(state.W_enc, state.vectors["b_enc"], state.W_dec, state.b_dec, self.k)

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TranscoderDictionary:
        """Give the transcoder that was saved."""
        return TranscoderDictionary(**restored(cfg, tensors), k=cfg["k"])

    def _start(
        self, x_mean: Float[Tensor, " d_model"], y_mean: Float[Tensor, " d_out"], stream: torch.Generator
    ) -> SaeState:
        shape = (self.latents, len(x_mean))
        W_dec, W_enc = (unit_rows(torch.randn(shape, generator=stream)) for _ in range(2))
        W_enc *= _START
        W_skip = torch.zeros(len(y_mean), len(x_mean)) if self.has_skip else None
        return SaeState.start(W_enc, W_dec, y_mean, {"b_enc": -(W_enc @ x_mean)}, W_skip)


@dataclass(frozen=True, eq=False)
class TranscoderDictionary(Dictionary):
    """A trained transcoder; its tokens are the input's, its atoms lie at the output's site."""

    kind: ClassVar[str] = "transcoder"
    architecture: ClassVar[str] = "topk_transcoder"
    is_signed: ClassVar[bool] = False
    is_transcoder: ClassVar[bool] = True

    encoder_rows: Float[Tensor, "latent d_model"]
    b_enc: Float[Tensor, " latent"]
    W_dec: Float[Tensor, "latent d_out"]
    b_dec: Float[Tensor, " d_out"]
    k: int

    @property
    def atoms(self) -> Float[Tensor, "latent d_out"]:
        """The decoder's rows, of unit norm."""
        return self.W_dec

    @property
    def d_model(self) -> int:
        """Width of the input."""
        return self.encoder_rows.shape[1]

    @property
    def encode_flops_per_token(self) -> int:
        """One dense product; choosing the largest is not counted."""
        return 2 * self.encoder_rows.numel()

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.W_dec.numel()

    def tensors(self) -> dict[str, Tensor]:
        """Give the parameters under SAELens's names."""
        W_enc = self.encoder_rows.T.contiguous()
        return {"W_enc": W_enc, "b_enc": self.b_enc, "W_dec": self.W_dec, "b_dec": self.b_dec}

    def _settings(self) -> dict[str, Any]:
        return {"apply_b_dec_to_input": False, "d_out": self.d_out, "k": self.k}

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        values, chosen = project(x, self.encoder_rows, self.b_enc).topk(self.k, dim=1, sorted=False)
        return values.new_zeros(len(x), self.latents).scatter_(1, chosen, values.relu())

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_out"]:
        return torch.addmm(self.b_dec, codes, self.W_dec)


def restored(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor], **more: tuple[int, ...]) -> dict[str, Tensor]:
    """Give the parameters that `tensors` wrote, by field; `more` are shapes of those that a kind adds.

    Raises:
        DamagedFileError: a tensor is missing or has the wrong shape.
    """
    width, latents, out = cfg["d_in"], cfg["d_sae"], cfg["d_out"]
    shapes = {"W_enc": (width, latents), "b_enc": (latents,), "W_dec": (latents, out), "b_dec": (out,), **more}
    found = take_tensors(tensors, shapes)
    return {"encoder_rows": found.pop("W_enc").T.contiguous(), **found}


def _target_of(tokens: TokenSource) -> Float[Tensor, "token d_out"]:
    if tokens.target is None:
        raise StudyError(
            "A transcoder was given tokens without a target; the same tokens at the site that it predicts were expected. "
            "Give `TokenSource` a target."
        )
    if tokens.target.shape != tokens.values.shape:
        raise WidthMismatchError(
            f"A transcoder's tokens have the shape {tuple(tokens.values.shape)} and their target has "
            f"{tuple(tokens.target.shape)}; one shape was expected, as all sites of a model have. Choose two such sites."
        )
    return tokens.target
