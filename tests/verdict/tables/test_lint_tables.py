"""What was found wrong in published tables is found by name."""

import numpy as np
import pytest

from fairfight.errors import TableError
from fairfight.verdict.tables.judge import judge_tables
from fairfight.verdict.tables.lint import in_distribution_scores, lint, picked_on_scores
from fairfight.verdict.tables.pairs import Grid
from fairfight.verdict.tables.picked import Picked
from fairfight.verdict.tables.readers.long import Layout, read


@pytest.fixture
def table(tables, tmp_path):
    """Give the table of rows."""

    def make(found, name="scores"):
        return read(tables.write(tmp_path / f"{name}.csv", found), Layout())

    return make


def _named(table):
    return {flaw.name: flaw.found for flaw in lint(Grid.of(table))}


def test_a_clean_table_has_no_flaw(tables, table):
    assert _named(table(tables.rows())) == {}


def test_a_play_with_two_rows_is_a_join_without_its_condition(tables, table):
    found = list(tables.rows())
    doubled = table([*found, {**found[0], "score": 0.6}])
    assert "1 plays have several rows, such as sae on task-0 (2 rows)" in _named(doubled)["duplicates"]
    with pytest.raises(TableError, match="several rows"):
        judge_tables([doubled])


def test_conditions_of_one_side_alone_are_named(tables, table):

    by_method = {"sae": ("n = 1",), "logistic": ("n = 1", "n = 2"), "length": ("n = 1", "n = 2")}
    found = [{**row, "condition": condition} for row in tables.rows(seeds=1) for condition in by_method[row["method"]]]
    said = _named(table(found))["conditions missing on one side"]
    assert "the dictionary side was not scored under 1 of 2 conditions (n = 2)" in said


def test_a_method_that_lacks_seeds_is_named(tables, table):
    found = [row for row in tables.rows() if not (row["method"] == "length" and row["seed"] == 2)]
    assert "length has 2 seeds and others 3" in _named(table(found))["seeds missing"]


def test_a_method_that_lacks_tasks_of_its_side_is_named(tables, table):
    easy = ("task-1", "task-2", "task-3")
    found = [row for row in tables.rows() if row["method"] != "length" or row["task"] in easy]
    (said,) = (flaw for flaw in lint(Grid.of(table(found))) if flaw.name == "tasks missing")
    assert "1 of 2 methods of the baseline side lack tasks" in said.found
    assert "length (3 of 40 tasks)" in said.found
    assert not said.is_fatal


def test_ties_on_validation_are_counted_with_what_hangs_on_them(tables, table):
    said = _named(table([{**row, "validation": 1.0} for row in tables.rows(seeds=1)]))["ties on validation"]
    assert "meets 40 ties" in said


def test_few_tasks_are_said(tables, table):
    assert "2 tasks in 1 independent groups" in _named(table(tables.rows(tasks=2)))["few tasks"]


def test_shifted_scores_that_equal_the_standard_ones_are_not_believed(tables, table):
    standard = table(tables.rows(seeds=1), "standard")
    nearly = table([{**row, "score": row["score"] + 0.003} for row in tables.rows(seeds=1)], "ood")
    truly = table([{**row, "score": row["score"] - 0.1} for row in tables.rows(seeds=1)], "shifted")
    (flaw,) = in_distribution_scores(nearly, standard)
    assert flaw.is_fatal
    assert "not out of distribution" in flaw.found
    assert list(in_distribution_scores(truly, standard)) == []


def _by_layer(tables, best, played):
    """Give rows under two layers: validation prefers `best` by 0.2; `played` says who plays where."""
    for row in tables.rows(seeds=1):
        for layer in played[row["method"]]:
            better = 0.2 if layer == best else 0.0
            yield {**row, "condition": f"layer {layer}", "validation": row["validation"] - 0.2 + better}


MISMATCH = "baseline at another layer than the one selected"


def test_a_baseline_compared_at_another_layer_than_validation_selects_is_named(tables, table):
    played = {"sae": (12,), "logistic": (12, 20), "length": (12,)}
    said = _named(table(_by_layer(tables, 20, played)))[MISMATCH]
    assert "validation selects layer 20 for logistic" in said
    assert "compared at layer 12 alone" in said


def test_a_baseline_compared_at_the_layer_selected_is_fair(tables, table):
    played = {"sae": (12,), "logistic": (12, 20), "length": (12,)}
    assert MISMATCH not in _named(table(_by_layer(tables, 12, played)))
    everywhere = dict.fromkeys(("sae", "logistic", "length"), (12, 20))
    assert MISMATCH not in _named(table(_by_layer(tables, 20, everywhere)))


def test_conditions_that_name_no_layer_say_nothing_of_layers(tables, table):
    played = {"sae": (12,), "logistic": (12, 20), "length": (12,)}
    found = [{**row, "condition": row["condition"].replace("layer", "n =")} for row in _by_layer(tables, 20, played)]
    assert MISMATCH not in _named(table(found))


def test_the_best_of_many_settings_is_worth_what_it_adds_over_a_blind_one():
    """By hand: means 0.5, 0.3, 0.1, so 0.5 - 0.3; the best by task are 0.6 and 0.6, so 0.6 - 0.5."""
    own = Picked("steering", ("1", "2", "3"), np.array([[0.6, 0.4], [0.0, 0.6], [0.1, 0.1]]))
    (flaw,) = picked_on_scores([own], "ratings")
    assert (own.best, own.gain, own.gain_by_task) == (0, pytest.approx(0.2), pytest.approx(0.1))
    assert "adds +0.200" in flaw.found
    assert "+0.100 more" in flaw.found
    assert not flaw.is_fatal


def test_a_choice_of_one_or_two_settings_is_not_said():
    assert list(picked_on_scores([Picked("steering", ("1", "2"), np.eye(2))], "ratings")) == []
