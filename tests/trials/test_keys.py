"""What a dictionary or a trial is kept under moves with all that shapes it, and with nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fairfight import registry
from fairfight.activations.shards import open_activations
from fairfight.conformance.small_world import SITE, world
from fairfight.contests.examples import DEVELOPMENT, Collection, Example
from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.formats import save
from fairfight.dictionaries.kinds.given import Given
from fairfight.dictionaries.kinds.topk import TopK
from fairfight.dictionaries.train import train
from fairfight.models.load import load as load_model
from fairfight.registry import FOLDERS_VARIABLE
from fairfight.study import study_from
from fairfight.trials import context
from fairfight.trials.context import Context, Job, Setup
from fairfight.trials.plugins import dictionary_seeds
from fairfight.trials.prepare import set_up

KIND = '''
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class KeyKind:
    """A kind for its key alone."""
    is_seeded: ClassVar[bool] = True
    latents: int = 8
    def train(self, tokens, seed): ...
    def restore(cfg, tensors): ...
'''
METHOD = '''
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class KeyMethod:
    """A method for its key alone."""
    family: ClassVar[str] = "probing"
'''


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A stranger's kind and method."""
    for shelf, name, text in (("kinds", "key_kind", KIND), ("methods", "key_method", METHOD)):
        (tmp_path / shelf).mkdir()
        (tmp_path / shelf / f"{name}.py").write_text(text)
    monkeypatch.setenv(FOLDERS_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def setup(plugins, tmp_path) -> Setup:
    raw = {
        "name": "s",
        "task": {"name": "t"},
        "activations": {"sites": [SITE]},
        "dictionaries": {
            "ours": {"kind": "topk", "role": "contestant", "recipe": {"latents": 64, "k": 4}},
            "theirs": {"kind": "key_kind", "role": "contestant"},
        },
        "trials": {"methods": ["key_method"]},
    }
    store = world().subject.activations[SITE]
    examples = (Example("a", "A text.", 1, "a", DEVELOPMENT),)
    return Setup(study_from(raw), Collection(examples, ()), ("A text.",), {SITE: store.folder}, tmp_path)


def folders(setup: Setup) -> dict[str, str]:
    opened = Context(setup)
    return {name: opened.folder(Job(name, SITE, 0)).name for name in setup.study.dictionaries}


def changed(setup: Setup, before: tuple[dict[str, str], str]) -> tuple[set[str], bool]:
    """Give the dictionaries whose folder moved, and whether trials must be played again."""
    after = folders(setup)
    return {name for name, folder in after.items() if folder != before[0][name]}, setup.inputs != before[1]


def test_the_same_setup_has_the_same_keys(setup):
    assert changed(replace(setup), (folders(setup), setup.inputs)) == (set(), False)


def test_another_default_of_a_recipe_is_another_dictionary(setup, monkeypatch):
    before = folders(setup), setup.inputs

    class Slower(TopK):
        def __init__(self, **settings):
            super().__init__(**{"steps": 701, **settings})

    load = registry.load
    monkeypatch.setattr(context.registry, "load", lambda shelf, name: Slower if name == "topk" else load(shelf, name))
    assert changed(setup, before) == ({"ours"}, True)


def test_another_version_of_our_recipes_is_another_dictionary(setup, monkeypatch):
    before = folders(setup), setup.inputs
    monkeypatch.setattr(context, "TRAINING_VERSION", -1)
    assert changed(setup, before) == ({"ours"}, True)


def test_an_edited_kind_of_a_stranger_is_another_dictionary(setup, plugins):
    before = folders(setup), setup.inputs
    (plugins / "kinds" / "key_kind.py").write_text(KIND + "# edited\n")
    assert changed(setup, before) == ({"theirs"}, True)


def test_an_edited_method_of_a_stranger_is_played_again_on_the_same_dictionaries(setup, plugins):
    before = folders(setup), setup.inputs
    (plugins / "methods" / "key_method.py").write_text(METHOD + "# edited\n")
    assert changed(setup, before) == (set(), True)


def test_other_texts_are_other_dictionaries(setup):
    before = folders(setup), setup.inputs
    assert changed(replace(setup, corpus=("A text.", "Another.")), before) == ({"ours", "theirs"}, True)


def test_passes_in_another_precision_are_other_activations(setup, tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRFIGHT_CACHE", str(tmp_path / "cache"))
    model, stores = load_model(), {}
    for dtype in ("float32", "bfloat16"):
        activations = setup.study.activations.model_copy(update={"compute_dtype": dtype})
        study = setup.study.model_copy(update={"activations": activations})
        stores[dtype] = open_activations(set_up(study, model, setup.collection, (), None).stores[SITE])
    exact, rounded = (store.tokens(store.rows(["A text."])).values for store in stores.values())
    assert stores["float32"].key != stores["bfloat16"].key
    assert 0 < (exact - rounded).abs().max() < 0.1


def test_a_dictionary_that_is_read_from_files_moves_with_them(setup, tmp_path):
    file = Given.small(tmp_path / "files").path
    given = {"kind": "given", "role": "control", "recipe": {"path": file}}
    raw = {**setup.study.model_dump(), "dictionaries": {**setup.study.model_dump()["dictionaries"], "read": given}}
    own = replace(setup, study=study_from(raw))
    before = (folders(own), own.inputs)
    assert changed(own, before) == (set(), False)
    save(
        *train(TopK(latents=64, k=4, steps=2), TokenSource.from_tensor(torch.randn(300, 24)), 0, model="m"), Path(file)
    )
    assert changed(own, before) == ({"read"}, True)


def test_seeds_of_a_dictionary_are_those_that_its_path_has_a_place_for(setup):
    def seeds(path):
        given = {"read": {"kind": "given", "role": "control", "recipe": {"path": path}}}
        return dictionary_seeds(study_from({**setup.study.model_dump(), "dictionaries": given}), "read")

    assert list(seeds("one")) == [0]
    assert list(seeds("one-{seed}")) == [0, 1, 2]
