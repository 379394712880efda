"""Logs of Inspect: JSON and zipped alike, of finished evals, and nothing unpacked beyond its bounds."""

import json
import zipfile

import pytest

from fairfight.errors import TableError
from fairfight.verdict.tables.judge import judge_tables
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.read import read_tables
from fairfight.verdict.tables.readers import inspect_logs


def _log(task, model, value, *, status="success", scores=None, **spec):
    """Give a log in the layout of Inspect's log version 2."""
    metrics = {
        "accuracy": {"name": "accuracy", "value": value, "options": {}},
        "stderr": {"name": "stderr", "value": 0.1},
    }
    return {
        "version": 2,
        "status": status,
        "eval": {"task": task, "model": model, "config": {}} | spec,
        "plan": {},
        "results": {
            "total_samples": 100,
            "completed_samples": 100,
            "scores": scores or [{"name": "match", "metrics": metrics}],
        },
    }


def _write(folder, logs, is_zipped):
    for number, log in enumerate(logs):
        if is_zipped:
            with zipfile.ZipFile(folder / f"{number}.eval", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("header.json", json.dumps(log, indent=2))
        else:
            (folder / f"{number}.json").write_text(json.dumps(log, indent=2))
    return folder


def _both(shift=0.1):
    return [
        _log(f"task-{task}", model, 0.5 + task / 100 + gain)
        for task in range(4)
        for model, gain in (("base", 0.0), ("steered", shift))
    ]


@pytest.mark.parametrize("is_zipped", [False, True])
def test_models_are_methods_and_sides_are_given_by_patterns(tmp_path, is_zipped):
    _write(tmp_path, _both(), is_zipped)
    (table,) = read_tables(tmp_path, Layout(patterns={"dictionary": ["steered"]})).tables
    own = judge_tables([table])[0].main
    assert (own.difference, own.units, own.challenger) == (pytest.approx(0.1), 4, "steered")


@pytest.mark.parametrize(("is_zipped", "name"), [(False, "0.json"), (True, "0.eval")])
def test_one_log_is_read_alone(tmp_path, is_zipped, name):
    _write(tmp_path, _both(), is_zipped)
    assert len(read_tables(tmp_path / name, Layout()).tables[0]) == 1


def test_several_scores_are_several_tasks_and_solvers_several_methods(tmp_path):
    scores = [
        {"name": "match", "reducer": reducer, "metrics": {"mean": {"value": 0.5}}} for reducer in ("mean", "pass_at_5")
    ]
    _write(tmp_path, [_log("t", "m", 0, scores=scores, solver="react")], is_zipped=False)
    table = read_tables(tmp_path, Layout()).tables[0]
    assert table.tasks == ("t, match mean", "t, match pass_at_5")
    assert table.methods[0].name == "m react"


def test_unfinished_evals_and_other_metrics_are_left_out_and_said(tmp_path):
    other = [{"name": "f", "metrics": {"perplexity": {"value": 9.0}}}]
    logs = [*_both(), _log("x", "base", 0.1, status="error"), _log("y", "base", 0, scores=other)]
    _write(tmp_path, logs, is_zipped=False)
    with zipfile.ZipFile(tmp_path / "crashed.eval", "w") as archive:
        archive.writestr("_journal/start.json", "{}")
    found = read_tables(tmp_path, Layout())
    assert [flaw.name for flaw in found.flaws] == ["unfinished evals", "tasks without an accuracy"]
    assert "2 logs" in found.flaws[0].found
    assert "x" not in found.tables[0].tasks


def test_a_limit_is_a_condition(tmp_path):
    _write(tmp_path, [_log("t", "m", 0.5, config={"limit": 10})], is_zipped=False)
    assert read_tables(tmp_path, Layout()).tables[0].conditions == ("limit 10",)


def test_scores_on_another_scale_are_read_as_asked(tmp_path):
    _write(tmp_path, [_log("t", "m", 7.5)], is_zipped=False)
    assert read_tables(tmp_path, Layout(metric="score")).tables[0].score.tolist() == [7.5]


def _spoilt(log, place, value):
    *way, last = place.split(".")
    for key in way:
        log = log[int(key) if key.isdigit() else key]
    log[last] = value


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("eval.model", None, "eval.model is null, but a text was expected"),
        ("eval", {}, "no key 'model' in eval"),
        ("results", {}, "no key 'scores' in results"),
        ("results.scores.0.metrics.accuracy", {}, "has no key 'value'"),
        ("results.scores.0.metrics.accuracy.value", None, "is null, but a number was expected"),
        ("results.scores.0.metrics.accuracy.value", float("nan"), "the score is NaN"),
        ("results.scores.0.metrics.accuracy.value", -0.2, "the score is -0.2, but accuracy lies between 0 and 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, place, value, words):
    log = _log("t", "m", 0.5)
    _spoilt(log, place, value)
    _write(tmp_path, [log], is_zipped=True)
    with pytest.raises(TableError, match=words):
        read_tables(tmp_path, Layout())


def test_a_task_played_twice_is_refused(tmp_path):
    _write(tmp_path, [_log("t", "m", 0.5)] * 2, is_zipped=True)
    with pytest.raises(TableError, match=r"1.eval: m played t in 0.eval already"):
        read_tables(tmp_path, Layout())


def test_an_archive_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.eval").write_bytes(b"PK no archive")
    with pytest.raises(TableError, match=r"a.eval cannot be unpacked.*as it was written"):
        read_tables(tmp_path, Layout())


def test_a_damaged_archive_is_refused(tmp_path):
    _write(tmp_path, [_log("t", "m", 0.5)], is_zipped=True)
    whole = (tmp_path / "0.eval").read_bytes()
    (tmp_path / "0.eval").write_bytes(whole[:60] + b"\xff" * 40 + whole[100:])
    with pytest.raises(TableError, match="cannot be unpacked"):
        read_tables(tmp_path, Layout())


def test_a_header_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(inspect_logs, "LARGEST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", "[" * 1_000_000)
    with pytest.raises(TableError, match="unpacks to more than"):
        read_tables(tmp_path, Layout())


def test_a_header_nested_too_deeply_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "deep.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", "[" * 1_000_000)
    with pytest.raises(TableError, match="nested too deeply"):
        read_tables(tmp_path, Layout())
