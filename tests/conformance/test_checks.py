"""The checks themselves: each refuses the plug-in that it is there to refuse, whatever that is called."""

import os
import subprocess
import sys

import pytest

from fairfight import conformance, registry

METHOD = """
from dataclasses import dataclass
from typing import ClassVar

from fairfight.methods._linear import RidgeProbe


class Loose:
    family: ClassVar[str] = "probing"
    needs_dictionary: ClassVar[bool] = False
    space, strength, fit, notes = RidgeProbe.space, RidgeProbe.strength, RidgeProbe.fit, RidgeProbe.notes


@dataclass(frozen=True)
class Frozen(Loose):
    pass


{decorator}
class Probe({parent}):
    site: str = "resid_post.1"
    pooling: str = "mean"
    is_standardised: bool = True
    penalty: float = 1.0
"""
KIND = """
from dataclasses import dataclass
from typing import ClassVar

from fairfight.dictionaries.contract import Fit, TrainingFlops
from fairfight.dictionaries.kinds.neurons import NeuronsDictionary


@dataclass(frozen=True)
class {kind}:
    is_seeded: ClassVar[bool] = False

    def train(self, tokens, seed):
        return Fit(Made(tokens.d_model), 0, TrainingFlops(0, 0))


@dataclass(frozen=True, eq=False)
class Made(NeuronsDictionary):
    kind: ClassVar[str] = "{kind}"

    def _encode(self, x):
        return {codes}
"""


FORMAT = """
import json
from pathlib import Path

import torch

from fairfight.dictionaries.formats import Foreign, Origin, _files
from fairfight.dictionaries.formats import _parameters as algebra


class Careless:
    files = ("careless.json", "careless.pt")

    @staticmethod
    def recognises(path):
        return {recognises}

    @staticmethod
    def read(path, given):
        cfg = _files.read_json(path / "careless.json")
        state = {load}
        parameters = algebra.Parameters(state["rows"], state["atoms"], state["b_dec"], {{"b_enc": state["b_enc"]}})
        dictionary = algebra.build("topk", parameters, k={k})
        return Foreign(dictionary, Origin("careless", "topk", "a/model", "resid_post.1", "resid_post.1"))

    @staticmethod
    def small(folder):
        rows, atoms, b_dec, vectors = algebra.drawn()
        torch.save({{"rows": rows, "atoms": atoms, "b_dec": b_dec, "b_enc": vectors["b_enc"]}}, folder / "careless.pt")
        (folder / "careless.json").write_text(json.dumps({{"k": 4}}))
        return folder
"""
STRICT = {
    "recognises": "(path / 'careless.pt').is_file()",
    "load": "_files.named_tensors(path / 'careless.pt', _files.read_state_dict(path / 'careless.pt'), "
    "{'rows': (16, 8), 'atoms': (16, 8), 'b_dec': (8,), 'b_enc': (16,)})",
    "k": "_files.whole_number(path / 'careless.json', cfg, 'k')",
}


@pytest.fixture
def shelve(tmp_path, monkeypatch):
    """Put one plug-in on a shelf of a folder of its own, and let the registry find it."""
    monkeypatch.setenv(registry.FOLDERS_VARIABLE, str(tmp_path))

    def put(shelf, name, text):
        (tmp_path / shelf).mkdir()
        (tmp_path / shelf / f"{name}.py").write_text(text)

    return put


@pytest.mark.parametrize(
    ("decorator", "parent", "words"),
    [
        ("", "Loose", "is no dataclass"),
        ("", "Frozen", "is no dataclass"),
        ("@dataclass", "Loose", "is not frozen"),
    ],
    ids=["plain class", "dataclass only by its parent", "not frozen"],
)
def test_a_method_that_is_no_frozen_dataclass_is_refused(decorator, parent, words, shelve, tmp_path):
    shelve("methods", "probe", METHOD.format(decorator=decorator, parent=parent))
    with pytest.raises(AssertionError, match=words):
        conformance.methods.keeps_the_contract("probe", tmp_path)


@pytest.mark.parametrize("parent", ["Loose", "Frozen"])
def test_a_method_that_is_a_frozen_dataclass_is_let_in(parent, shelve, tmp_path):
    shelve("methods", "probe", METHOD.format(decorator="@dataclass(frozen=True)", parent=parent))
    conformance.methods.keeps_the_contract("probe", tmp_path)


def test_a_dictionary_that_computes_codes_for_nothing_is_refused(shelve, tmp_path):
    shelve("kinds", "doubled", KIND.format(kind="doubled", codes="2 * x"))
    with pytest.raises(AssertionError, match="encodes for nothing"):
        conformance.kinds.makes_a_dictionary("doubled", tmp_path)


def test_a_dictionary_whose_codes_are_the_tokens_may_cost_nothing_whatever_its_name(shelve, tmp_path):
    shelve("kinds", "same", KIND.format(kind="same", codes="x.clone()"))
    conformance.kinds.makes_a_dictionary("same", tmp_path)


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"recognises": "True"}, "recognises_its_own_and_no_other", "is taken for one of careless"),
        ({"k": "cfg.get('k', 8)"}, "takes_no_entry_on_trust", "other codes where careless.json has no 'k'"),
        (
            {"load": "_files.read_state_dict(path / 'careless.pt')"},
            "refuses_renamed_tensors_and_nan",
            "careless.pt, in which 'rows' is called 'rows_': is read, or is no error of ours",
        ),
        (
            {"load": "torch.load(path / 'careless.pt', weights_only=False)"},
            "opens_no_pickle_that_calls",
            "runs the code that a careless.pt holds",
        ),
    ],
    ids=["grasping", "defaulting", "unchecked", "unpickling"],
)
def test_a_careless_format_is_refused(changes, check, words, shelve, tmp_path):
    shelve("formats", "careless", FORMAT.format(**STRICT | changes))
    (tmp_path / "there").mkdir()
    with pytest.raises(AssertionError, match=words):
        getattr(conformance.formats, check)("careless", tmp_path / "there")


def test_a_strict_format_is_let_in(shelve, tmp_path):
    shelve("formats", "careless", FORMAT.format(**STRICT))
    for check in conformance.CHECKS["formats"]:
        (tmp_path / check.__name__).mkdir()
        check("careless", tmp_path / check.__name__)


def test_a_kind_that_draws_from_a_global_generator_is_refused(shelve, tmp_path):
    text = KIND.format(kind="drawing", codes="x").replace("return Fit(", "__import__('random').random(); return Fit(")
    shelve("kinds", "drawing", text)
    with pytest.raises(AssertionError, match=r"drawing\.train draws from a global generator"):
        conformance.kinds.gives_the_same_bits_twice("drawing", tmp_path)


def test_the_small_world_leaves_no_folder_behind(tmp_path):
    program = (
        "import os\n"
        "from fairfight.conformance.small_world import world\n"
        "world()\n"
        "print(*(name[:9] for name in os.listdir(os.environ['TMPDIR'])))\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fairfight" in done.stdout
    # torch leaves an empty folder of its own.
    assert not list(tmp_path.glob("fairfight*"))
