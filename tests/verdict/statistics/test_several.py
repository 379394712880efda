"""Holm against statsmodels, and the levels at which intervals say the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from fairfight.verdict.statistics.several import against_every, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@settings(max_examples=25)  # statsmodels takes 50 ms a call
@given(P_VALUES)
def test_adjusted_values_are_statsmodels(p_values):
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose([own.p for own in holm(p_values, [0.95] * len(p_values))], expected, atol=1e-12)


@given(P_VALUES, st.sampled_from([0.9, 0.95, 0.99]))
def test_reading_at_its_own_level_says_what_the_adjusted_value_says(p_values, level):
    for own, p in zip(holm(p_values, [level] * len(p_values)), p_values, strict=True):
        assert (own.p <= 1 - level) == (p <= 1 - own.level) or own.p == pytest.approx(1 - level, rel=1e-9)


def test_levels_step_down_and_stop_at_the_first_that_fails():
    found = holm([0.04, 0.001, 0.03], [0.95] * 3)
    assert [own.level for own in found] == pytest.approx([1 - 0.05 / 2, 1 - 0.05 / 3, 1 - 0.05 / 2])


def test_no_question_has_no_adjustment():
    assert holm([], []) == []


def test_a_claim_against_every_baseline_is_as_weak_as_against_the_hardest():
    assert against_every([0.001, 0.2, 0.01]) == 0.2
