import numpy as np
import pytest
import torch

from fairfight.activations.harvest import harvest
from fairfight.dictionaries.tokens import TokenSource
from fairfight.errors import EmptyBatchError
from fairfight.models.load import load
from fairfight.seeds import torch_stream

SITE = "resid_post.0"


@pytest.fixture(scope="module")
def activations(tmp_path_factory):
    texts = [" ".join(["tea"] * length) for length in range(1, 13)]
    return harvest(load(), texts, [SITE], tmp_path_factory.mktemp("activations"))[SITE]


def _numbers(tokens):
    return TokenSource.from_tensor(torch.arange(tokens).unsqueeze(1))


def test_an_epoch_gives_every_token_once_and_the_next_in_another_order():
    batches = list(_numbers(60).batches(20, 6, torch_stream("a test")))
    first, second = (torch.cat(batches[start : start + 3]).flatten() for start in (0, 3))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(60))
    assert not torch.equal(first, second)


def test_batches_are_full_where_epochs_meet_and_where_tokens_are_few():
    assert [len(batch) for batch in _numbers(30).batches(20, 4, torch_stream("a test"))] == [20] * 4
    assert [len(batch) for batch in _numbers(3).batches(20, 2, torch_stream("a test"))] == [20] * 2


def test_the_same_stream_gives_the_same_batches():
    first, second = (torch.cat(list(_numbers(50).batches(20, 5, torch_stream("a test")))) for _ in range(2))
    assert torch.equal(first, second)


def test_a_sample_holds_different_tokens_and_all_where_there_are_fewer():
    assert len(set(_numbers(50).sample(20, torch_stream("a test")).flatten().tolist())) == 20
    assert sorted(_numbers(5).sample(20, torch_stream("a test")).flatten().tolist()) == list(range(5))


def test_no_token_at_all_is_refused():
    with pytest.raises(EmptyBatchError, match="no token"):
        _numbers(0)


def test_a_source_holds_the_tokens_of_its_rows_and_no_other(activations):
    rows = np.array([4, 1])
    source = TokenSource.from_activations(activations, rows)
    assert torch.equal(source.values, activations.tokens(rows).values)
    assert (source.site, source.key, source.left_out_tokens) == (SITE, activations.key, 0)


def test_what_does_not_fit_into_memory_is_counted_and_the_choice_repeats_itself(activations):
    rows = np.arange(12)
    room = 40 * 4 * activations.d_model
    first, second = (TokenSource.from_activations(activations, rows, memory_bytes=room) for _ in range(2))
    assert 0 < first.token_count <= 40
    assert first.token_count + first.left_out_tokens == sum(range(1, 13))
    assert torch.equal(first.values, second.values)
