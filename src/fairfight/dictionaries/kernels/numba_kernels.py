"""The back end for processors: the product of the encoder through oneDNN, all else through `compiled`.

The product is taken a few rows at a time into a buffer that stays in the cache, and never as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairfight.dictionaries.kernels import compiled
from fairfight.dictionaries.kernels.contract import (
    BETA1,
    BETA2,
    EPS,
    Block,
    Codes,
    Entries,
    Gradients,
    Matrices,
    Moments,
    Reconstruction,
    adam_factors,
    slots,
)
from fairfight.dictionaries.weights import project

CHUNK_TOKENS = 256
_LARGEST_FLOAT = 3.4e38
_NOTHING = np.empty(0, np.float32)
_NO_ROWS = np.empty((0, 0), np.float32)
_NO_BITS = np.empty((0, 0), np.uint16)
_NO_LEVELS = np.empty(0, np.int32)
_NO_ENTRIES = Entries(
    *(torch.empty(0, dtype=kind) for kind in (torch.int32, torch.int32, torch.float32, torch.float32))
)
_SMALLEST = np.float32(1e-30)
_DENSE_SHARE = 1 / 16
"""Share of codes that speak from which on dense products are faster than sparse ones."""


class NumbaKernels:
    """Compiled kernels with the scratch memory of one trainer.

    Memory beside the trainer's own: two gradient matrices of the weights' size, the entries of a batch (28 bytes each), one
    chunk's product, and with coarse candidates a bfloat16 copy of the encoder.
    """

    def __init__(self, latents: int, d_model: int, *, coarse: bool = False) -> None:
        """`coarse` finds candidates of top-k by a bfloat16 product and takes their pre-activations anew in float32."""
        import numba

        self._threads = min(torch.get_num_threads(), compiled.settings.NUMBA_NUM_THREADS)
        numba.set_num_threads(self._threads)
        groups = 256 if latents <= 8192 else 512
        threads, room = self._threads, latents + groups
        self._pools = (
            np.zeros((threads, groups), np.float32),
            np.zeros((threads, room), np.float32),
            np.zeros((threads, room), np.int32),
            np.zeros((threads, groups + 1), np.int32),
        )
        self._rows = (np.zeros((latents, d_model), np.float32), np.zeros((latents, d_model), np.float32))
        self._latents = {
            "bias": np.zeros(latents, np.float32),
            "touched": np.zeros(latents, np.bool_),
            "squares": np.zeros(latents, np.float64),
            "ends": np.zeros(latents + 1, np.int32),
            "counts": np.zeros((threads, latents), np.int32),
        }
        self._scratch: dict[str, np.ndarray] = {}
        self._coarse = torch.empty(latents, d_model, dtype=torch.bfloat16) if coarse else None
        self._coarse_of: int | None = None
        self._room = 256
        self._reconstructions = 0
        self._even: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    # ------------------------------------------------------------------------------------------------ choosing

    def top_k(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        k: int,
    ) -> Codes:
        """Give the k largest positive pre-activations of each token."""
        tokens = len(x)
        latents, values = self._flat("latents", tokens * k, np.int32), self._flat("pre", tokens * k, np.float32)
        by_token = latents.reshape(tokens, k), values.reshape(tokens, k)
        bias = b_enc.numpy()
        if self._coarse is None:
            for first, pre in _products(x, W_enc):
                part = slice(first, first + len(pre))
                compiled.top_k(pre, bias, k, _SMALLEST, by_token[0][part], by_token[1][part], *self._pools)
        else:
            drawn = min(k + k // 2, len(W_enc))
            for first, pre in self._coarse_products(x, W_enc):
                part = slice(first, first + len(pre))
                compiled.top_k_rescored(
                    pre, x.numpy()[part], W_enc.numpy(), bias, k, drawn, _SMALLEST, by_token[0][part], by_token[1][part],
                    *self._pools,
                )  # fmt: skip
        if (tokens, k) not in self._even:
            rows = torch.arange(tokens, dtype=torch.int32).repeat_interleave(k)
            self._even = {(tokens, k): (torch.arange(0, tokens * k + 1, k), rows)}
        starts, rows = self._even[tokens, k]
        return Codes(starts, torch.from_numpy(latents), rows, torch.from_numpy(values))

    def above(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        floors: Float[Tensor, " latent"],
    ) -> Codes:
        """Give the pre-activations that exceed their latent's floor."""
        bias, bounds = b_enc.numpy(), floors.contiguous().numpy()
        starts = np.zeros(len(x) + 1, np.int64)
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for first, pre in _products(x, W_enc):
            counts = np.zeros(len(pre), np.int64)
            while True:
                latents = self._flat("room latents", CHUNK_TOKENS * self._room, np.int32).reshape(-1, self._room)
                values = self._flat("room values", CHUNK_TOKENS * self._room, np.float32).reshape(-1, self._room)
                compiled.above(pre, bias, bounds, latents, values, counts, self._threads)
                if counts.max() + compiled.BLOCK_COLUMNS <= self._room:
                    break
                self._room = int(counts.max() * 1.25) + compiled.BLOCK_COLUMNS
            ends = np.cumsum(counts)
            starts[first + 1 : first + 1 + len(pre)] = starts[first] + ends
            count = int(ends[-1])
            part = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.float32)
            compiled.packed(latents, values, counts, ends - counts, first, *part, self._threads)
            parts.append(part)
        latents, rows, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Codes(*map(torch.from_numpy, (starts, latents, rows, values)))

    def keep_top_k(self, matrix: Float[Tensor, "token latent"], k: int) -> None:
        """Set to zero, in place, all but the k largest entries of each row."""
        _, pool, tags, _ = self._pools
        compiled.keep_top_k(matrix.numpy(), k, self._threads, pool, tags)

    # ----------------------------------------------------------------------------------- decoding and gradients

    def reconstruct(
        self,
        target: Float[Tensor, "token d_model"],
        W_dec: Float[Tensor, "latent d_model"],
        codes: Codes,
        values: Float[Tensor, " entry"],
        scale: float,
        levels: Int[Tensor, " latent"] | None = None,
        depth: int = 1,
    ) -> Reconstruction:
        """Decode `values` and compare with the target."""
        tokens, width = target.shape
        self._reconstructions += 1
        number = self._reconstructions
        pull = self._flat(f"pull {number}", depth * tokens * width, np.float32).reshape(-1, width)
        code_pulls = self._flat(f"code pulls {number}", len(values), np.float32)
        if depth == 1 and self._is_dense(len(values), tokens):
            loss = self._reconstruct_densely(target, W_dec, codes, values, scale, pull, code_pulls)
            found = torch.from_numpy(pull)
            return Reconstruction(loss, found, torch.from_numpy(code_pulls), found.sum(dim=0))
        losses = np.empty(tokens, np.float64)
        sums = np.empty((-(-tokens // compiled.BLOCK_ROWS), width), np.float32)
        compiled.reconstruct(
            target.numpy(), W_dec.numpy(), codes.starts.numpy(), codes.latents.numpy(), values.numpy(),
            _NO_LEVELS if levels is None else levels.numpy(), depth, np.float32(scale), pull, losses, code_pulls,
            sums, self._threads,
        )  # fmt: skip
        summed = torch.from_numpy(sums.sum(axis=0))
        return Reconstruction(float(losses.sum()), torch.from_numpy(pull), torch.from_numpy(code_pulls), summed)

    def gradients(
        self,
        x: Float[Tensor, "token d_model"],
        pull: Float[Tensor, "level_token d_model"],
        W_dec: Float[Tensor, "latent d_model"],
        entries: Entries,
        block: Block | None,
        along: Float[Tensor, " latent"] | None,
        *,
        unit_norm: bool,
    ) -> Gradients:
        """Add up the entries' outer products by latent."""
        if self._is_dense(len(entries.latents), len(x)):
            block, entries = self._summed_densely(x, pull, entries, block), _NO_ENTRIES
        count = len(entries.latents)
        grouped = (
            self._flat("grouped rows", count, np.int32),
            self._flat("grouped values", count, np.float32),
            self._flat("grouped pushes", count, np.float32),
        )
        kept = self._latents
        compiled.group(*(column.numpy() for column in entries), kept["ends"], kept["counts"], *grouped)
        dense = (
            (block.W_enc.numpy(), block.W_dec.numpy(), block.b_enc.numpy()) if block else (_NO_ROWS, _NO_ROWS, _NOTHING)
        )
        compiled.gradients(
            x.numpy(), pull.numpy(), W_dec.numpy(), kept["ends"], *grouped, slots(block, len(W_dec)).numpy(), *dense,
            _NOTHING if along is None else along.numpy(), unit_norm, *self._rows, kept["bias"], kept["touched"],
            kept["squares"], self._threads,
        )  # fmt: skip
        W_enc, W_dec = map(torch.from_numpy, self._rows)
        bias, is_touched = torch.from_numpy(kept["bias"]), torch.from_numpy(kept["touched"])
        return Gradients(W_enc, W_dec, bias, is_touched, float(kept["squares"].sum()))

    def count_silence(
        self, silent: Int[Tensor, " latent"], tokens: int, codes: Codes, values: Float[Tensor, " entry"]
    ) -> int:
        """Bring each latent's silence up to date and count the codes that speak."""
        return int(compiled.count_silence(silent.numpy(), tokens, codes.latents.numpy(), values.numpy()))

    def weighted_sum(
        self, matrix: Float[Tensor, "row d_model"], weights: Float[Tensor, " row"]
    ) -> Float[Tensor, " d_model"]:
        """Give the weighted sum of rows."""
        return torch.from_numpy(compiled.sum_of_rows(matrix.numpy(), weights.numpy(), self._threads))

    def adam(
        self,
        weights: Matrices,
        moments: tuple[Moments, Moments],
        gradients: Gradients,
        *,
        rate: float,
        step: int,
        factor: float,
        unit_norm: bool,
    ) -> None:
        """Take a step of Adam in place."""
        size, sharpen = adam_factors(rate, step)
        coarse = _NO_BITS if self._coarse is None else self._coarse.view(torch.uint16).numpy()
        (mean_enc, square_enc), (mean_dec, square_dec) = moments
        compiled.adam(
            weights.W_enc.numpy(), mean_enc.numpy(), square_enc.numpy(), gradients.W_enc.numpy(),
            weights.W_dec.numpy(), mean_dec.numpy(), square_dec.numpy(), gradients.W_dec.numpy(),
            gradients.is_touched.numpy(), coarse, unit_norm,
            tuple(map(np.float32, (BETA1, BETA2, 1 - BETA1, 1 - BETA2, EPS, size, sharpen, factor))), self._threads,
        )  # fmt: skip
        self._coarse_of = weights.W_enc.data_ptr()
        self._reconstructions = 0

    # ------------------------------------------------------------------------------------------- many codes at once

    def _is_dense(self, entries: int, tokens: int) -> bool:
        """Say whether so many codes speak that dense products are faster than sparse ones, as at the start of training."""
        return entries > _DENSE_SHARE * tokens * len(self._latents["bias"])

    def _reconstruct_densely(
        self,
        target: Float[Tensor, "token d_model"],
        W_dec: Float[Tensor, "latent d_model"],
        codes: Codes,
        values: Float[Tensor, " entry"],
        scale: float,
        pull: np.ndarray,
        code_pulls: np.ndarray,
    ) -> float:
        atoms, loss = W_dec.T.contiguous(), 0.0
        dense = torch.zeros(CHUNK_TOKENS, len(W_dec))
        for first in range(0, len(target), CHUNK_TOKENS):
            part = slice(first, min(first + CHUNK_TOKENS, len(target)))
            inside = slice(int(codes.starts[part.start]), int(codes.starts[part.stop]))
            place = codes.tokens[inside].long() - first, codes.latents[inside].long()
            rows = dense[: part.stop - first]
            rows.zero_()[place] = values[inside]
            error = project(rows, atoms).sub_(target[part])
            loss += error.square().sum(dim=1).double().sum().item()
            pull[part] = error.mul_(scale).numpy()
            code_pulls[inside] = project(error, W_dec)[place].numpy()
        return loss

    def _summed_densely(
        self,
        x: Float[Tensor, "token d_model"],
        pull: Float[Tensor, "level_token d_model"],
        entries: Entries,
        block: Block | None,
    ) -> Block:
        """Give the gradients of all latents as a block, by dense products of a few latents at a time."""
        count = len(entries.latents)
        grouped = (np.empty(count, np.int32), np.empty(count, np.float32), np.empty(count, np.float32))
        ends = self._latents["ends"]
        compiled.group(*(column.numpy() for column in entries), ends, self._latents["counts"], *grouped)
        rows, values, pushes = map(torch.from_numpy, grouped)
        latents = len(ends) - 1
        W_enc, W_dec = torch.zeros(2, latents, x.shape[1])
        found = Block(torch.arange(latents), W_enc, W_dec, torch.zeros(latents))
        transposed, pulls = x.T.contiguous(), pull.T.contiguous()
        for first in range(0, latents, CHUNK_TOKENS):
            part = slice(first, min(first + CHUNK_TOKENS, latents))
            size = part.stop - first
            inside = slice(int(ends[first]), int(ends[part.stop]))
            owners = torch.from_numpy(np.repeat(np.arange(size), np.diff(ends[first : part.stop + 1])))
            weights = torch.zeros(size, len(pull))
            weights[owners, rows[inside].long()] = values[inside]
            found.W_dec[part] = project(weights, pulls)
            pushed = torch.zeros(size, len(x))
            # An entry of a second reconstruction has no push of its own, and would overwrite that of the first.
            has_push = pushes[inside] != 0
            pushed[owners[has_push], rows[inside][has_push].long() % len(x)] = pushes[inside][has_push]
            found.W_enc[part] = project(pushed, transposed)
            found.b_enc[part] = pushed.sum(dim=1)
        if block is not None:
            found.W_enc[block.latents] += block.W_enc
            found.W_dec[block.latents] += block.W_dec
            found.b_enc[block.latents] += block.b_enc
        return found

    # ------------------------------------------------------------------------------------------------- memory

    def _flat(self, name: str, size: int, kind: type) -> np.ndarray:
        """Give the first `size` places of a buffer that is kept from step to step and grows when it must."""
        held = self._scratch.get(name)
        if held is None or len(held) < size:
            held = self._scratch[name] = np.zeros(size, kind)
        return held[:size]

    def _coarse_products(
        self, x: Float[Tensor, "token d_model"], W_enc: Float[Tensor, "latent d_model"]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Give chunks of the bfloat16 product as bits; the encoder's copy is renewed where Adam did not keep it."""
        assert self._coarse is not None
        if self._coarse_of != W_enc.data_ptr():
            self._coarse.copy_(W_enc)
            self._coarse_of = W_enc.data_ptr()
        narrow = x.bfloat16()
        product = torch.empty(CHUNK_TOKENS, len(W_enc), dtype=torch.bfloat16)
        for first in range(0, len(x), CHUNK_TOKENS):
            part = narrow[first : first + CHUNK_TOKENS]
            out = product[: len(part)]
            torch.mm(part, self._coarse.T, out=out)
            yield first, out.view(torch.uint16).numpy()


def _products(
    x: Float[Tensor, "token d_model"], W_enc: Float[Tensor, "latent d_model"]
) -> Iterator[tuple[int, np.ndarray]]:
    for first in range(0, len(x), CHUNK_TOKENS):
        yield first, project(x[first : first + CHUNK_TOKENS], W_enc).numpy()
