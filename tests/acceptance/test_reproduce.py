"""`fairfight reproduce`: numbers that come out are kept beside the claim, those that do not end with 1."""

import hashlib
import json

import pytest
from typer.testing import CliRunner

from fairfight.cli import app
from fairfight.errors import DamagedFileError
from fairfight.study import study_from
from fairfight.trials.run import with_canonical_sites

CLAIM = """
name = "mine"
title = "a claim"
who = "somebody"
when = "2026-01"
says = "It wins."
[sources.own]
what = "a table"
identifier = "github somebody/table"
status = "computed"
[task]
name = "a task"
contest = "explain"
motive = "somebody wants it"
downstream = "yes"
measured = "objectively"
measure = "AUROC"
[field]
families = ["probing"]
tuning = "equal"
dictionary_quality = "known"
[dictionary]
kind = "topk"
[public]
is_public = true
artefacts = ["a table"]
reproducible = "unknown"
[[results]]
against = "a probe"
role = "baseline"
is_best = true
measure = "AUROC"
challenger = {challenger}
defender = {defender}
source = "own"
[evidence]
source = "own"
{evidence}
"""
TABLE = 'table = "scores"\nchallenger = "sae"\ndefenders = {"a probe" = "probe"}\n'
STUDY = """
name = "planted"
about = "a planted world"
[task]
name = "planted"
[activations]
sites = ["resid_post.2"]
[dictionaries.sae]
kind = "topk"
role = "contestant"
[dictionaries.kmeans]
kind = "kmeans"
role = "rival"
[dictionaries.random]
kind = "random"
role = "control"
[trials]
seeds = 3
dictionary_seeds = 2
[[questions]]
name = "main"
replicates = 400
"""


@pytest.fixture
def call(tmp_path):
    """Give the function that writes the claim and a table, and reproduces it."""
    rows = [f"t{i},{method},{side},{score + i / 1000}" for i in range(6)
            for method, side, score in (("sae", "dictionary", 0.9), ("probe", "baseline", 0.8))]  # fmt: skip
    (tmp_path / "scores.csv").write_text("\n".join(["task,method,side,score", *rows]) + "\n")

    def run(*arguments, challenger=0.9025, defender=0.8025, evidence=TABLE):
        text = CLAIM.format(challenger=challenger, defender=defender, evidence=evidence)
        (tmp_path / "mine.toml").write_text(text)
        return CliRunner().invoke(app, ["reproduce", str(tmp_path / "mine.toml"), *map(str, arguments)])

    return run


def _sheet(folder):
    found = json.loads(CliRunner().invoke(app, ["judge", str(folder / "mine.toml"), "--json"]).output)
    return next(own for own in found["claims"][0]["sheet"]["criteria"] if own["criterion"] == "public")


def test_numbers_that_come_out_are_kept_beside_the_claim_and_on_its_sheet(call, tmp_path):
    answer = call("--at", tmp_path / "scores.csv", "--json")
    assert answer.exit_code == 0, answer.output
    said = json.loads(answer.output)
    assert said["agrees"]
    assert [own["what"] for own in said["numbers"]] == ["challenger", "defender"]
    public = _sheet(tmp_path)
    assert public["status"] == "met"
    assert "2 of 2 numbers came out within 0.001" in public["evidence"]


def test_a_number_that_comes_out_otherwise_ends_with_1_and_leaves_the_claim_unshown(call, tmp_path):
    answer = call("--at", tmp_path / "scores.csv", challenger=0.93)
    assert answer.exit_code == 1
    assert "DIFFERS" in answer.output
    assert "1 of 2 numbers came out" in _sheet(tmp_path)["evidence"]
    assert _sheet(tmp_path)["status"] == "not shown"


@pytest.mark.parametrize(("challenger", "came"), [(0.9025, 2), (0.93, 1)])
@pytest.mark.parametrize("edit", [("{}", "{}1"), ("[evidence]", "[evidence]\ntolerance = 0.01"), ("[evidence]", "")])
def test_a_claim_that_was_edited_since_is_not_the_one_that_came_out_and_hides_nothing(
    call, tmp_path, challenger, came, edit
):
    call("--at", tmp_path / "scores.csv", challenger=challenger)
    file = tmp_path / "mine.toml"
    text = file.read_text().replace('reproducible = "unknown"', 'reproducible = "yes"')
    old, new = (own.format(challenger) for own in edit)
    file.write_text(text.replace(old, new) if new else text.partition(old)[0])
    assert _sheet(tmp_path)["status"] == "not shown"
    said = (
        f"reproducible: unknown; reproduced before its numbers were edited ({came} of 2 came out); reproduce it again"
    )
    assert said in _sheet(tmp_path)["evidence"]
    call("--at", tmp_path / "scores.csv")
    assert "reproduced before" not in _sheet(tmp_path)["evidence"]


