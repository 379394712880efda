"""The task on somebody's own files: public harmful and harmless instructions, jailbreak templates, role-play prompts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairfight.ledger import Ledger

HARM = Path(__file__).resolve().parents[3] / "shared" / "data" / "harm"
pytestmark = pytest.mark.skipif(
    not HARM.is_dir(), reason=f"the public instruction files are not beside the project ({HARM})"
)

STUDY = """
name = "harm_files"
runs_folder = "{runs}"
[task]
name = "harmful_intent"
[[task.settings.files]]
path = "{harm}/harmful_train.jsonl"
label = 1
[[task.settings.files]]
path = "{harm}/harmless_train.jsonl"
label = 0
limit = {limit}
[[task.settings.files]]
path = "{harm}/harmful_val.jsonl"
label = 1
set = "in_distribution"
[[task.settings.files]]
path = "{harm}/harmless_val.jsonl"
label = 0
set = "in_distribution"
limit = 100
[[task.settings.files]]
path = "{harm}/harmful_val.jsonl"
label = 1
set = "role_play"
[[task.settings.files]]
path = "{harm}/benign_role_play.csv"
text = "prompt"
label = 0
set = "role_play"
limit = 100
[[task.settings.wrapped]]
set = "jailbreak_templates"
of = "in_distribution"
path = "{harm}/jailbreak_templates.csv"
placeholder = "[INSERT PROMPT HERE]"
[activations]
sites = ["resid_post.4"]
poolings = ["mean"]
max_tokens = 512
[trials]
methods = ["logistic_probe"]
seeds = 2
"""


def test_the_dense_probe_finds_public_harmful_instructions(tmp_path):
    limit = int(os.environ.get("FAIRFIGHT_HARM_LIMIT", "300"))
    study = tmp_path / "study.toml"
    study.write_text(STUDY.format(runs=tmp_path / "runs", harm=HARM, limit=limit))
    environment = {**os.environ, "FAIRFIGHT_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "fairfight", "run", str(study), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    table = [sys.executable, "-m", "fairfight", "report", run, "--scores"]
    print(subprocess.run(table, capture_output=True, text=True, check=True).stdout)  # noqa: T201

    scored = [trial.outcome.test_auroc for trial in Ledger(Path(run)).trials() if trial.spec.purpose == "score"]
    assert len(scored) == 2
    for test_auroc in scored:
        assert test_auroc["in_distribution"] >= 0.98
        assert {"role_play", "jailbreak_templates"} < set(test_auroc)
