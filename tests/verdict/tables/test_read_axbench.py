"""AxBench's ratings: each run stands at its one best factor, and what that choice is worth is said."""

import json

import pytest

from fairfight.errors import TableError
from fairfight.verdict.tables.judge import Asked, judge_tables
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.read import read_tables

RATED = {
    "layer_10/prompt_10": (
        "PromptSteering",
        {"0.0": [1.0, 1.0, 1.0, 1.0], "0.5": [0.8, 0.8, 0.8, 1.2], "1.0": [0.0] * 4},
    ),
    "layer_10/sae_10": ("GemmaScopeSAE", {"0.0": [0.1, 0.2, 0.3, 0.4], "0.5": [0.5, 0.6, 0.7, 0.6], "1.0": [0.0] * 4}),
}


def _csv(file, rated=RATED, header="run,method,concept_id,factor,lm_judge_rating,concept"):
    rows = [
        f"{run},{method},{concept},{factor},{rating},0"
        for run, (method, by_factor) in rated.items()
        for factor, ratings in by_factor.items()
        for concept, rating in enumerate(ratings)
    ]
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def _jsonl(folder, rated=RATED):
    for run, (method, by_factor) in rated.items():
        (folder / run / "evaluate").mkdir(parents=True)
        lines = [
            {
                "concept_id": concept,
                "results": {
                    "PerplexityEvaluator": {},
                    "LMJudgeEvaluator": {
                        method: {
                            "lm_judge_rating": [ratings[concept] for ratings in by_factor.values()],
                            "factor": [float(factor) for factor in by_factor],
                        }
                    },
                },
            }
            for concept in range(4)
        ]
        (folder / run / "evaluate/steering.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(params=[_csv, _jsonl])
def path(request, tmp_path):
    return request.param(tmp_path / "ratings.csv" if request.param is _csv else tmp_path)


def test_each_run_stands_at_its_one_best_factor(path):
    (table,) = read_tables(path, Layout()).tables
    assert table.metric.high == 2.0
    assert table.tasks == tuple(f"layer_10, concept {concept}" for concept in range(4))
    assert {method.name: method.side for method in table.methods} == {
        "PromptSteering prompt": "baseline",
        "GemmaScopeSAE sae": "dictionary",
    }
    own = judge_tables([table])[0].main
    assert (own.challenger_score, own.defender_score) == (pytest.approx(0.6), pytest.approx(1.0))


def test_what_the_choice_of_a_factor_is_worth_is_said(path):
    """By hand: the prompt gains 1 - 1.9/3, the SAE 0.6 - 0.85/3; by task the prompt gains 0.05 more, the SAE nothing."""
    (flaw,) = read_tables(path, Layout()).tables[0].flaws
    assert flaw.name == "best of many settings picked on the scored set"
    assert not flaw.is_fatal
    assert "2 of 2 entries" in flaw.found
    assert f"adds {((1 - 1.9 / 3) + (0.6 - 0.85 / 3)) / 2:+.3f} to" in flaw.found
    assert "would add +0.025 more" in flaw.found
    assert flaw in judge_tables(read_tables(path, Layout()).tables)[0].flaws


def test_a_method_is_the_same_at_every_layer(tmp_path):
    rated = RATED | {"layer_20/prompt_20": RATED["layer_10/prompt_10"], "layer_20/sae_20": RATED["layer_10/sae_10"]}
    (table,) = read_tables(_csv(tmp_path / "r.csv", rated), Layout()).tables
    assert (len(table.methods), len(table.tasks)) == (2, 8)


def test_detection_scores_are_a_table_of_aurocs(tmp_path):
    (tmp_path / "run/evaluate").mkdir(parents=True)
    lines = [
        {
            "concept_id": concept,
            "results": {"AUCROCEvaluator": {"ReAX": {"roc_auc": 0.99}, "GemmaScopeSAE": {"roc_auc": 0.9}}},
        }
        for concept in range(2)
    ]
    (tmp_path / "run/evaluate/latent.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (table,) = read_tables(tmp_path, Layout()).tables
    assert table.metric.name == "AUROC"
    assert judge_tables([table], Asked())[0].main.difference == pytest.approx(-0.09)


def test_factors_that_lack_concepts_are_not_chosen(tmp_path):
    method, by_factor = RATED["layer_10/prompt_10"]
    rated = {"layer_10/prompt_10": (method, by_factor | {"2.0": [2.0]})}
    (table,) = read_tables(_csv(tmp_path / "r.csv", rated), Layout()).tables
    assert table.score.max() == 1.0
    file = tmp_path / "s.csv"
    file.write_text("run,method,concept_id,factor,lm_judge_rating\nr,m,0,1,1\nr,m,1,2,1\n")
    with pytest.raises(TableError, match="no factor at which all of its 2 concepts"):
        read_tables(file, Layout())


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("r,m,0,1,2.5", "line 2: the rating is 2.5, but a rating lies between 0 and 2"),
        ("r,m,0,1,nan", "line 2: the rating is nan, but"),
        ("r,m,0,1,", "line 2: the rating is '', which is no number"),
        ("r,m,0,1,1\nr,m,0,1,1", "line 3: m has a second rating for concept 0 at factor 1"),
    ],
)
def test_what_is_wrong_with_a_row_is_named(tmp_path, row, words):
    file = tmp_path / "r.csv"
    file.write_text(f"run,method,concept_id,factor,lm_judge_rating\n{row}\n")
    with pytest.raises(TableError, match=words):
        read_tables(file, Layout())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "steering.jsonl, line 1 cannot be read as JSON"),
        ('{"concept_id": 0}', "no key 'results'"),
        ('{"results": {}}', "no key 'concept_id'"),
        ('{"concept_id": 0, "results": {"LMJudgeEvaluator": {"m": {"factor": [1]}}}}', "no key 'lm_judge_rating'"),
        (
            '{"concept_id": 0, "results": {"LMJudgeEvaluator": {"m": {"factor": [1], "lm_judge_rating": [1, 2]}}}}',
            "2 ratings, but 1 factors",
        ),
        ('{"concept_id": 0, "results": {"LMJudgeEvaluator": {"m": 3}}}', "is no object"),
    ],
)
def test_what_is_wrong_with_a_line_is_named(tmp_path, line, words):
    file = tmp_path / "steering.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(TableError, match=words):
        read_tables(file, Layout())
