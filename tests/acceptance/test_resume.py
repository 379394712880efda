"""`kill -9` in the middle, then the same command: the ledger equals that of an uninterrupted run."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from fairfight.ledger import Ledger
from fairfight.records import Machine

STUDY = """
name = "resume"
runs_folder = "{runs}"
[task]
name = "harmful_intent"
[task.settings]
share = 0.08
families_a_prompt = 4
variants_a_test_prompt = 1
corpus_texts = 60
[activations]
sites = ["resid_post.0"]
poolings = ["mean"]
max_tokens = 48
[dictionaries.topk]
kind = "topk"
role = "contestant"
recipe = {{latents = 128, k = 8, steps = 20, batch = 256}}
[trials]
methods = ["logistic_probe", "mean_difference", "k_sparse_mean_difference", "best_latent"]
configurations = 3
seeds = 2
dictionary_seeds = 2
curve_k = [1, 5]
[[questions]]
name = "q"
replicates = 200
"""


def command(folder: Path) -> tuple[list[str], dict[str, str]]:
    folder.mkdir(exist_ok=True)
    (folder / "study.toml").write_text(STUDY.format(runs=folder / "runs"))
    environment = {**os.environ, "FAIRFIGHT_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    return [sys.executable, "-m", "fairfight", "run", str(folder / "study.toml"), "--json"], environment


def play(folder: Path) -> dict:
    arguments, environment = command(folder)
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ledger_of(folder: Path) -> dict:
    (file,) = (folder / "runs").glob("*/run.json")
    ledger = Ledger(file.parent)
    trials = {t.spec.key: replace(t, machine=Machine()) for t in ledger.trials()}
    # The two studies differ in where their runs stand, and in nothing else.
    about = {**ledger.run(), "study": {**ledger.run()["study"], "runs_folder": ""}}
    return {**trials, "examples": ledger.examples(), "run": about}


def test_a_killed_run_is_resumed_to_the_same_ledger(tmp_path):
    whole = play(tmp_path / "whole")
    assert whole["played"] > 0
    assert whole["failed"] == 0

    arguments, environment = command(tmp_path / "killed")
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while len(list((tmp_path / "killed").glob("runs/*/trials/*.json"))) < 5:
        assert process.poll() is None, "it finished before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()

    resumed = play(tmp_path / "killed")
    assert 0 < resumed["played"] < whole["played"]
    assert ledger_of(tmp_path / "killed") == ledger_of(tmp_path / "whole")

    again = play(tmp_path / "killed")
    assert again["played"] == 0
    assert again["verdicts"] == whole["verdicts"]
