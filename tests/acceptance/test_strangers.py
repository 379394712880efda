"""A task, a method and a dictionary kind from a folder of their own: found, checked and played, no edit elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

from fairfight.ledger import Ledger

STRANGERS = Path(__file__).parent / "strangers"
PLUGIN_TESTS = Path(__file__).parents[1] / "conformance" / "test_plugins.py"
STUDY = """
name = "strangers"
runs_folder = "{runs}"
[task]
name = "toy_task"
[activations]
sites = ["resid_post.0"]
poolings = ["mean"]
[dictionaries.toy]
kind = "toy_kind"
role = "contestant"
[dictionaries.neurons]
kind = "neurons"
role = "control"
[trials]
methods = ["toy_probe", "toy_loudest", "best_latent"]
configurations = 2
seeds = 2
"""


def run(arguments, tmp_path):
    environment = {
        **os.environ,
        "FAIRFIGHT_PLUGINS": str(STRANGERS),
        "FAIRFIGHT_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=280, check=False)


def test_the_list_shows_them(tmp_path):
    listed = json.loads(run([sys.executable, "-m", "fairfight", "list", "--json"], tmp_path).stdout)["plugins"]
    found = {(row["shelf"], row["name"]): row["origin"] for row in listed}
    for newcomer in (
        ("tasks", "toy_task"),
        ("methods", "toy_probe"),
        ("methods", "toy_loudest"),
        ("kinds", "toy_kind"),
    ):
        assert found[newcomer] == str(STRANGERS)


def test_the_conformance_checks_run_on_them(tmp_path):
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-vv", "-k", "toy_", str(PLUGIN_TESTS)]
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    for name in ("tasks-toy_task-", "methods-toy_probe-", "methods-toy_loudest-", "kinds-toy_kind-"):
        assert name in done.stdout
    assert "PASSED" in done.stdout
    assert "SKIPPED" not in done.stdout


def test_a_study_plays_them(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(runs=tmp_path / "runs"))
    done = run([sys.executable, "-m", "fairfight", "run", str(tmp_path / "study.toml"), "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    played = json.loads(done.stdout)
    assert played["failed"] == 0
    contenders = {trial.spec.contender.name for trial in Ledger(Path(played["run"])).trials() if trial.is_scored}
    assert {"toy_probe", "toy_loudest[toy]", "toy_loudest[neurons]", "best_latent[toy]"} <= contenders
