"""Results of lm-evaluation-harness: tasks without their groups, one metric a task, equal settings."""

import json

import pytest

from fairfight.errors import TableError
from fairfight.verdict.tables.judge import judge_tables
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.read import read_tables


def _results(model, shift=0.0, **extra):
    """Give a file's content in the layout of `EvaluationTracker.save_results_aggregated`."""
    return {
        "results": {
            "mmlu": {"alias": "mmlu", "acc,none": 0.99},
            "mmlu_anatomy": {"alias": " - anatomy", "acc,none": 0.5 + shift, "acc_stderr,none": 0.01},
            "mmlu_law": {"acc,none": 0.6 + shift},
            "hellaswag": {"acc,none": 0.4 + shift, "acc_norm,none": 0.45},
            "gsm8k": {"exact_match,strict-match": 0.3 + shift, "exact_match,flexible-extract": 0.35},
            "wikitext": {"word_perplexity,none": 12.0},
        },
        "group_subtasks": {"mmlu": ["mmlu_law", "mmlu_anatomy"], "gsm8k": []},
        "configs": {},
        "n-shot": {"gsm8k": 5, "hellaswag": 0},
        "higher_is_better": {"wikitext": {"word_perplexity": False}},
        "n-samples": {"gsm8k": {"original": 1319, "effective": 1319}},
        "config": {"model": "hf", "model_args": f"pretrained={model},dtype=float"},
        "model_name": model,
    } | extra


@pytest.fixture
def write(tmp_path):
    """Give the folder after writing results as the harness does: a folder a model."""

    def make(*results):
        for number, own in enumerate(results):
            (tmp_path / str(number)).mkdir(exist_ok=True)
            (tmp_path / str(number) / "results_2026-01-01T00-00-00.json").write_text(json.dumps(own))
        return tmp_path

    return make


def test_models_are_methods_and_sides_are_given_by_patterns(write):
    folder = write(_results("org/base"), _results("org/steered", 0.1))
    (table,) = read_tables(folder, Layout(patterns={"dictionary": ["*steered"]})).tables
    assert [method.side for method in table.methods] == ["baseline", "dictionary"]
    own = judge_tables([table])[0].main
    assert (own.difference, own.units) == (pytest.approx(0.1), 4)


def test_groups_are_left_out_and_tasks_without_an_accuracy_are_said(write):
    found = read_tables(write(_results("base")), Layout())
    assert found.tables[0].tasks == ("gsm8k", "hellaswag", "mmlu_anatomy", "mmlu_law")
    assert "1 tasks" in found.flaws[0].found
    assert "wikitext" in found.flaws[0].found


def test_the_accuracy_is_the_first_by_name_and_filter(write):
    table = read_tables(write(_results("base")), Layout()).tables[0]
    assert table.score.tolist() == [0.5, 0.6, 0.4, 0.3]


def test_other_numbers_of_shots_or_examples_are_no_counterpart(write):
    fewer = {"n-samples": {"gsm8k": {"original": 1319, "effective": 100}}, "n-shot": {"gsm8k": 5, "hellaswag": 10}}
    folder = write(_results("base"), _results("steered", 0.1, **fewer))
    (table,) = read_tables(folder, Layout(patterns={"dictionary": ["steered"]})).tables
    assert "5-shot, 100 of 1319 examples" in table.conditions
    assert judge_tables([table])[0].main.units == 2


def test_a_model_without_a_name_is_found_in_its_arguments(write):
    own = _results("org/base")
    del own["model_name"]
    assert read_tables(write(own), Layout()).tables[0].methods[0].name == "org/base"
    own["config"]["model_args"] = {"pretrained": "org/other"}
    assert read_tables(write(own), Layout()).tables[0].methods[0].name == "org/other"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"results": None}, "results is null, but an object was expected"),
        ({"results": {"a": 3}}, "results.a is no object"),
        ({"results": {"a": {"acc,none": "N/A"}}}, "a, acc,none is the text 'N/A', but a number"),
        ({"results": {"a": {"acc,none": float("nan")}}}, "the score is NaN"),
        ({"results": {"a": {"acc,none": 61.0}}}, "the score is 61, but accuracy lies between 0 and 1"),
        ({"results": {}}, "holds no score"),
        ({"model_name": "", "config": {}}, "names no model"),
    ],
)
def test_what_is_wrong_is_named(write, change, words):
    with pytest.raises(TableError, match=words):
        read_tables(write(_results("base", **change)), Layout())


def test_two_metrics_for_one_task_are_refused(write):
    other = {"results": {"gsm8k": {"exact_match,flexible-extract": 0.4}}}
    with pytest.raises(TableError, match=r"gsm8k has no 'exact_match,strict-match', by which it is read in 0/results"):
        read_tables(write(_results("base"), _results("steered", **other)), Layout())


def test_a_model_that_played_a_task_twice_is_refused(write):
    with pytest.raises(TableError, match=r"1/results.* base played mmlu_anatomy in 0/results.* already"):
        read_tables(write(_results("base"), _results("base")), Layout())
