"""The paired permutation test: exact where it can be, never zero, and blind to which side is called first."""

import numpy as np
import pytest

from fairfight.errors import EmptyBatchError
from fairfight.verdict.statistics.permutation import paired_permutation


def test_four_differences_of_one_sign_are_the_two_most_extreme_of_sixteen():
    assert paired_permutation(np.array([1.0, 2.0, 3.0, 4.0]), np.random.default_rng(0)) == pytest.approx(2 / 16)


def test_the_sign_of_the_whole_does_not_matter():
    chance = np.random.default_rng(1)
    differences = chance.normal(0.3, 1, size=12)
    one, two = (paired_permutation(sign * differences, np.random.default_rng(2)) for sign in (1, -1))
    assert one == two


def test_many_clusters_are_sampled_and_the_p_value_is_never_zero():
    assert 0 < paired_permutation(np.ones(60), np.random.default_rng(3), draws=500) <= 3 / 501


def test_nothing_cannot_be_tested():
    with pytest.raises(EmptyBatchError):
        paired_permutation(np.array([]), np.random.default_rng(4))
