"""Which pre-activations of a product count: the k largest of each row, or those above a floor."""

from __future__ import annotations

import numpy as np
from numba import prange, types
from numba.extending import overload

from fairfight.dictionaries.kernels.compiled.jit import ZERO, U, compiled, parallel, taken

_HALF = np.float32(0.5)
_LOWEST = np.float32(-3.4e38)
_BISECTIONS = 16
_TURN = 16
"""Rows that a thread takes at a time."""
BLOCK_COLUMNS = 32
"""Columns that are looked at together when few of them are expected to be above their floor."""


def _widened(value):
    """Give a float32: itself, or what the bits of a bfloat16 stand for."""
    raise NotImplementedError


@overload(_widened, jit_options={"fastmath": True})
def _widened_compiled(value):
    if isinstance(value, types.Integer):
        return lambda value: np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)
    return lambda value: value


@compiled
def _maxima_of_groups(pre, bias, r, maxima):
    """Write the largest pre-activation of each group; column j belongs to group j mod groups."""
    columns, groups = pre.shape[1], maxima.shape[0]
    for g in range(groups):
        maxima[g] = _LOWEST
    whole = columns // (4 * groups) * (4 * groups)
    for first in range(0, whole, 4 * groups):
        for g in range(groups):
            j = U(first + g)
            a = _widened(pre[r, j]) + bias[j]
            j = U(first + groups + g)
            b = _widened(pre[r, j]) + bias[j]
            j = U(first + 2 * groups + g)
            c = _widened(pre[r, j]) + bias[j]
            j = U(first + 3 * groups + g)
            d = _widened(pre[r, j]) + bias[j]
            a = a if a > b else b
            c = c if c > d else d
            a = a if a > c else c
            b = maxima[g]
            maxima[g] = a if a > b else b
    for first in range(whole, columns, groups):
        for g in range(min(groups, columns - first)):
            j = U(first + g)
            a = _widened(pre[r, j]) + bias[j]
            b = maxima[g]
            maxima[g] = a if a > b else b


@compiled
def _count_at_least(values, n, bound):
    count = np.int32(0)
    for i in range(n):
        count += np.int32(values[i] >= bound)
    return count


@compiled
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


@compiled
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


@compiled
def _candidates(pre, bias, r, k, floor, maxima, pool, tags, live):
    """Put into the pool the k largest pre-activations above the floor and few more; give how many there are.

    A bound that k groups reach with their largest is one that k columns reach, and only those groups are read again.
    """
    columns, groups = pre.shape[1], maxima.shape[0]
    _maxima_of_groups(pre, bias, r, maxima)
    bound = _bound_below(maxima, groups, k, floor)
    alive = 0
    for g in range(groups):
        live[U(alive)] = g
        alive += np.int64(maxima[g] >= bound)
    if groups == columns:
        for i in range(alive):
            pool[U(i)], tags[U(i)] = maxima[U(live[i])], live[i]
        return alive
    n = 0
    for i in range(alive):
        for j in range(live[i], columns, groups):
            value = _widened(pre[r, U(j)]) + bias[U(j)]
            pool[U(n)], tags[U(n)] = value, j
            n += np.int64(value >= bound)
    return n


@compiled
def _rescored(x, rows, bias, r, n, pool, tags):
    """Take the pool's pre-activations anew in float32."""
    width = x.shape[1]
    i = 0
    while i + 4 <= n:
        j0, j1, j2, j3 = U(tags[i]), U(tags[i + 1]), U(tags[i + 2]), U(tags[i + 3])
        s0, s1, s2, s3 = ZERO, ZERO, ZERO, ZERO
        for d in range(width):
            value = x[r, d]
            s0 += value * rows[j0, d]
            s1 += value * rows[j1, d]
            s2 += value * rows[j2, d]
            s3 += value * rows[j3, d]
        pool[i], pool[i + 1], pool[i + 2], pool[i + 3] = s0 + bias[j0], s1 + bias[j1], s2 + bias[j2], s3 + bias[j3]
        i += 4
    while i < n:
        j0 = U(tags[i])
        s0 = ZERO
        for d in range(width):
            s0 += x[r, d] * rows[j0, d]
        pool[i] = s0 + bias[j0]
        i += 1


@compiled
def _top_k(pre, bias, k, floor, latents, values, counts, maxima, pool, tags, live, turns):
    rows = pre.shape[0]
    first = taken(turns, _TURN)
    while first < rows:
        for r in range(first, min(first + _TURN, rows)):
            n = _candidates(pre, bias, r, k, floor, maxima, pool, tags, live)
            if n > k:
                _keep_largest(pool, tags, n, k)
                n = k
            for i in range(n):
                latents[r, i], values[r, i] = tags[i], pool[i]
            counts[r] = n
        first = taken(turns, _TURN)


