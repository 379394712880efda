"""Dictionary codes and reconstructions: computed a token, then pooled a text, kept as memory-mapped matrices.

A dictionary's folder holds its weights and card (`formats`) and, beside them, one matrix for each pooling. The folder's
name is a content hash of the activations, the texts, the recipe and the seed, so a matrix cannot be taken for another's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from fairfight.activations.pool import pool
from fairfight.activations.pooled import read_matrix, write_matrix
from fairfight.activations.shards import Activations, TokenBatch
from fairfight.dictionaries.contract import Dictionary
from fairfight.dictionaries.formats import load

CHUNK_TOKENS = 8192
"""Tokens encoded at a time: at 4,096 latents, 128 MiB of codes."""


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

    def codes(self, pooling: str) -> Float[np.ndarray, "example latent"]:
        """Give the pooled codes; `max_min` of codes that cannot be negative is `max`."""
        return read_matrix(self.folder / f"codes-{code_pooling(pooling, is_signed=self.is_signed)}.npy")

    def reconstruction(self, pooling: str) -> Float[np.ndarray, "example feature"]:
        """Give the pooled reconstruction."""
        return read_matrix(self.folder / f"reconstruction-{pooling}.npy")


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
    return all(file.is_file() for file in _files(folder, poolings, is_signed=is_signed))


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
    code_poolings = sorted({code_pooling(pooling, is_signed=dictionary.is_signed) for pooling in poolings})
    examples = int(rows.max()) + 1
    pools: dict[Path, list[tuple[Int[np.ndarray, " example"], Float[np.ndarray, "example feature"]]]] = {}
    for chosen, batch in _chunks(activations, rows):
        codes = dictionary.encode(batch.values)
        coded, rebuilt = (
            TokenBatch(codes, batch.offsets),
            TokenBatch(dictionary.rebuild(batch.values, codes), batch.offsets),
        )
        for pooling in code_poolings:
            pools.setdefault(folder / f"codes-{pooling}.npy", []).append((chosen, pool(coded, pooling)))
        for pooling in poolings:
            pools.setdefault(folder / f"reconstruction-{pooling}.npy", []).append((chosen, pool(rebuilt, pooling)))
    for file, parts in pools.items():

        def fill(matrix: Float[np.ndarray, "example feature"], parts: list = parts) -> None:
            for chosen, values in parts:
                matrix[chosen] = values

        write_matrix(file, (examples, parts[0][1].shape[1]), fill)


def _files(folder: Path, poolings: tuple[str, ...], *, is_signed: bool) -> list[Path]:
    names = {f"codes-{code_pooling(pooling, is_signed=is_signed)}" for pooling in poolings}
    names |= {f"reconstruction-{pooling}" for pooling in poolings}
    return [folder / f"{name}.npy" for name in sorted(names)]


def _chunks(
    activations: Activations, rows: Int[np.ndarray, " example"]
) -> Iterator[tuple[Int[np.ndarray, " example"], TokenBatch]]:
    counts = activations.token_counts[rows]
    ends = np.cumsum(counts)
    start = 0
    while start < len(rows):
        base = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, base + CHUNK_TOKENS, side="right")))
        chosen = rows[start:stop]
        yield chosen, activations.tokens(chosen)
        start = stop
