"""Sparse entries as rows of a dense matrix, and back: for products where many codes speak."""

from __future__ import annotations

from numba import prange

from fairfight.dictionaries.kernels.compiled.jit import ZERO, U, parallel


@parallel
def spread(owners, starts, members, values, dense, threads):
    """Write the owners' entries into the rows of a dense matrix; a member counts modulo the number of columns."""
    rows, columns = owners.shape[0], dense.shape[1]
    for t in prange(threads):
        for r in range(rows * t // threads, rows * (t + 1) // threads):
            for c in range(columns):
                dense[r, c] = ZERO
            for i in range(starts[owners[r]], starts[owners[r] + 1]):
                dense[r, U(members[i] % columns)] += values[i]


@parallel
def picked(owners, starts, members, dense, values, threads):
    """Read the owners' entries off the rows of a dense matrix."""
    rows = owners.shape[0]
    for t in prange(threads):
        for r in range(rows * t // threads, rows * (t + 1) // threads):
            for i in range(starts[owners[r]], starts[owners[r] + 1]):
                values[i] = dense[r, U(members[i])]
