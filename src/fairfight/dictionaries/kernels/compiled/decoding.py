"""Reconstructions out of sparse codes, how far they miss, and what that does to each code."""

from __future__ import annotations

from numba import prange

from fairfight.dictionaries.kernels.compiled.jit import BLOCK_ROWS, ZERO, U, compiled, parallel, taken


@compiled
def _add_atoms(W_dec, latents, values, levels, level, a, z, pull, at):
    """Add to a row of `pull` the atoms of the entries a to z that belong to a level, each times its value."""
    width = W_dec.shape[1]
    has_levels = levels.shape[0] > 0
    i = a
    while i < z:
        if not has_levels and i + 4 <= z:
            j0, j1, j2, j3 = U(latents[i]), U(latents[i + 1]), U(latents[i + 2]), U(latents[i + 3])
            v0, v1, v2, v3 = values[i], values[i + 1], values[i + 2], values[i + 3]
            for d in range(width):
                pull[at, d] += v0 * W_dec[j0, d] + v1 * W_dec[j1, d] + v2 * W_dec[j2, d] + v3 * W_dec[j3, d]
            i += 4
            continue
        j0 = U(latents[i])
        if not has_levels or levels[j0] == level:
            v0 = values[i]
            for d in range(width):
                pull[at, d] += v0 * W_dec[j0, d]
        i += 1


@compiled
def _code_pulls(W_dec, latents, levels, a, z, pull, r, rows, out):
    """Write the inner product of each entry's atom with the pull of its row (and level)."""
    width = W_dec.shape[1]
    has_levels = levels.shape[0] > 0
    i = a
    while i < z:
        if not has_levels and i + 4 <= z:
            j0, j1, j2, j3 = U(latents[i]), U(latents[i + 1]), U(latents[i + 2]), U(latents[i + 3])
            s0, s1, s2, s3 = ZERO, ZERO, ZERO, ZERO
            for d in range(width):
                p = pull[r, d]
                s0 += p * W_dec[j0, d]
                s1 += p * W_dec[j1, d]
                s2 += p * W_dec[j2, d]
                s3 += p * W_dec[j3, d]
            out[i], out[i + 1], out[i + 2], out[i + 3] = s0, s1, s2, s3
            i += 4
            continue
        j0 = U(latents[i])
        at = U(r + (levels[j0] * rows if has_levels else 0))
        s0 = ZERO
        for d in range(width):
            s0 += pull[at, d] * W_dec[j0, d]
        out[i] = s0
        i += 1


@compiled
def _reconstruct(
    target, W_dec, starts, latents, values, levels, depth, scale, pull, row_losses, code_pulls, sums, turns
):
    rows, width = target.shape
    block = taken(turns, 1)
    while block < sums.shape[0]:
        for d in range(width):
            sums[block, d] = ZERO
        for r in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)):
            a, z = starts[r], starts[r + 1]
            loss = 0.0
            for d in range(width):
                pull[r, d] = ZERO
            for level in range(depth):
                at = level * rows + r
                _add_atoms(W_dec, latents, values, levels, level, a, z, pull, at)
                if level + 1 < depth:
                    for d in range(width):
                        pull[at + rows, d] = pull[at, d]
                # The target goes last: adding small terms to it one by one would round each at its size.
                squared = ZERO
                for d in range(width):
                    error = pull[at, d] - target[r, d]
                    pull[at, d] = error
                    squared += error * error
                loss += squared
            row_losses[r] = loss
            for d in range(width):
                pull[(depth - 1) * rows + r, d] *= scale
            for level in range(depth - 2, -1, -1):
                at = level * rows + r
                for d in range(width):
                    pull[at, d] = pull[at, d] * scale + pull[at + rows, d]
            for d in range(width):
                sums[block, d] += pull[r, d]
            _code_pulls(W_dec, latents, levels, a, z, pull, r, rows, code_pulls)
        block = taken(turns, 1)


@parallel
def reconstruct(
    target, W_dec, starts, latents, values, levels, depth, scale, pull, row_losses, code_pulls, sums, turns, threads
):
    """Write the scaled error of each row's reconstruction, its squared norm, and what it does to each code.

    With levels (nested prefixes of the latents) there is an error for each, row r of level l at l * rows + r; the errors
    of the levels that a latent takes part in are added up, deepest first, so that `pull` of a level is all that its
    latents feel. `sums` gets the sum of the first level's pulls, a row for each block of rows.
    """
    turns[0] = 0
    for _ in prange(threads):
        _reconstruct(
            target, W_dec, starts, latents, values, levels, depth, scale, pull, row_losses, code_pulls, sums, turns
        )
