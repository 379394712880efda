"""Pooled activations of a whole store, computed once and memory-mapped."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from fairfight.activations.pool import pool
from fairfight.activations.shards import Activations
from fairfight.errors import DiskFullError, has_no_room, refuse_place

FillRows = Callable[[Float[np.ndarray, "example feature"]], None]


def pooled_activations(activations: Activations, pooling: str, cache: Path) -> Float[np.ndarray, "example feature"]:
    """Give the pooled activations of every text of the store, in the store's order, as float32.

    Memory: one chunk of tokens at a time; the result is a read-only memory map of `cache`.
    """
    file = cache / f"{activations.key[:24]}-{pooling}.npy"
    if not file.is_file():
        width = activations.d_model * (2 if pooling == "max_min" else 1)

        def fill(matrix: Float[np.ndarray, "example feature"]) -> None:
            for rows, batch in activations.chunks():
                matrix[rows] = pool(batch, pooling)

        write_matrix(file, (len(activations.token_counts), width), fill)
    return read_matrix(file)


def write_matrix(file: Path, shape: tuple[int, int], fill: FillRows) -> None:
    """Write a float32 matrix that `fill` fills row by row, whole or not at all.

    Raises:
        DiskFullError: the disk is full.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    os.close(handle)
    try:
        matrix = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        # A memory map promises disk space that may not be there and then dies on a bus error: claim it first.
        # (Where there is no such call, as on macOS, a full disk may still end the process; nothing partial is kept.)
        if hasattr(os, "posix_fallocate"):
            with open(temporary, "r+b") as claimed:
                os.posix_fallocate(claimed.fileno(), 0, matrix.nbytes + matrix.offset)
        fill(matrix)
        matrix.flush()
        os.replace(temporary, file)
    except OSError as error:
        if has_no_room(error):
            raise DiskFullError(
                f"The disk is full: {file.name} needs {shape[0] * shape[1] * 4 / 2**20:.1f} MiB in {file.parent} "
                f"({error.strerror}). What was finished before is whole; free some space and run again."
            ) from error
        refuse_place(file, error)
        raise
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def read_matrix(file: Path) -> Float[np.ndarray, "example feature"]:
    """Give a matrix that `write_matrix` wrote, memory-mapped and read-only."""
    return np.load(file, mmap_mode="r", allow_pickle=False)
