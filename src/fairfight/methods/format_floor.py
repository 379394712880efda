"""What the look of a text alone gives away: length, punctuation, capitals, digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fairfight.contests.examples import Examples, Labelled
from fairfight.contests.views import Views
from fairfight.methods._linear import PENALTIES, LinearDetector, fit_ridge_probe
from fairfight.shapes import DesignMatrix

COUNTED = {
    "full stops": ".",
    "commas": ",",
    "question marks": "?",
    "exclamation marks": "!",
    "colons and semicolons": ":;",
    "quotation marks": "\"'`\u201c\u201d\u2018\u2019«»",
    "brackets": "()[]{}<>",
    "dashes and underscores": "-\u2013\u2014_",
    "other symbols": "*#/\\|=+&%$@~^",
    "line breaks": "\n",
}
"""Kinds of characters that are counted, by name."""


@dataclass(frozen=True)
class FormatLook:
    """Counts and shares of characters; no word is read."""

    is_relative: bool

    def matrix(self, examples: Examples, views: Views) -> DesignMatrix:
        """Give one row a text: counted kinds, shares of capitals and digits, length, how it begins and ends."""
        return np.array([_row(text, self.is_relative) for text in examples.texts], dtype=np.float64)


@dataclass(frozen=True)
class FormatFloor:
    """Logistic regression on the format of a text: what a detector could know without understanding a word."""

    family: ClassVar[str] = "floor"
    needs_dictionary: ClassVar[bool] = False

    is_relative: bool = False
    """Whether kinds of characters are counted a character of text, or a text."""
    penalty: float = 1e-2
    """Weight of the squared norm, an example, on standardised columns."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from; no activations are read."""
        return {"is_relative": (False, True), "penalty": PENALTIES}

    @property
    def strength(self) -> float:
        """The penalty."""
        return self.penalty

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> LinearDetector:
        """Give the fitted regression; `chance` is not used."""
        return fit_ridge_probe(FormatLook(self.is_relative), train, views, penalty=self.penalty, is_standardised=True)

    def notes(self, detector: LinearDetector) -> Mapping[str, Any]:
        """Give the solver's steps."""
        return {"n_iter": detector.iterations}


def _row(text: str, is_relative: bool) -> list[float]:
    length = max(len(text), 1)
    counts = [sum(text.count(character) for character in kind) for kind in COUNTED.values()]
    letters = max(sum(character.isalpha() for character in text), 1)
    stripped = text.strip() or " "
    return [
        *(count / length if is_relative else float(np.log1p(count)) for count in counts),
        sum(character.isupper() for character in text) / letters,
        sum(character.isdigit() for character in text) / length,
        sum(character.isspace() for character in text) / length,
        float(np.log1p(len(text))),
        float(np.log1p(len(text.split()))),
        float(stripped[0].isupper()),
        float(stripped[0].isalpha()),
        float(stripped[-1] in ".!?…"),
        float(stripped[-1] == "?"),
    ]
