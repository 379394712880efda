"""The walk over a store: the same numbers as on all tokens at once, in pieces of any size, for signed codes too."""

import numpy as np
import pytest
import torch

from fairfight.activations.shards import MANIFEST, open_activations, write_manifest, write_shard
from fairfight.dictionaries.contract import Dictionary
from fairfight.dictionaries.quality import cosine, fvu, l0, norm_ratio, numbers
from fairfight.dictionaries.quality.walk import mean_token, walk
from fairfight.errors import NonFiniteError, WidthMismatchError

COUNTS = np.array([1, 1, 2, 5, 9, 40, 40, 102])


@pytest.fixture
def store(tmp_path, source):
    """Eight texts with the first 200 tokens of the small world, in two shards."""

    def make(values=source.values[:200]):
        bounds = np.concatenate([[0], np.cumsum(COUNTS)])
        parts = [range(0, 6), range(6, 8)]
        shards = [
            write_shard(tmp_path, values[bounds[rows.start] : bounds[rows.stop]], number=number, rows=rows)
            for number, rows in enumerate(parts)
        ]
        head = {
            "key": "k" * 64,
            "site": "resid_post.4",
            "d_model": values.shape[1],
            "flops": {"per_token": 1.0, "per_squared_token": 0.0},
            "truncated": 0,
            "token_counts": COUNTS.tolist(),
            "lengths": COUNTS.tolist(),
            "texts_sha": [str(text) for text in range(len(COUNTS))],
        }
        write_manifest(tmp_path / MANIFEST, head, shards)
        return open_activations(tmp_path)

    return make


@pytest.mark.parametrize("code_bytes", [1, 4 * 48 * 7, 2**27])
def test_pieces_of_any_size_give_the_numbers_of_all_tokens_at_once(store, made, source, kind, code_bytes):
    dictionary, x, told = made[kind].dictionary, source.values[:200], []
    own = walk(dictionary, activations := store(), mean_token(activations), told.append, code_bytes=code_bytes)
    codes = dictionary.encode(x)
    x_hat = dictionary.decode(codes)
    total = {name: column.sum() for name, column in own.sums.items()}
    assert sum(told) == own.tokens == total["tokens"] == 200
    assert total["squared_error"] / total["squared_deviation"] == pytest.approx(fvu(x, x_hat), rel=1e-4, abs=1e-9)
    assert total["squared_rebuilt_norm"] / total["squared_norm"] == pytest.approx(norm_ratio(x, x_hat), rel=1e-4)
    assert total["cosine"] / total["cosine_tokens"] == pytest.approx(cosine(x, x_hat), rel=1e-4)
    # A product of another size rounds otherwise, and a code on its threshold may fall to the other side.
    assert total["active"] / 200 == pytest.approx(l0(codes), abs=0.02)
    assert own.firing.tolist() == pytest.approx((codes != 0).sum(dim=0).tolist(), abs=2)
    assert own.firing.sum() == total["active"] == own.tokens_by_l0 @ np.arange(dictionary.latents + 1)


def test_the_small_world_has_signed_codes_among_its_kinds(made, source):
    codes = made["pca"].dictionary.encode(source.values[:200])
    assert (codes < 0).any()


def test_sums_stand_by_text(store, made, source):
    dictionary = made["topk"].dictionary
    mean = mean_token(activations := store())
    own = walk(dictionary, activations, mean, code_bytes=4 * 48 * 7)
    x = source.values[:200].double()
    assert mean == pytest.approx(x.mean(dim=0))
    assert own.sums["tokens"].tolist() == COUNTS.tolist()
    deviations = (x - x.mean(dim=0)).square().sum(dim=1).split(COUNTS.tolist())
    assert own.sums["squared_deviation"] == pytest.approx([float(part.sum()) for part in deviations])
    assert own.sums["first_squared_deviation"] == pytest.approx([float(part[0]) for part in deviations])


def test_no_more_codes_are_held_than_allowed(store, made, monkeypatch):
    held, encode = [], Dictionary.encode_sparse
    monkeypatch.setattr(Dictionary, "encode_sparse", lambda own, x: held.append(len(x)) or encode(own, x))
    walk(made["topk"].dictionary, activations := store(), mean_token(activations), code_bytes=4 * 48 * 7)
    assert max(held) == 7


def test_another_width_is_refused(store, made):
    activations = store(torch.randn(200, 23, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(WidthMismatchError, match="width 23"):
        walk(made["topk"].dictionary, activations, mean_token(activations))


def test_a_reconstruction_that_is_not_finite_is_an_error(store, made, monkeypatch):
    monkeypatch.setattr(Dictionary, "decode", lambda own, codes: torch.full((codes.shape[0], 24), torch.nan))
    with pytest.raises(NonFiniteError, match="8 texts"):
        walk(made["topk"].dictionary, activations := store(), mean_token(activations))


def test_tokens_without_a_cosine_are_counted():
    found, is_defined = numbers.token_cosines(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.ones(2, 2))
    assert is_defined.tolist() == [False, True]
    assert found == pytest.approx(torch.tensor([0.0, 0.5**0.5]))
