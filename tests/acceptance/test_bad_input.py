"""Bad input through the command line: one clear message, exit code 2, no traceback, nothing left behind."""

import errno
import json
import pickle
import resource
import shutil
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fairfight import cli
from fairfight.activations import shards
from fairfight.conformance.small_world import SITE, world
from fairfight.dictionaries.contract import Card
from fairfight.dictionaries.formats import load as load_dictionary
from fairfight.dictionaries.formats import save as save_dictionary
from fairfight.dictionaries.kinds.random import Random
from fairfight.dictionaries.kinds.relu import ReLUDictionary
from fairfight.dictionaries.pooled import pool_codes
from fairfight.dictionaries.tokens import TokenSource
from fairfight.dictionaries.weights import SaeWeights
from fairfight.errors import WidthMismatchError
from fairfight.ledger import Ledger
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
recipe = {recipe}
[trials]
methods = ["mean_difference", "best_latent"]
configurations = 1
seeds = 1
workers = 1
"""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    message: str
    out: str


def play(
    rows=None,
    *options,
    raw=None,
    extra="",
    model="all-MiniLM-L6-v2",
    site="resid_post.0",
    max_tokens=64,
    ending="jsonl",
    recipe="{latents = 64, k = 4}",
):
    """Write a study with its texts into this folder, and run it."""
    lines = [json.dumps(row) for row in (rows if rows is not None else texts())]
    Path(f"texts.{ending}").write_bytes(raw if raw is not None else "\n".join(lines).encode())
    study = STUDY.format(model=model, site=site, max_tokens=max_tokens, ending=ending, recipe=recipe)
    Path("study.toml").write_text(study + extra)
    return call("run", "study.toml", *options)


def call(*arguments):
    """Run the command line in this folder."""
    code, out, err = 0, StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(out), redirect_stderr(err):
        patched.setattr("sys.argv", ["fairfight", *arguments])
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
    return Ended(code, " ".join((err.getvalue() + out.getvalue()).split()), out.getvalue())


@contextmanager
def inside(folder):
    """Work in `folder`, with its own cache."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setenv("FAIRFIGHT_CACHE", str(folder / "cache"))
        yield


