"""Gradients as sums over the entries of each latent, and the other sums of a step."""

from __future__ import annotations

import numpy as np
from numba import prange

from fairfight.dictionaries.kernels.compiled.jit import ZERO, U, compiled, parallel, taken

LATENTS_OF_SUM = 32
"""Latents that a thread takes at a time, and whose sums are taken before these are added up in turn."""


@compiled
def _is_felt(value, push):
    return value != ZERO or push != ZERO


@parallel
def count(latents, values, pushes, counts):
    """Count each latent's entries in each thread's share; entries that change nothing do not count."""
    threads, columns = counts.shape
    n = latents.shape[0]
    for t in prange(threads):
        for j in range(columns):
            counts[t, j] = 0
        for i in range(n * t // threads, n * (t + 1) // threads):
            if _is_felt(values[i], pushes[i]):
                counts[t, U(latents[i])] += 1


@compiled
def begin(counts, ends):
    """Turn counts into where each share's entries of a latent begin; `ends` gets that of each latent, and the last end."""
    shares, columns = counts.shape
    total = np.int32(0)
    for j in range(columns):
        ends[j] = total
        for share in range(shares):
            count = counts[share, j]
            counts[share, j] = total
            total += count
    ends[columns] = total


@parallel
def group(latents, pull_rows, values, pushes, first_row, places, grouped_rows, grouped_values, grouped_pushes):
    """Put the entries that were counted where their latent's begin, in the order of rows within one (a counting sort)."""
    threads = places.shape[0]
    n = latents.shape[0]
    for t in prange(threads):
        for i in range(n * t // threads, n * (t + 1) // threads):
            if _is_felt(values[i], pushes[i]):
                j = U(latents[i])
                at = U(places[t, j])
                places[t, j] += 1
                grouped_rows[at] = pull_rows[i] + first_row
                grouped_values[at] = values[i]
                grouped_pushes[at] = pushes[i]


@compiled
def _sum_of_latent(x, pull, a, z, rows, values, pushes, dE, dD):
    """Write the two gradient rows of one latent; give the gradient of its bias."""
    count, width = x.shape
    bias = ZERO
    for d in range(width):
        dE[d] = ZERO
        dD[d] = ZERO
    i = a
    while i + 4 <= z:
        p0, p1, p2, p3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        r0, r1, r2, r3 = U(p0 % count), U(p1 % count), U(p2 % count), U(p3 % count)
        b0, b1, b2, b3 = pushes[i], pushes[i + 1], pushes[i + 2], pushes[i + 3]
        bias += b0 + b1 + b2 + b3
        for d in range(width):
            dE[d] += b0 * x[r0, d] + b1 * x[r1, d] + b2 * x[r2, d] + b3 * x[r3, d]
        r0, r1, r2, r3 = U(p0), U(p1), U(p2), U(p3)
        b0, b1, b2, b3 = values[i], values[i + 1], values[i + 2], values[i + 3]
        for d in range(width):
            dD[d] += b0 * pull[r0, d] + b1 * pull[r1, d] + b2 * pull[r2, d] + b3 * pull[r3, d]
        i += 4
    while i < z:
        p0 = rows[i]
        r0 = U(p0 % count)
        b0 = pushes[i]
        bias += b0
        for d in range(width):
            dE[d] += b0 * x[r0, d]
        r0 = U(p0)
        b0 = values[i]
        for d in range(width):
            dD[d] += b0 * pull[r0, d]
        i += 1
    return bias


@compiled
def _gradients(
    x,
    pull,
    W_enc,
    W_dec,
    ends,
    rows,
    values,
    pushes,
    is_summed,
    along,
    is_unit,
    dE,
    dD,
    db,
    touched,
    squares,
    sums,
    turns,
):
    latents, width = W_dec.shape
    has_along = along.shape[0] > 0
    first = taken(turns, LATENTS_OF_SUM)
    while first < latents:
        total = sums[first // LATENTS_OF_SUM]
        for d in range(width):
            total[d] = ZERO
        for j in range(first, min(first + LATENTS_OF_SUM, latents)):
            a, z = ends[j], ends[j + 1]
            pulled = along[j] if has_along else ZERO
            touched[j] = a < z or pulled != ZERO
            squares[j] = 0.0
            if not touched[j]:
                db[j] = ZERO
                continue
            if not is_summed[j]:
                db[j] = _sum_of_latent(x, pull, a, z, rows, values, pushes, dE[j], dD[j])
            pushed = db[j]
            for d in range(width):
                total[d] += pushed * W_enc[j, d]
            if pulled != ZERO:
                for d in range(width):
                    dD[j, d] += pulled * W_dec[j, d]
            if is_unit:
                part = ZERO
                for d in range(width):
                    part += dD[j, d] * W_dec[j, d]
                for d in range(width):
                    dD[j, d] -= part * W_dec[j, d]
            squared = ZERO
            for d in range(width):
                squared += dE[j, d] * dE[j, d] + dD[j, d] * dD[j, d]
            squares[j] = squared
        first = taken(turns, LATENTS_OF_SUM)


@parallel
def gradients(
    x, pull, W_enc, W_dec, ends, rows, values, pushes, is_summed, along, is_unit, dE, dD, db, touched, squares, sums, turns,
    threads,
):  # fmt: skip
    """Write the gradients of encoder rows, atoms and latent biases, and the squared norm of each latent's.

    Where `is_summed`, rows and bias hold the entries' sums already. `along` says how much of its own direction each
    atom's gradient gets, which is what a penalty on atom norms gives; with `is_unit` the part of an atom's gradient
    along the atom is taken out. Latents that nothing touches are marked and their rows left as they were. `sums` gets the
    encoder rows times the gradients of their biases, added up over so many latents at a time.
    """
    turns[0] = 0
    for _ in prange(threads):
        _gradients(
            x, pull, W_enc, W_dec, ends, rows, values, pushes, is_summed, along, is_unit, dE, dD, db, touched, squares,
            sums, turns,
        )  # fmt: skip


@compiled
def count_silence(silent, tokens, latents, values):
    """Add the tokens to each latent's silence, end that of the latents with a positive value, and count such values."""
    for j in range(silent.shape[0]):
        silent[j] += tokens
    active = 0
    for i in range(latents.shape[0]):
        if values[i] > ZERO:
            silent[U(latents[i])] = 0
            active += 1
    return active
