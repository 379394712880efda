"""Memory that a trainer's kernels write into: the same at every step, since fresh pages would cost as much as the work."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.kernels.contract import Codes


class Rooms:
    """Buffers by name, which grow when they must."""

    def __init__(self, d_model: int) -> None:
        self._held: dict[str, np.ndarray] = {}
        self._places: dict[int, tuple[Tensor, Tensor]] = {}
        self._pulls = torch.empty(0, d_model)
        self._reconstructions = self._rows = 0

    def flat(self, name: str, size: int, kind: type) -> np.ndarray:
        """Give the first `size` places of a buffer."""
        held = self._held.get(name)
        if held is None or len(held) < size:
            # By torch, whose memory begins at a cache line.
            held = torch.zeros(size * np.dtype(kind).itemsize, dtype=torch.uint8).numpy().view(kind)
            self._held[name] = held
        return held[:size]

    def by_token(self, name: str, tokens: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Give room for the latents and values of k codes a token."""
        latents = self.flat(f"{name} latents", tokens * k, np.int32)
        values = self.flat(f"{name} values", tokens * k, np.float32)
        return latents.reshape(tokens, k), values.reshape(tokens, k)

    def regular(self, latents: np.ndarray, values: np.ndarray) -> Codes:
        """Give codes that are as many for each token; where they begin is the same at every step."""
        tokens, k = latents.shape
        starts, rows = self._places.get(k, (torch.empty(0), torch.empty(0)))
        if len(starts) <= tokens:
            starts = torch.arange(0, tokens * k + 1, k)
            rows = torch.arange(tokens, dtype=torch.int32)[:, None].expand(tokens, k).flatten()
            self._places[k] = starts, rows
        flat, pre = torch.from_numpy(latents.reshape(-1)), torch.from_numpy(values.reshape(-1))
        return Codes(starts[: tokens + 1], flat, rows[: tokens * k], pre)

    def reconstruction(self, rows: int, entries: int) -> tuple[np.ndarray, np.ndarray]:
        """Give room for a reconstruction's pull, behind that of the step's last one, and for those of its entries."""
        if self._rows + rows > len(self._pulls):
            self._pulls = torch.empty(self._rows + rows, self._pulls.shape[1])
        self._rows += rows
        self._reconstructions += 1
        code_pulls = self.flat(f"code pulls {self._reconstructions}", entries, np.float32)
        return self._pulls[self._rows - rows : self._rows].numpy(), code_pulls

    def together(self, pulls: list[Float[Tensor, "row d_model"]]) -> Float[Tensor, "row d_model"]:
        """Give the pulls as one matrix: without a copy, but at a step that found too little room for them."""
        *firsts, count = accumulate(map(len, pulls), initial=0)
        places = (self._pulls[first:].data_ptr() for first in firsts)
        if all(pull.data_ptr() == place for pull, place in zip(pulls, places, strict=True)):
            return self._pulls[:count]
        return torch.cat(pulls)

    def begin_step(self) -> None:
        """Let the next reconstructions take the place of the last step's."""
        self._reconstructions = self._rows = 0


def cut(codes: Codes, counts: np.ndarray) -> Codes:
    """Give the first entries of each token, as many as it has, of codes with as many places for each."""
    k = len(codes.pre) // max(len(counts), 1)
    is_kept = torch.from_numpy((np.arange(k) < counts[:, None]).ravel())
    starts = torch.zeros(len(counts) + 1, dtype=torch.long)
    starts[1:] = torch.from_numpy(counts).cumsum(0)
    return Codes(starts, codes.latents[is_kept], codes.tokens[is_kept], codes.pre[is_kept])
