"""Bad input through the command line: one clear message, exit code 2, no traceback, nothing left behind."""

import errno
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fairfight import cli
from fairfight.activations import shards
from fairfight.conformance import SITE, world
from fairfight.dictionaries.kinds.random import Random
from fairfight.dictionaries.pooled import pool_codes
from fairfight.dictionaries.tokens import TokenSource
from fairfight.errors import WidthMismatchError
from fairfight.models.load import load

STUDY = """
name = "bad"
[model]
name = "{model}"
[task]
name = "labelled_texts"
[[task.settings.files]]
path = "texts.{ending}"
[activations]
sites = ["{site}"]
poolings = ["mean"]
max_tokens = {max_tokens}
[dictionaries.random]
kind = "random"
role = "control"
recipe = {{latents = 64, k = 4}}
[trials]
methods = ["mean_difference", "best_latent"]
configurations = 1
seeds = 1
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Give a function that writes a study with its texts, runs it, and gives exit code and message."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAIRFIGHT_CACHE", str(tmp_path / "cache"))

    def call(
        rows=None, *, raw=None, extra="", model="all-MiniLM-L6-v2", site="resid_post.0", max_tokens=64, ending="jsonl"
    ):
        lines = [json.dumps(row) for row in (rows if rows is not None else texts())]
        content = raw if raw is not None else "\n".join(lines).encode()
        Path(f"texts.{ending}").write_bytes(content)
        written = STUDY.format(model=model, site=site, max_tokens=max_tokens, ending=ending) + extra
        Path("study.toml").write_text(written)
        monkeypatch.setattr("sys.argv", ["fairfight", "run", "study.toml"])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, " ".join((printed.err + printed.out).split())

    return call


def texts(clusters=8):
    rows = []
    for name in ("development", "test"):
        for number in range(clusters):
            for label, word in ((1, "poison"), (0, "garden")):
                rows.append(
                    {
                        "text": f"{name} {word} number {number}",
                        "label": label,
                        "set": name,
                        "cluster": f"{name}{label}{number}",
                    }
                )
    return rows


def refused(result, *words):
    code, message = result
    assert code == 2, message
    assert "Traceback" not in message
    for word in words:
        assert word in message, message
    assert not list(Path("runs").rglob("*.json")), "a refused study left a run behind"


def test_good_input_is_played(run):
    code, message = run()
    assert code == 0, message


def test_an_unknown_key_names_the_nearest_known_one(run):
    refused(run(extra="dictionary_seds = 2\n"), "has no key 'dictionary_seds'", "dictionary_seeds")


def test_an_unknown_key_of_a_method_is_named(run):
    refused(run(extra="[methods.best_latent]\ncritereon = 'auroc'\n"), "no key 'critereon'", "criterion")


def test_a_model_without_that_layer_says_how_many_it_has(run):
    refused(run(site="resid_post.9"), "resid_post.9", "6")


def test_an_empty_class_is_named(run):
    rows = [row for row in texts() if row["set"] == "development" or row["label"] == 1]
    refused(run(rows), "The set 'test' has 8 examples and no negative one")


@pytest.mark.parametrize("label", ["yes", 2, None])
def test_a_label_that_is_not_0_or_1_is_shown(run, label):
    rows = texts()
    rows[3]["label"] = label
    refused(run(rows), "row 0:3", repr(label), "0 or 1")


def test_a_duplicate_text_across_splits_is_shown(run):
    rows = texts()
    rows[-1]["text"] = rows[1]["text"].upper()
    refused(run(rows), "Duplicate text across splits")


def test_a_cluster_that_straddles_splits_is_named(run):
    rows = texts()
    rows[-1]["cluster"] = "development00"
    refused(run(rows), "'cluster development00' straddles splits")


def test_a_file_that_is_not_utf8_is_refused_at_the_byte(run):
    refused(run(raw=b'{"text": "caf\xe9", "label": 0}'), "not UTF-8", "0xe9")


def test_long_texts_are_counted_and_said(run):
    code, message = run(max_tokens=5)
    assert code == 0, message
    assert "32 texts were longer than the window" in message


def tiny_model(folder):
    """Copy the embedded model with its weights under our hands."""
    model = load()
    model.module.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def test_a_pickled_model_is_refused_unopened(run, tmp_path):
    folder = tiny_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    refused(run(model=str(folder)), "safetensors")
    assert not (tmp_path / "exploded").exists()


def test_nan_activations_are_refused_with_the_text(run, tmp_path):
    folder = tiny_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    name = next(key for key in weights if key.endswith("word_embeddings.weight"))
    weights[name][load().tokenizer.convert_tokens_to_ids("poison")] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    code, message = run(model=str(folder))
    assert code == 1, message
    assert "NonFiniteError" in message
    assert "poison" in message
    assert "Traceback" not in message


def test_a_full_disk_is_said_and_the_same_command_goes_on(run, monkeypatch):
    replace, calls = shards.os.replace, []

    def full(*arguments, **more):
        calls.append(arguments)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(*arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        code, message = run()
    assert code == 1
    assert "DiskFullError" in message
    assert "Traceback" not in message
    code, message = run()
    assert code == 0, message


def test_a_dictionary_of_another_width_than_the_site_is_refused(tmp_path):
    narrow = Random(latents=32, k=4).train(TokenSource.from_tensor(torch.randn(200, 24)), 0).dictionary
    store = world().subject.activations[SITE]
    with pytest.raises(WidthMismatchError, match=r"384.*24|24.*384"):
        pool_codes(narrow, store, np.arange(3), ("mean",), tmp_path)
    assert not list(tmp_path.rglob("*.npy"))


def test_a_trial_that_fails_is_a_record_and_an_exit_code(run):
    code, message = run(extra="[methods.mean_difference]\npooling = 'median'\n")
    assert code == 1, message
    assert "failed" in message
    assert "Traceback" not in message
    assert list(Path("runs").rglob("trials/*.json")), "the failure is not in the ledger"
