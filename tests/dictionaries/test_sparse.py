"""Codes without their zeros: by hand, and against SciPy's compressed rows."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from fairfight.dictionaries.contract import Dictionary
from fairfight.dictionaries.formats._normalised import NormalisedSae
from fairfight.dictionaries.kinds.topk import TopKDictionary
from fairfight.dictionaries.sparse import SparseCodes
from fairfight.errors import WidthMismatchError

BY_HAND = torch.tensor([[0.0, 2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-3.0, 0.0, 0.0, 0.0]])


def test_codes_by_hand_lose_their_zeros_and_get_them_back():
    sparse = SparseCodes.of(BY_HAND)
    assert sparse.offsets.tolist() == [0, 2, 2, 3]
    assert sparse.latents.tolist() == [1, 3, 0]
    assert sparse.values.tolist() == [2.0, 1.0, -3.0]
    assert (sparse.shape, sparse.active.tolist(), sparse.firing.tolist()) == ((3, 4), [2, 0, 1], [1, 1, 0, 1])
    assert torch.equal(sparse.dense(), BY_HAND)


def test_chosen_latents_are_put_in_order_and_silent_ones_left_out():
    chosen = torch.tensor([[3, 1], [2, 0], [1, 0]])
    values = torch.tensor([[1.0, 2.0], [0.0, 0.0], [0.0, -3.0]])
    sparse, expected = SparseCodes.of_chosen(values, chosen, 4), SparseCodes.of(BY_HAND)
    for found, wanted in zip(sparse[:3], expected[:3], strict=True):
        assert found.dtype == wanted.dtype
        assert torch.equal(found, wanted)


@given(st.integers(0, 5), st.integers(1, 6), st.data())
def test_the_entries_are_those_of_scipys_compressed_rows(tokens, latents, data):
    cells = st.lists(st.sampled_from([0.0, -0.0, 1.5, -2.0]), min_size=tokens * latents, max_size=tokens * latents)
    codes = torch.tensor(data.draw(cells)).reshape(tokens, latents)
    sparse, theirs = SparseCodes.of(codes), csr_array(codes.numpy())
    theirs.eliminate_zeros()
    assert sparse.offsets.tolist() == theirs.indptr.tolist()
    assert sparse.latents.tolist() == theirs.indices.tolist()
    assert sparse.values.tolist() == theirs.data.tolist()


def test_a_column_of_zeros_or_of_another_layout_changes_nothing():
    assert torch.equal(SparseCodes.of(BY_HAND.T.contiguous().T).dense(), BY_HAND)


def test_topk_never_makes_dense_codes(made, source, monkeypatch):
    def refuse(*_):
        raise AssertionError("dense codes were made")

    dictionary = made["topk"].dictionary
    expected = dictionary.decode(dictionary.encode(source.values[:32]))
    for name in ("_encode", "_decode"):
        monkeypatch.setattr(TopKDictionary, name, refuse)
    monkeypatch.setattr(SparseCodes, "dense", refuse)
    torch.testing.assert_close(dictionary.decode(dictionary.encode_sparse(source.values[:32])), expected)


def test_a_dictionary_behind_normalisation_is_encoded_and_rebuilt_alike(made, source):
    behind: Dictionary = NormalisedSae(made["topk"].dictionary, ("layer_norm",))
    x = source.values[:32]
    codes = behind.encode_sparse(x)
    assert torch.equal(codes.dense(), behind.encode(x))
    torch.testing.assert_close(behind.rebuild(x, codes), behind.rebuild(x, codes.dense()))


def test_another_width_is_refused(kind, made):
    dictionary = made[kind].dictionary
    with pytest.raises(WidthMismatchError, match="width 25"):
        dictionary.encode_sparse(torch.zeros(2, 25))
    with pytest.raises(WidthMismatchError, match="Codes have width"):
        dictionary.decode(SparseCodes.of(torch.zeros(2, dictionary.latents + 1)))
