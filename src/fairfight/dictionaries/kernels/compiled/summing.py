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
def group(latents, pull_rows, values, pushes, first_row, tokens, places, grouped):
    """Put the entries that were counted where their latent's begin, in the order of rows within one (a counting sort)."""
    grouped_tokens, grouped_rows, grouped_values, grouped_pushes = grouped
    threads = places.shape[0]
    n = latents.shape[0]
    for t in prange(threads):
        for i in range(n * t // threads, n * (t + 1) // threads):
            if _is_felt(values[i], pushes[i]):
                j = U(latents[i])
                at = U(places[t, j])
                places[t, j] += 1
                row = pull_rows[i]
                grouped_tokens[at] = row if row < tokens else row % tokens
                grouped_rows[at] = row + first_row
                grouped_values[at] = values[i]
                grouped_pushes[at] = pushes[i]


@compiled
def _sum_of_latent(x, pull, a, z, grouped, dE, dD):
    """Write the two gradient rows of one latent; give the gradient of its bias."""
    tokens, rows, values, pushes = grouped
    width = x.shape[1]
    bias = ZERO
    for d in range(width):
        dE[d] = ZERO
        dD[d] = ZERO
    i = a
    while i + 4 <= z:
        r0, r1, r2, r3 = U(tokens[i]), U(tokens[i + 1]), U(tokens[i + 2]), U(tokens[i + 3])
        b0, b1, b2, b3 = pushes[i], pushes[i + 1], pushes[i + 2], pushes[i + 3]
        bias += b0 + b1 + b2 + b3
        for d in range(width):
            dE[d] += b0 * x[r0, d] + b1 * x[r1, d] + b2 * x[r2, d] + b3 * x[r3, d]
        r0, r1, r2, r3 = U(rows[i]), U(rows[i + 1]), U(rows[i + 2]), U(rows[i + 3])
        b0, b1, b2, b3 = values[i], values[i + 1], values[i + 2], values[i + 3]
        for d in range(width):
            dD[d] += b0 * pull[r0, d] + b1 * pull[r1, d] + b2 * pull[r2, d] + b3 * pull[r3, d]
        i += 4
    while i < z:
        r0 = U(tokens[i])
        b0 = pushes[i]
        bias += b0
        for d in range(width):
            dE[d] += b0 * x[r0, d]
        r0 = U(rows[i])
        b0 = values[i]
        for d in range(width):
            dD[d] += b0 * pull[r0, d]
        i += 1
    return bias


@compiled
def _gradients(
    x, pull, W_enc, W_dec, ends, grouped, is_summed, along, is_unit, dE, dD, db, touched, squares, sums, turns
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
                db[j] = _sum_of_latent(x, pull, a, z, grouped, dE[j], dD[j])
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
    x, pull, W_enc, W_dec, ends, grouped, is_summed, along, is_unit, dE, dD, db, touched, squares, sums, turns, threads
):
    """Write the gradients of encoder rows, atoms and latent biases, and the squared norm of each latent's.

    Where `is_summed`, rows and bias hold the entries' sums already. `along` says how much of its own direction each
    atom's gradient gets, which is what a penalty on atom norms gives; with `is_unit` the part of an atom's gradient
    along the atom is taken out. Latents that nothing touches are marked and their rows left as they were. `sums` gets the
    encoder rows times the gradients of their biases, added up over so many latents at a time.
    """
    turns[0] = 0
    for _ in prange(threads):
        _gradients(
            x, pull, W_enc, W_dec, ends, grouped, is_summed, along, is_unit, dE, dD, db, touched, squares, sums, turns
        )


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
