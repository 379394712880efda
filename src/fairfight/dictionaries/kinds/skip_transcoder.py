"""TopK transcoder with a skip connection: a linear map carries what is linear, and codes the rest.

Source: Paulo, Shabalin and Belrose (2025), "Transcoders Beat Sparse Autoencoders for Interpretability".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.kinds.transcoder import Transcoder, TranscoderDictionary, restored
from fairfight.dictionaries.trainer import SaeState
from fairfight.dictionaries.weights import project


@dataclass(frozen=True)
class SkipTranscoder(Transcoder):
    """y_hat = topk(x W_enc + b_enc) W_dec + b_dec + W_skip x, all else as in a transcoder; `W_skip` starts at zero."""

    kind: ClassVar[str] = "skip_transcoder"
    has_skip: ClassVar[bool] = True

    def dictionary(self, state: SaeState) -> SkipTranscoderDictionary:
        """Give the transcoder."""
        assert state.W_skip is not None, "a job with a skip connection starts with one"
        vectors = state.vectors["b_enc"]
        return SkipTranscoderDictionary(state.W_enc, vectors, state.W_dec, state.b_dec, self.k, state.W_skip)

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SkipTranscoderDictionary:
        """Give the transcoder that was saved."""
        return SkipTranscoderDictionary(**restored(cfg, tensors, W_skip=(cfg["d_out"], cfg["d_in"])), k=cfg["k"])


@dataclass(frozen=True, eq=False)
class SkipTranscoderDictionary(TranscoderDictionary):
    """A trained transcoder; `rebuild` adds the skip connection, which `decode` cannot know from codes alone."""

    kind: ClassVar[str] = "skip_transcoder"
    architecture: ClassVar[str] = "topk_skip_transcoder"

    W_skip: Float[Tensor, "d_out d_model"]

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product, and that of the skip connection."""
        return 2 * self.W_dec.numel() + 2 * self.W_skip.numel()

    def tensors(self) -> dict[str, Tensor]:
        """Give the parameters under SAELens's names."""
        return {**TranscoderDictionary.tensors(self), "W_skip": self.W_skip}

    @torch.no_grad()
    def rebuild(
        self, x: Float[Tensor, "token d_model"], codes: Float[Tensor, "token latent"]
    ) -> Float[Tensor, "token d_out"]:
        """Give the output that the codes of the tokens `x` and the skip connection make together."""
        return self.decode(codes) + project(x.float(), self.W_skip)
