"""The error of a mean over crossed trials, against hand calculations and against what a whole world of studies does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from fairfight.errors import EmptyBatchError
from fairfight.verdict.statistics.crossed import Crossed, Played

SILENT = np.zeros((3, 2, 4))
"""Clusters that move nothing, for three split seeds and two dictionary seeds."""


def _alone(values, spread=None, clusters=50):
    values = np.asarray(values, dtype=float)
    return Crossed((Played(values, np.zeros((*values.shape, 4)) if spread is None else spread),), clusters)


def test_with_one_seed_the_error_is_that_of_the_clusters():
    spread = np.array([[[0.3, -0.1, -0.2]]])
    found = _alone([[0.8]], spread, clusters=3).estimate()
    assert found.value == 0.8
    assert found.error == pytest.approx(np.sqrt(0.3**2 + 0.1**2 + 0.2**2))
    assert found.degrees <= 2


def test_split_seeds_alone_give_the_t_interval_of_a_mean():
    values = np.array([0.70, 0.74, 0.75, 0.81])
    found = _alone(values[:, None]).estimate()
    assert found.error == pytest.approx(values.std(ddof=1) / 2)
    assert found.degrees == pytest.approx(3)


def test_crossed_seeds_give_the_textbooks_mean_squares():
    # Rows 0.70 0.72 / 0.74 0.80 / 0.75 0.79: means of rows 0.71 0.77 0.77, of columns 0.73 0.77, of all 0.75.
    # Squares: rows 2 (0.04^2 + 2 x 0.02^2) = 0.0048, of 2: 0.0024; columns 3 x 2 x 0.02^2 = 0.0024, of 1; both 0.0004 / 2.
    # Variance of the mean: (0.0024 + 0.0024 - 0.0002) / 6.
    found = _alone([[0.70, 0.72], [0.74, 0.80], [0.75, 0.79]], SILENT).estimate()
    assert found.value == pytest.approx(0.75)
    assert found.error**2 == pytest.approx((0.0024 + 0.0024 - 0.0002) / 6)


def test_satterthwaites_degrees_are_those_of_the_mean_squares():
    values = np.random.default_rng(1).normal(size=(4, 3)) + np.arange(4)[:, None] + 2 * np.arange(3)
    rows, columns = values.mean(axis=1) - values.mean(), values.mean(axis=0) - values.mean()
    both = values - values.mean() - rows[:, None] - columns
    squares = np.array([3 * (rows**2).sum() / 3, 4 * (columns**2).sum() / 2, (both**2).sum() / 6]) / 12
    found = _alone(values, np.zeros((4, 3, 1))).estimate()
    assert found.error**2 == pytest.approx(squares[0] + squares[1] - squares[2])
    assert found.degrees == pytest.approx(found.error**4 / (squares**2 / [3, 2, 6]).sum())


def test_two_levels_have_the_weighted_mean_of_their_parts_quantiles():
    # Parts 0.0004 of three rows and 0.0004 of two columns, none of clusters.
    found = _alone([[0.70, 0.72], [0.74, 0.80], [0.75, 0.79]], SILENT).estimate()
    assert t.ppf(0.975, found.degrees) == pytest.approx((t.ppf(0.975, 2) + t.ppf(0.975, 1)) / 2)


def test_degrees_never_fall_below_those_of_the_fewest_levels():
    # The interaction takes nearly all of the columns' mean square away again.
    values = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.1]])
    assert _alone(values, np.zeros((3, 3, 1))).estimate().degrees >= 2


def test_a_difference_that_never_varies_has_an_error_all_the_same():
    found = Crossed((Played(np.full((1, 1), 0.25), np.zeros((1, 1, 2))),), 2).estimate()
    assert (found.value, found.error) == (0.25, pytest.approx(0.25 / np.sqrt(2)))


def test_seeds_that_differ_as_clusters_make_them_differ_add_nothing():
    chance = np.random.default_rng(3)
    # Clusters move each trial on its own: the trials' spread beyond that is nothing but these same clusters.
    spread = chance.normal(size=(6, 1, 400)) / 400
    values = 0.8 + spread.sum(axis=2)
    own = _alone(values, spread, clusters=400)
    assert own.parts().seeds <= 0.5 * own.parts().clusters * 6
    assert own.estimate().error ** 2 <= 3 * own.parts().clusters


def test_what_one_cluster_explains_of_seeds_is_not_theirs():
    values = np.array([[0.9], [0.7]])
    own = _alone(values, (values - 0.8)[..., None])
    assert own.parts().seeds == pytest.approx(0)


def test_a_contender_against_itself_has_no_difference_and_no_error():
    chance = np.random.default_rng(4)
    own = Played(chance.normal(size=(5, 3)), chance.normal(size=(5, 3, 9)))
    found = Crossed((own - own,), 9).estimate()
    assert (found.value, found.error) == (0.0, 0.0)


def test_one_dictionary_against_a_baseline_without_one_is_the_difference_in_every_trial():
    chance = np.random.default_rng(5)
    ours = Played(chance.normal(size=(5, 3)), chance.normal(size=(5, 3, 9)))
    theirs = Played(chance.normal(size=(5, 1)), chance.normal(size=(5, 1, 9)))
    apart = (Crossed((ours,), 9) - Crossed((theirs,), 9)).estimate()
    in_every_trial = Crossed((ours - theirs,), 9).estimate()
    assert apart == pytest.approx(in_every_trial)


def test_sides_may_have_different_numbers_of_dictionary_seeds():
    chance = np.random.default_rng(6)
    sides = [
        Crossed((Played(chance.normal(size=(5, count)), chance.normal(size=(5, count, 9))),), 9) for count in (3, 2)
    ]
    found = (sides[0] - sides[1]).estimate()
    assert found.value == pytest.approx(sides[0].estimate().value - sides[1].estimate().value)
    assert found.error > 0


@given(st.floats(0.1, 10), st.floats(-5, 5))
def test_errors_scale_with_the_scores_and_do_not_care_where_they_lie(scale, shift):
    chance = np.random.default_rng(7)
    values, spread = chance.normal(size=(5, 3)), chance.normal(size=(5, 3, 9)) / 5
    first = Crossed((Played(values, spread),), 9).estimate()
    second = Crossed((Played(shift + scale * values, scale * spread),), 9).estimate()
    assert second.error == pytest.approx(scale * first.error)
    assert second.degrees == pytest.approx(first.degrees)


def test_a_few_clusters_that_make_all_of_the_error_count_as_few():
    even, lopsided = np.full((1, 1, 200), 0.01), np.full((1, 1, 200), 1e-6)
    lopsided[0, 0, :3] = 0.05
    assert _alone([[0.9]], even, clusters=200).estimate().degrees == pytest.approx(199)
    assert _alone([[0.9]], lopsided, clusters=200).estimate().degrees == pytest.approx(9, rel=1e-3)


def test_one_cluster_has_no_error():
    with pytest.raises(EmptyBatchError, match="found 1"):
        _alone([[0.9]], np.ones((1, 1, 1)), clusters=1)
