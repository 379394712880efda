"""A table's verdict finds what was planted in it, says what it stands on, and what it cannot know."""

import json

import numpy as np
import pytest
from scipy.stats import ttest_rel

from fairfight.errors import EmptyBatchError, TableError
from fairfight.verdict.tables.judge import Asked, judge_tables
from fairfight.verdict.tables.pairs import Grid, pair
from fairfight.verdict.tables.readers.long import Layout, read


@pytest.fixture
def judged(tables, tmp_path):
    """Give the verdict on rows that were written to a file."""

    def judge(found, asked=Asked(), layout=Layout()):  # noqa: B008
        return judge_tables([read(tables.write(tmp_path / "scores.csv", found), layout)], asked)[0]

    return judge


def test_a_planted_win_wins_against_the_best_baseline_and_every_baseline(tables, judged):
    verdict = judged(tables.rows())
    own = verdict.main
    assert (own.challenger, own.defender, own.word) == ("sae", "logistic", "wins")
    assert own.difference == pytest.approx(0.05, abs=0.005)
    assert own.low < 0.05 < own.high
    assert (own.units, own.clusters, own.seeds, own.ahead) == (40, 20, 3, 40)
    assert verdict.hardest.defender == "logistic"
    assert verdict.every_p < 1e-3
    assert verdict.permutation_p < 1e-3
    assert (verdict.challenger_how, verdict.defender_how) == ("the only one", "best on validation")


@pytest.mark.parametrize(("gain", "word"), [(-0.05, "loses"), (0.0, "ties"), (0.01, "undecided")])
def test_other_words_are_found_as_planted(tables, judged, gain, word):
    verdict = judged(tables.rows(gain=gain))
    assert verdict.main.word == word
    assert (verdict.permutation_p < 0.01) == (gain != 0)


def test_one_seed_and_independent_tasks_are_scipys_paired_t_test(tables, tmp_path):
    found = [{key: row[key] for key in row if key != "cluster"} for row in tables.rows(seeds=1, tasks=12)]
    table = read(tables.write(tmp_path / "t.csv", found), Layout())
    grid = Grid.of(table)
    scores = [grid.scores(table.named(name)) for name in ("sae", "logistic")]
    own = pair(grid, *scores, ("sae", "logistic"))
    expected = ttest_rel(scores[0][:, 0], scores[1][:, 0])
    assert own.estimate().value / own.estimate().error == pytest.approx(expected.statistic)
    assert own.are_levels_few


