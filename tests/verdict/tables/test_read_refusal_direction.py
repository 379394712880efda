"""Attack success by model and judge: interventions are methods, harmless prompts are another question."""

import json

import pytest

from fairfight.errors import TableError
from fairfight.verdict.tables.judge import Asked, judge_tables
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.read import read_tables

HEADER = "model,file,n,substring_matching_success_rate,llamaguard2_success_rate"
RATES = {"baseline": (0.1, 0.05), "ablation": (1.0, 0.8), "actadd": (0.9, 0.7)}


def _csv(folder):
    rows = [
        f"{model},jailbreakbench_{name}_evaluations.json,100,{first},{second}"
        for model in ("gemma", "qwen", "yi")
        for name, (first, second) in RATES.items()
    ]
    file = folder / "summary.csv"
    file.write_text("\n".join([HEADER, *rows, "gemma,harmless_actadd_evaluations.json,100,0.0,"]) + "\n")
    return file


def _runs(folder):
    for model in ("gemma", "qwen", "yi"):
        own = folder / model / "completions"
        own.mkdir(parents=True)
        for name, (first, second) in RATES.items():
            rates = {"substring_matching_success_rate": first, "llamaguard2_success_rate": second, "completions": []}
            (own / f"jailbreakbench_{name}_evaluations.json").write_text(json.dumps(rates))
        (folder / model / "direction_evaluations.json").write_text("[]")
    harmless = {"substring_matching_success_rate": 0.0}
    (folder / "gemma/completions/harmless_actadd_evaluations.json").write_text(json.dumps(harmless))
    return folder


@pytest.fixture(params=[_csv, _runs])
def path(request, tmp_path):
    return request.param(tmp_path)


def test_tasks_are_models_by_judges_and_a_model_is_a_cluster(path):
    (table,) = read_tables(path, Layout()).tables
    assert "gemma, jailbreakbench, llamaguard2" in table.tasks
    assert (len(table.tasks), table.clusters, table.are_clusters_known) == (6, 3, True)
    assert {method.name for method in table.methods} == set(RATES)
    own = judge_tables([table], Asked("ablation", "baseline"))[0].main
    assert own.difference == pytest.approx(0.9 - 0.075)


def test_rates_on_harmless_prompts_are_left_out_and_said(path):
    (flaw,) = read_tables(path, Layout()).flaws
    assert flaw.found.startswith("1 rates of")
    assert not flaw.is_fatal


def test_a_side_is_given_by_patterns(path):
    (table,) = read_tables(path, Layout(patterns={"dictionary": ["abl*"]})).tables
    assert judge_tables([table])[0].main.challenger == "ablation"


def test_without_a_dictionary_the_judge_says_how_to_name_one(path):
    with pytest.raises(TableError, match="no method on the dictionary side"):
        judge_tables(read_tables(path, Layout()).tables)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("m,jailbreakbench_prompt_evaluations.json,100,0.5,0.5", "line 2: the file .* names no intervention; expected"),
        (
            "m,jailbreakbench_baseline_evaluations.json,100,1.5,0.5",
            "line 2: the score is 1.5, but rate lies between 0 and 1",
        ),
        ("m,jailbreakbench_baseline_evaluations.json,100,nan,0.5", "line 2: the score is NaN"),
        ("m,jailbreakbench_baseline_evaluations.json,100,x,0.5", "line 2: the rate is 'x'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, row, words):
    file = tmp_path / "summary.csv"
    file.write_text(f"{HEADER}\n{row}\n")
    with pytest.raises(TableError, match=words):
        read_tables(file, Layout())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "no key that ends in '_success_rate'; there is nothing"),
        ("no", "cannot be read as JSON"),
        ('{"x_success_rate": null}', "x_success_rate is null, but a number"),
        ('{"x_success_rate": NaN}', "the score is NaN"),
        ('{"x_success_rate": 2}', "the score is 2, but rate lies"),
    ],
)
def test_what_is_wrong_with_evaluations_is_named(tmp_path, text, words):
    file = tmp_path / "jailbreakbench_baseline_evaluations.json"
    file.write_text(text)
    with pytest.raises(TableError, match=words):
        read_tables(file, Layout())
