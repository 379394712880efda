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
        conformance.method_keeps_the_contract("probe", tmp_path)


@pytest.mark.parametrize("parent", ["Loose", "Frozen"])
def test_a_method_that_is_a_frozen_dataclass_is_let_in(parent, shelve, tmp_path):
    shelve("methods", "probe", METHOD.format(decorator="@dataclass(frozen=True)", parent=parent))
    conformance.method_keeps_the_contract("probe", tmp_path)


def test_a_dictionary_that_computes_codes_for_nothing_is_refused(shelve, tmp_path):
    shelve("kinds", "doubled", KIND.format(kind="doubled", codes="2 * x"))
    with pytest.raises(AssertionError, match="encodes for nothing"):
        conformance.kind_makes_a_dictionary("doubled", tmp_path)


def test_a_dictionary_whose_codes_are_the_tokens_may_cost_nothing_whatever_its_name(shelve, tmp_path):
    shelve("kinds", "same", KIND.format(kind="same", codes="x.clone()"))
    conformance.kind_makes_a_dictionary("same", tmp_path)


def test_the_small_world_leaves_no_folder_behind(tmp_path):
    program = (
        "import os\n"
        "from fairfight.conformance import world\n"
        "world()\n"
        "print(*(name[:9] for name in os.listdir(os.environ['TMPDIR'])))\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fairfight" in done.stdout
    # torch leaves an empty folder of its own.
    assert not list(tmp_path.glob("fairfight*"))
