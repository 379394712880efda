"""What the length of a text alone gives away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fairfight.contests.examples import Examples, Labelled
from fairfight.contests.views import Views
from fairfight.methods._linear import PENALTIES, LinearDetector, fit_ridge_probe
from fairfight.shapes import DesignMatrix


@dataclass(frozen=True)
class LengthLook:
    """Characters and words of a text."""

    is_logarithmic: bool

    def matrix(self, examples: Examples, views: Views) -> DesignMatrix:
        """Give two columns: characters and words, or their logarithms."""
        counts = np.array([[len(text), len(text.split())] for text in examples.texts], dtype=np.float64)
        return np.log1p(counts) if self.is_logarithmic else counts


@dataclass(frozen=True)
class LengthFloor:
    """Logistic regression on the number of characters and words: a task that it solves is no task."""

    family: ClassVar[str] = "floor"
    needs_dictionary: ClassVar[bool] = False

    is_logarithmic: bool = True
    """Whether the logarithm of 1 + the count is taken."""
    penalty: float = 1e-2
    """Weight of the squared norm, an example, on standardised columns."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from; no activations are read."""
        return {"is_logarithmic": (True, False), "penalty": PENALTIES}

    @property
    def strength(self) -> float:
        """The penalty."""
        return self.penalty

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> LinearDetector:
        """Give the fitted regression; `chance` is not used."""
        return fit_ridge_probe(
            LengthLook(self.is_logarithmic), train, views, penalty=self.penalty, is_standardised=True
        )

    def notes(self, detector: LinearDetector) -> Mapping[str, Any]:
        """Give the solver's steps."""
        return {"n_iter": detector.iterations}
