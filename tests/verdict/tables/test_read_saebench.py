"""SAEBench's files: the model's own probes against those on each SAE, and what the files cannot tell."""

import json

import pytest

from fairfight.errors import TableError
from fairfight.verdict.tables.judge import judge_tables
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.read import read_tables

SETS = (
    "LabHC/bias_in_bios_class_set1",
    "canrager/amazon_reviews_mcauley_1and5",
    "fancyzhx/ag_news",
    "codeparrot/github-code",
)


def _result(sae, *, llm=0.9, gain=-0.05, layer=12, kind="sparse_probing", **extra):
    """Give a file's content in the order of keys of SAEBench's `sparse_probing/main.py`."""
    details = [
        {
            "dataset_name": f"{name}_results",
            "llm_test_accuracy": llm + place / 100,
            "llm_top_1_test_accuracy": 0.6,
            "llm_top_2_test_accuracy": None,
            "sae_test_accuracy": -1,
            "sae_top_1_test_accuracy": 0.7,
            "sae_top_5_test_accuracy": llm + gain + place / 100 + (-1) ** place / 1000,
        }
        | extra
        for place, name in enumerate(SETS)
    ]
    return {
        "eval_type_id": kind,
        "eval_config": {"random_seed": 42, "model_name": "gemma-2-2b"},
        "eval_result_metrics": {"llm": {}, "sae": {}},
        "eval_result_details": details,
        "sae_lens_id": f"blocks.{layer}.hook_resid_post__trainer_{sae}",
        "sae_lens_release_id": "sae_bench_gemma",
        "sae_cfg_dict": {"hook_layer": layer},
    }


@pytest.fixture
def write(tmp_path):
    """Give the folder after writing results as files."""

    def make(*results):
        for number, own in enumerate(results):
            (tmp_path / f"{number}_eval_results.json").write_text(json.dumps(own))
        return tmp_path

    return make


def test_the_models_probes_are_baselines_and_those_on_saes_dictionary_methods(write):
    (table,) = read_tables(write(_result(1), _result(2)), Layout()).tables
    assert table.name == "sparse_probing gemma-2-2b layer 12"
    assert table.metric.name == "accuracy"
    assert table.tasks == tuple(sorted(SETS))
    sides = {method.name: method.side for method in table.methods}
    assert {name for name in sides if sides[name] == "baseline"} == {"llm", "llm k=1"}
    assert len([name for name in sides if sides[name] == "dictionary"]) == 4
    assert "sae_bench_gemma blocks.12.hook_resid_post__trainer_1 k=5" in sides


def test_a_table_is_judged(write):
    verdict = judge_tables(read_tables(write(_result(1)), Layout()).tables)[0]
    assert verdict.main.word == "loses"
    assert verdict.main.difference == pytest.approx(-0.05)
    assert (verdict.main.defender, verdict.main.defender_score) == ("llm", pytest.approx(0.915))


def test_a_probe_that_was_not_trained_is_no_row(write):
    (table,) = read_tables(write(_result(1)), Layout()).tables
    assert all(method.name != "sae_bench_gemma blocks.12.hook_resid_post__trainer_1" for method in table.methods)
    assert table.score.min() == 0.6


def test_one_file_is_read_alone(write):
    folder = write(_result(1), _result(2))
    (table,) = read_tables(folder / "1_eval_results.json", Layout()).tables
    assert len(table.on_side("dictionary")) == 2


def test_layers_are_tables_of_their_own(write):
    tables = read_tables(write(_result(1), _result(2, layer=19)), Layout()).tables
    assert [table.name[-8:] for table in tables] == ["layer 12", "layer 19"]


def test_baselines_that_differ_from_file_to_file_are_averaged_and_said(write):
    found = read_tables(write(_result(1), _result(2, llm=0.92)), Layout())
    assert found.tables[0].score[0] == pytest.approx(0.91)
    assert "disagree about 4 scores" in found.tables[0].flaws[0].found


def test_patterns_stand_above_what_the_file_says(write):
    (table,) = read_tables(write(_result(1), _result(2)), Layout(patterns={"control": ["*trainer_2*"]})).tables
    assert len(table.on_side("control")) == len(table.on_side("dictionary")) == 2


def test_another_metric_is_read_where_it_was_measured(write):
    own = _result(1, kind="sparse_probing_sae_probes", llm_test_auc=0.95, sae_top_5_test_auc=0.93)
    (table,) = read_tables(write(own), Layout()).tables
    assert table.metric.name == "AUROC"
    assert sorted(set(table.score.tolist())) == [0.93, 0.95]
    assert read_tables(write(own), Layout(metric="accuracy")).tables[0].metric.name == "accuracy"


def test_evals_without_a_baseline_are_left_out_and_said(write):
    found = read_tables(write(_result(1), _result(2, kind="unlearning")), Layout())
    assert "unlearning (1)" in found.flaws[0].found
    assert "picked on the questions" in found.flaws[0].found
    with pytest.raises(TableError, match="no results of sparse probing, only of core"):
        read_tables(write(_result(1, kind="core"), _result(2, kind="core")), Layout())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"llm_test_accuracy": None}, "no score 'llm_test_accuracy'.*include_llm_baseline"),
        ({"sae_top_1_test_accuracy": 1.7}, "the score is 1.7, but accuracy lies between 0 and 1"),
        ({"sae_top_1_test_accuracy": float("nan")}, "the score is NaN"),
        ({"sae_top_1_test_accuracy": "good"}, "is the text 'good', but a number was expected"),
        ({"dataset_name": 3}, "dataset_name is 3, but a text was expected"),
    ],
)
def test_what_is_wrong_is_named(write, change, words):
    with pytest.raises(TableError, match=words):
        read_tables(write(_result(1, **change)), Layout())


@pytest.mark.parametrize("key", ["eval_result_details", "eval_type_id", "eval_config", "sae_lens_id"])
def test_a_missing_key_is_named(write, key):
    own = _result(1)
    del own[key]
    with pytest.raises(TableError, match=f"no key '{key}'"):
        read_tables(write(own), Layout())


def test_one_sae_in_two_files_is_refused(write):
    with pytest.raises(TableError, match="second score"):
        read_tables(write(_result(1), _result(1)), Layout())