@pytest.fixture
def run(tmp_path):
    """Give the function that writes a study with its texts, runs it, and says how that ended."""
    with inside(tmp_path):
        yield play


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Play the good study once; give how it ended and its folder."""
    folder = tmp_path_factory.mktemp("played")
    with inside(folder):
        return play(), folder


@contextmanager
def files_of_at_most(size):
    """Let no file grow beyond `size` bytes, here and in new processes: a full disk that needs no full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def ledger_bytes(folder):
    """Give every file of the ledger that trials or judging read."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("runs/**/*.json"))}


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
    code, message, _ = result
    assert code == 2, message
    assert "Traceback" not in message
    for word in words:
        assert word in message, message
    assert not list(Path("runs").rglob("*.json")), "a refused study left a run behind"


def test_good_input_is_played(played):
    (code, message, _), folder = played
    assert code == 0, message
    assert len(list(folder.rglob("trials/*.json"))) == 6


def test_an_unknown_key_names_the_nearest_known_one(run):
    refused(run(extra="dictionary_seds = 2\n"), "has no key 'dictionary_seds'", "Did you mean 'dictionary_seeds'?")


def test_an_unknown_key_of_a_method_is_named(run):
    refused(
        run(extra="[methods.best_latent]\ncritereon = 'auroc'\n"), "no key 'critereon'", "Did you mean 'criterion'?"
    )


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("{latnts = 64}", "no key 'latnts'; known keys: fit_tokens, k, latents. Did you mean 'latents'?"),
        ("{kind = 'random'}", "no key 'kind'"),
        ("{k = 'x'}", "'k' is 'x' (str); expected int, such as 32"),
        ("{k = true}", "'k' is True (bool); expected int"),
    ],
)
def test_a_recipe_that_the_kind_cannot_take_is_refused_before_anything_runs(run, recipe, words):
    refused(run(recipe=recipe), "[dictionaries.random.recipe]", words)
    assert not Path("cache").exists()


def test_what_a_class_says_of_itself_is_no_setting_of_a_method(run):
    refused(run(extra="[methods.best_latent]\nfamily = 'floor'\n"), "[methods.best_latent] has no key 'family'")


def test_a_model_without_that_layer_says_how_many_it_has(run):
    refused(run(site="resid_post.9"), "resid_post.9", "has 6 layers")


def test_names_of_other_tools_are_the_same_study_and_one_that_means_another_place_is_refused(run, played):
    code, message, _ = run(site="blocks.0.hook_normalized_resid_post")
    assert code == 0, message
    names = {
        run_folder.name
        for folder in (Path(), played[1])
        for run_folder in (folder / "runs").iterdir()
        if run_folder.is_dir()
    }
    assert len(names) == 1
    shutil.rmtree("runs")
    refused(run(site="blocks.0.hook_resid_post"), "hook_resid_post", "blocks.0.hook_normalized_resid_post")


def test_an_empty_class_is_named(run):
    rows = [row for row in texts() if row["set"] == "development" or row["label"] == 1]
    refused(run(rows), "The set 'test' has 8 examples and no negative one")


@pytest.mark.parametrize("label", ["yes", 2, None])
def test_a_label_that_is_not_0_or_1_is_shown(run, label):
    rows = texts()
    rows[3]["label"] = label
    refused(run(rows), "texts.jsonl, row 4", repr(label), "0 or 1")


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
    code, message, _ = run(max_tokens=5)
    assert code == 0, message
    assert "32 texts were longer than the window" in message


def test_a_text_longer_than_the_models_window_is_counted_in_json(run):
    rows = texts()
    rows[0]["text"] = "poison " * 700
    code, message, out = run(rows, "--json", max_tokens=4096)
    assert code == 0, message
    assert json.loads(out)["truncated"] == 1


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


def test_a_pickle_under_the_name_of_safetensors_is_refused_unopened(run, tmp_path):
    folder = tiny_model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(pickle.dumps(["no", "safetensors"] * 50))
    code, message, _ = run(model=str(folder))
    assert code == 1
    assert "DamagedFileError" in message
    assert "no whole safetensors files" in message
    assert "Traceback" not in message
    assert not Path("cache").exists()


def test_nan_activations_are_refused_with_the_text(run, tmp_path):
    folder = tiny_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    name = next(key for key in weights if key.endswith("word_embeddings.weight"))
    weights[name][load().tokenizer.convert_tokens_to_ids("poison")] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    code, message, _ = run(model=str(folder))
    assert code == 1, message
    assert "NonFiniteError" in message
    assert "poison" in message
    assert "Traceback" not in message
    assert not list(Path("cache").rglob("*.safetensors")), "what is not finite was stored"


def test_a_full_disk_is_said_and_the_same_command_goes_on(run, monkeypatch):
    replace, calls = shards.os.replace, []

    def full(*arguments, **more):
        calls.append(arguments)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(*arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        code, message, _ = run()
    assert code == 1
    assert "DiskFullError" in message
    assert "Traceback" not in message
    code, message, _ = run()
    assert code == 0, message


def test_files_that_may_not_grow_are_a_full_disk_here_and_in_a_worker(run, tmp_path):
    large = "{latents = 512, k = 4}"
    for size, file in ((100_000, "shard-00000.safetensors"), (600_000, "cache/dictionaries/random-")):
        with files_of_at_most(size):
            code, message, _ = run(recipe=large)
        assert code == 1, message
        assert "DiskFullError" in message
        assert file in message
        assert "(File too large)" in message
        assert "Traceback" not in message
        assert not list(tmp_path.rglob(".*")), "a half-written file was left"
        assert not list(tmp_path.rglob("trials/*.json")), "want of room was taken for a failed trial"
        assert not list(tmp_path.rglob("run.json"))
    code, message, _ = run(recipe=large)
    assert code == 0, message
    assert "6 trials played now, 0 failed" in message


@pytest.mark.parametrize("place", ["runs", "cache"])
def test_a_place_that_takes_no_files_is_named(run, place):
    Path(place).write_text("in the way")
    code, message, _ = run()
    assert code == 2, message
    assert f"{place}/" in message
    assert "a folder that takes files was expected" in message
    assert "Traceback" not in message
    assert Path(place).read_text() == "in the way"


def test_a_folder_instead_of_a_study_is_refused(run):
    Path("study").mkdir()
    refused(call("run", "study"), "study cannot be read as a study (Is a directory)", "path to a .toml file")


def test_a_pickle_among_the_dictionaries_is_refused_and_no_trial_is_lost(run, played, tmp_path):
    shutil.copytree(played[1], tmp_path, dirs_exist_ok=True)
    before = ledger_bytes(tmp_path)
    for file in Path("cache").rglob("sae_weights.safetensors"):
        file.write_bytes(pickle.dumps(["no", "safetensors"] * 50))
    code, message, _ = run()
    assert code == 2, message
    assert "UnsafeFileError" in message
    assert "sae_weights.safetensors is a pickle" in message
    assert "Traceback" not in message
    assert ledger_bytes(tmp_path) == before


def test_a_dictionary_narrower_than_the_site_is_refused_in_a_run_too(run, played, tmp_path):
    shutil.copytree(played[1], tmp_path, dirs_exist_ok=True)
    before = ledger_bytes(tmp_path)
    narrow = Random(latents=32, k=4).train(TokenSource.from_tensor(torch.randn(200, 24)), 0).dictionary
    for folder in Path("cache/dictionaries").iterdir():
        save_dictionary(narrow, load_dictionary(folder).card, folder)
    code, message, _ = run()
    assert code == 2, message
    assert "Activations have width 384, but this random dictionary takes a matrix of width 24" in message
    assert "Traceback" not in message
    assert not list(Path("cache/dictionaries").rglob("*.npy"))
    assert ledger_bytes(tmp_path) == before


def test_a_dictionary_of_another_width_than_the_site_is_refused(tmp_path):
    narrow = Random(latents=32, k=4).train(TokenSource.from_tensor(torch.randn(200, 24)), 0).dictionary
    store = world().subject.activations[SITE]
    with pytest.raises(WidthMismatchError, match=r"384.*24|24.*384"):
        pool_codes(narrow, store, np.arange(3), ("mean",), tmp_path)
    assert not list(tmp_path.rglob("*.npy"))


# Dictionaries of others.

GIVEN = """
[dictionaries.theirs]
kind = "given"
role = "control"
recipe = {{ path = "theirs"{more} }}
"""


def theirs(width=384, layer=0):
    """Write a dictionary that is exact on any tokens, as SAELens lays it out: a latent for each coordinate and sign."""
    axes = torch.cat([torch.eye(width), -torch.eye(width)])
    exact = ReLUDictionary(SaeWeights(axes, torch.zeros(2 * width), axes, torch.zeros(width)))
    card = Card("relu", {}, 0, f"resid_post.{layer}", "all-MiniLM-L6-v2", "", None, None, None, 0.0, float(width), 0.0)
    shutil.rmtree("theirs", ignore_errors=True)
    save_dictionary(exact, card, Path("theirs"))
    Path("theirs/card.json").unlink()


def with_weights(change):
    weights = load_file("theirs/sae_weights.safetensors")
    save_file(change(weights), "theirs/sae_weights.safetensors")


def with_entries(**entries):
    cfg = json.loads(Path("theirs/cfg.json").read_text()) | entries
    Path("theirs/cfg.json").write_text(json.dumps({name: value for name, value in cfg.items() if value is not None}))


def cut():
    file = Path("theirs/sae_weights.safetensors")
    file.write_bytes(file.read_bytes()[:-1000])


class Bomb:
    """What leaves a trace when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("exploded").absolute(),)


