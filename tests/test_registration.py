"""A study is closed when it was registered, as it is, before its first trial; the log cannot be changed unseen."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairfight.division import differences, division_of
from fairfight.errors import DamagedFileError, DiskFullError, InputError
from fairfight.ledger import Ledger, read_json, write_json
from fairfight.records import content_hash
from fairfight.registration import Entry, Log, entry_of, examples_hash, sealed, verified
from fairfight.study import study_from
from fairfight.verdict.roster import read_roster

NOON = "2026-07-01T12:00:00+00:00"
SMALL = {"seeds": 1, "clusters": 4}


def study(name="one", task="task", margin=0.01):
    return study_from(
        {
            "name": name,
            "task": {"name": task},
            "activations": {"sites": ["resid_post.1"]},
            "questions": [{"name": "q", "margin": margin}],
        }
    ).model_dump(mode="json")


def registration(name="one", examples="e", **more):
    return entry_of("registered", study(name, **more), examples, NOON)


def chain(count=4):
    entries = []
    for number in range(count):
        entries.append(sealed(registration(f"study-{number}"), entries))
    return entries


CHAIN = chain()
DATA = b"".join(entry.line for entry in CHAIN)


def test_a_chain_is_read_as_it_was_written():
    assert list(verified(DATA, "log")) == CHAIN
    assert verified(b"", "log") == ()


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_an_edit_of_any_byte_is_found_and_its_line_named(place, change):
    edited = bytearray(DATA)
    edited[place] ^= change
    with pytest.raises(DamagedFileError) as found:
        verified(bytes(edited), "log")
    line = DATA[:place].count(b"\n") + 1
    # A newline that is lost joins a line with the next, and an edited number breaks where it stands.
    assert f"log, line {line}," in str(found.value)


@given(st.integers(1, len(DATA) - 1))
def test_a_line_that_is_cut_off_is_found(length):
    if DATA[:length].endswith(b"\n"):
        assert verified(DATA[:length], "log") == tuple(CHAIN[: DATA[:length].count(b"\n")])
        return
    with pytest.raises(DamagedFileError, match="is cut off"):
        verified(DATA[:length], "log")


@given(st.lists(st.integers(0, len(CHAIN) - 1), min_size=1, max_size=6))
def test_only_the_lines_in_their_order_from_the_first_make_a_chain(order):
    data = b"".join(CHAIN[number].line for number in order)
    if order == list(range(len(order))):
        assert list(verified(data, "log")) == CHAIN[: len(order)]
        return
    first_wrong = next(place for place, number in enumerate(order) if number != place)
    with pytest.raises(DamagedFileError, match=f"log, line {first_wrong + 1}, is number"):
        verified(data, "log")


def test_an_edit_that_mends_its_own_hash_breaks_the_line_after():
    edited = replace(CHAIN[1], time="2020-01-01T00:00:00+00:00")
    edited = replace(edited, sha256=edited.content_hash)
    data = b"".join(entry.line for entry in (CHAIN[0], edited, *CHAIN[2:]))
    with pytest.raises(
        DamagedFileError, match=r"line 3, is number 3 and follows .* a line was removed, added or moved"
    ):
        verified(data, "log")


@pytest.fixture
def log(tmp_path):
    made = Log(tmp_path / "runs")
    for number in range(3):
        made.append(registration(f"study-{number}"))
    return made


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_log_whose_end_was_removed_is_refused(log, kept):
    lines = log.file.read_bytes().splitlines(keepends=True)
    log.file.write_bytes(b"".join(lines[:kept]))
    with pytest.raises(DamagedFileError, match=f"it has {kept}: lines from {kept + 1} on were removed"):
        log.entries()
    with pytest.raises(DamagedFileError, match="Restore the log from a copy"):
        log.append(registration("another"))
    log.file.unlink()
    with pytest.raises(DamagedFileError, match="it has 0"):
        log.entries()


def test_a_log_written_anew_or_without_its_head_is_refused(log, tmp_path):
    other = Log(tmp_path / "other")
    for number in range(3):
        other.append(registration(f"else-{number}"))
    shutil.copy(other.file, log.file)
    with pytest.raises(DamagedFileError, match="line 3 is another"):
        log.entries()
    (tmp_path / "other" / "registrations.head.json").unlink()
    with pytest.raises(DamagedFileError, match="line 2 and later ones"):
        other.entries()


def test_a_process_that_stopped_between_line_and_head_leaves_a_log_that_goes_on(log):
    head = log.file.parent / "registrations.head.json"
    before = head.read_bytes()
    log.append(registration("late"))
    head.write_bytes(before)
    assert [entry.name for entry in log.entries()][-1] == "late"
    assert log.append(registration("later")).entry.number == 5
    assert read_json(head)["lines"] == 5


def test_the_same_study_is_registered_once_and_changes_nothing(log):
    before = log.file.read_bytes()
    again = log.append(replace(registration("study-1"), time="2027-01-01T00:00:00+00:00"))
    assert not again.is_new
    assert (again.entry.time, again.entry.number) == (NOON, 2)
    assert log.file.read_bytes() == before
    assert log.append(registration("study-1", examples="others")).is_new


def test_earlier_attempts_are_those_at_the_same_task_and_model(log):
    log.append(entry_of("begun", study("study-1"), "e", NOON))
    log.append(registration("elsewhere", task="another"))
    found = log.append(registration("new")).entry
    assert (found.earlier_runs, found.earlier_registrations) == (1, 3)


def test_runs_that_the_log_does_not_know_are_counted(planted, tmp_path):
    ledger = planted.build(tmp_path / "old", planted.World(**SMALL))
    entry = entry_of("registered", ledger.run()["study"], "e", NOON)
    assert Log.beside(ledger.folder).append(entry).entry.earlier_runs == 1


def test_a_full_disk_leaves_the_log_as_it_was(log, monkeypatch):
    before, real, calls = log.file.read_bytes(), os.fsync, []

    def full(handle):
        calls.append(handle)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match="and is as it was"):
        log.append(registration("new"))
    monkeypatch.setattr(os, "fsync", real)
    assert calls
    assert log.file.read_bytes() == before


def test_a_place_that_takes_no_files_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Log(tmp_path / "file").append(registration())


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_registration import Log, registration
for number in range(25):
    Log(Path(sys.argv[1])).append(registration(f"{sys.argv[2]}-{number}"))
"""


