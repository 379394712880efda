"""A table's verdict finds what was planted in it, says what it stands on, and what it cannot know."""

import json

import numpy as np
import pytest
from scipy.stats import ttest_rel

from fairfight.errors import TableError
from fairfight.verdict.tables.compared import Compared
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
    low, high = Compared(own, ("t", "sae", "logistic"), 4000).interval(0.95)
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
    with pytest.raises(TableError, match=r"the table has one task \(cluster\); an error needs two"):
        judged(tables.rows(tasks=1))


def _seed_of_a_third(tables):
    """Give rows in which `length` alone has a seed more."""
    return [*tables.rows(), *({**row, "seed": 9} for row in tables.rows(seeds=1) if row["method"] == "length")]


def test_a_seed_of_a_third_method_unpairs_nobody(tables, judged):
    own, before = judged(_seed_of_a_third(tables)).main, judged(tables.rows()).main
    assert (own.units, own.unpaired, own.seeds) == (40, 0, 3)
    assert own.difference == before.difference


def test_one_shared_seed_is_a_limit_whatever_others_played(tables, judged):
    found = [row for row in _seed_of_a_third(tables) if row["method"] != "sae" or row["seed"] == 0]
    verdict = judged(found)
    assert (verdict.main.units, verdict.main.seeds) == (40, 1)
    assert any(limit.startswith("One seed") for limit in verdict.limits)


def test_a_unit_that_lacks_a_seed_that_both_have_is_unpaired(tables, judged):
    found = [
        row
        for row in _seed_of_a_third(tables)
        if (row["method"], row["task"], row["seed"]) != ("logistic", "task-3", 1)
    ]
    own = judged(found, Asked(defender="logistic")).main
    assert (own.units, own.unpaired, own.seeds) == (39, 1, 3)


def test_methods_without_a_common_seed_are_told_their_seeds(tables, judged):
    found = [{**row, "seed": f"s{row['seed'] + 5 * (row['method'] == 'sae')}"} for row in tables.rows(seeds=2)]
    with pytest.raises(
        TableError, match=r"share no seed: sae has 's5', 's6', and logistic has 's0', 's1'.*--map seed="
    ):
        judged(found)


def test_seeds_with_holes_are_counted_and_named(tables, judged):
    """Seed 0 on even tasks, seed 1 on odd ones: 40 played, none under both; `logistic` has every one."""
    found = [
        row
        for row in tables.rows(seeds=2)
        if row["method"] != "sae" or row["seed"] == int(row["task"].removeprefix("task-")) % 2
    ]
    with pytest.raises(TableError, match=r"40 and 40 were played, 0 and 40 of them .*\('0', '1'\)"):
        judged(found, Asked(defender="logistic"))


def test_of_hopeless_baselines_the_one_furthest_ahead_is_the_hardest(tables, judged):
    """`giant` is 1 ahead with much noise, `near` 0.05 with little: the p-value of the latter is the closer to 1."""
    draw = np.random.default_rng(5)

    def found():
        for row in tables.rows(seeds=1):
            if row["method"] == "sae":
                yield row
                for name, shift, noise in (("giant", 1.0, 2.0), ("near", 0.05, 0.001)):
                    score = row["score"] + shift + noise * draw.uniform(-1, 1)
                    yield {**row, "method": name, "side": "baseline", "score": score, "validation": score - 0.001}

    verdict = judged(found(), layout=Layout(metric="score"))
    assert verdict.hardest.defender == "giant"
    assert verdict.every_p > 0.999


@pytest.mark.parametrize("tasks", [15, 60])
@pytest.mark.parametrize(("gain", "word"), [(0.02, "wins"), (-0.02, "loses"), (0.002, "ties")])
def test_the_word_turns_where_the_level_meets_the_p_value(tables, judged, tasks, gain, word):
    found = list(tables.rows(tasks=tasks, seeds=1, noise=0.03, gain=gain))
    p = judged(found, Asked(margin=0.0125)).main.p
    words = [judged(found, Asked(margin=0.0125, level=1 - p * near)).main.word for near in (0.99, 1.01)]
    assert words == ["undecided", word]


@pytest.mark.parametrize("tasks", [15, 60])
def test_the_order_of_rows_moves_nothing(tables, judged, tasks):
    found = list(tables.rows(tasks=tasks, noise=0.05))
    shuffled = [found[place] for place in np.random.default_rng(6).permutation(len(found))]
    first, *others = (json.dumps(judged(own).to_json()) for own in (found, found[::-1], shuffled))
    assert others == [first, first]


def test_both_sides_below_chance_are_said(tables, judged):
    found = [{**row, "score": 1 - row["score"], "validation": 1 - row["validation"]} for row in tables.rows()]
    assert any("Both are worse than chance" in limit for limit in judged(found).limits)
    assert not any("worse than chance" in limit for limit in judged(tables.rows()).limits)


def test_empty_cells_of_validation_are_counted(tables, judged):
    found = [{**row, "validation": "" if row["task"] == "task-3" else row["validation"]} for row in tables.rows()]
    verdict = judged(found)
    assert any(limit.startswith("9 of 360 validation cells are empty") for limit in verdict.limits)
    assert any(flaw.found.startswith("9 of 360 validation cells are empty") for flaw in verdict.flaws)


def test_a_table_without_a_dictionary_lists_its_methods(tables, judged):
    found = [{**row, "side": "baseline", "method": f"{row['method']} {row['task'][-2:]}"} for row in tables.rows()]
    with pytest.raises(TableError, match=r"its methods are sae -0, logistic -0, .*, and 108 more"):
        judged(found)


def test_two_methods_that_share_one_cluster_have_no_error(tables, judged):
    found = [row for row in tables.rows() if row["method"] != "sae" or row["task"] in ("task-0", "task-1")]
    with pytest.raises(TableError, match=r"sae and logistic share one task \(cluster\); an error needs two"):
        judged(found, Asked(defender="logistic"))