@parallel
def top_k(pre, bias, k, floor, latents, values, counts, maxima, pool, tags, live, turns):
    """Write the k largest pre-activations of each row that exceed the floor, and how many there are."""
    turns[0] = 0
    for t in prange(maxima.shape[0]):
        _top_k(pre, bias, k, floor, latents, values, counts, maxima[t], pool[t], tags[t], live[t], turns)


@compiled
def _top_k_rescored(pre, x, rows, bias, k, drawn, floor, latents, values, counts, maxima, pool, tags, live, turns):
    count = pre.shape[0]
    first = taken(turns, _TURN)
    while first < count:
        for r in range(first, min(first + _TURN, count)):
            n = _candidates(pre, bias, r, drawn, floor, maxima, pool, tags, live)
            if n > drawn:
                _keep_largest(pool, tags, n, drawn)
                n = drawn
            _rescored(x, rows, bias, r, n, pool, tags)
            if n > k:
                _keep_largest(pool, tags, n, k)
                n = k
            kept = 0
            for i in range(n):
                latents[r, kept], values[r, kept] = tags[i], pool[i]
                kept += np.int64(pool[i] > floor)
            counts[r] = kept
        first = taken(turns, _TURN)


@parallel
def top_k_rescored(pre, x, rows, bias, k, drawn, floor, latents, values, counts, maxima, pool, tags, live, turns):
    """Do as `top_k`, out of the `drawn` largest by coarse pre-activations, which are taken anew in float32."""
    turns[0] = 0
    for t in prange(maxima.shape[0]):
        _top_k_rescored(
            pre, x, rows, bias, k, drawn, floor, latents, values, counts, maxima[t], pool[t], tags[t], live[t], turns
        )


@compiled
def _largest_of(pre, bias, columns, members, k, latents, values, pool, tags, live, turns):
    rows, n = pre.shape[0], members.shape[0]
    first = taken(turns, _TURN)
    while first < rows:
        for r in range(first, min(first + _TURN, rows)):
            for i in range(n):
                j = U(columns[i])
                pool[U(i)] = pre[r, j] + bias[j]
            bound = _bound_below(pool, n, k, _LOWEST)
            kept = 0
            for i in range(n):
                tags[U(kept)], live[U(kept)] = members[U(i)], i
                kept += np.int64(not pool[U(i)] < bound)  # So NaN stays, and k are found where there is any.
            for i in range(kept):
                pool[U(i)] = pool[U(live[U(i)])]
            if kept > k:
                _keep_largest(pool, tags, kept, k)
            for i in range(k):
                latents[r, i], values[r, i] = tags[i], pool[i]
        first = taken(turns, _TURN)


@parallel
def largest_of(pre, bias, columns, members, k, latents, values, pool, tags, live, turns):
    """Write the k largest pre-activations of each row in some columns, whatever their sign, and whose they are."""
    turns[0] = 0
    for t in prange(pool.shape[0]):
        _largest_of(pre, bias, columns, members, k, latents, values, pool[t], tags[t], live[t], turns)


@compiled
def _above(pre, bias, floors, latents, values, counts, turns):
    rows, columns = pre.shape
    room = latents.shape[1]
    block = BLOCK_COLUMNS
    begin = taken(turns, _TURN)
    while begin < rows:
        for r in range(begin, min(begin + _TURN, rows)):
            n = 0
            for first in range(0, columns, block):
                last = min(first + block, columns)
                hits = np.int32(0)
                for j in range(first, last):
                    hits += np.int32(pre[r, U(j)] + bias[U(j)] > floors[U(j)])
                if hits == 0:
                    continue
                if n + block > room:
                    n += hits
                    continue
                for j in range(first, last):
                    value = pre[r, U(j)] + bias[U(j)]
                    latents[r, U(n)], values[r, U(n)] = j, value
                    n += np.int64(value > floors[U(j)])
            counts[r] = n
        begin = taken(turns, _TURN)


@parallel
def above(pre, bias, floors, latents, values, counts, turns, threads):
    """Write each row's pre-activations that exceed their latent's floor, in the order of the latents, and count them.

    All are counted; they are all written where the largest count leaves a block of room.
    """
    turns[0] = 0
    for _ in prange(threads):
        _above(pre, bias, floors, latents, values, counts, turns)


@parallel
def packed(latents, values, counts, starts, first_row, out_latents, out_rows, out_values, threads):
    """Copy the written entries of each row into the flat arrays, from `starts` on."""
    rows = counts.shape[0]
    for t in prange(threads):
        for r in range(rows * t // threads, rows * (t + 1) // threads):
            at = starts[r]
            for i in range(counts[r]):
                out_latents[at + i], out_values[at + i] = latents[r, i], values[r, i]
                out_rows[at + i] = first_row + r
