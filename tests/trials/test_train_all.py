"""A training file is trained whole, once, and to the same bits whether or not it was interrupted."""

import json
from pathlib import Path

import pytest
import torch

from fairfight.dictionaries.formats import load
from fairfight.errors import DataError, PluginError, SiteError, StudyError
from fairfight.ledger import read_json
from fairfight.study import sections_from
from fairfight.trials.train_all import train_all
from fairfight.trials.training_file import Training, read_training

TOPK = {"kind": "topk", "site": "resid_post.0", "recipe": {"latents": 64, "k": 4, "steps": 60, "batch": 64}}


class Watcher:
    """Counts, and stops after so many reports."""

    def __init__(self, stops_after: int = 10**9) -> None:
        self.stages: list[str] = []
        self.remarks_left = stops_after

    def starts(self, stage: str, total: int) -> None:
        self.stages.append(stage)

    def advances(self, done: int) -> None:
        pass

    def remarks(self, line: str) -> None:
        self.remarks_left -= 1
        if self.remarks_left < 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    file = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    words = [
        "the",
        "cat",
        "sat",
        "on",
        "a",
        "mat",
        "while",
        "rain",
        "fell",
        "over",
        "old",
        "grey",
        "hills",
        "and",
        "nobody",
        "came",
        "by",
    ]
    lines = [" ".join(words[(3 * row + step * (row % 5 + 1)) % len(words)] for step in range(12)) for row in range(150)]
    file.write_text("\n".join(json.dumps({"text": line}) for line in lines))
    return file


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def training(texts: Path, folder: Path, dictionaries: dict, **more: object) -> Training:
    raw = {"name": "t", "texts": {"files": [str(texts)]}, "dictionaries": dictionaries, "folder": str(folder)}
    return sections_from(raw | more, Training, where="t.toml")


def test_all_of_a_file_are_trained_once(texts, cache, tmp_path):
    dictionaries = {"a": TOPK | {"seeds": 2}, "b": {"kind": "pca", "site": "resid_post.1", "seeds": 3}}
    own = training(texts, tmp_path, dictionaries, weights="float16")
    watcher = Watcher()
    made = train_all(own, cache, watcher)
    assert [place.place.label for place in made] == ["a/seed-0", "a/seed-1", "b/seed-0"]
    assert all(one.is_new for one in made)
    assert {one.card.site for one in made} == {"resid_post.0", "resid_post.1"}
    assert made[0].card.tokens_seen == 60 * 64
    again = train_all(own, cache, Watcher())
    assert not any(one.is_new for one in again)
    assert [one.card for one in again] == [one.card for one in made]
    kept = load(made[0].folder).dictionary.tensors()["W_dec"]
    assert torch.equal(kept, kept.half().float())
    rows = read_json(tmp_path / "t" / "progress-resid_post.0.json")
    assert {(row["job"], row["step"]) for row in rows} == {
        (job, step) for job in ("a/seed-0", "a/seed-1") for step in (50, 60)
    }


def test_what_was_interrupted_ends_in_the_same_bits(texts, cache, tmp_path):
    own = training(texts, tmp_path / "one", {"a": TOPK}, checkpoint_seconds=1e-6)
    whole = train_all(own, cache, Watcher())[0]
    halved = own.model_copy(update={"folder": tmp_path / "two"})
    with pytest.raises(KeyboardInterrupt):
        train_all(halved, cache, Watcher(stops_after=1))
    assert list((cache / "training").iterdir())
    resumed = train_all(halved, cache, Watcher())[0]
    for name, value in load(whole.folder).dictionary.tensors().items():
        assert torch.equal(load(resumed.folder).dictionary.tensors()[name], value), name
    assert resumed.card == whole.card
    assert not list((cache / "training").iterdir())


def test_another_recipe_under_the_same_name_is_trained_anew(texts, cache, tmp_path):
    train_all(training(texts, tmp_path, {"a": TOPK}), cache, Watcher())
    changed = TOPK | {"recipe": TOPK["recipe"] | {"k": 2}}
    (made,) = train_all(training(texts, tmp_path, {"a": changed}), cache, Watcher())
    assert made.is_new
    assert made.card.l0 == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"dictionaries": {"a": TOPK | {"kind": "topkk"}}}, PluginError, "Did you mean 'topk'"),
        ({"dictionaries": {"a": TOPK | {"recipe": {"latent": 3}}}}, StudyError, "has no key 'latent'"),
        ({"dictionaries": {"a": TOPK | {"site": "resid_post.9"}}}, SiteError, "there is no 'resid_post.9'"),
        (
            {"dictionaries": {"a": {"kind": "transcoder", "site": "mlp_in.0"}}},
            StudyError,
            "more than the tokens of one",
        ),
        (
            {"dictionaries": {"a": TOPK | {"recipe": {"latents": 10**9}}}},
            StudyError,
            "1,000,000,000 latents of width 384, weights, Adam's means and gradients take 11,444.1 GiB",
        ),
        ({"texts": {"files": ["nowhere.jsonl"]}}, DataError, "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(texts, cache, tmp_path, change, error, words):
    raw = {"name": "t", "texts": {"files": [str(texts)]}, "dictionaries": {"a": TOPK}, "folder": str(tmp_path / "none")}
    with pytest.raises(error) as caught:
        train_all(sections_from(raw | change, Training, where="t.toml"), cache, Watcher())
    assert words in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_a_training_file_with_an_unknown_key_names_the_nearest(tmp_path):
    file = tmp_path / "t.toml"
    file.write_text('name = "t"\n[texts]\nfile = ["a.txt"]\n[dictionaries.a]\nkind = "topk"\nsite = "resid_post.0"\n')
    with pytest.raises(StudyError, match=r"\[texts\] has no key 'file'; .* Did you mean 'files'\?"):
        read_training(file)
