"""The back end for processors: the product of the encoder through oneDNN, all else through `compiled`.

The product is taken a few rows at a time into a buffer that stays in the cache, and never as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairfight.dictionaries.kernels.compiled import choosing, decoding, dense, jit, summing, updating
from fairfight.dictionaries.kernels.contract import (
    BETA1,
    BETA2,
    EPS,
    Codes,
    Dead,
    Entries,
    Gradients,
    Matrices,
    Moments,
    Moved,
    Reconstruction,
    adam_factors,
)
from fairfight.dictionaries.kernels.rooms import Rooms, cut
from fairfight.dictionaries.weights import project

CHUNK_TOKENS = 256
"""Tokens whose dense codes are spread out at once."""
_PRODUCT_BYTES = 2**24
"""Of a chunk of the encoder's product: it should stay in the cache that all cores share, and still be large."""
_LARGEST = np.float32(3.4e38)
_NOTHING = np.empty(0, np.float32)
_NO_BITS = np.empty((0, 0), np.uint16)
_NO_LEVELS = np.empty(0, np.int32)
_SMALLEST = np.float32(1e-30)
_DENSE_SHARE = 1 / 3
"""Share of codes that speak (of a batch, or of one latent) from which on dense products are faster than sparse ones."""


class NumbaKernels:
    """Compiled kernels with the scratch memory of one trainer.

    Memory beside the trainer's own: two gradient matrices of the weights' size, the entries of a batch (32 bytes each, those
    of the auxiliary loss among them), one chunk's product, and with coarse candidates a bfloat16 copy of the encoder.
    """

    def __init__(self, latents: int, d_model: int, *, coarse: bool = False) -> None:
        """`coarse` finds candidates of top-k by a bfloat16 product and takes their pre-activations anew in float32."""
        import numba

        self._threads = min(torch.get_num_threads(), jit.settings.NUMBA_NUM_THREADS)
        numba.set_num_threads(self._threads)
        self._groups = 256 if latents <= 8192 else 512
        threads, room = self._threads, latents + self._groups
        self._pools = tuple(np.zeros((threads, room), kind) for kind in (np.float32, np.int32, np.int32))
        # By torch, whose memory begins at a cache line: rows that straddle two are read a tenth slower.
        self._rows = torch.zeros(2, latents, d_model).numpy()
        self._latents = {
            "bias": np.zeros(latents, np.float32),
            "touched": np.zeros(latents, np.bool_),
            "squares": np.zeros(latents, np.float64),
            "ends": np.zeros(latents + 1, np.int32),
        }
        self._sums = np.zeros((-(-latents // summing.LATENTS_OF_SUM), d_model), np.float32)
        self._turns = jit.turns()
        self._rooms = Rooms(d_model)
        self._coarse = torch.empty(latents, d_model, dtype=torch.bfloat16) if coarse else None
        self._coarse_of: int | None = None
        self._room = 256

    # ------------------------------------------------------------------------------------------------ choosing

    def top_k(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        k: int,
        *,
        dead: Dead | None = None,
    ) -> Codes:
        """Give the k largest positive pre-activations of each token."""
        tokens, bias = len(x), b_enc.numpy()
        latents, values = self._rooms.by_token("codes", tokens, k)
        counts = np.empty(tokens, np.int64)
        # A group for each latent where k is large: bounds by the groups' largest would let too many through.
        groups = self._groups if 4 * k <= self._groups < len(W_enc) else len(W_enc)
        maxima = self._rooms.flat("maxima", self._threads * groups, np.float32).reshape(-1, groups)
        pools = (maxima, *self._pools, self._turns)
        silent = None
        if self._coarse is None:
            silent = dead and self._silent(tokens, dead)
            for first, pre in _products(x, W_enc, self._chunk(len(W_enc))):
                part = slice(first, first + len(pre))
                choosing.top_k(pre, bias, k, _SMALLEST, latents[part], values[part], counts[part], *pools)
                self._choose_silent(silent, pre, bias, part)
                del pre  # The next product then takes its memory, which is still in the cache.
        else:
            drawn = min(k + k // 2, len(W_enc))
            for first, pre in self._coarse_products(x, W_enc):
                part = slice(first, first + len(pre))
                choosing.top_k_rescored(
                    pre, x.numpy()[part], W_enc.numpy(), bias, k, drawn, _SMALLEST, latents[part], values[part],
                    counts[part], *pools,
                )  # fmt: skip
        codes = self._rooms.regular(latents, values)
        if counts.min(initial=k) < k:
            codes = cut(codes, counts)
        return codes if silent is None else codes._replace(dead=self._rooms.regular(silent.latents, silent.values))

    def largest(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        dead: Dead,
    ) -> Codes:
        """Give the largest pre-activations of some latents alone."""
        shape = len(dead.latents), W_enc.shape[1]
        room = torch.from_numpy(self._rooms.flat("rows", shape[0] * shape[1], np.float32)).view(shape)
        rows, bias = torch.index_select(W_enc, 0, dead.latents, out=room), b_enc[dead.latents].numpy()
        silent = self._silent(len(x), dead, np.arange(shape[0], dtype=np.int32))
        for first, pre in _products(x, rows, self._chunk(shape[0])):
            self._choose_silent(silent, pre, bias, slice(first, first + len(pre)))
            del pre
        return self._rooms.regular(silent.latents, silent.values)

    def above(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        floors: Float[Tensor, " latent"],
        *,
        dead: Dead | None = None,
    ) -> Codes:
        """Give the pre-activations that exceed their latent's floor."""
        bias, bounds = b_enc.numpy(), floors.contiguous().numpy()
        silent = dead and self._silent(len(x), dead)
        starts = np.zeros(len(x) + 1, np.int64)
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for first, pre in _products(x, W_enc, self._chunk(len(W_enc))):
            counts = np.zeros(len(pre), np.int64)
            while True:
                latents = self._rooms.flat("room latents", len(pre) * self._room, np.int32).reshape(-1, self._room)
                values = self._rooms.flat("room values", len(pre) * self._room, np.float32).reshape(-1, self._room)
                choosing.above(pre, bias, bounds, latents, values, counts, self._turns, self._threads)
                if counts.max() + choosing.BLOCK_COLUMNS <= self._room:
                    break
                self._room = int(counts.max() * 1.25) + choosing.BLOCK_COLUMNS
            ends = np.cumsum(counts)
            starts[first + 1 : first + 1 + len(pre)] = starts[first] + ends
            count = int(ends[-1])
            part = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.float32)
            choosing.packed(latents, values, counts, ends - counts, first, *part, self._threads)
            parts.append(part)
            self._choose_silent(silent, pre, bias, slice(first, first + len(pre)))
            del pre
        latents, rows, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        found = map(torch.from_numpy, (starts, latents, rows, values))
        codes = Codes(next(found), next(found), next(found), next(found))
        return codes if silent is None else codes._replace(dead=self._rooms.regular(silent.latents, silent.values))

    def _silent(self, tokens: int, dead: Dead, columns: np.ndarray | None = None) -> _Silent:
        """Give room for what dead latents say; `columns` are theirs in the product, if not as many as there are latents."""
        members = dead.latents.int().numpy()
        return _Silent(members if columns is None else columns, members, *self._rooms.by_token("dead", tokens, dead.k))

    def _choose_silent(self, silent: _Silent | None, pre: np.ndarray, bias: np.ndarray, part: slice) -> None:
        if silent is not None:
            found = silent.latents[part], silent.values[part]
            choosing.largest_of(
                pre, bias, silent.columns, silent.members, found[0].shape[1], *found, *self._pools, self._turns
            )

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
        *,
        members: Int[Tensor, " member"] | None = None,
    ) -> Reconstruction:
        """Decode `values` and compare with the target."""
        tokens, width = target.shape
        pull, code_pulls = self._rooms.reconstruction(depth * tokens, len(values))
        if depth == 1 and len(values) > _DENSE_SHARE * tokens * len(W_dec if members is None else members):
            latents = codes.latents.numpy()
            if members is not None:
                places = np.empty(len(W_dec), np.int32)
                places[members.numpy()] = np.arange(len(members), dtype=np.int32)
                W_dec, latents = W_dec[members], places[latents]
            loss = self._reconstruct_densely(target, W_dec, codes.starts, latents, values, scale, pull, code_pulls)
            found = torch.from_numpy(pull)
            return Reconstruction(loss, found, torch.from_numpy(code_pulls), found.sum(dim=0))
        losses = np.empty(tokens, np.float64)
        sums = np.empty((-(-tokens // jit.BLOCK_ROWS), width), np.float32)
        decoding.reconstruct(
            target.numpy(), W_dec.numpy(), codes.starts.numpy(), codes.latents.numpy(), values.numpy(),
            _NO_LEVELS if levels is None else levels.numpy(), depth, np.float32(scale), pull, losses, code_pulls,
            sums, self._turns, self._threads,
        )  # fmt: skip
        summed = torch.from_numpy(sums.sum(axis=0))
        return Reconstruction(float(losses.sum()), torch.from_numpy(pull), torch.from_numpy(code_pulls), summed)

    def gradients(
        self,
        x: Float[Tensor, "token d_model"],
        weights: Matrices,
        parts: Sequence[Entries],
        along: Float[Tensor, " latent"] | None,
        *,
        unit_norm: bool,
    ) -> Gradients:
        """Add up the entries' outer products by latent."""
        W_enc, W_dec = weights
        count = sum(len(part.latents) for part in parts)
        grouped = (
            self._rooms.flat("grouped tokens", count, np.int32),
            self._rooms.flat("grouped rows", count, np.int32),
            self._rooms.flat("grouped values", count, np.float32),
            self._rooms.flat("grouped pushes", count, np.float32),
        )
        kept, pull = self._latents, self._rooms.together([part.pull for part in parts])
        counts = self._rooms.flat("counts", len(parts) * self._threads * len(W_dec), np.int32)
        counts = counts.reshape(len(parts), self._threads, -1)
        columns = [tuple(column.numpy() for column in part[1:]) for part in parts]
        for (latents, _, values, pushes), own in zip(columns, counts, strict=True):
            summing.count(latents, values, pushes, own)
        summing.begin(counts.reshape(-1, len(W_dec)), kept["ends"])
        first = 0
        for part, column, own in zip(parts, columns, counts, strict=True):
            summing.group(*column, first, len(x), own, grouped)
            first += len(part.pull)
        is_summed = np.diff(kept["ends"]) > _DENSE_SHARE * len(x)
        self._sum_densely(x, pull, np.flatnonzero(is_summed), *grouped[1:])
        summing.gradients(
            x.numpy(), pull.numpy(), W_enc.numpy(), W_dec.numpy(), kept["ends"], grouped, is_summed,
            _NOTHING if along is None else along.numpy(), unit_norm, *self._rows, kept["bias"], kept["touched"],
            kept["squares"], self._sums, self._turns, self._threads,
        )  # fmt: skip
        dW_enc, dW_dec = map(torch.from_numpy, self._rows)
        bias, is_touched = torch.from_numpy(kept["bias"]), torch.from_numpy(kept["touched"])
        through = torch.from_numpy(self._sums.sum(axis=0))
        return Gradients(dW_enc, dW_dec, bias, is_touched, through, float(kept["squares"].sum()))

    def count_silence(
        self, silent: Int[Tensor, " latent"], tokens: int, codes: Codes, values: Float[Tensor, " entry"]
    ) -> int:
        """Bring each latent's silence up to date and count the codes that speak."""
        return int(summing.count_silence(silent.numpy(), tokens, codes.latents.numpy(), values.numpy()))

    def adam(
        self,
        weights: Matrices,
        moments: tuple[Moments, Moments],
        gradients: Gradients,
        others: Sequence[Moved],
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
        constants = tuple(map(np.float32, (BETA1, BETA2, 1 - BETA1, 1 - BETA2, EPS, size, sharpen, factor)))
        updating.adam(
            weights.W_enc.numpy(), mean_enc.numpy(), square_enc.numpy(), gradients.W_enc.numpy(),
            weights.W_dec.numpy(), mean_dec.numpy(), square_dec.numpy(), gradients.W_dec.numpy(),
            gradients.is_touched.numpy(), coarse, unit_norm, constants, self._turns, self._threads,
        )  # fmt: skip
        for parameter, (mean, square), gradient in others:
            updating.adam_vector(*(part.view(-1).numpy() for part in (parameter, mean, square, gradient)), constants)
        self._coarse_of = weights.W_enc.data_ptr()
        self._rooms.begin_step()

    def squared_norm(self, gradients: Sequence[Tensor]) -> float:
        """Give the squared norm of some gradients together."""
        return sum(updating.squared_norm(gradient.view(-1).numpy()) for gradient in gradients)

    # ------------------------------------------------------------------------------------------- many codes at once

    def _reconstruct_densely(
        self,
        target: Float[Tensor, "token d_model"],
        W_dec: Float[Tensor, "latent d_model"],
        starts: Int[Tensor, " token_and_one"],
        latents: np.ndarray,
        values: Float[Tensor, " entry"],
        scale: float,
        pull: np.ndarray,
        code_pulls: np.ndarray,
    ) -> float:
        atoms, loss = W_dec.T.contiguous(), 0.0
        for first in range(0, len(target), CHUNK_TOKENS):
            tokens = np.arange(first, min(first + CHUNK_TOKENS, len(target)))
            spread = self._rooms.flat("dense codes", len(tokens) * len(W_dec), np.float32).reshape(len(tokens), -1)
            dense.spread(tokens, starts.numpy(), latents, values.numpy(), spread, self._threads)
            error = project(torch.from_numpy(spread), atoms).sub_(target[first : first + CHUNK_TOKENS])
            loss += error.square().sum(dim=1).double().sum().item()
            pull[tokens] = error.mul_(scale).numpy()
            dense.picked(tokens, starts.numpy(), latents, project(error, W_dec).numpy(), code_pulls, self._threads)
        return loss

    def _sum_densely(
        self,
        x: Float[Tensor, "token d_model"],
        pull: Float[Tensor, "level_token d_model"],
        latents: np.ndarray,
        rows: np.ndarray,
        values: np.ndarray,
        pushes: np.ndarray,
    ) -> None:
        """Write the sums of these latents' entries by dense products of a few latents at a time."""
        ends, (W_enc, W_dec) = self._latents["ends"], self._rows
        for first in range(0, len(latents), CHUNK_TOKENS):
            part = latents[first : first + CHUNK_TOKENS]
            for weights, vectors, sums in ((values, pull, W_dec), (pushes, x, W_enc)):
                spread = self._rooms.flat("dense sums", len(part) * len(vectors), np.float32).reshape(len(part), -1)
                dense.spread(part, ends, rows, weights, spread, self._threads)
                sums[part] = project(torch.from_numpy(spread), vectors.T).numpy()
            self._latents["bias"][part] = spread.sum(axis=1)

    def _chunk(self, latents: int) -> int:
        """Give the tokens whose product is taken at once."""
        return min(max(_PRODUCT_BYTES // (4 * latents), 64), 512)

    def _coarse_products(
        self, x: Float[Tensor, "token d_model"], W_enc: Float[Tensor, "latent d_model"]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Give chunks of the bfloat16 product as bits; the encoder's copy is renewed where Adam did not keep it."""
        assert self._coarse is not None
        if self._coarse_of != W_enc.data_ptr():
            self._coarse.copy_(W_enc)
            self._coarse_of = W_enc.data_ptr()
        narrow, chunk = x.bfloat16(), self._chunk(len(W_enc))
        bits = self._rooms.flat("coarse product", chunk * len(W_enc), np.uint16).reshape(chunk, -1)
        product = torch.from_numpy(bits).view(torch.bfloat16)
        for first in range(0, len(x), chunk):
            part = narrow[first : first + chunk]
            out = product[: len(part)]
            torch.mm(part, self._coarse.T, out=out)
            yield first, bits[: len(part)]


class _Silent(NamedTuple):
    """Where the largest pre-activations of dead latents go."""

    columns: np.ndarray
    members: np.ndarray
    latents: np.ndarray
    values: np.ndarray


def _products(
    x: Float[Tensor, "token d_model"], W_enc: Float[Tensor, "latent d_model"], chunk: int
) -> Iterator[tuple[int, np.ndarray]]:
    for first in range(0, len(x), chunk):
        yield first, project(x[first : first + chunk], W_enc).numpy()
