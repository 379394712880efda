"""How often latents fire: frequencies, and which are never or nearly always on."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from fairfight.errors import EmptyBatchError

BINS_A_DECADE = 4


class Histogram(NamedTuple):
    """Counts between edges; the last bin holds its right edge."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


def unseen_below(tokens: int, *, chance: float = 0.05) -> float:
    """Give the frequency f at which a latent stays silent on `tokens` tokens with probability `chance`.

    (1 - f)^n = chance, so f = 1 - chance^(1/n), about 3 / n at 5 %. A latent that is rarer cannot be told from a dead
    one with so few tokens. Tokens of one text are alike, so the true bound is higher.

    Raises:
        EmptyBatchError: there is no token.
    """
    if tokens < 1:
        raise EmptyBatchError("Found no token, expected at least one: no frequency can be seen. Choose other texts.")
    return -math.expm1(math.log(chance) / tokens)


def is_dead(firing: Int[np.ndarray, " latent"]) -> Bool[np.ndarray, " latent"]:
    """Give which latents are silent on every token."""
    return firing == 0


def is_dense(firing: Int[np.ndarray, " latent"], tokens: int, *, share: float) -> Bool[np.ndarray, " latent"]:
    """Give which latents fire on more than `share` of the tokens."""
    return firing > share * tokens


def frequency_histogram(firing: Int[np.ndarray, " latent"], tokens: int) -> Histogram:
    """Give how many latents have which log10 of (tokens fired on / tokens), in quarters of a decade up to 0.

    Dead latents have no logarithm and are in no bin.
    """
    edges = np.arange(min(-1, math.floor(-math.log10(tokens) * BINS_A_DECADE)), 1) / BINS_A_DECADE
    logs = np.log10(firing[firing > 0] / tokens)
    counts, _ = np.histogram(np.maximum(logs, edges[0]), edges)  # rounding may put a single firing below the first edge
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))


def percentile(counts: Int[np.ndarray, " value"], percent: int) -> int:
    """Give the smallest value that at least `percent` % do not exceed; `counts[v]` have the value v.

    Raises:
        EmptyBatchError: nothing is counted.
    """
    if not counts.sum():
        raise EmptyBatchError("Found no token, expected at least one: no percentile exists. Choose other texts.")
    # In whole numbers: 7 / 100 of 100 is not 7 in floating point.
    return int(np.searchsorted(100 * np.cumsum(counts), max(1, percent * int(counts.sum()))))
