"""Matrices without their zeros: a bit an entry says whether it is one, and a number follows for each that is not.

That takes less than compressed rows wherever more than one entry in 32 is not zero, and less than a dense matrix almost
always: pooled over a text's tokens, the codes of a dictionary with 24 of 1,024 latents a token are 39 % of a matrix.

The file is safetensors, which is memory-mapped, with `bits` [row, byte], `offsets` [row + 1] and `values` [entry]; its
metadata say how many columns there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import safetensors.numpy
from jaxtyping import Float, Int, UInt8
from safetensors import SafetensorError, safe_open
from scipy.sparse import csr_array

from fairfight.errors import DamagedFileError
from fairfight.ledger import write_atomically


class PackedRows(NamedTuple):
    """A float32 matrix without its zeros."""

    bits: UInt8[np.ndarray, "row byte"]
    """Set where an entry is not zero, eight a byte, the first in the highest bit."""
    offsets: Int[np.ndarray, " boundary"]
    """Row r has the values `offsets[r]` to `offsets[r + 1]`, from left to right; int64."""
    values: Float[np.ndarray, " entry"]
    columns: int

    @classmethod
    def of(cls, matrix: Float[np.ndarray, "row column"]) -> Self:
        """Give a dense matrix without its zeros."""
        is_entry = matrix != 0
        offsets = np.concatenate([[0], np.count_nonzero(is_entry, axis=1).cumsum()])
        return cls(np.packbits(is_entry, axis=1), offsets, matrix[is_entry], matrix.shape[1])

    @classmethod
    def stacked(cls, parts: Sequence[PackedRows], rows: Int[np.ndarray, " part_row"]) -> Self:
        """Give the matrix that holds the parts' rows, one after the other, at `rows`, which ascend; others are zero."""
        bits = np.zeros((int(rows[-1]) + 1, parts[0].bits.shape[1]), dtype=np.uint8)
        bits[rows] = np.concatenate([part.bits for part in parts])
        offsets = np.zeros(len(bits) + 1, dtype=np.int64)
        offsets[rows + 1] = np.concatenate([np.diff(part.offsets) for part in parts])
        return cls(bits, offsets.cumsum(), np.concatenate([part.values for part in parts]), parts[0].columns)

    @property
    def density(self) -> float:
        """Share of entries that are not zero."""
        return len(self.values) / max(1, len(self.bits) * self.columns)

    def dense(self) -> Float[np.ndarray, "row column"]:
        """Give the matrix with its zeros."""
        matrix = np.zeros((len(self.bits), self.columns), dtype=np.float32)
        matrix[np.unpackbits(self.bits, axis=1, count=self.columns).view(bool)] = self.values
        return matrix

    def take(self, rows: Int[np.ndarray, " chosen"]) -> csr_array:
        """Give some rows as SciPy's compressed rows.

        Raises:
            DamagedFileError: a row has more or fewer values than bits.
        """
        is_entry = np.unpackbits(self.bits[rows], axis=1, count=self.columns).view(bool)
        starts, entries = self.offsets[rows], np.diff(self.offsets)[rows]
        if not np.array_equal(entries, np.count_nonzero(is_entry, axis=1)):
            raise DamagedFileError(
                "Rows of packed codes have other numbers of values than of bits. Delete the dictionary's folder and run the "
                "same command again."
            )
        offsets = np.concatenate([[0], entries.cumsum()])
        values = self.values[np.repeat(starts - offsets[:-1], entries) + np.arange(offsets[-1])]
        columns = np.flatnonzero(is_entry) % self.columns
        index = np.int32 if len(values) < 2**31 else np.int64  # SciPy copies unless both are of the one it would choose
        return csr_array((values, columns.astype(index), offsets.astype(index)), shape=is_entry.shape)


def write_packed(file: Path, packed: PackedRows) -> None:
    """Write packed rows, whole or not at all.

    Raises:
        DiskFullError: the disk is full.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"bits": packed.bits, "offsets": packed.offsets, "values": packed.values}
    write_atomically(file, safetensors.numpy.save(tensors, {"columns": str(packed.columns)}))


def read_packed(file: Path) -> PackedRows:
    """Give what `write_packed` wrote; bits and values stay on disk until rows are taken.

    Raises:
        DamagedFileError: the file is cut short, or its parts do not fit together.
    """
    try:
        # Opened for torch, which maps the file into memory; for NumPy it would be copied.
        with safe_open(file, framework="pt") as opened:
            bits, offsets, values = (opened.get_tensor(name).numpy() for name in ("bits", "offsets", "values"))
            columns = int(opened.metadata()["columns"])
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise _damaged(file, str(error)) from error
    if bits.shape != (len(offsets) - 1, -(-columns // 8)) or (offsets[0], offsets[-1]) != (0, len(values)):
        shapes = f"bits {bits.shape}, offsets to {offsets[-1]}, {len(values)} values, {columns} columns"
        raise _damaged(file, f"its parts do not fit together: {shapes}")
    return PackedRows(bits, offsets, values, columns)


def _damaged(file: Path, found: str) -> DamagedFileError:
    return DamagedFileError(
        f"{file} does not hold packed codes ({found}). Delete the dictionary's folder and run the same command again."
    )