def test_tasks_of_one_cluster_count_as_one(tables, judged):
    apart = [{**row, "cluster": row["task"]} for row in tables.rows(noise=0.05)]
    together = [{**row, "cluster": int(row["task"].split("-")[1]) // 10} for row in tables.rows(noise=0.05)]
    assert judged(apart).main.clusters == 40
    assert judged(together).main.clusters == 4
    assert judged(together).main.interval_by == "Student's t"


def test_bootstrap_and_students_interval_agree_where_levels_are_many(tables, tmp_path):
    found = list(tables.rows(tasks=200, seeds=1, noise=0.05))
    table = read(tables.write(tmp_path / "t.csv", found), Layout())
    grid = Grid.of(table)
    own = pair(grid, *(grid.scores(table.named(name)) for name in ("sae", "logistic")), ("sae", "logistic"))
    assert not own.are_levels_few
    low, high = own.interval(0.95, np.random.default_rng(0), 4000)
    error = own.estimate().error
    assert (high - low) == pytest.approx(2 * 1.96 * error, rel=0.06)
    assert own.replicates(np.random.default_rng(1), 4000).std() == pytest.approx(error, rel=0.06)


def test_resampling_a_cluster_takes_all_of_its_tasks():
    """Ten clusters of two tasks that differ by the cluster alone: the replicates are those of ten values."""
    values = np.random.default_rng(2).standard_normal(10)
    from fairfight.verdict.tables.pairs import Pair

    own = Pair(np.repeat(values, 2)[:, None], np.zeros((20, 1)), np.repeat(np.arange(10), 2), 0)
    found = own.replicates(np.random.default_rng(3), 20_000)
    assert found.std() == pytest.approx(values.std() / np.sqrt(10), rel=0.03)
    assert own.estimate().error == pytest.approx(values.std(ddof=1) / np.sqrt(10))


def test_without_validation_the_choice_by_the_scores_themselves_is_said(tables, judged):
    found = [{key: row[key] for key in row if key != "validation"} for row in tables.rows()]
    verdict = judged(found)
    assert verdict.defender_how == "best on the scores themselves"
    assert verdict.quivers is None
    assert any("No validation scores" in limit for limit in verdict.limits)


def test_one_seed_no_costs_and_unknown_clusters_are_limits(tables, judged):
    found = [{key: row[key] for key in ("task", "method", "side", "score")} for row in tables.rows(seeds=1)]
    limits = " ".join(judged(found).limits)
    for words in ("One seed", "taken as independent", "No validation scores", "No costs", "Scores, not items"):
        assert words in limits


def test_plays_without_a_counterpart_are_left_out_and_counted(tables, judged):
    found = [row for row in tables.rows() if not (row["method"] == "logistic" and row["task"] in ("task-3", "task-4"))]
    verdict = judged(found, Asked(defender="logistic"))
    assert (verdict.main.units, verdict.main.unpaired) == (38, 2)


def test_several_tables_are_adjusted_for(tables, tmp_path):
    found = [read(tables.write(tmp_path / f"{name}.csv", tables.rows(chance=name)), Layout()) for name in (1, 2)]
    verdicts = judge_tables(found)
    assert {own.questions for own in verdicts} == {2}
    assert max(own.main.level for own in verdicts) == pytest.approx(0.975)


def test_the_quiver_breaks_ties_by_the_order_of_rows_and_gives_the_range(tables, judged):
    found = [{**row, "validation": 1.0} for row in tables.rows(seeds=1)]
    own = judged(found, Asked(defender="logistic")).quivers
    assert own.tied == 40
    low, high = own.full_range
    assert high - low == pytest.approx(0.1, abs=0.01)
    assert own.order_range == pytest.approx((low, high))


def test_a_named_pair_is_judged_as_named(tables, judged):
    verdict = judged(tables.rows(), Asked("logistic", "length"))
    assert (verdict.main.challenger, verdict.main.defender) == ("logistic", "length")
    assert (verdict.challenger_how, verdict.defender_how) == ("named", "named")


def test_the_same_table_gives_the_same_bits_and_plain_json(tables, judged):
    one, two = (json.dumps(judged(tables.rows()).to_json(), allow_nan=False) for _ in range(2))
    assert one == two


def test_a_baseline_that_played_nothing_of_it_is_left_out_and_said(tables, judged):
    found = [
        {**row, "task": f"other-{row['task']}"} if row["method"] == "length" else row for row in tables.rows(seeds=1)
    ]
    verdict = judged([{key: row[key] for key in row if key != "cluster"} for row in found], Asked(defender="logistic"))
    assert (verdict.baselines, verdict.hardest.defender) == (1, "logistic")
    assert any(limit.startswith("1 of 2 baselines played too little") for limit in verdict.limits)


def test_a_name_that_is_not_there_is_answered_with_the_nearest(tables, judged):
    with pytest.raises(TableError, match=r"no method 'logistik'.*Did you mean 'logistic'"):
        judged(tables.rows(), Asked(defender="logistik"))


def test_sides_that_share_nothing_are_refused(tables, judged):
    found = [{**row, "task": f"other-{row['task']}"} if row["method"] == "sae" else row for row in tables.rows(seeds=1)]
    with pytest.raises(TableError, match="share no task and condition"):
        judged([{key: row[key] for key in row if key != "cluster"} for row in found])


def test_a_table_without_a_dictionary_says_how_to_name_one(tables, judged):
    found = [{**row, "side": "baseline"} for row in tables.rows()]
    with pytest.raises(TableError, match=r"no method on the dictionary side.*--dictionary"):
        judged(found)


def test_one_task_has_no_error(tables, judged):
    with pytest.raises(EmptyBatchError, match="found 1"):
        judged(tables.rows(tasks=1))