def test_what_is_looked_at_without_a_record_is_kept_nowhere(call, tmp_path):
    before = {"scores.csv", "mine.toml"}
    answer = call("--at", tmp_path / "scores.csv", "--no-record")
    assert answer.exit_code == 0, answer.output
    assert "Nothing was kept" in answer.output
    assert call("--at", tmp_path / "scores.csv", "--no-record", "--json", challenger=0.93).exit_code == 1
    assert {file.name for file in tmp_path.iterdir()} == before
    call("--at", tmp_path / "scores.csv")
    assert {file.name for file in tmp_path.iterdir()} == before | {"mine.reproduced.jsonl"}


@pytest.mark.parametrize(
    "change",
    [{"numbers": -2}, {"numbers": 0, "apart": 0}, {"apart": 3}, {"apart": -1}, {"largest": -1.0}, {"tolerance": 0.0}],
)
def test_a_record_that_cannot_be_is_refused_with_its_line(call, tmp_path, change):
    call("--at", tmp_path / "scores.csv")
    file = tmp_path / "mine.reproduced.jsonl"
    line = json.loads(file.read_text())
    file.write_text(f"{json.dumps(line)}\n{json.dumps(line | change)}\n")
    answer = CliRunner().invoke(app, ["judge", str(tmp_path / "mine.toml")])
    assert isinstance(answer.exception, DamagedFileError)
    assert "mine.reproduced.jsonl, line 2 is no reproduction" in str(answer.exception)


def test_another_file_than_the_one_the_claim_stands_on_is_refused(call, tmp_path):
    right = hashlib.sha256((tmp_path / "scores.csv").read_bytes()).hexdigest()
    pinned = TABLE + f'files = {{"scores.csv" = "{right}"}}\n'
    assert call("--at", tmp_path / "scores.csv", evidence=pinned).exit_code == 0
    answer = call("--at", tmp_path / "scores.csv", evidence=pinned.replace(right, "0" * 64))
    assert "is not the file that the claim stands on" in str(answer.exception)


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ('challenger = "sae"', "a study or a table"),
        (TABLE + 'question = "q"', "a table has no questions"),
        ('study = "s.toml"\nchallenger = "sae"\nfiles = {"a" = "b"}', "belong to a table"),
        (TABLE.replace("a probe", "a prob"), "names the defender 'a prob'"),
        (TABLE.replace('"scores"', '"score"'), "Did you mean 'scores'"),
        (TABLE.replace('"probe"', '"prob"'), "Did you mean 'probe'"),
    ],
)
def test_evidence_that_cannot_be_is_refused_by_name(call, tmp_path, evidence, words):
    assert words in str(call("--at", tmp_path / "scores.csv", evidence=evidence).exception)


def test_a_table_that_is_not_at_hand_is_asked_for_with_its_source(call):
    assert "it comes from github somebody/table" in str(call().exception)


def test_a_claim_without_evidence_is_told_to_name_some(call, tmp_path):
    call()
    file = tmp_path / "mine.toml"
    file.write_text(file.read_text().partition("[evidence]")[0])
    answer = CliRunner().invoke(app, ["reproduce", str(file), "--at", str(tmp_path / "scores.csv")])
    assert "names nothing to reproduce it from" in str(answer.exception)


def test_a_run_of_the_claims_study_is_judged_again_and_another_ones_refused(call, planted, tmp_path):
    ledger = planted.build(tmp_path / "run")
    (tmp_path / "s.toml").write_text(STUDY)
    own = with_canonical_sites(study_from({**planted.World().study().model_dump(mode="json")}))
    ledger.write_run({**ledger.run(), "hash": own.hash})
    evidence = (
        'study = "s.toml"\nchallenger = "reconstruction_probe[sae]"\ndefenders = {"a probe" = "logistic_probe"}\n'
    )
    answer = call("--at", tmp_path / "run", "--json", evidence=evidence)
    found = {number["what"]: number["found"] for number in json.loads(answer.output)["numbers"]}
    assert found["defender"] > found["challenger"] > 0.7
    again = call("--at", tmp_path / "run", evidence=evidence + "tolerance = 0.00001\n", **found)
    assert again.exit_code == 0, again.output
    (tmp_path / "s.toml").write_text(STUDY.replace("seeds = 3", "seeds = 4"))
    assert "is a run of the study" in str(call("--at", tmp_path / "run", evidence=evidence).exception)
