"""The sparse training step, compiled for the processor by Numba.

Every sum is taken by one thread in an order that hangs on the data alone, so the same input gives the same bits on any
number of threads. Indices are cast to uint64 before they index: the check for negative ones would turn strided loads
into gathers. Compiled functions are cached on disk beside this file.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import prange, types
from numba.core import config
from numba.extending import overload

njit: Any = numba.njit  # its stub knows neither starred arguments nor what a compiled function takes
settings: Any = config
# OpenMP first: where a neighbour takes a core its threads lose least; the others follow where its library is missing.
settings.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

_JIT: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    # Not "nnan" and "ninf": a NaN among the activations has to come out as a NaN of the loss.
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}

_U = np.uint64
_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_LOWEST = np.float32(-3.4e38)
_BISECTIONS = 16
BLOCK_COLUMNS = 32
"""Columns that are looked at together when few of them are expected to be above their floor."""
BLOCK_ROWS = 128
"""Rows whose gradients of b_dec are added up before these sums are added in turn."""


def _widened(value):
    """Give a float32: itself, or what the bits of a bfloat16 stand for."""
    raise NotImplementedError


@overload(_widened, jit_options={"fastmath": True})
def _widened_compiled(value):
    if isinstance(value, types.Integer):
        return lambda value: np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)
    return lambda value: value


@njit(**_JIT)
def _narrowed(value):
    """Give the bits of the bfloat16 nearest to a float32, ties to even."""
    bits = np.float32(value).view(np.uint32)
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


# ----------------------------------------------------------------------------------------------- choosing the largest


@njit(**_JIT)
def _maxima_of_groups(pre, bias, r, maxima):
    """Write the largest pre-activation of each group; column j belongs to group j mod groups."""
    columns, groups = pre.shape[1], maxima.shape[0]
    for g in range(groups):
        maxima[g] = _LOWEST
    whole = columns // (4 * groups) * (4 * groups)
    for first in range(0, whole, 4 * groups):
        for g in range(groups):
            j = _U(first + g)
            a = _widened(pre[r, j]) + bias[j]
            j = _U(first + groups + g)
            b = _widened(pre[r, j]) + bias[j]
            j = _U(first + 2 * groups + g)
            c = _widened(pre[r, j]) + bias[j]
            j = _U(first + 3 * groups + g)
            d = _widened(pre[r, j]) + bias[j]
            a = a if a > b else b
            c = c if c > d else d
            a = a if a > c else c
            b = maxima[g]
            maxima[g] = a if a > b else b
    for first in range(whole, columns, groups):
        for g in range(min(groups, columns - first)):
            j = _U(first + g)
            a = _widened(pre[r, j]) + bias[j]
            b = maxima[g]
            maxima[g] = a if a > b else b


@njit(**_JIT)
def _count_at_least(values, n, bound):
    count = np.int32(0)
    for i in range(n):
        count += np.int32(values[i] >= bound)
    return count


@njit(**_JIT)
def _bound_below(values, n, k, floor):
    """Give a bound that at least k of the values reach and few more, or the floor where fewer than k reach that."""
    if _count_at_least(values, n, floor) <= k:
        return floor
    bound, top = values[0], floor
    for i in range(n):
        bound = values[i] if values[i] < bound else bound
        top = values[i] if values[i] > top else top
    bound = bound if bound > floor else floor
    for _ in range(_BISECTIONS):
        middle = (bound + top) * _HALF
        count = _count_at_least(values, n, middle)
        if count >= k:
            bound = middle
            if count == k:
                break
        else:
            top = middle
    return bound


@njit(**_JIT)
def _keep_largest(values, tags, n, k):
    """Move the k largest of n values to the front, with their tags (Hoare's selection; few extras go one by one)."""
    if n - k <= 24:
        while n > k:
            at, least = 0, values[0]
            for i in range(1, n):
                if values[i] < least:
                    at, least = i, values[i]
            n -= 1
            values[at], tags[at] = values[n], tags[n]
        return
    left, right = 0, n - 1
    while left < right:
        pivot = values[(left + right) >> 1]
        i, j = left, right
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                tags[i], tags[j] = tags[j], tags[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            right = j
        elif k - 1 >= i:
            left = i
        else:
            return


@njit(**_JIT)
def _candidates(pre, bias, r, k, floor, maxima, pool, tags, live):
    """Put into the pool the k largest pre-activations above the floor and few more; give how many there are.

    A bound that k groups reach with their largest is one that k columns reach, and only those groups are read again.
    """
    columns, groups = pre.shape[1], maxima.shape[0]
    _maxima_of_groups(pre, bias, r, maxima)
    bound = _bound_below(maxima, groups, k, floor)
    alive = 0
    for g in range(groups):
        live[_U(alive)] = g
        alive += np.int64(maxima[g] >= bound)
    if groups == columns:
        for i in range(alive):
            pool[_U(i)], tags[_U(i)] = maxima[_U(live[i])], live[i]
        return alive
    n = 0
    for i in range(alive):
        for j in range(live[i], columns, groups):
            value = _widened(pre[r, _U(j)]) + bias[_U(j)]
            pool[_U(n)], tags[_U(n)] = value, j
            n += np.int64(value >= bound)
    return n


@njit(**_JIT)
def _rescored(x, rows, bias, r, n, pool, tags):
    """Take the pool's pre-activations anew in float32."""
    width = x.shape[1]
    i = 0
    while i + 4 <= n:
        j0, j1, j2, j3 = _U(tags[i]), _U(tags[i + 1]), _U(tags[i + 2]), _U(tags[i + 3])
        s0, s1, s2, s3 = _ZERO, _ZERO, _ZERO, _ZERO
        for d in range(width):
            value = x[r, d]
            s0 += value * rows[j0, d]
            s1 += value * rows[j1, d]
            s2 += value * rows[j2, d]
            s3 += value * rows[j3, d]
        pool[i], pool[i + 1], pool[i + 2], pool[i + 3] = s0 + bias[j0], s1 + bias[j1], s2 + bias[j2], s3 + bias[j3]
        i += 4
    while i < n:
        j0 = _U(tags[i])
        s0 = _ZERO
        for d in range(width):
            s0 += x[r, d] * rows[j0, d]
        pool[i] = s0 + bias[j0]
        i += 1


@njit(parallel=True, **_JIT)
def top_k(pre, bias, k, floor, latents, values, maxima, pool, tags, live):
    """Write the k largest pre-activations of each row that exceed the floor; what is missing of k gets the value 0."""
    rows, threads = pre.shape[0], maxima.shape[0]
    for t in prange(threads):
        for r in range(rows * t // threads, rows * (t + 1) // threads):
            n = _candidates(pre, bias, r, k, floor, maxima[t], pool[t], tags[t], live[t])
            if n > k:
                _keep_largest(pool[t], tags[t], n, k)
                n = k
            for i in range(n):
                latents[r, i], values[r, i] = tags[t, i], pool[t, i]
            for i in range(n, k):
                latents[r, i], values[r, i] = 0, _ZERO


@njit(parallel=True, **_JIT)
def top_k_rescored(pre, x, rows, bias, k, drawn, floor, latents, values, maxima, pool, tags, live):
    """Do as `top_k`, out of the `drawn` largest by coarse pre-activations, which are taken anew in float32."""
    count, threads = pre.shape[0], maxima.shape[0]
    for t in prange(threads):
        for r in range(count * t // threads, count * (t + 1) // threads):
            n = _candidates(pre, bias, r, drawn, floor, maxima[t], pool[t], tags[t], live[t])
            if n > drawn:
                _keep_largest(pool[t], tags[t], n, drawn)
                n = drawn
            _rescored(x, rows, bias, r, n, pool[t], tags[t])
            if n > k:
                _keep_largest(pool[t], tags[t], n, k)
                n = k
            for i in range(n):
                value = pool[t, i]
                latents[r, i], values[r, i] = tags[t, i], value if value > floor else _ZERO
            for i in range(n, k):
                latents[r, i], values[r, i] = 0, _ZERO


@njit(parallel=True, **_JIT)
def above(pre, bias, floors, latents, values, counts, threads):
    """Write each row's pre-activations that exceed their latent's floor, in the order of the latents, and count them.

    All are counted; they are all written where the largest count leaves a block of room.
    """
    rows, columns = pre.shape
    room = latents.shape[1]
    block = BLOCK_COLUMNS
    for t in prange(threads):
        for r in range(rows * t // threads, rows * (t + 1) // threads):
            n = 0
            for first in range(0, columns, block):
                last = min(first + block, columns)
                hits = np.int32(0)
                for j in range(first, last):
                    hits += np.int32(pre[r, _U(j)] + bias[_U(j)] > floors[_U(j)])
                if hits == 0:
                    continue
                if n + block > room:
                    n += hits
                    continue
                for j in range(first, last):
                    value = pre[r, _U(j)] + bias[_U(j)]
                    latents[r, _U(n)], values[r, _U(n)] = j, value
                    n += np.int64(value > floors[_U(j)])
            counts[r] = n


@njit(parallel=True, **_JIT)
def packed(latents, values, counts, starts, first_row, out_latents, out_rows, out_values, threads):
    """Copy the written entries of each row into the flat arrays, from `starts` on."""
    rows = counts.shape[0]
    for t in prange(threads):
        for r in range(rows * t // threads, rows * (t + 1) // threads):
            at = starts[r]
            for i in range(counts[r]):
                out_latents[at + i], out_values[at + i] = latents[r, i], values[r, i]
                out_rows[at + i] = first_row + r


# -------------------------------------------------------------------------------------------------------- decoding


@njit(parallel=True, **_JIT)
def spread(owners, starts, members, values, dense, threads):
    """Write the owners' entries into the rows of a dense matrix; a member counts modulo the number of columns."""
    rows, columns = owners.shape[0], dense.shape[1]
    for t in prange(threads):
        for r in range(rows * t // threads, rows * (t + 1) // threads):
            for c in range(columns):
                dense[r, c] = _ZERO
            for i in range(starts[owners[r]], starts[owners[r] + 1]):
                dense[r, _U(members[i] % columns)] += values[i]


@njit(parallel=True, **_JIT)
def picked(owners, starts, members, dense, values, threads):
    """Read the owners' entries off the rows of a dense matrix."""
    rows = owners.shape[0]
    for t in prange(threads):
        for r in range(rows * t // threads, rows * (t + 1) // threads):
            for i in range(starts[owners[r]], starts[owners[r] + 1]):
                values[i] = dense[r, _U(members[i])]


@njit(**_JIT)
def _add_atoms(W_dec, latents, values, levels, level, a, z, pull, at):
    """Add to a row of `pull` the atoms of the entries a to z that belong to a level, each times its value."""
    width = W_dec.shape[1]
    has_levels = levels.shape[0] > 0
    i = a
    while i < z:
        if not has_levels and i + 4 <= z:
            j0, j1, j2, j3 = _U(latents[i]), _U(latents[i + 1]), _U(latents[i + 2]), _U(latents[i + 3])
            v0, v1, v2, v3 = values[i], values[i + 1], values[i + 2], values[i + 3]
            for d in range(width):
                pull[at, d] += v0 * W_dec[j0, d] + v1 * W_dec[j1, d] + v2 * W_dec[j2, d] + v3 * W_dec[j3, d]
            i += 4
            continue
        j0 = _U(latents[i])
        if not has_levels or levels[j0] == level:
            v0 = values[i]
            for d in range(width):
                pull[at, d] += v0 * W_dec[j0, d]
        i += 1


@njit(**_JIT)
def _code_pulls(W_dec, latents, levels, a, z, pull, r, rows, out):
    """Write the inner product of each entry's atom with the pull of its row (and level)."""
    width = W_dec.shape[1]
    has_levels = levels.shape[0] > 0
    i = a
    while i < z:
        if not has_levels and i + 4 <= z:
            j0, j1, j2, j3 = _U(latents[i]), _U(latents[i + 1]), _U(latents[i + 2]), _U(latents[i + 3])
            s0, s1, s2, s3 = _ZERO, _ZERO, _ZERO, _ZERO
            for d in range(width):
                p = pull[r, d]
                s0 += p * W_dec[j0, d]
                s1 += p * W_dec[j1, d]
                s2 += p * W_dec[j2, d]
                s3 += p * W_dec[j3, d]
            out[i], out[i + 1], out[i + 2], out[i + 3] = s0, s1, s2, s3
            i += 4
            continue
        j0 = _U(latents[i])
        at = _U(r + (levels[j0] * rows if has_levels else 0))
        s0 = _ZERO
        for d in range(width):
            s0 += pull[at, d] * W_dec[j0, d]
        out[i] = s0
        i += 1


@njit(parallel=True, **_JIT)
def reconstruct(
    target, W_dec, starts, latents, values, levels, depth, scale, pull, row_losses, code_pulls, sums, threads
):
    """Write the scaled error of each row's reconstruction, its squared norm, and what it does to each code.

    With levels (nested prefixes of the latents) there is an error for each, row r of level l at l * rows + r; the errors
    of the levels that a latent takes part in are added up, deepest first, so that `pull` of a level is all that its
    latents feel. `sums` gets the sum of the first level's pulls, a row for each block of rows.
    """
    rows, width = target.shape
    blocks = sums.shape[0]
    for t in prange(threads):
        for r in range(
            min(blocks * t // threads * BLOCK_ROWS, rows), min(blocks * (t + 1) // threads * BLOCK_ROWS, rows)
        ):
            a, z = starts[r], starts[r + 1]
            loss = 0.0
            for d in range(width):
                pull[r, d] = _ZERO
            for level in range(depth):
                at = level * rows + r
                _add_atoms(W_dec, latents, values, levels, level, a, z, pull, at)
                if level + 1 < depth:
                    for d in range(width):
                        pull[at + rows, d] = pull[at, d]
                # The target goes last: adding small terms to it one by one would round each at its size.
                squared = _ZERO
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
            block = r // BLOCK_ROWS
            if r % BLOCK_ROWS == 0:
                for d in range(width):
                    sums[block, d] = pull[r, d]
            else:
                for d in range(width):
                    sums[block, d] += pull[r, d]
            _code_pulls(W_dec, latents, levels, a, z, pull, r, rows, code_pulls)


# ---------------------------------------------------------------------------------------------------- gradients


@njit(**_JIT)
def _is_felt(value, push):
    return value != _ZERO or push != _ZERO


@njit(parallel=True, **_JIT)
def group(latents, pull_rows, values, pushes, ends, counts, grouped_rows, grouped_values, grouped_pushes):
    """Sort entries by latent, in the order of rows within one (a counting sort); entries that change nothing go.

    `ends` gets where each latent's entries begin, and where the last one's end.
    """
    threads, columns = counts.shape
    n = latents.shape[0]
    for t in prange(threads):
        for j in range(columns):
            counts[t, j] = 0
        for i in range(n * t // threads, n * (t + 1) // threads):
            if _is_felt(values[i], pushes[i]):
                counts[t, _U(latents[i])] += 1
    total = np.int32(0)
    for j in range(columns):
        ends[j] = total
        for t in range(threads):
            count = counts[t, j]
            counts[t, j] = total
            total += count
    ends[columns] = total
    for t in prange(threads):
        for i in range(n * t // threads, n * (t + 1) // threads):
            if _is_felt(values[i], pushes[i]):
                j = _U(latents[i])
                at = _U(counts[t, j])
                counts[t, j] += 1
                grouped_rows[at] = pull_rows[i]
                grouped_values[at] = values[i]
                grouped_pushes[at] = pushes[i]


@njit(**_JIT)
def _borders(ends, threads, weight):
    """Part the latents among threads so that entries, and `weight` for each latent, are shared evenly."""
    columns = ends.shape[0] - 1
    borders = np.zeros(threads + 1, np.int64)
    total = ends[columns] + weight * columns
    part = 1
    for j in range(columns):
        while part < threads and ends[j] + weight * j >= total * part // threads:
            borders[part] = j
            part += 1
    while part < threads:
        borders[part] = columns
        part += 1
    borders[threads] = columns
    return borders


@njit(**_JIT)
def _sum_of_latent(x, pull, a, z, rows, values, pushes, dE, dD):
    """Write the two gradient rows of one latent; give the gradient of its bias."""
    count, width = x.shape
    bias = _ZERO
    for d in range(width):
        dE[d] = _ZERO
        dD[d] = _ZERO
    i = a
    while i + 4 <= z:
        p0, p1, p2, p3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        r0, r1, r2, r3 = _U(p0 % count), _U(p1 % count), _U(p2 % count), _U(p3 % count)
        b0, b1, b2, b3 = pushes[i], pushes[i + 1], pushes[i + 2], pushes[i + 3]
        bias += b0 + b1 + b2 + b3
        for d in range(width):
            dE[d] += b0 * x[r0, d] + b1 * x[r1, d] + b2 * x[r2, d] + b3 * x[r3, d]
        r0, r1, r2, r3 = _U(p0), _U(p1), _U(p2), _U(p3)
        b0, b1, b2, b3 = values[i], values[i + 1], values[i + 2], values[i + 3]
        for d in range(width):
            dD[d] += b0 * pull[r0, d] + b1 * pull[r1, d] + b2 * pull[r2, d] + b3 * pull[r3, d]
        i += 4
    while i < z:
        p0 = rows[i]
        r0 = _U(p0 % count)
        b0 = pushes[i]
        bias += b0
        for d in range(width):
            dE[d] += b0 * x[r0, d]
        r0 = _U(p0)
        b0 = values[i]
        for d in range(width):
            dD[d] += b0 * pull[r0, d]
        i += 1
    return bias


@njit(parallel=True, **_JIT)
def gradients(
    x, pull, W_dec, ends, rows, values, pushes, is_summed, along, is_unit, dE, dD, db, touched, squares, threads
):
    """Write the gradients of encoder rows, atoms and latent biases, and the squared norm of each latent's.

    Where `is_summed`, rows and bias hold the entries' sums already. `along` says how much of its own direction each
    atom's gradient gets, which is what a penalty on atom norms gives; with `is_unit` the part of an atom's gradient
    along the atom is taken out. Latents that nothing touches are marked and their rows left as they were.
    """
    width = x.shape[1]
    borders = _borders(ends, threads, 4)
    has_along = along.shape[0] > 0
    for t in prange(threads):
        for j in range(borders[t], borders[t + 1]):
            a, z = ends[j], ends[j + 1]
            pulled = along[j] if has_along else _ZERO
            touched[j] = a < z or pulled != _ZERO
            squares[j] = 0.0
            if not touched[j]:
                db[j] = _ZERO
                continue
            if not is_summed[j]:
                db[j] = _sum_of_latent(x, pull, a, z, rows, values, pushes, dE[j], dD[j])
            if pulled != _ZERO:
                for d in range(width):
                    dD[j, d] += pulled * W_dec[j, d]
            if is_unit:
                part = _ZERO
                for d in range(width):
                    part += dD[j, d] * W_dec[j, d]
                for d in range(width):
                    dD[j, d] -= part * W_dec[j, d]
            squared = _ZERO
            for d in range(width):
                squared += dE[j, d] * dE[j, d] + dD[j, d] * dD[j, d]
            squares[j] = squared


@njit(parallel=True, **_JIT)
def sum_of_rows(matrix, weights, threads):
    """Give the sum of the rows, each times its weight, in blocks of a fixed size."""
    rows, width = matrix.shape
    blocks = (rows + BLOCK_ROWS - 1) // BLOCK_ROWS
    parts = np.zeros((blocks, width), np.float32)
    for t in prange(threads):
        for block in range(blocks * t // threads, blocks * (t + 1) // threads):
            for r in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)):
                weight = weights[r]
                if weight != _ZERO:
                    for d in range(width):
                        parts[block, d] += weight * matrix[r, d]
    total = np.zeros(width, np.float32)
    for block in range(blocks):
        for d in range(width):
            total[d] += parts[block, d]
    return total


@njit(**_JIT)
def count_silence(silent, tokens, latents, values):
    """Add the tokens to each latent's silence, end that of the latents with a positive value, and count such values."""
    for j in range(silent.shape[0]):
        silent[j] += tokens
    active = 0
    for i in range(latents.shape[0]):
        if values[i] > _ZERO:
            silent[_U(latents[i])] = 0
            active += 1
    return active


# --------------------------------------------------------------------------------------------------------- Adam


@njit(**_JIT)
def _adam_row(w, m, v, g, is_touched, beta1, beta2, one_minus1, one_minus2, eps, step, sharpen, factor):
    if is_touched:
        for d in range(w.shape[0]):
            gradient = g[d] * factor
            mean = beta1 * m[d] + one_minus1 * gradient
            square = beta2 * v[d] + one_minus2 * gradient * gradient
            m[d], v[d] = mean, square
            w[d] -= step * mean / (math.sqrt(square) * sharpen + eps)
    else:
        for d in range(w.shape[0]):
            mean, square = beta1 * m[d], beta2 * v[d]
            m[d], v[d] = mean, square
            w[d] -= step * mean / (math.sqrt(square) * sharpen + eps)


@njit(parallel=True, **_JIT)
def adam(
    W_enc, mE, vE, dE, W_dec, mD, vD, dD, touched, coarse, is_unit, constants, threads
):  # fmt: skip
    """Take Adam's step on encoder rows and atoms, bring atoms back to unit norm, and keep a bfloat16 copy of the rows.

    `constants` are those of `_adam_row`. One minus a beta is among them because float32 would round it off by 5e-5.
    """
    latents, width = W_enc.shape
    has_coarse = coarse.shape[0] > 0
    for t in prange(threads):
        for j in range(latents * t // threads, latents * (t + 1) // threads):
            _adam_row(W_enc[j], mE[j], vE[j], dE[j], touched[j], *constants)
            _adam_row(W_dec[j], mD[j], vD[j], dD[j], touched[j], *constants)
            if is_unit:
                squared = _ZERO
                for d in range(width):
                    squared += W_dec[j, d] * W_dec[j, d]
                inverse = _ONE / max(math.sqrt(squared), np.float32(1e-12))
                for d in range(width):
                    W_dec[j, d] *= inverse
            if has_coarse:
                for d in range(width):
                    coarse[j, d] = _narrowed(W_enc[j, d])
