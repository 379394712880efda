"""The ledger holds trials whole or not at all."""

import errno
import os

import pytest

from fairfight.errors import DamagedFileError, DiskFullError, InputError
from fairfight.ledger import Ledger
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


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is not a run"):
        Ledger(tmp_path).run()
