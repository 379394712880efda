"""Firing: frequencies, dead and dense latents, percentiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from fairfight.dictionaries.quality.firing import frequency_histogram, is_dead, is_dense, percentile, unseen_below
from fairfight.errors import EmptyBatchError


def test_the_rarest_latent_that_can_be_seen_agrees_with_a_hand_calculation():
    """One token: (1 - f) = 0.05. Two tokens: (1 - f)^2 = 0.05, f = 1 - 0.2236. Many: about 3 / n."""
    assert unseen_below(1) == pytest.approx(0.95)
    assert unseen_below(2) == pytest.approx(0.7763932)
    assert unseen_below(100_000) == pytest.approx(2.9957e-5, rel=1e-4)


@given(some.integers(1, 10**9), some.floats(1e-6, 0.5))
def test_a_latent_of_that_frequency_stays_silent_with_that_chance(tokens, chance):
    assert tokens * np.log1p(-unseen_below(tokens, chance=chance)) == pytest.approx(np.log(chance), rel=1e-6)


def test_dead_and_dense_latents_are_those_that_a_hand_finds():
    firing = np.array([0, 1, 10, 11, 100])
    assert is_dead(firing).tolist() == [True, False, False, False, False]
    assert is_dense(firing, 100, share=0.1).tolist() == [False, False, False, True, True]


def test_the_histogram_holds_each_latent_that_is_alive_in_the_bin_of_its_logarithm():
    """Of 1,000 tokens: 1 is -3, 10 is -2, 100 is -1, 1,000 is 0, and 20 is -1.70."""
    own = frequency_histogram(np.array([0, 1, 10, 100, 1000, 20]), 1000)
    filled = {round(own.edges[place], 2): count for place, count in enumerate(own.counts) if count}
    assert filled == {-3.0: 1, -2.0: 1, -1.75: 1, -1.0: 1, -0.25: 1}


@given(some.lists(some.integers(0, 10**6), min_size=1, max_size=50), some.integers(10**6, 10**9))
def test_no_latent_that_fires_is_lost(firing, tokens):
    own = frequency_histogram(np.array(firing), tokens)
    assert sum(own.counts) == np.count_nonzero(firing)


@given(some.integers(1, 10**7))
def test_a_single_firing_has_a_bin(tokens):
    assert sum(frequency_histogram(np.array([1, tokens]), tokens).counts) == 2


@given(some.lists(some.integers(0, 30), min_size=1, max_size=200), some.integers(0, 100))
def test_percentiles_are_numpys(values, percent):
    expected = sorted(values)[max(0, -(-percent * len(values) // 100) - 1)]
    assert percentile(np.bincount(values), percent) == expected
    if percent in (0, 25, 50, 75, 100):  # elsewhere NumPy rounds percent / 100 first
        assert percentile(np.bincount(values), percent) == np.percentile(values, percent, method="inverted_cdf")


@pytest.mark.parametrize("statistic", [lambda: unseen_below(0), lambda: percentile(np.zeros(4, int), 50)])
def test_a_statistic_of_no_token_is_refused(statistic):
    with pytest.raises(EmptyBatchError, match="no token"):
        statistic()
