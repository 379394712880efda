"""Adam's step on encoder rows and atoms."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from fairfight.dictionaries.kernels.compiled.jit import ZERO, compiled, parallel, taken

_ONE = np.float32(1)
_TURN = 64
"""Latents that a thread takes at a time."""


@compiled
def _narrowed(value):
    """Give the bits of the bfloat16 nearest to a float32, ties to even."""
    bits = np.float32(value).view(np.uint32)
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@compiled
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


@compiled
def _adam(W_enc, mE, vE, dE, W_dec, mD, vD, dD, touched, coarse, is_unit, constants, turns):
    latents, width = W_enc.shape
    has_coarse = coarse.shape[0] > 0
    first = taken(turns, _TURN)
    while first < latents:
        for j in range(first, min(first + _TURN, latents)):
            _adam_row(W_enc[j], mE[j], vE[j], dE[j], touched[j], *constants)
            _adam_row(W_dec[j], mD[j], vD[j], dD[j], touched[j], *constants)
            if is_unit:
                squared = ZERO
                for d in range(width):
                    squared += W_dec[j, d] * W_dec[j, d]
                inverse = _ONE / max(math.sqrt(squared), np.float32(1e-12))
                for d in range(width):
                    W_dec[j, d] *= inverse
            if has_coarse:
                for d in range(width):
                    coarse[j, d] = _narrowed(W_enc[j, d])
        first = taken(turns, _TURN)


@parallel
def adam(
    W_enc, mE, vE, dE, W_dec, mD, vD, dD, touched, coarse, is_unit, constants, turns, threads
):  # fmt: skip
    """Take Adam's step on encoder rows and atoms, bring atoms back to unit norm, and keep a bfloat16 copy of the rows.

    `constants` are those of `_adam_row`. One minus a beta is among them because float32 would round it off by 5e-5.
    """
    turns[0] = 0
    for _ in prange(threads):
        _adam(W_enc, mE, vE, dE, W_dec, mD, vD, dD, touched, coarse, is_unit, constants, turns)


@compiled
def adam_vector(w, m, v, g, constants):
    """Take Adam's step on a vector."""
    _adam_row(w, m, v, g, True, *constants)


@compiled
def squared_norm(vector):
    """Give the sum of squares, in double precision."""
    total = 0.0
    for i in range(vector.shape[0]):
        value = np.float64(vector[i])
        total += value * value
    return total
