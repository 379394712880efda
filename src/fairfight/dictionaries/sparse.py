"""Codes of which few are not zero: the latents that speak for each token, and how loud."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


class SparseCodes(NamedTuple):
    """Codes as compressed rows: those of token t are the entries `offsets[t]` to `offsets[t + 1]`.

    A token's latents ascend, and no value is zero. Equal codes are so held in equal tensors.
    """

    offsets: Int[Tensor, " boundary"]
    """int64; one more than there are tokens."""
    latents: Int[Tensor, " code"]
    """int32."""
    values: Float[Tensor, " code"]
    """float32."""
    latent_count: int
    """Latents of the dictionary, those that are silent too."""

    @classmethod
    def of(cls, codes: Float[Tensor, "token latent"]) -> Self:
        """Give dense codes without their zeros."""
        array = np.ascontiguousarray(codes.numpy())
        # Through a mask: `flatnonzero` is four times as fast on booleans as on floats.
        places = np.flatnonzero(array != 0)
        rows = np.arange(len(array) + 1) * array.shape[1]
        offsets = np.searchsorted(places, rows)
        latents = (places - np.repeat(rows[:-1], np.diff(offsets))).astype(np.int32)
        values = array.reshape(-1)[places]
        return cls(torch.from_numpy(offsets), torch.from_numpy(latents), torch.from_numpy(values), array.shape[1])

    @classmethod
    def of_chosen(cls, values: Float[Tensor, "token k"], chosen: Int[Tensor, "token k"], latent_count: int) -> Self:
        """Give the codes of tokens that chose k different latents each, in any order; values may be zero."""
        chosen, order = chosen.sort(dim=1)
        values = values.gather(1, order)
        is_active = values != 0
        offsets = torch.zeros(len(values) + 1, dtype=torch.int64)
        torch.cumsum(is_active.sum(dim=1), dim=0, out=offsets[1:])
        return cls(offsets, chosen[is_active].int(), values[is_active], latent_count)

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens and latents."""
        return len(self.offsets) - 1, self.latent_count

    @property
    def active(self) -> Int[Tensor, " token"]:
        """How many latents speak for each token."""
        return self.offsets.diff()

    @property
    def firing(self) -> Int[Tensor, " latent"]:
        """For how many tokens each latent speaks."""
        return torch.bincount(self.latents, minlength=self.latent_count)

    def dense(self) -> Float[Tensor, "token latent"]:
        """Give the codes with their zeros."""
        tokens, latents = self.shape
        codes = torch.zeros(tokens, latents, dtype=self.values.dtype)
        rows = torch.repeat_interleave(torch.arange(tokens) * latents, self.active)
        codes.view(-1)[rows + self.latents] = self.values
        return codes
