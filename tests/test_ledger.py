"""The ledger holds trials whole or not at all."""

import errno
import hashlib
import os
from typing import NamedTuple

import pytest

from fairfight.errors import DamagedFileError, DiskFullError, InputError
from fairfight.ledger import Ledger, append_line, read_json, read_lines
from fairfight.records import Contender, Cost, Failed, Machine, Scored, Trial, TrialSpec


def spec(seed=1, **settings):
    return TrialSpec(
        "study", "inputs", Contender("m", "probing", "baseline"), "score", seed, None, {"penalty": 0.1, **settings}
    )


def scored(**settings):
    scores = {"validation": (0.1, float("1.23456789e-7")), "test": (3.0,)}
    return Trial(
        spec(**settings),
        Scored(1.0, 0.5, {"test": 0.75}, scores, {"k": 3}),
        Cost(1, 2, 3, 4, 5, 6, 7),
        Machine(0.5, 10, "here"),
    )


def test_a_trial_comes_back_as_it_was(tmp_path):
    ledger = Ledger(tmp_path)
    failed = Trial(spec(seed=2), Failed("LabelError", "why", "trace"), Cost())
    for trial in (scored(), failed):
        ledger.write(trial)
        assert ledger.read(trial.spec.key) == trial
    assert ledger.keys() == {scored().spec.key, failed.spec.key}


def test_the_key_hangs_on_everything_in_the_spec():
    keys = {spec().key, spec(seed=2).key, spec(penalty=0.2).key, spec(k=1).key}
    assert len(keys) == 4
    assert spec().key == spec().key


@pytest.mark.parametrize("damage", [lambda raw: raw[:-20], lambda raw: raw.replace(b"0.75", b"0.95"), lambda raw: b""])
def test_a_damaged_trial_is_refused(tmp_path, damage):
    ledger = Ledger(tmp_path)
    ledger.write(scored())
    file = ledger.trials_folder / f"{scored().spec.key}.json"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DamagedFileError, match="run the same command again"):
        ledger.read(scored().spec.key)


def test_a_full_disk_is_said_and_leaves_earlier_trials_whole(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path)
    ledger.write(scored())

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match=r"run the same command again"):
        ledger.write(scored(k=9))
    assert ledger.trials() == [scored()]
    assert [file.name for file in ledger.trials_folder.iterdir()] == [f"{scored().spec.key}.json"]


@pytest.mark.parametrize("number", ["NaN", "1e999"])
def test_a_record_with_a_number_that_json_does_not_know_is_refused_with_the_files_name(tmp_path, number):
    file, content = tmp_path / "run.json", f'{{"x":{number}}}'
    file.write_text(f'{{"sha256":"{hashlib.sha256(content.encode()).hexdigest()}","content":{content}}}')
    with pytest.raises(DamagedFileError, match=r"run\.json is not a whole record"):
        read_json(file)


def test_a_record_that_is_nested_on_purpose_is_refused(tmp_path):
    (tmp_path / "run.json").write_text("[" * 100_000)
    with pytest.raises(DamagedFileError, match="not a whole record"):
        read_json(tmp_path / "run.json")


def test_a_run_without_its_examples_says_so(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.write_run({"hash": "x"})
    with pytest.raises(InputError, match=r"no whole run: it holds a run\.json, but no examples\.json"):
        ledger.examples()


class Line(NamedTuple):
    name: str
    count: int


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"name": "\xff", "count": 1}', "invalid unicode"),
        (b"[" * 100_000, "recursion limit"),
        (b'{"name": "x"}', "count: Field required"),
        (b"", "EOF"),
    ],
)
def test_a_line_that_is_no_record_is_named_in_one_line(tmp_path, line, words):
    file = tmp_path / "lines.jsonl"
    append_line(file, Line("a", 1)._asdict())
    file.write_bytes(file.read_bytes() + line + b"\n")
    with pytest.raises(DamagedFileError, match="line 2 is no record") as refused:
        read_lines(file, Line, "record")
    assert words in str(refused.value)
    assert len(str(refused.value)) < 300 + len(str(tmp_path))


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path):
    (tmp_path / "lines.jsonl").write_text('{"name": "a\u2028b", "count": 1}\n', encoding="utf-8")
    assert read_lines(tmp_path / "lines.jsonl", Line, "record") == [Line("a\u2028b", 1)]


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is not a run"):
        Ledger(tmp_path).run()