def emptied():
    for file in Path("theirs").iterdir():
        file.unlink()


BROKEN = {
    "truncated": (cut, "DictionaryError", "sae_weights.safetensors is no whole safetensors file"),
    "renamed": (
        lambda: with_weights(lambda found: {name.replace("W_enc", "W_e"): own for name, own in found.items()}),
        "DictionaryError",
        "lacks W_enc and also holds W_e",
    ),
    "another architecture": (
        lambda: with_entries(architecture="gated"),
        "DictionaryError",
        "says architecture 'gated', but the weights beside it hold",
    ),
    "no architecture": (lambda: with_entries(architecture=None), "InputError", "has no entry 'architecture'"),
    "what only another architecture has": (
        lambda: with_entries(k=8),
        "InputError",
        "says architecture 'standard', but has k, which only TopK and BatchTopK",
    ),
    "no metadata": (lambda: with_entries(metadata=None), "InputError", "cfg.json does not say"),
    "no model": (lambda: with_entries(metadata={}, sae_lens_version="6.0.0"), "InputError", "does not say which model"),
    "no entry": (lambda: with_entries(normalize_activations=None), "InputError", "no entry 'normalize_activations'"),
    "a pickle": (
        lambda: Path("theirs/sae_weights.safetensors").write_bytes(pickle.dumps(Bomb())),
        "UnsafeFileError",
        "is a pickle, which can run any code",
    ),
    "NaN": (
        lambda: with_weights(lambda found: found | {"b_dec": torch.full((384,), torch.nan)}),
        "DictionaryError",
        "holds NaN or infinity in 384 of the 384 numbers of 'b_dec'",
    ),
    "10^9 latents": (
        lambda: with_entries(d_sae=10**9),
        "InputError",
        "1000000000 latents of width 384: encoder and decoder take 2,861.0 GiB",
    ),
    "another width": (lambda: theirs(width=24), "WidthMismatchError", "have width 384, but the dictionary"),
    "an empty folder": (emptied, "InputError", "is an empty folder. Give the folder that holds the weights"),
    "read wrongly": (
        lambda: with_weights(lambda found: found | {"W_dec": -found["W_dec"]}),
        "InputError",
        "The dictionary theirs: On 64 tokens FVU is",
    ),
}
"""10^9 latents: 2 x 384 x 10^9 float32 are 3.072 x 10^12 bytes, 2,861 GiB."""


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_dictionary_of_others_is_refused_in_a_study_and_in_quality(run, played, case):
    shutil.copytree(played[1] / "cache/activations", "cache/activations")
    theirs()
    breaks, error, words = BROKEN[case]
    breaks()
    refused(run(extra=GIVEN.format(more="")), error, words)
    words = words.replace("On 64 tokens", "On 128 tokens")
    refused(call("quality", "theirs", "--model", "all-MiniLM-L6-v2", "--texts", "texts.jsonl"), error, words)
    assert not Path("exploded").exists()
    assert not list(Path.cwd().rglob(".*")), "a half-written file was left"


