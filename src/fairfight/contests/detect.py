"""The `detect` contest: texts in, one score each out; AUROC a test set.

The contest hands a method training examples with labels, and everything else without. It plays, scores and reads
the meter; a method never sees a test label, a task never sees a method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np

from fairfight.contests.examples import Collection, Examples, Labelled, labelled, unlabelled
from fairfight.contests.split import Split
from fairfight.contests.views import Subject, Views
from fairfight.errors import NonFiniteError, PluginError
from fairfight.meter import Meter
from fairfight.numerics.ranking import auroc
from fairfight.records import Cost, Scored
from fairfight.shapes import ExampleScores


class Detector(Protocol):
    """What a method gives back: one score an example, larger for the positive class."""

    def score(self, examples: Examples, views: Views) -> ExampleScores:
        """Give a finite score an example, in their order, each independent of the other examples."""
        ...


@runtime_checkable
class DetectMethod(Protocol):
    """A contender's class: a frozen dataclass whose fields are its settings.

    It may say in `source: ClassVar[str]` what of a text it reads (`activations`, `codes` or `reconstruction`): a control
    that leaves just that as it was then counts neither for nor against it.
    """

    family: ClassVar[str]
    needs_dictionary: ClassVar[bool]

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from, by setting."""
        ...

    @property
    def strength(self) -> float:
        """How strongly these settings regularise: among equal validation scores the stronger wins."""
        ...

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> Detector:
        """Give a detector fitted on the training examples."""
        ...

    def notes(self, detector: Any) -> Mapping[str, Any]:
        """Give what a reader of the ledger should know of a fitted detector."""
        ...


class DetectTask(Protocol):
    """A task's class: a frozen dataclass whose fields are its settings.

    It may say in `motive: ClassVar[str]` what one would care about without any dictionary; whether a task without one is
    a downstream task stays a person's call.
    """

    contest: ClassVar[str]

    def collection(self) -> Collection:
        """Give the labelled texts."""
        ...

    def unlabelled(self) -> Iterable[str]:
        """Give further texts for dictionaries to be trained on; none of them in a test set."""
        ...


class Played(NamedTuple):
    """A finished play: the outcome, and what it cost."""

    scored: Scored
    cost: Cost


def play(
    method: DetectMethod,
    split: Split,
    subject: Subject,
    chance: np.random.Generator,
    *,
    is_sealed: bool,
    meter: Meter | None = None,
) -> Played:
    """Fit a method on a split's training examples and score the rest; sealed test sets are not looked at.

    What it spends stands on `meter`, also where it fails.

    Raises:
        NonFiniteError: the detector gave NaN or infinity.
        PluginError: the detector gave another number of scores than examples.
    """
    meter = meter or Meter()
    views = Views(subject, meter)
    train = labelled(split.train)
    meter.charge_labels(len(train))
    detector = method.fit(train, views, chance)
    parts = {"validation": split.validation, "calibration": split.calibration}
    parts |= {} if is_sealed else split.tests
    scores = {name: _scores(detector, unlabelled(part), views, name) for name, part in parts.items()}
    area = {name: auroc(scores[name], labelled(part).labels) for name, part in parts.items()}
    train_scores = _scores(detector, train.examples, views, "train")
    outcome = Scored(
        train_auroc=auroc(train_scores, train.labels),
        validation_auroc=area["validation"],
        test_auroc={name: area[name] for name in split.tests} if not is_sealed else {},
        scores={name: tuple(float(f"{score:.9g}") for score in values) for name, values in scores.items()},
        notes=dict(method.notes(detector)),
    )
    return Played(outcome, meter.cost())


def _scores(detector: Detector, examples: Examples, views: Views, name: str) -> ExampleScores:
    """Give the scores in the order of the examples, which the detector does not see: a task's order may tell labels."""
    order = np.argsort(examples.ids)
    hidden = Examples(tuple(examples.ids[row] for row in order), tuple(examples.texts[row] for row in order))
    scores = np.empty(len(examples), dtype=np.float32)
    scores[order] = _checked_scores(detector, hidden, views, name)
    return scores


def _checked_scores(detector: Detector, examples: Examples, views: Views, name: str) -> ExampleScores:
    # Scores are kept as float32: the ledger's text then holds them exactly.
    scores = np.asarray(detector.score(examples, views), dtype=np.float32)
    if scores.shape != (len(examples),):
        raise PluginError(
            f"The detector gave scores of shape {scores.shape} for the {len(examples)} examples of '{name}'; one each is expected."
        )
    if not np.isfinite(scores).all():
        raise NonFiniteError(
            f"The detector gave {int((~np.isfinite(scores)).sum())} NaN or infinite scores on '{name}'. Its fit diverged: look at its settings."
        )
    return scores
