"""Pooling: one vector a text, from the vectors of its content tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from fairfight.activations.shards import TokenBatch
from fairfight.errors import EmptyBatchError, StudyError, nearest

POOLINGS = ("mean", "max", "max_min", "last", "token-K")
"""`token-K` stands for `token-1` (the last token), `token-2` and so on."""

_KTH_FROM_THE_END = re.compile(r"token-([1-9]\d*)")


def pool(batch: TokenBatch, pooling: str) -> Float[np.ndarray, "example feature"]:
    """Give one float32 vector a text, in the order of the batch.

    `mean` (summed in float64), `max` and `max_min` (maxima, then minima: twice as wide) go over all tokens; `last`
    takes the last token and `token-K` the K-th from the end, or the first one of a text shorter than that. A text's
    vector has the same bits whatever other texts stand in the batch.

    Raises:
        EmptyBatchError: a text has no token.
        StudyError: there is no such pooling.
    """
    values, offsets = batch.values.numpy(), np.asarray(batch.offsets)
    kth = _kth_from_the_end(pooling)
    _require_tokens(offsets)
    if kth is not None:
        return values[np.maximum(offsets[1:] - kth, offsets[:-1])].astype(np.float32)
    if pooling == "mean":
        return _each_text(values, offsets, _mean)
    if pooling == "max":
        return _each_text(values, offsets, _max)
    return np.hstack([_each_text(values, offsets, _max), _each_text(values, offsets, _min)])


def check_pooling(pooling: str) -> None:
    """Raise StudyError unless there is such a pooling."""
    _kth_from_the_end(pooling)


def _kth_from_the_end(pooling: str) -> int | None:
    if match := _KTH_FROM_THE_END.fullmatch("token-1" if pooling == "last" else pooling):
        return int(match[1])
    if pooling not in POOLINGS or pooling == "token-K":
        raise StudyError(
            f"There is no pooling '{pooling}'; known: {', '.join(POOLINGS)} (K from 1, counted from the end)."
            f"{nearest(pooling, POOLINGS)}"
        )
    return None


def _require_tokens(offsets: Int[np.ndarray, " boundary"]) -> None:
    empty = np.flatnonzero(np.diff(offsets) <= 0)
    if len(empty):
        raise EmptyBatchError(
            f"Text {empty[0]} of the batch has no token, so there is nothing to pool; at least one was expected. "
            "Leave the text out."
        )


def _each_text(
    values: Float[np.ndarray, "token d_model"],
    offsets: Int[np.ndarray, " boundary"],
    reduce: Callable[[Float[np.ndarray, "token d_model"]], Float[np.ndarray, " d_model"]],
) -> Float[np.ndarray, "example d_model"]:
    # Reducing a slice a text is several times faster than `ufunc.reduceat`, and keeps texts from touching each other.
    pooled = np.empty((len(offsets) - 1, values.shape[1]), dtype=np.float32)
    bounds = offsets.tolist()
    for example, (start, stop) in enumerate(pairwise(bounds)):
        pooled[example] = reduce(values[start:stop])
    return pooled


def _mean(tokens: Float[np.ndarray, "token d_model"]) -> Float[np.ndarray, " d_model"]:
    return tokens.sum(axis=0, dtype=np.float64) / len(tokens)


def _max(tokens: Float[np.ndarray, "token d_model"]) -> Float[np.ndarray, " d_model"]:
    return tokens.max(axis=0)


def _min(tokens: Float[np.ndarray, "token d_model"]) -> Float[np.ndarray, " d_model"]:
    return tokens.min(axis=0)