def test_two_processes_at_once_keep_the_chain(tmp_path):
    here = os.path.dirname(__file__)
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name, here], stderr=subprocess.PIPE)
        for name in ("a", "b")
    ]
    for process in processes:
        _, message = process.communicate(timeout=120)
        assert process.returncode == 0, message
    entries = Log(tmp_path).entries()
    assert [entry.number for entry in entries] == list(range(1, 51))
    assert {entry.name for entry in entries} == {f"{who}-{number}" for who in "ab" for number in range(25)}


@pytest.fixture
def place(planted, tmp_path):
    """Give a run in a runs folder, with what registers it and what begins it."""

    class Place:
        ledger = planted.build(tmp_path / "runs" / "planted", planted.World(**SMALL))
        log = Log(tmp_path / "runs")

        def add(self, event, examples="", **question):
            study = json.loads(json.dumps(self.ledger.run()["study"]))
            study["questions"][0].update(question)
            examples = examples or examples_hash(self.ledger.examples())
            return self.log.append(entry_of(event, study, examples, NOON)).entry

        def begin(self):
            begun = self.add("begun")
            self.ledger.write_start(begun.time, begun.sha256)

    # Its run is not there yet while a study is registered.
    made = Place()
    made.ledger.folder.rename(tmp_path / "played")
    made.ledger = Ledger(tmp_path / "played")
    made.back = lambda: _back(made, tmp_path)
    return made


