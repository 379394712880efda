"""The whole measurement: its record, its cache, what it refuses."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from fairfight import registry
from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.formats import NOTHING_GIVEN, WEIGHTS, Given, save
from fairfight.dictionaries.quality import assess as module
from fairfight.dictionaries.quality.assess import assess
from fairfight.dictionaries.quality.record import Settings
from fairfight.dictionaries.train import train
from fairfight.errors import DataError, DictionaryError, InputError, SiteError, WidthMismatchError
from fairfight.models.capture import read_sites
from fairfight.models.load import load
from tiny_language import D_MODEL, letters, save_tiny_language

SITE = "resid_post.1"
RECIPE = registry.load("kinds", "topk")(latents=24, k=4, steps=60, batch=64)


class Told:
    """A watcher that remembers."""

    def __init__(self):
        self.stages, self.left = [], {}

    def starts(self, stage, total):
        self.stages.append(stage)
        self.left[stage] = total

    def advances(self, done):
        self.left[self.stages[-1]] -= done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, its texts, three TopK dictionaries of its tokens and one PCA."""
    folder = tmp_path_factory.mktemp("quality")
    model = load(str(save_tiny_language(folder / "model")))
    (folder / "texts.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in letters()))
    ids = torch.randint(3, 29, (64, 20), generator=torch.Generator().manual_seed(5))
    values = read_sites(model, ids, torch.ones_like(ids), [SITE])[SITE].reshape(-1, D_MODEL)
    source = TokenSource.from_tensor(values, site=SITE, key="elsewhere")
    for seed in range(3):
        save(*train(RECIPE, source, seed, model=model.name), folder / f"topk-{seed}")
    save(*train(registry.load("kinds", "pca")(), source, 0, model=model.name), folder / "pca")
    return folder


@pytest.fixture
def measure(folder, tmp_path):
    def run(*names, texts="texts.jsonl", site="", watcher=None, model="model", given=NOTHING_GIVEN, **settings):
        return assess(
            [folder / name for name in names],
            model=str(folder / model),
            texts=folder / texts,
            site=site,
            cache=tmp_path / "cache",
            watcher=watcher or Told(),
            settings=Settings(replicates=50, **settings),
            given=given,
        )

    return run


def keys_of(value):
    """Give the names in a record, a list's by its first entry; a histogram and an estimate by their word."""
    if isinstance(value, list):
        return [keys_of(value[0])] if value and isinstance(value[0], dict) else "list"
    if not isinstance(value, dict):
        return type(value).__name__ if value is not None else "null"
    if value.keys() == {"value", "low", "high"}:
        return "estimate"
    return "histogram" if value.keys() == {"edges", "counts"} else {name: keys_of(own) for name, own in value.items()}


MATCH = {"atoms": "int", "mean_cosine": "float", "matched_share": "float"}
PAIR = {"first_to_second": MATCH, "second_to_first": MATCH, "assigned": MATCH, "histogram": "histogram"}
PASSES = {"spliced": "estimate", "mean_ablated": "estimate", "zero_ablated": "estimate"}
SCHEMA = {
    "schema": "int",
    "key": "str",
    "fairfight": "str",
    "model": {"name": "str", "revision": "null", "weights_sha256": "str", "is_causal": "bool"},
    "site": "str",
    "texts": {
        "file": "str",
        "read": "int",
        "distinct": "int",
        "tokens": "int",
        "truncated": "int",
        "first_token_variance_share": "float",
    },
    "settings": {
        "dense_share": "float",
        "similar_cosine": "float",
        "matched_cosine": "float",
        "max_tokens": "int",
        "replicates": "int",
        "level": "float",
    },
    "cautions": "list",
    "dictionaries": [
        {
            "name": "str",
            "folder": "str",
            "kind": "str",
            "library": "str",
            "notes": "list",
            "seed": "int",
            "latents": "int",
            "d_model": "int",
            "is_signed": "bool",
            "sha256": "str",
            "reconstruction": {
                "fvu": "estimate",
                "variance_explained": "estimate",
                "norm_ratio": "estimate",
                "cosine": "estimate",
                "cosine_undefined_tokens": "int",
            },
            "l0": {
                "mean": "estimate",
                "percentiles": {str(percent): "int" for percent in (5, 25, 50, 75, 95)},
                "tokens_by_l0": {"active": "list", "tokens": "list"},
            },
            "firing": {
                "tokens_by_latent": "list",
                "log10_frequency": "histogram",
                "dead": {"latents": "int", "share": "float", "unseen_below": "float"},
                "dense": {"latents": "int", "share": "float", "share_of_active": "float"},
            },
            "atoms": {
                "is_absolute": "bool",
                "zero": "int",
                "largest_cosine": {"mean": "float", "median": "float", "max": "float"},
                "similar_share": "float",
                "histogram": "histogram",
            },
            "loss": {
                "predictions": "int",
                "cross_entropy": {"clean": "estimate", **PASSES},
                "divergence": PASSES,
                "recovered": {"mean_ablated": "estimate", "zero_ablated": "estimate"},
            },
        }
    ],
    "stability": {
        "is_absolute": "bool",
        "pairs": [
            {
                "first": "str",
                "second": "str",
                **PAIR,
                "first_to_second": {**MATCH, "alive": MATCH},
                "second_to_first": {**MATCH, "alive": MATCH},
            }
        ],
        "random": PAIR,
    },
}
"""Schema 1; what is added is added here, and a name that goes or changes its meaning is schema 2."""


def test_the_record_has_its_documented_shape_and_is_plain(measure):
    record = measure("topk-0", "topk-1", "topk-2")
    recipes = [own.pop("recipe") for own in record["dictionaries"]]
    assert keys_of(record) == SCHEMA
    assert recipes[0]["k"] == 4
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert [own["name"] for own in record["dictionaries"]] == ["topk, seed 0", "topk, seed 1", "topk, seed 2"]
    assert len(record["stability"]["pairs"]) == 3
    assert record["cautions"] == []


def test_the_numbers_hang_together(measure):
    record = measure("topk-0")
    (own,) = record["dictionaries"]
    rebuilt, firing, loss = own["reconstruction"], own["firing"], own["loss"]
    assert rebuilt["fvu"]["value"] + rebuilt["variance_explained"]["value"] == pytest.approx(1)
    assert rebuilt["fvu"]["low"] + rebuilt["variance_explained"]["high"] == pytest.approx(1)
    assert 0 < rebuilt["fvu"]["value"] < 0.5
    assert own["l0"]["mean"]["value"] == pytest.approx(sum(firing["tokens_by_latent"]) / record["texts"]["tokens"])
    assert own["l0"]["percentiles"]["95"] <= 4
    assert sum(own["l0"]["tokens_by_l0"]["tokens"]) == record["texts"]["tokens"]
    assert loss["cross_entropy"]["clean"]["value"] < loss["cross_entropy"]["mean_ablated"]["value"]
    assert 0.3 < loss["recovered"]["mean_ablated"]["value"] <= 1
    assert loss["predictions"] == sum(len(text.split()) - 1 for text in letters())
    assert record["stability"] == {"undefined": "one dictionary was given; give those of several seeds"}


def test_a_complete_dictionary_loses_nothing(measure):
    (own,) = measure("pca")["dictionaries"]
    assert own["is_signed"]
    assert own["atoms"]["is_absolute"]
    assert own["reconstruction"]["fvu"]["value"] == pytest.approx(0, abs=1e-9)
    assert own["reconstruction"]["cosine"]["value"] == pytest.approx(1)
    assert own["loss"]["recovered"]["zero_ablated"]["value"] == pytest.approx(1, abs=1e-4)
    assert own["loss"]["divergence"]["spliced"]["value"] == pytest.approx(0, abs=1e-6)
    assert own["firing"]["dense"]["share"] == 1


def test_the_same_question_is_answered_from_the_cache(measure, monkeypatch):
    watcher = Told()
    first = measure("topk-0", "topk-1", watcher=watcher)
    assert watcher.stages == ["activations", "reconstruction", "atoms", "loss", "stability"]
    assert set(watcher.left.values()) == {0}
    monkeypatch.delattr(module, "walk")
    monkeypatch.delattr(module, "with_head")
    again = Told()
    assert measure("topk-0", "topk-1", watcher=again) == first
    assert again.stages == []


def test_other_settings_are_measured_anew_on_the_same_activations(measure):
    first, watcher = measure("topk-0"), Told()
    second = measure("topk-0", dense_share=0.9, watcher=watcher)
    assert "activations" not in watcher.stages
    assert second["key"] != first["key"]
    assert (
        second["dictionaries"][0]["firing"]["dense"]["latents"] < first["dictionaries"][0]["firing"]["dense"]["latents"]
    )


def test_measuring_twice_from_nothing_gives_the_same_bits(measure, tmp_path):
    first = measure("topk-0", "topk-1")
    (kept,) = (tmp_path / "cache" / "quality").iterdir()
    kept.unlink()
    assert measure("topk-0", "topk-1") == first


def test_a_reader_is_cautioned(measure, folder, tmp_path):
    (folder / "few.txt").write_text("a b c d\ne f g h i\n")
    record = measure("topk-0", "topk-0", "pca", texts="few.txt", site="resid_post.0", max_tokens=4)
    said = " ".join(record["cautions"])
    for words in (
        "topk, seed 0, 1 was trained at resid_post.1, and is measured at resid_post.0.",
        "differ in recipe",
        "the same to the bit",
        "2 distinct texts",
        "2 texts were cut",
    ):
        assert words in said


def test_an_attention_sink_is_named(measure, monkeypatch):
    plain = measure("topk-0")
    assert plain["texts"]["first_token_variance_share"] < 0.5
    real = module._measured
    monkeypatch.setattr(module, "_measured", lambda *own: real(*own) | {"first_token_variance_share": 0.97})
    assert "holds 97 % of the variance" in measure("topk-0", max_tokens=63)["cautions"][0]


def without_card(folder, name, target, **changes):
    """Copy one of our folders as SAELens would have written it: no card, so its numbers are nobody's word."""
    shutil.copytree(folder / name, target)
    (target / "card.json").unlink()
    tensors = load_file(target / "sae_weights.safetensors")
    save_file({**tensors, **{key: change(tensors[key]) for key, change in changes.items()}}, target / WEIGHTS)
    return target


def test_a_dictionary_of_another_library_is_measured_as_ours_with_the_same_weights(measure, folder, tmp_path):
    """The files of `topk-0` without their card are a folder of SAELens."""
    theirs = without_card(folder, "topk-0", tmp_path / "theirs")
    record, ours = measure(theirs), measure("topk-0")
    (own,) = record["dictionaries"]
    assert (own["name"], own["library"], own["seed"], own["recipe"]) == ("topk of SAELens", "SAELens", None, {})
    for part in ("reconstruction", "l0", "firing", "atoms", "loss"):
        assert own[part] == ours["dictionaries"][0][part]
    both = measure("topk-0", theirs)
    assert (
        "Not every dictionary came with its recipe, so whether they are seeds of one is not known." in both["cautions"]
    )


def test_a_dictionary_of_another_library_that_is_not_what_it_should_be_is_not_measured(measure, folder, tmp_path):
    turned = without_card(folder, "topk-0", tmp_path / "turned", W_dec=torch.neg)
    with pytest.raises(InputError, match=r"The dictionary .*turned: On \d+ tokens FVU is .*no better than the mean"):
        measure(turned)
    elsewhere = without_card(folder, "topk-0", tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"trained on resid_post\.1 of .*but the tokens are of resid_post\.0"):
        measure(elsewhere, site="resid_post.0")
    broken = without_card(folder, "topk-0", tmp_path / "broken", b_dec=lambda b_dec: b_dec * torch.nan)
    with pytest.raises(DictionaryError, match="holds NaN or infinity in 16 of the 16 numbers of 'b_dec'"):
        measure(broken)


def test_what_the_files_leave_open_is_given(measure, folder, tmp_path):
    silent = without_card(folder, "topk-0", tmp_path / "silent")
    cfg = json.loads((silent / "cfg.json").read_text())
    del cfg["metadata"]["model_name"]
    (silent / "cfg.json").write_text(json.dumps(cfg))
    with pytest.raises(InputError, match=r"does not say which model.*--given model=gpt2"):
        measure(silent)
    assert "was trained on gpt2, and is measured on" in measure(silent, given=Given(model="gpt2"))["cautions"][0]


def test_an_encoder_has_no_loss(measure, folder, monkeypatch):
    real = module.load_model
    monkeypatch.setattr(module, "load_model", lambda name: replace(real(name), is_causal=False))
    (own,) = measure("topk-0")["dictionaries"]
    assert own["loss"] == {"undefined": "not a causal model"}


def test_a_model_without_a_head_has_no_loss(measure, monkeypatch):
    def refuses(model):
        raise module.ModelError("no head here")

    monkeypatch.setattr(module, "with_head", refuses)
    assert measure("topk-0")["dictionaries"][0]["loss"] == {"undefined": "no head here"}


def test_texts_without_a_next_token_have_no_loss_and_one_text_no_interval(measure, folder):
    (folder / "single.txt").write_text("a\nb\nc\n")
    assert "nothing is predicted" in measure("topk-0", texts="single.txt")["dictionaries"][0]["loss"]["undefined"]
    (folder / "one.txt").write_text("a b c d e\n")
    own = measure("topk-0", texts="one.txt")["dictionaries"][0]
    assert own["reconstruction"]["fvu"]["low"] is None


@pytest.mark.parametrize(
    ("names", "options", "error", "words"),
    [
        (("nowhere",), {}, InputError, "no folder or file here"),
        (("model",), {}, InputError, "model"),
        (("topk-0",), {"site": "resid_post.7"}, SiteError, "has 3 layers"),
        (("topk-0",), {"site": "nonsense"}, SiteError, "No site is called 'nonsense'"),
        (("topk-0",), {"texts": "empty.txt"}, DataError, "holds no text"),
        (("narrow",), {}, WidthMismatchError, "have width 16, but the dictionary"),
        (("topk-0", "narrow"), {}, SiteError, "do not name one site"),
    ],
)
def test_what_is_wrong_is_said(measure, folder, names, options, error, words):
    (folder / "empty.txt").write_text("\n")
    if not (folder / "narrow").exists():
        source = TokenSource.from_tensor(
            torch.randn(300, 8, generator=torch.Generator().manual_seed(0)), site="resid_post.0"
        )
        save(*train(RECIPE, source, 0), folder / "narrow")
    with pytest.raises(error) as caught:
        measure(*names, **options)
    assert words in str(caught.value)
