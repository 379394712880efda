from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairfight.activations.pool import pool
from fairfight.activations.shards import TokenBatch
from fairfight.errors import EmptyBatchError, StudyError

POOLINGS = ("mean", "max", "max_min", "last", "token-1", "token-3")


def batch_of(*texts: np.ndarray) -> TokenBatch:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
    return TokenBatch(torch.from_numpy(np.concatenate(texts).astype(np.float32)), offsets)


BY_HAND = batch_of(np.array([[1, -4], [2, 0], [6, 1], [-1, 5]]), np.array([[7, -7]]))
"""Two texts of four tokens and of one, two wide."""


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", [[2, 0.5], [7, -7]]),
        ("max", [[6, 5], [7, -7]]),
        ("max_min", [[6, 5, -1, -4], [7, -7, 7, -7]]),
        ("last", [[-1, 5], [7, -7]]),
        ("token-1", [[-1, 5], [7, -7]]),
        ("token-3", [[2, 0], [7, -7]]),
        ("token-9", [[1, -4], [7, -7]]),
    ],
)
def test_poolings_are_those_worked_out_by_hand(pooling: str, expected: list[list[float]]) -> None:
    assert pool(BY_HAND, pooling).tolist() == expected


@given(st.lists(st.integers(1, 70), min_size=1, max_size=8), st.integers(0, 2**32 - 1), st.sampled_from(POOLINGS))
def test_a_texts_bits_do_not_depend_on_its_neighbours(counts: list[int], seed: int, pooling: str) -> None:
    generator = np.random.default_rng(seed)
    texts = [generator.standard_normal((count, 5)) * 1e3 for count in counts]
    together = pool(batch_of(*texts), pooling)
    for row, text in zip(together, texts, strict=True):
        assert row.tobytes() == pool(batch_of(text), pooling)[0].tobytes()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_no_text_gives_no_row(pooling: str) -> None:
    width = 4 if pooling == "max_min" else 2
    assert pool(TokenBatch(torch.empty(0, 2), np.array([0])), pooling).shape == (0, width)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_text_without_a_token_is_refused(pooling: str) -> None:
    with pytest.raises(EmptyBatchError, match="Text 1 of the batch has no token"):
        pool(TokenBatch(torch.ones(3, 2), np.array([0, 2, 2, 3])), pooling)


@pytest.mark.parametrize("pooling", ["means", "token-0", "token-K", "token--1", ""])
def test_an_unknown_pooling_is_refused(pooling: str) -> None:
    with pytest.raises(StudyError, match="There is no pooling"):
        pool(BY_HAND, pooling)
