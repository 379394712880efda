"""Words and their p-values: against SciPy's t, statsmodels' equivalence test, and each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from statsmodels.stats.weightstats import DescrStatsW

from fairfight.verdict.statistics.crossed import Estimate, Parts
from fairfight.verdict.statistics.power import needed, smallest_effect
from fairfight.verdict.statistics.words import chances, interval, word_of

ESTIMATES = st.builds(Estimate, value=st.floats(-0.5, 0.5), error=st.floats(1e-3, 0.2), degrees=st.floats(2, 500))


def _of(sample):
    return Estimate(sample.mean(), sample.std(ddof=1) / np.sqrt(len(sample)), len(sample) - 1)


def test_the_chance_of_a_wrong_win_is_scipys_one_sided_t_test():
    sample = np.random.default_rng(1).normal(0.03, 0.05, size=12)
    found = chances(_of(sample), 0.01)
    assert found.wins == pytest.approx(ttest_1samp(sample, 0.01, alternative="greater").pvalue, abs=1e-12)
    assert found.loses == pytest.approx(ttest_1samp(sample, -0.01, alternative="less").pvalue, abs=1e-12)


def test_the_chance_of_a_wrong_tie_is_statsmodels_equivalence_test():
    sample = np.random.default_rng(2).normal(0.002, 0.01, size=30)
    expected, _, _ = DescrStatsW(sample).ttost_mean(-0.01, 0.01)
    assert chances(_of(sample), 0.01).ties == pytest.approx(expected, abs=1e-12)


@given(ESTIMATES, st.floats(0, 0.1), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_interval_and_the_p_value_say_the_same_word(own, margin, level):
    low, high = interval(own, level)
    word, found = word_of(low, high, margin), chances(own, margin)
    edge = min(abs(bound - place) for bound in (low, high) for place in (-margin, margin))
    if edge > 1e-9:
        assert (word != "undecided") == (found.least < 1 - level)
        if word != "undecided":
            assert getattr(found, word) == min(found)


@pytest.mark.parametrize(
    ("low", "high", "margin", "word"),
    [
        (0.02, 0.05, 0.01, "wins"),
        (-0.05, -0.02, 0.01, "loses"),
        (-0.005, 0.005, 0.01, "ties"),
        (-0.02, 0.005, 0.01, "undecided"),
        (0.005, 0.05, 0.01, "undecided"),
        (0.01, 0.05, 0.01, "undecided"),
        (0.0, 0.0, 0.0, "ties"),
    ],
)
def test_the_word_says_where_the_interval_lies(low, high, margin, word):
    assert word_of(low, high, margin) == word


def test_equal_scores_without_error_tie_and_unequal_ones_do_not():
    assert chances(Estimate(0.0, 0.0, 5), 0.01).ties == 0
    assert chances(Estimate(0.0, 0.0, 5), 0.0).ties == 0
    assert chances(Estimate(0.02, 0.0, 5), 0.01).wins == 0
    assert word_of(0.0, 0.0, 0.0) == "ties"


def test_the_smallest_effect_is_the_textbooks_2_80_standard_errors():
    assert smallest_effect(Estimate(0.0, 0.01, 1e9), 0.0, 0.95) == pytest.approx(0.0280, abs=1e-4)


def test_what_is_needed_would_make_the_error_just_small_enough():
    own, parts = Estimate(0.03, 0.02, 40), Parts(clusters=0.0003, seeds=0.00008, dictionary_seeds=0.00002)
    found = needed(own, parts, 0.01, 0.95)
    reached = parts.variance(clusters=found.everything, seeds=found.everything, dictionary_seeds=found.everything)
    assert np.sqrt(reached) * 2.8016 == pytest.approx(0.02, rel=1e-3)
    assert found.clusters is None


def test_a_difference_on_the_margin_itself_can_never_be_settled():
    assert needed(Estimate(0.01, 0.02, 40), Parts(0.0004, 0, 0), 0.01, 0.95) == (None, None)