def _back(made, tmp_path):
    made.ledger.folder.rename(tmp_path / "runs" / "planted")
    made.ledger = Ledger(tmp_path / "runs" / "planted")
    assert read_roster(made.ledger).division == division_of(made.ledger)
    return division_of(made.ledger)


def test_a_study_that_was_registered_before_its_first_trial_is_closed(place):
    place.add("registered", name="another")
    place.add("registered")
    place.begin()
    found = place.back()
    assert (found.word, found.registered, found.began) == ("closed", NOON, NOON)
    assert (found.earlier_runs, found.earlier_registrations) == (0, 1)
    assert found.changes == ()


def test_a_study_that_was_never_registered_is_open(place):
    place.begin()
    found = place.back()
    assert (found.word, found.reason, found.registered) == ("open", "was never registered", None)


def test_a_study_that_was_registered_after_its_first_trial_is_open(place):
    place.begin()
    place.add("registered")
    found = place.back()
    assert found.word == "open"
    assert "registered after the first trial" in found.reason


def test_a_run_that_was_deleted_and_played_again_after_registration_is_open(place):
    place.begin()
    place.add("registered")
    place.begin()
    found = place.back()
    assert (found.word, found.earlier_runs) == ("open", 1)
    assert "registered after the first trial" in found.reason


def test_a_margin_that_was_edited_after_registration_is_named(place):
    place.add("registered", margin=0.02)
    place.begin()
    found = place.back()
    assert found.word == "open"
    assert found.changes == ("questions.0.margin was 0.02 when registered, is 0.01",)


def test_a_margin_that_was_edited_in_the_run_is_found_by_the_trials(place):
    place.add("registered", margin=0.02)
    place.begin()
    run = place.ledger.run()
    run["study"]["questions"][0]["margin"] = 0.02
    place.ledger.write_run(run)
    found = place.back()
    assert (found.word, found.reason) == ("open", "holds trials of another study than the one in its run.json")
    place.ledger.write_run({**run, "hash": content_hash(place.log.entries()[0].study)})
    assert division_of(place.ledger).word == "open"


def test_other_examples_than_those_registered_make_a_run_open(place):
    place.add("registered", examples="others")
    place.begin()
    assert place.back().reason == "was registered with other examples or splits"


def test_a_label_that_was_turned_after_registration_makes_a_run_open(place):
    place.add("registered")
    place.begin()
    raw = asdict(place.ledger.examples())
    raw["rows"][-1]["label"] = 1 - raw["rows"][-1]["label"]
    write_json(place.ledger.folder / "examples.json", raw)
    assert place.back().reason == "was registered with other examples or splits"


def test_a_run_that_does_not_show_when_it_began_is_open(place):
    place.add("registered")
    found = place.back()
    assert (found.word, found.began) == ("open", None)
    assert "does not show when its first trial began" in found.reason


def test_a_damaged_log_is_no_division_at_all(place):
    place.add("registered")
    place.begin()
    place.back()
    place.log.file.write_bytes(place.log.file.read_bytes().replace(b'"margin":0.01', b'"margin":0.02', 1))
    with pytest.raises(DamagedFileError, match="line 1, was edited"):
        read_roster(place.ledger)


def test_differences_name_what_came_and_went():
    before = {"a": {"b": 1, "c": [1]}, "questions": [{"margin": 0.01}]}
    now = {"a": {"c": [1, 2], "d": "x"}, "questions": [{"margin": 0.005}]}
    assert differences(before, now) == (
        "a.b was 1 when registered, is absent",
        "a.c was [1] when registered, is [1, 2]",
        "questions.0.margin was 0.01 when registered, is 0.005",
        'a.d was absent when registered, is "x"',
    )
    assert differences(before, before) == ()


def test_a_line_holds_the_whole_study_and_hashes_of_questions_and_examples():
    own = json.loads(sealed(registration(), ()).line)
    assert own["study"]["questions"][0]["margin"] == 0.01
    assert own["questions"] == content_hash(own["study"]["questions"])
    assert own["hash"] == content_hash(own["study"])
    assert set(own) == set(Entry.__dataclass_fields__)
