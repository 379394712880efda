from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairfight.dictionaries.mixing import Mixing
from fairfight.errors import EmptyBatchError


def mixing(counts: list[int], load_tokens: int, name: str = "a") -> Mixing:
    """Texts whose tokens are numbered through, one number a token."""
    starts = np.cumsum([0, *counts])

    def read(chosen: np.ndarray) -> torch.Tensor:
        numbers = [np.arange(starts[text], starts[text + 1]) for text in chosen]
        return torch.from_numpy(np.concatenate([*numbers, np.empty(0, np.int64)])).float().unsqueeze(1)

    return Mixing(np.array(counts), read, 1, name, load_bytes=4 * load_tokens)


def drawn(source: Mixing, batch: int, first: int, last: int) -> list[int]:
    return [int(token) for part in source.batches(batch, first, last) for token in part.flatten()]


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30).filter(any),
    st.integers(1, 40),
    st.integers(1, 17),
)
@settings(max_examples=80, deadline=None)
def test_every_token_once_an_epoch_and_any_start_goes_on_the_same(counts: list[int], load: int, batch: int) -> None:
    total = sum(counts)
    steps = 2 * total // batch + 2
    whole = drawn(mixing(counts, load), batch, 0, steps)
    assert sorted(whole[:total]) == list(range(total))
    assert sorted(whole[total : 2 * total]) == list(range(total))
    middle = steps // 2
    assert drawn(mixing(counts, load), batch, middle, steps) == whole[middle * batch :]


def test_batches_have_one_size_and_mix_texts() -> None:
    source = mixing([10] * 100, 400)
    first = next(source.batches(64, 0, 1))
    assert first.shape == (64, 1)
    assert len({int(token) // 10 for token in first}) > 25
    assert drawn(source, 64, 0, 3) != drawn(mixing([10] * 100, 400, "b"), 64, 0, 3)


def test_never_holds_more_than_two_loads_and_a_text() -> None:
    asked: list[int] = []
    counts = np.full(1000, 7)

    def read(chosen: np.ndarray) -> torch.Tensor:
        asked.append(len(chosen) * 7)
        return torch.zeros(len(chosen) * 7, 4)

    source = Mixing(counts, read, 4, "a", load_bytes=16 * 100)
    for _ in itertools.islice(source.batches(50, 0, 200), 200):
        pass
    assert max(asked) <= 100 + 7


def test_no_token() -> None:
    with pytest.raises(EmptyBatchError, match="no token to train"):
        mixing([0, 0], 10)
