"""Who stands for a side is chosen on what its methods share, and what the choice is worth is paid for."""

import numpy as np
import pytest

from fairfight.verdict.tables.champion import champion
from fairfight.verdict.tables.judge import Asked, judge_tables
from fairfight.verdict.tables.pairs import Grid
from fairfight.verdict.tables.readers.long import Layout, read
from fairfight.verdict.tables.score_table import METRICS, Row, TableBuilder


@pytest.fixture
def table(tables, tmp_path):
    """Give the table of rows."""

    def make(found):
        return read(tables.write(tmp_path / "scores.csv", found), Layout())

    return make


def _table(rows, metric="score"):
    builder = TableBuilder("t", METRICS[metric], "t.csv")
    for line, row in enumerate(rows):
        builder.add(row, line)
    return builder.table()


def _played(**tasks):
    """Give a table of one dictionary method and baselines; each baseline's scores, and validation too, by task."""
    names = sorted({task for own in tasks.values() for task in own})
    rows = [Row(task, "sae", "dictionary", 0.6, validation=0.6) for task in names]
    rows += [
        Row(task, name, "baseline", value, validation=value + 0.001)
        for name, own in tasks.items()
        for task, value in own.items()
    ]
    return _table(rows)


def _hard_and_easy(count=40):
    """Give by task 0.6 for the first half, 0.9 for the second."""
    return {f"task-{place:02}": 0.6 if place < count / 2 else 0.9 for place in range(count)}


def test_a_baseline_that_played_easy_tasks_alone_is_not_the_best_of_its_side():
    every = _hard_and_easy()
    easy = dict.fromkeys(list(every)[30:], 0.85)
    own = champion(Grid.of(_played(thorough=every, picky=easy)), "baseline", None)
    assert (own.name, own.how) == ("thorough", "best on validation")
    assert own.limits == ("picky played too little of what their side played to be chosen.",)


def test_candidates_that_lack_little_compete_on_what_they_share():
    """`lacking` did not play the four hardest of 40: 0.01 behind on each that it played, it is ahead on the mean of its own."""
    every = _hard_and_easy()
    lacking = {task: value - 0.01 for task, value in list(every.items())[4:]}
    assert np.mean(list(lacking.values())) > np.mean(list(every.values()))
    own = champion(Grid.of(_played(lacking=lacking, whole=every)), "baseline", None)
    assert (own.name, own.limits) == ("whole", ())


def test_where_nobody_played_most_those_that_played_most_are_candidates():
    every = _hard_and_easy()
    names = list(every)
    parts = {"a": names[:20], "b": names[:20], "c": names[25:]}
    tasks = {name: {task: every[task] + (name == "b") * 0.01 for task in own} for name, own in parts.items()}
    own = champion(Grid.of(_played(**tasks)), "baseline", None)
    assert own.name == "b"
    assert own.limits == ("c played too little of what their side played to be chosen.",)


def test_methods_that_share_nothing_are_not_compared():
    every = _hard_and_easy()
    names = list(every)
    halves = {name: {task: every[task] for task in own} for name, own in (("b", names[:20]), ("a", names[20:]))}
    own = champion(Grid.of(_played(**halves)), "baseline", None)
    assert (own.name, own.limits) == ("a", ("b played too little of what their side played to be chosen.",))


def test_a_tie_of_champions_goes_to_the_first_by_name_and_is_said():
    same = _hard_and_easy()
    shifted = {task: value + (-1) ** place / 8 for place, (task, value) in enumerate(same.items())}
    own = champion(Grid.of(_played(zeta=same, alpha=shifted)), "baseline", None)
    assert own.name == "alpha"
    assert own.limits == ("alpha and zeta have the same mean validation score; the first by name stands for the side.",)


def _without_validation(*, dictionaries, baselines, tasks=12, chance=0, gain=0.0):
    draw = np.random.default_rng(chance)
    for task in range(tasks):
        base = draw.standard_normal()
        for side, count, shift in (("dictionary", dictionaries, gain), ("baseline", baselines, 0.0)):
            for number in range(count):
                yield Row(f"task-{task}", f"{side} {number}", side, base + shift + draw.standard_normal())


@pytest.mark.parametrize(("tasks", "interval_by"), [(12, "Student's t"), (30, "bootstrap")])
def test_the_best_of_many_on_the_scores_pays_for_the_choice(tasks, interval_by):
    found = _table(_without_validation(dictionaries=8, baselines=2, tasks=tasks, gain=0.8))
    verdict = judge_tables([found], Asked(margin=0.0))[0]
    own = verdict.main
    assert own.interval_by == interval_by
    assert verdict.adjusted_p == pytest.approx(min(1.0, 16 * own.p))
    assert own.level == pytest.approx(1 - 0.05 / 16)
    assert any("times 16" in limit and "99.6875 %" in limit for limit in verdict.limits)
    assert verdict.hardest.level == own.level


def test_named_methods_pay_for_no_choice():
    found = _table(_without_validation(dictionaries=8, baselines=2, gain=0.8))
    verdict = judge_tables([found], Asked("dictionary 0", "baseline 0", margin=0.0))[0]
    assert verdict.main.level == pytest.approx(0.95)
    assert verdict.adjusted_p == verdict.main.p
    assert not any("validation" in limit for limit in verdict.limits)


@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("tasks", [12, 40])
def test_word_interval_and_adjusted_p_agree_after_the_choice(gain, tasks):
    for chance in range(4):
        found = _table(_without_validation(dictionaries=4, baselines=2, tasks=tasks, chance=chance, gain=gain))
        verdict = judge_tables([found], Asked(margin=0.0))[0]
        assert (verdict.main.word != "undecided") == (verdict.adjusted_p < 0.05)


def test_the_best_of_eight_equal_dictionaries_wins_no_more_often_than_it_may():
    """Of 200 tables without a difference, 2.5 % may be won: 5 of them, and 11 with a chance below 1 %."""
    won = 0
    for chance in range(200):
        found = _table(_without_validation(dictionaries=8, baselines=1, chance=chance))
        won += judge_tables([found], Asked(margin=0.0))[0].main.word == "wins"
    assert won < 11


def test_the_choice_by_a_copy_of_the_scores_is_paid_for(table, tables):
    found = table([{**row, "validation": row["score"]} for row in tables.rows()])
    verdict = judge_tables([found])[0]
    assert verdict.defender_how == "best on the scores themselves"
    assert verdict.quivers is None
    assert "validation is the score itself" in [flaw.name for flaw in verdict.flaws]
    assert verdict.adjusted_p == pytest.approx(min(1.0, 2 * verdict.main.p))


def test_few_rows_may_equal_their_validation_by_chance(table, tables):
    found = table([{**row, "validation": row["score"]} for row in tables.rows(tasks=6, seeds=1)])
    assert found.validation is not None
