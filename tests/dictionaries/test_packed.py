"""Packed rows: by hand, against SciPy, damaged, and as `pool_codes` writes them."""

import numpy as np
import pytest
import safetensors.numpy
import torch

from fairfight.activations.pool import pool
from fairfight.activations.pooled import write_matrix
from fairfight.activations.shards import TokenBatch
from fairfight.dictionaries import pooled
from fairfight.dictionaries.kinds.topk import TopKDictionary
from fairfight.dictionaries.packed import PackedRows, read_packed, write_packed
from fairfight.dictionaries.pooled import PooledCodes, is_pooled, pool_codes
from fairfight.dictionaries.weights import SaeWeights
from fairfight.errors import DamagedFileError

MATRIX = np.array([[0, 2, 0, 0, 0, 0, 0, 0, 7], [0] * 9, [-1, 0, 0, 0, 0, 0, 0, 3, 0]], dtype=np.float32)


@pytest.fixture
def file(tmp_path):
    write_packed(tmp_path / "here" / "codes.safetensors", PackedRows.of(MATRIX))
    return tmp_path / "here" / "codes.safetensors"


def test_nine_columns_take_two_bytes_of_bits_and_a_number_an_entry():
    packed = PackedRows.of(MATRIX)
    assert packed.bits.tolist() == [[0b01000000, 0b10000000], [0, 0], [0b10000001, 0]]
    assert packed.values.tolist() == [2, 7, -1, 3]
    assert packed.offsets.tolist() == [0, 2, 2, 4]
    assert packed.density == pytest.approx(4 / 27)


def test_rows_come_back_from_the_file_in_any_order_and_number(file):
    read = read_packed(file)
    for rows in ([0, 1, 2], [2, 0, 2], [1], []):
        taken = read.take(np.array(rows, dtype=np.int64))
        np.testing.assert_array_equal(taken.toarray(), MATRIX[rows])
        assert taken.dtype == np.float32
    np.testing.assert_array_equal(read.dense(), MATRIX)
    assert [name.name for name in file.parent.iterdir()] == [file.name]


def test_parts_are_stacked_at_their_rows():
    parts = [PackedRows.of(MATRIX[:1]), PackedRows.of(MATRIX[1:])]
    expected = np.zeros((6, 9), dtype=np.float32)
    expected[[0, 3, 5]] = MATRIX
    np.testing.assert_array_equal(PackedRows.stacked(parts, np.array([0, 3, 5])).dense(), expected)


@pytest.mark.parametrize(
    "change",
    [
        {"bits": np.zeros((3, 3), np.uint8)},
        {"offsets": np.array([0, 2, 2, 5])},
        {"offsets": np.array([1, 2, 2, 4])},
        {"values": np.ones(3, np.float32)},
        {"values": None},
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused(file, change):
    parts = safetensors.numpy.load_file(file) | change
    kept = {name: part for name, part in parts.items() if part is not None}
    file.write_bytes(safetensors.numpy.save(kept, {"columns": "9"}))
    with pytest.raises(DamagedFileError, match=r"codes\.safetensors does not hold packed codes"):
        read_packed(file)


def test_a_file_that_is_cut_short_or_says_no_columns_is_refused(file):
    whole = file.read_bytes()
    file.write_bytes(whole[:-2])
    with pytest.raises(DamagedFileError):
        read_packed(file)
    file.write_bytes(safetensors.numpy.save(safetensors.numpy.load(whole)))
    with pytest.raises(DamagedFileError):
        read_packed(file)


def test_rows_with_other_numbers_of_values_than_bits_are_refused():
    packed = PackedRows.of(MATRIX)._replace(offsets=np.array([0, 1, 2, 4]))
    assert packed.take(np.array([2])).toarray().tolist() == MATRIX[2:].tolist()
    with pytest.raises(DamagedFileError, match="values than of bits"):
        packed.take(np.array([0, 2]))


class Store:
    """As much of an activation store as pooling asks for."""

    d_model = 16

    def __init__(self, texts=40):
        chance = np.random.default_rng(0)
        self.token_counts = chance.integers(1, 6, size=texts)
        self._values = torch.from_numpy(chance.normal(size=(self.token_counts.sum(), 16)).astype(np.float32))
        self._offsets = np.concatenate([[0], self.token_counts.cumsum()])

    def tokens(self, rows):
        parts = [self._values[self._offsets[row] : self._offsets[row + 1]] for row in rows]
        return TokenBatch(torch.cat(parts), np.concatenate([[0], self.token_counts[rows].cumsum()]))


@pytest.fixture
def topk():
    rows = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    return TopKDictionary(SaeWeights(rows, torch.zeros(200), rows, torch.zeros(16)), 3)


def pooled_codes(dictionary, folder):
    return PooledCodes(folder, dictionary.kind, dictionary.latents, dictionary.is_signed, 0, 0, 0)


@pytest.mark.parametrize(("most_packed", "suffix"), [(0.7, "safetensors"), (0.0, "npy")])
def test_pooled_codes_are_those_of_the_tokens_packed_and_dense(topk, tmp_path, monkeypatch, most_packed, suffix):
    monkeypatch.setattr(pooled, "MOST_PACKED", most_packed)
    monkeypatch.setattr(pooled, "CHUNK_TOKENS", 20)
    store, rows, poolings = Store(), np.array([31, 2, 7, 30, 9, 8, 25]), ("mean", "max_min", "last")
    pool_codes(topk, store, rows, poolings, tmp_path)
    assert {file.name for file in tmp_path.glob("codes-*")} == {f"codes-{p}.{suffix}" for p in ("mean", "max", "last")}
    assert is_pooled(tmp_path, poolings, is_signed=False)
    for pooling, codes_as in (("mean", "mean"), ("max_min", "max"), ("last", "last")):
        batch = store.tokens(rows)
        expected = pool(TokenBatch(topk.encode(batch.values), batch.offsets), codes_as)
        found = pooled_codes(topk, tmp_path).codes(pooling, rows)
        # Products of chunks and of the whole differ in the last bit.
        np.testing.assert_allclose(found if suffix == "npy" else found.toarray(), expected, rtol=1e-6)
        rebuilt = pool(TokenBatch(topk.decode(topk.encode(batch.values)), batch.offsets), pooling)
        np.testing.assert_allclose(pooled_codes(topk, tmp_path).reconstruction(pooling)[rows], rebuilt, atol=1e-5)
    assert not np.any(pooled_codes(topk, tmp_path).codes("mean", np.array([0, 1, 3])).sum())


def test_many_codes_are_given_dense_though_they_are_packed(topk, tmp_path, monkeypatch):
    pool_codes(topk, Store(), np.arange(40), ("mean",), tmp_path)
    few = pooled_codes(topk, tmp_path).codes("mean", np.arange(5))
    monkeypatch.setattr(pooled, "MOST_COMPRESSED", 0.0)
    many = pooled_codes(topk, tmp_path).codes("mean", np.arange(5))
    assert isinstance(many, np.ndarray)
    np.testing.assert_array_equal(many, few.toarray())


def test_dense_codes_of_a_folder_from_before_are_read(topk, tmp_path):
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    write_matrix(tmp_path / "codes-mean.npy", values.shape, lambda matrix: np.copyto(matrix, values))
    found = pooled_codes(topk, tmp_path).codes("mean", np.array([3, 1]))
    np.testing.assert_array_equal(found, values[[3, 1]])
