"""Logistic regression on weighted word or character n-grams: text only, no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from fairfight.contests.examples import Examples, Labelled
from fairfight.contests.views import Views
from fairfight.errors import NotConvergedError
from fairfight.shapes import ExampleScores

Grams = Literal["words", "word_pairs", "characters"]
_ANALYSERS: dict[Grams, tuple[Literal["word", "char_wb"], tuple[int, int]]] = {
    "words": ("word", (1, 1)),
    "word_pairs": ("word", (1, 2)),
    "characters": ("char_wb", (2, 4)),
}
_MAX_ITERATIONS = 2000
_HISTORY = 10
"""Pairs of steps and gradients that SciPy's L-BFGS, which scikit-learn calls, keeps."""


@dataclass(frozen=True, eq=False)
class TfidfDetector:
    """A fitted vocabulary and the regression on it."""

    vectoriser: TfidfVectorizer
    regression: LogisticRegression

    def score(self, examples: Examples, views: Views) -> ExampleScores:
        """Give the logit; costs 2 operations an n-gram that a text holds."""
        matrix = self.vectoriser.transform(examples.texts)
        views.meter.charge_fit(2 * matrix.nnz, fits=0)
        return self.regression.decision_function(matrix)


@dataclass(frozen=True)
class TfidfProbe:
    """TF-IDF with logistic regression: what the words alone give away, in scikit-learn's own implementation."""

    family: ClassVar[str] = "text-only"
    needs_dictionary: ClassVar[bool] = False

    grams: Grams = "word_pairs"
    """`words`, `word_pairs` (words and pairs of them) or `characters` (2 to 4, within words)."""
    penalty: float = 1e-4
    """Weight of the squared norm, an example; scikit-learn's C is 1 / (examples * penalty)."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from; no activations are read.

        A row has length 1 and its columns are rare, so the penalties are smaller than those of the probes.
        """
        return {"grams": ("words", "word_pairs", "characters"), "penalty": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)}

    @property
    def strength(self) -> float:
        """The penalty."""
        return self.penalty

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> TfidfDetector:
        """Give the fitted regression; `chance` is not used. What it costs: `_fit_flops`.

        Raises:
            NotConvergedError: the solver used up its steps.
        """
        analyser, lengths = _ANALYSERS[self.grams]
        # One-letter words and digits count as words here; the vectoriser's own pattern, which characters need not, drops them.
        vectoriser = TfidfVectorizer(
            analyzer=analyser,
            ngram_range=lengths,
            sublinear_tf=True,
            token_pattern=r"\b\w+\b" if analyser == "word" else r"(?u)\b\w\w+\b",
        )
        matrix: Any = vectoriser.fit_transform(train.examples.texts)
        regression = LogisticRegression(C=1 / (len(train) * self.penalty), max_iter=_MAX_ITERATIONS, tol=1e-6)
        regression.fit(matrix, train.labels)
        steps = int(regression.n_iter_[0])
        if steps >= _MAX_ITERATIONS:
            raise NotConvergedError(
                f"L-BFGS used up {_MAX_ITERATIONS} steps at the penalty {self.penalty:g}; fewer were expected. Raise the penalty."
            )
        views.meter.charge_fit(_fit_flops(matrix.nnz, matrix.shape[1], steps))
        return TfidfDetector(vectoriser, regression)

    def notes(self, detector: TfidfDetector) -> Mapping[str, Any]:
        """Give the solver's steps and the size of the vocabulary."""
        return {"n_iter": int(detector.regression.n_iter_[0]), "vocabulary": len(detector.vectoriser.vocabulary_)}


def _fit_flops(held: int, vocabulary: int, steps: int) -> int:
    """Give 4 operations an n-gram held for each gradient, 8 a word and kept pair for each step's direction.

    Tries that the line search rejects are not recorded by scikit-learn and not counted: some tenth of the gradients.
    Source: Nocedal and Wright (2006), section 7.2 (4mn multiplications for m pairs, and as many additions).
    """
    pairs = sum(min(step, _HISTORY) for step in range(steps))
    return 4 * held * (steps + 1) + 8 * vocabulary * pairs
