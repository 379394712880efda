"""Dictionary codes and reconstructions: computed a token, then pooled a text, kept as memory-mapped matrices.

A dictionary's folder holds its weights and card (`formats`) and, beside them, one matrix for each pooling: codes without their zeros
(`packed`) where that saves a quarter, all else dense (`.npy`). The folder's name is a content hash of the activations, the
texts, the recipe and the seed, so a matrix cannot be taken for another's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from fairfight.activations.pool import pool
from fairfight.activations.pooled import read_matrix, write_matrix
from fairfight.activations.shards import Activations, TokenBatch
from fairfight.dictionaries.contract import Dictionary
from fairfight.dictionaries.formats import load
from fairfight.dictionaries.packed import PackedRows, read_packed, write_packed
from fairfight.numerics.columns import Matrix

CHUNK_TOKENS = 8192
"""Tokens encoded at a time: at 4,096 latents, 128 MiB of codes."""
MOST_PACKED = 0.7
"""Share of pooled codes that are not zero up to which they are kept packed: in three quarters of the bytes at most."""
MOST_COMPRESSED = 1 / 8
"""Share of pooled codes that are not zero up to which methods get compressed rows: above it, dense ones are faster."""


@dataclass(frozen=True)
class PooledCodes:
    """A dictionary's pooled codes and reconstructions at one site, by row of the activation store."""

    folder: Path
    kind: str
    latents: int
    is_signed: bool
    encode_flops_per_token: int
    decode_flops_per_token: int
    training_flops: int | None
    """Operations of its training, dense-equivalent, and of the model passes that gave its tokens; None where not known."""

    def codes(self, pooling: str, rows: Int[np.ndarray, " example"]) -> Matrix:
        """Give pooled codes [example, latent], as compressed rows where few are not zero.

        `max_min` of codes that cannot be negative is `max`.

        Raises:
            DamagedFileError: the file is not what was written.
        """
        file = _codes_file(self.folder, code_pooling(pooling, is_signed=self.is_signed))
        if file.suffix == ".npy":
            return np.asarray(read_matrix(file)[rows])
        packed = read_packed(file)
        taken = packed.take(rows)
        return taken if packed.density <= MOST_COMPRESSED else taken.toarray()

    def reconstruction(self, pooling: str) -> Float[np.ndarray, "example feature"]:
        """Give the pooled reconstruction."""
        return read_matrix(_reconstruction_file(self.folder, pooling))


def code_pooling(pooling: str, *, is_signed: bool) -> str:
    """Give the pooling that codes get: minima say nothing about codes that are never negative."""
    return "max" if pooling == "max_min" and not is_signed else pooling


def open_pooled(folder: Path) -> PooledCodes:
    """Give the pooled codes of a finished dictionary folder."""
    loaded = load(folder)
    dictionary = loaded.dictionary
    return PooledCodes(
        folder=folder,
        kind=dictionary.kind,
        latents=dictionary.latents,
        is_signed=dictionary.is_signed,
        encode_flops_per_token=dictionary.encode_flops_per_token,
        decode_flops_per_token=dictionary.decode_flops_per_token,
        training_flops=loaded.card.spent_flops,
    )


def is_pooled(folder: Path, poolings: tuple[str, ...], *, is_signed: bool) -> bool:
    """Whether every matrix of these poolings is there."""
    codes = {_codes_file(folder, code_pooling(pooling, is_signed=is_signed)) for pooling in poolings}
    return all(file.is_file() for file in codes | {_reconstruction_file(folder, pooling) for pooling in poolings})


def pool_codes(
    dictionary: Dictionary,
    activations: Activations,
    rows: Int[np.ndarray, " example"],
    poolings: tuple[str, ...],
    folder: Path,
) -> None:
    """Write pooled codes and reconstructions of the texts in `rows`; other rows of the matrices stay zero.

    Memory: the pooled matrices themselves, and the codes of one chunk of at most `CHUNK_TOKENS` tokens (or one text).
    """
    rows = np.sort(rows)
    codes: dict[str, list[PackedRows]] = {}
    rebuilt: dict[str, list[Float[np.ndarray, "example feature"]]] = {}
    for batch in _chunks(activations, rows):
        # Encoded with their zeros: without them they decode to the same tokens only up to rounding, and scores would move.
        coded = TokenBatch(dictionary.encode(batch.values), batch.offsets)
        x_hat = TokenBatch(dictionary.rebuild(batch.values, coded.values), batch.offsets)
        for pooling in {code_pooling(pooling, is_signed=dictionary.is_signed) for pooling in poolings}:
            codes.setdefault(pooling, []).append(PackedRows.of(pool(coded, pooling)))
        for pooling in poolings:
            rebuilt.setdefault(pooling, []).append(pool(x_hat, pooling))
    for pooling, parts in codes.items():
        if sum(len(part.values) for part in parts) <= MOST_PACKED * len(rows) * parts[0].columns:
            write_packed(folder / f"codes-{pooling}.safetensors", PackedRows.stacked(parts, rows))
        else:
            _write_dense(folder / f"codes-{pooling}.npy", rows, map(PackedRows.dense, parts), parts[0].columns)
    for pooling, parts in rebuilt.items():
        _write_dense(_reconstruction_file(folder, pooling), rows, parts, parts[0].shape[1])


def _write_dense(
    file: Path,
    rows: Int[np.ndarray, " example"],
    parts: Iterable[Float[np.ndarray, "part_example feature"]],
    features: int,
) -> None:
    """Write the matrix that holds the parts' rows, one after the other, at `rows`; others are zero."""

    def fill(matrix: Float[np.ndarray, "example feature"]) -> None:
        start = 0
        for part in parts:
            matrix[rows[start : start + len(part)]] = part
            start += len(part)

    write_matrix(file, (int(rows[-1]) + 1, features), fill)


def _codes_file(folder: Path, pooling: str) -> Path:
    """Give the file of pooled codes: the packed one if it is there."""
    packed = folder / f"codes-{pooling}.safetensors"
    return packed if packed.is_file() else packed.with_suffix(".npy")


def _reconstruction_file(folder: Path, pooling: str) -> Path:
    return folder / f"reconstruction-{pooling}.npy"


def _chunks(activations: Activations, rows: Int[np.ndarray, " example"]) -> Iterator[TokenBatch]:
    counts = activations.token_counts[rows]
    ends = np.cumsum(counts)
    start = 0
    while start < len(rows):
        base = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, base + CHUNK_TOKENS, side="right")))
        yield activations.tokens(rows[start:stop])
        start = stop