def test_what_else_a_study_may_say_of_a_dictionary_of_others_and_not_mean(run):
    theirs(layer=1)
    words = (
        "The dictionary theirs was trained at blocks.1.hook_resid_post of all-MiniLM-L6-v2 (resid_post.1), but one for"
    )
    refused(run(extra=GIVEN.format(more="")), words, "resid_post.0 is asked for. Let the methods that play on it")
    theirs()
    refused(run(extra=GIVEN.format(more=", l0 = 32.0")), "The dictionary theirs: On 64 tokens L0 is 384, but 32 ± 30%")
    refused(run(extra=GIVEN.format(more="").replace('theirs" }', 'nowhere" }')), "'nowhere' is no folder or file here")
    refused(run(extra=GIVEN.format(more="").replace('path = "theirs"', "")), "The recipe has no path")
    refused(run(extra=GIVEN.format(more=", l_0 = 384.0")), "no key 'l_0'", "Did you mean 'l0'?")


@pytest.mark.parametrize("given", ["modl=gpt2", "is_centred=perhaps", "model"])
def test_what_cannot_be_given_to_quality_is_refused(run, given):
    theirs()
    command = ("quality", "theirs", "--model", "all-MiniLM-L6-v2", "--texts", "texts.jsonl", "--given", given)
    refused(call(*command), f"--given {given} cannot be; expected NAME=VALUE")


def test_a_dictionary_of_others_plays_at_an_unknown_cost_and_an_edited_one_is_another(run, played):
    shutil.copytree(played[1] / "cache/activations", "cache/activations")
    theirs()
    code, message, _ = run(None, "--json", extra=GIVEN.format(more=", l0 = 384.0"))
    assert code == 0, message
    (first,) = (file.parent for file in Path("runs").glob("*/run.json"))
    costs = {trial.spec.contender.dictionary: trial.cost.dictionary_flops for trial in Ledger(first).trials()}
    assert costs["theirs"] is None
    assert costs["random"] > 0
    cards = {card["name"]: card for card in Ledger(first).run()["dictionaries"]}
    assert (cards["theirs"]["kind"], cards["theirs"]["training_flops"], cards["theirs"]["l0"]) == ("relu", None, 384.0)
    assert "best_latent[theirs]" in call("report", str(first), "--scores").out
    with_weights(lambda found: found | {"b_enc": found["b_enc"] + 0.01})
    assert json.loads(run(None, "--json", extra=GIVEN.format(more=", l0 = 384.0")).out)["played"] == 8
    assert len(list(Path("cache/dictionaries").glob("given-*"))) == 2


FAILING = '''
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class FailsLate:
    """Looks at activations, and fails."""
    family: ClassVar[str] = "probing"
    needs_dictionary: ClassVar[bool] = False
    site: str = ""
    how: str = "raise"
    @classmethod
    def space(cls, sites, poolings):
        return {"site": sites}
    @property
    def strength(self):
        return 0.0
    def fit(self, train, views, chance):
        views.pooled(train.examples, self.site, "mean")
        if self.how == "die":
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("planted failure")
    def notes(self, detector):
        return {}
'''


