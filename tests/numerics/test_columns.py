"""Columns of compressed rows against NumPy's of the dense matrix."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from fairfight.errors import NonFiniteError
from fairfight.numerics.columns import column_means, column_scales, dense_columns, divided
from fairfight.numerics.discriminant import mean_difference
from fairfight.numerics.lasso import select_by_l1

LABELS = np.arange(300) % 2


@pytest.fixture
def x():
    """Signed codes over nine orders of magnitude, one in ten not zero; column 3 is silent, column 4 constant."""
    chance = np.random.default_rng(0)
    values = chance.normal(size=(300, 60)) * 10.0 ** chance.integers(-5, 4, size=(300, 60))
    x = (values * (chance.random((300, 60)) < 0.1)).astype(np.float32)
    x[:, 3], x[:, 4] = 0.0, 2.5
    return x


def test_means_and_their_differences_have_the_bits_of_dense_ones(x):
    np.testing.assert_array_equal(column_means(csr_array(x)), x.astype(np.float64).mean(axis=0))
    expected = x[LABELS == 1].mean(axis=0, dtype=np.float64) - x[LABELS == 0].mean(axis=0, dtype=np.float64)
    np.testing.assert_array_equal(mean_difference(csr_array(x), LABELS), expected)


def test_scales_are_standard_deviations_and_one_where_nothing_varies(x):
    expected = x.astype(np.float64).std(axis=0)
    assert (expected[3], expected[4]) == (0.0, 0.0)
    expected[[3, 4]] = 1.0
    np.testing.assert_allclose(column_scales(csr_array(x)), expected, rtol=1e-12)
    np.testing.assert_array_equal(column_scales(x), expected)


def test_picked_columns_are_alike_in_values_and_layout(x):
    columns = np.array([7, 4, 7, 0])
    found = dense_columns(csr_array(x), columns)
    np.testing.assert_array_equal(found, x[:, columns])
    assert found.flags.f_contiguous
    assert dense_columns(x, columns).flags.f_contiguous


def test_a_column_is_divided_by_its_scale(x):
    scales = np.linspace(0.1, 3.0, 60)
    np.testing.assert_array_equal(divided(csr_array(x), scales).toarray(), x / scales)


def test_l1_selects_the_same_from_compressed_rows():
    chance = np.random.default_rng(1)
    x = chance.random((300, 80)) * (chance.random((300, 80)) < 0.15)
    labels = (x[:, [5, 40]].sum(axis=1) - x[:, 17] + 0.2 * chance.normal(size=300) > 0.02).astype(int)
    ours, theirs = select_by_l1(csr_array(x), labels, 6), select_by_l1(x, labels, 6)
    assert ours.columns.tolist() == theirs.columns.tolist()
    assert set(ours.columns[:3]) == {5, 40, 17}
    assert (ours.fits, ours.flops, ours.survivors) == (theirs.fits, theirs.flops, theirs.survivors)


def test_what_is_not_finite_is_named_by_its_place(x):
    x[12, 9] = np.inf
    with pytest.raises(NonFiniteError, match=r"x\[12, 9\] is inf"):
        mean_difference(csr_array(x), LABELS)
