"""P-values and interval of one comparison are of the same replicates, and say the same."""

import numpy as np
import pytest

from fairfight.verdict.statistics import words
from fairfight.verdict.tables.compared import Compared, draws_for
from fairfight.verdict.tables.pairs import Pair


def _compared(values, draws=1000):
    ours = np.asarray(values, dtype=float)[:, None]
    return Compared(Pair(ours, np.zeros_like(ours), np.arange(len(ours)), 0), ("t", "a", "b"), draws)


@pytest.mark.parametrize("spread", [0.02, 0.1])
@pytest.mark.parametrize("shift", [-0.05, -0.012, 0.0, 0.013, 0.05])
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.03])
def test_a_word_is_said_exactly_where_its_p_value_is_below_the_level(shift, spread, margin):
    draw = np.random.default_rng(0)
    own = _compared(shift + spread * (draw.random(40) ** 3 - 0.25))
    p = own.chances(margin)
    by_word = {"wins": p.wins, "loses": p.loses, "ties": p.ties}
    said = set()
    for level in (0.5, 0.8, 0.9, 0.95, 0.99, 0.995, *(1 - 2 * np.array(p) * 1.0001), *(1 - 2 * np.array(p) * 0.9999)):
        if not 0.01 < level < 1 - 2 / own.draws:
            continue
        word = words.word_of(*own.interval(level), margin)
        expected = [name for name, value in by_word.items() if 2 * value < 1 - level]
        assert [word] == (expected or ["undecided"]), (level, p)
        said.add(word)
    assert said


def test_the_p_value_is_the_inverse_of_numpys_quantile():
    own = _compared(np.random.default_rng(1).standard_normal(30))
    for share in (0.003, 0.01, 0.2, 0.5):
        bound = np.quantile(own.replicates, share)
        assert own.chances(bound).wins == pytest.approx(share)
        assert own.chances(-np.quantile(own.replicates, 1 - share)).loses == pytest.approx(share)


def test_no_p_value_is_smaller_than_one_draws():
    own = _compared(1 + 0.01 * np.random.default_rng(1).standard_normal(30))
    assert own.chances(0.0).wins == 1 / 1000
    assert own.chances(0.0).least == 2 / 1000


def test_replicates_are_drawn_once(monkeypatch):
    calls = []
    drawn = Pair.replicates
    monkeypatch.setattr(Pair, "replicates", lambda self, *given: calls.append(1) or drawn(self, *given))
    own = _compared(np.random.default_rng(2).standard_normal(30))
    own.chances(0.01), own.interval(0.95), own.interval(0.99)
    assert calls == [1]


def test_few_levels_and_values_that_are_all_alike_are_students():
    few = _compared(np.random.default_rng(3).standard_normal(10))
    assert few.interval_by == "Student's t"
    assert few.interval(0.95) == words.interval(few.pair.estimate(), 0.95)
    assert few.chances(0.01) == words.chances(few.pair.estimate(), 0.01)
    level = _compared(np.zeros(30))
    assert level.interval_by == "Student's t"
    assert words.word_of(*level.interval(0.95), 0.0) == "ties"


def test_an_interval_further_out_has_more_draws_and_students_t_where_none_suffice():
    """Five replicates beyond each end: 10 / (0.05 / questions) draws."""
    assert draws_for(10_000, 0.95, 1) == 10_000
    assert draws_for(10_000, 0.95, 200) == 40_000
    assert draws_for(10_000, 0.95, 2_000) == 0
    assert _compared(np.random.default_rng(4).standard_normal(30), draws=0).interval_by == "Student's t"