@pytest.fixture
def fails_late(tmp_path, monkeypatch):
    """A stranger's method that breaks in the middle of its fit; give the study's lines that play it."""
    (tmp_path / "plugins" / "methods").mkdir(parents=True)
    (tmp_path / "plugins" / "methods" / "fails_late.py").write_text(FAILING)
    monkeypatch.setenv("FAIRFIGHT_PLUGINS", str(tmp_path / "plugins"))
    return 'methods = ["mean_difference", "best_latent", "fails_late"]'


def test_a_trial_that_fails_is_a_record_with_its_cost_and_an_exit_code(run, fails_late, monkeypatch):
    monkeypatch.setattr(f"{__name__}.STUDY", STUDY.replace('methods = ["mean_difference", "best_latent"]', fails_late))
    code, message, _ = run()
    assert code == 1, message
    assert "1 failed" in message
    assert "Traceback" not in message
    failed = [trial for trial in Ledger(next(Path("runs").glob("*/trials")).parent).trials() if not trial.is_scored]
    assert [trial.outcome.message for trial in failed] == ["planted failure"]
    assert failed[0].cost.labels == 10
    assert failed[0].cost.forward_flops > 0


def test_a_worker_that_is_killed_ends_the_run_with_a_message_and_keeps_what_was_done(run, fails_late, monkeypatch):
    monkeypatch.setattr(f"{__name__}.STUDY", STUDY.replace('methods = ["mean_difference", "best_latent"]', fails_late))
    code, message, _ = run(extra="[methods.fails_late]\nhow = 'die'\n")
    assert code == 1, message
    assert "WorkerDiedError" in message
    assert "Traceback" not in message
    assert list(Path("runs").rglob("trials/*.json")), "what was finished before is gone"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("[methods.mean_difference]\npooling = 'median'", "'pooling' is 'median', but this study reads only mean"),
        ("[methods.mean_difference]\nsite = 'resid_post.1'", "'site' is 'resid_post.1', but this study reads only"),
        ("[methods.mean_difference]\nis_standardised = 'high'", "'is_standardised' is 'high' (str); expected bool"),
        ("[methods.best_latent]\ncriterion = 'luck'", "'criterion' is 'luck' (str); expected one of 'auroc'"),
        ("[methods.best_latent]\ncriterion = []", "'criterion' is an empty list"),
        ("[methods.best_latent]\nconfigurations = 0", "'configurations' is 0; expected a whole number from 1"),
        ("[methods.best_latent]\nconfigurations = 'many'", "'configurations' is 'many'; expected a whole number"),
        ("[methods.mean_difference]\nis_standardised = nan", "'is_standardised' is nan; a finite number was expected"),
    ],
)
def test_a_setting_that_a_method_cannot_take_is_refused_before_anything_runs(run, lines, words):
    refused(run(extra=lines + "\n"), words)
    assert not Path("cache").exists()


def test_a_pooling_that_does_not_exist_is_refused_before_anything_runs(run, monkeypatch):
    monkeypatch.setattr(f"{__name__}.STUDY", STUDY.replace('poolings = ["mean"]', 'poolings = ["mean", "maxmin"]'))
    refused(run(), "There is no pooling 'maxmin'", "Did you mean 'max_min'?")
    assert not Path("cache").exists()


def test_sides_that_cannot_tune_equally_are_refused_before_anything_runs(run, monkeypatch):
    methods = 'methods = ["mean_difference", "lda", "best_latent"]'
    study = STUDY.replace('methods = ["mean_difference", "best_latent"]', methods).replace("control", "contestant")
    monkeypatch.setattr(f"{__name__}.STUDY", study)
    extra = "[methods.best_latent]\nconfigurations = 1\n"
    refused(run(extra=extra), "dictionary side has no more than 1", "2 contenders of the baseline side need one each")
    assert not Path("cache").exists()


def test_a_task_of_another_contest_or_without_its_parts_is_refused(run, tmp_path, monkeypatch):
    (tmp_path / "plugins" / "tasks").mkdir(parents=True)
    monkeypatch.setenv("FAIRFIGHT_PLUGINS", str(tmp_path / "plugins"))
    for name, body, words in (
        ("other_task", "contest = 'steer'; collection = unlabelled = None", "is for the contest 'steer'"),
        ("half_task", "contest = 'detect'; collection = None", "The task 'half_task' lacks unlabelled"),
    ):
        (tmp_path / "plugins" / "tasks" / f"{name}.py").write_text(f"class {name.title().replace('_', '')}: {body}")
        with monkeypatch.context() as patched:
            text = STUDY.replace(
                'name = "labelled_texts"\n[[task.settings.files]]\npath = "texts.{ending}"', f'name = "{name}"'
            )
            patched.setattr(f"{__name__}.STUDY", text)
            refused(run(), words)
