"""A training file: which dictionaries to train, on which texts and at which sites of which model. Checked before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from fairfight.study import ModelSection, Section, read_sections


class TextsSection(Section):
    """What the model reads."""

    files: tuple[Path, ...] = Field(min_length=1)
    """.jsonl or .txt, either with .zst behind it; relative paths start at the folder where the command is given."""
    fields: tuple[str, ...] = Field(default=("text",), min_length=1)
    """Keys of a .jsonl line that hold texts; each is a text of its own."""
    words: int = Field(default=90, ge=1)
    """Longer texts are cut into pieces of so many."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many pieces, drawn at random; all of them when left out."""


class HarvestSection(Section):
    """How activations are computed and kept."""

    max_tokens: int = Field(default=128, ge=2)
    """Longer pieces are cut there; how many were is said."""
    dtype: Literal["float32", "float16", "bfloat16"] = "bfloat16"
    """Of what is stored."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the model's passes: bfloat16 is two to three times as fast where the processor has it, and less exact."""


class TrainedSection(Section):
    """A dictionary to train, with one or several seeds."""

    kind: str
    site: str
    seeds: int = Field(default=1, ge=1)
    """Seeds 0, 1, …; fewer than three are too few to be judged."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Fields of the kind's class."""


class Training(Section):
    """The whole file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    about: str = ""
    model: ModelSection = ModelSection()
    texts: TextsSection
    activations: HarvestSection = HarvestSection()
    dictionaries: dict[str, TrainedSection] = Field(min_length=1)
    weights: Literal["float32", "float16"] = "float32"
    """Of what is saved; cards measure the dictionary as it is saved."""
    back_end: Literal["auto", "numba", "torch"] = "auto"
    """What takes the steps: they agree to rounding, not to the bit."""
    checkpoint_seconds: float = Field(default=60, gt=0)
    """What is in training is kept so often."""
    folder: Path = Path("dictionaries")
    """Dictionaries are saved in `folder/name/DICTIONARY/seed-N`."""


def read_training(file: Path) -> Training:
    """Give what a training file says.

    Raises:
        StudyError: as for `fairfight.study.read_sections`.
    """
    return read_sections(file, Training, "a training", "training/minilm.toml")
