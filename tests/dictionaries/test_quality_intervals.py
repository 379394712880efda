"""Intervals by resampling texts: hand calculations, and what is said where there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from fairfight import seeds
from fairfight.dictionaries.quality.intervals import Estimate, Undefined, ratio, resample

SUMS = some.integers(2, 12).flatmap(
    lambda texts: some.tuples(
        arrays(float, texts, elements=some.floats(0, 100)), arrays(float, texts, elements=some.floats(1, 100))
    )
)


def stream():
    return seeds.stream("a test")


def test_two_texts_are_drawn_as_often_as_chance_says():
    """Of two texts, both draws are the first with 1/4, the second with 1/4, one each with 1/2: sums 2, 20, 11."""
    drawn = resample({"sum": np.array([1.0, 10.0])}, stream(), 4000)["sum"]
    assert drawn[0] == 11
    values, counts = np.unique(drawn[1:], return_counts=True)
    assert values.tolist() == [2, 11, 20]
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_the_interval_is_that_of_the_standard_error_where_texts_are_many():
    """Means of 400 values with standard deviation 1 spread by 1/20, so the interval is 2 . 1.96 / 20 wide."""
    values = stream().standard_normal(400)
    values = (values - values.mean()) / values.std()
    sums = resample({"sum": values, "tokens": np.ones(400)}, stream(), 4000)
    own = ratio(sums["sum"], sums["tokens"], why="")
    assert own.high - own.low == pytest.approx(2 * 1.96 / 20, rel=0.06)


@given(SUMS)
def test_the_value_is_the_ratio_of_sums_and_lies_between_the_extremes_of_the_texts(columns):
    numerators, denominators = columns
    sums = resample({"above": numerators, "below": denominators}, stream(), 50)
    own = ratio(sums["above"], sums["below"], why="")
    assert own.value == pytest.approx(numerators.sum() / denominators.sum())
    each = numerators / denominators
    assert each.min() - 1e-9 <= own.low <= own.high <= each.max() + 1e-9


@given(SUMS, some.floats(0.1, 10))
def test_a_factor_on_the_numerator_is_a_factor_on_the_estimate(columns, factor):
    numerators, denominators = columns
    sums = resample({"above": numerators, "scaled": factor * numerators, "below": denominators}, stream(), 50)
    plain, scaled = (ratio(sums[name], sums["below"], why="") for name in ("above", "scaled"))
    assert [*scaled] == pytest.approx([factor * bound for bound in plain])


def test_the_same_name_gives_the_same_bits():
    columns = {"sum": np.arange(9.0)}
    assert np.array_equal(resample(columns, stream())["sum"], resample(columns, stream())["sum"])


def test_a_single_text_has_no_interval():
    sums = resample({"above": np.array([3.0]), "below": np.array([4.0])}, stream())
    assert ratio(sums["above"], sums["below"], why="") == Estimate(0.75, None, None)


def test_there_is_no_interval_where_a_draw_has_no_ratio():
    sums = resample({"above": np.array([1.0, 1.0]), "below": np.array([0.0, 2.0])}, stream())
    assert ratio(sums["above"], sums["below"], why="") == Estimate(1.0, None, None)


def test_a_ratio_to_nothing_says_why():
    own = ratio(np.zeros(3), np.zeros(3), why="all tokens are zero")
    assert own == Undefined("all tokens are zero")
    assert own.to_json() == {"undefined": "all tokens are zero"}
