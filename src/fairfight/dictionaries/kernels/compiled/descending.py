"""Coordinate descent for codes that cannot be negative: what stays at zero costs a comparison, not a row of the Gram matrix."""

from __future__ import annotations

import numpy as np
from numba import prange

from fairfight.dictionaries.kernels.compiled.jit import ZERO, U, parallel


@parallel
def non_negative_codes(products: np.ndarray, gram: np.ndarray, sweeps: int, codes: np.ndarray) -> None:
    """Fill `codes` [token, latent] with c >= 0 that minimise c^T gram c / 2 - products^T c, each latent in turn, `sweeps` times.

    `products` [token, latent] is used up; gram's diagonal is one. A sweep that moves nothing is the last.
    """
    tokens, latents = products.shape
    for token in prange(tokens):
        gaps, own = products[token], codes[token]
        own[:] = ZERO
        for _ in range(sweeps):
            is_settled = True
            for latent in range(latents):
                step = max(gaps[U(latent)], -own[U(latent)])
                if step != ZERO:
                    is_settled = False
                    own[U(latent)] += step
                    row = gram[U(latent)]
                    for other in range(latents):
                        gaps[U(other)] -= step * row[U(other)]
            if is_settled:
                break
