"""What a verdict says: plain frozen records, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fairfight.study import Question
from fairfight.verdict.tpr import OperatingPoint

Metric = Literal["auroc", "tpr"]
Word = Literal["wins", "loses", "ties", "undecided"]


def word_of(low: float, high: float, margin: float) -> Word:
    """Give the word for an interval of the difference, challenger minus defender.

    wins: above +margin. loses: below -margin. ties: within (-margin, +margin), or exactly [0, 0] whatever the margin.
    undecided: the interval reaches over an edge of that band.
    """
    if low > margin:
        return "wins"
    if high < -margin:
        return "loses"
    if (low == 0 == high) or (-margin < low and high < margin):
        return "ties"
    return "undecided"


@dataclass(frozen=True)
class SetVerdict:
    """One paired comparison on one test set (or the mean over them): scores, difference and its interval."""

    word: Word
    difference: float
    """Challenger minus defender."""
    low: float
    high: float
    challenger_score: float
    defender_score: float


@dataclass(frozen=True)
class Compared:
    """Two contenders under one metric, on every test set and on their mean."""

    challenger: str
    defender: str
    metric: Metric
    sets: Mapping[str, SetVerdict]
    macro: SetVerdict


@dataclass(frozen=True)
class Achieved:
    """False positive rates that the calibrated thresholds have on a test set."""

    challenger_fpr: float
    defender_fpr: float


@dataclass(frozen=True)
class SetSize:
    """What a test set holds, in the first scored seed."""

    positives: int
    negatives: int
    clusters: int


@dataclass(frozen=True)
class Verdict:
    """The answer to one question. Intervals are not adjusted for the number of questions or sets."""

    question: Question
    challenger: str
    defender: str
    challenger_ties: tuple[str, ...]
    """Others of its side that validation cannot tell from the challenger."""
    defender_ties: tuple[str, ...]
    auroc: Compared
    tpr: Compared | None
    """Nothing where no calibration scores were kept."""
    operating_point: OperatingPoint | None
    achieved: Mapping[str, Achieved]
    """By test set; empty without an operating point."""
    gaps: tuple[Compared, ...]
    """Probe on a contestant dictionary's reconstruction against the same probe on the activations, AUROC."""
    controls: tuple[Compared, ...]
    """The challenger against the same method on control dictionaries: is this dictionary necessary?"""
    rivals: tuple[Compared, ...]
    """The challenger against the same method on rival dictionaries, such as k-means: contestants, not controls."""
    random_controls: tuple[str, ...]
    """Controls whose dictionary is random directions, of any method."""
    sizes: Mapping[str, SetSize]
    seeds: int
    dictionary_seeds: int
    """Of the challenger; 0 when it uses no dictionary."""
    failed: tuple[str, ...]
    excluded: tuple[str, ...]
    """Contenders that lack a scored seed, each with what it lacks."""
    warnings: tuple[str, ...]

    @property
    def deciding(self) -> Compared:
        """The comparison under the question's metric."""
        if self.question.metric == "auroc":
            return self.auroc
        assert self.tpr is not None, "a TPR question without calibration scores is refused by `judge`"
        return self.tpr

    @property
    def sets(self) -> Mapping[str, SetVerdict]:
        """The verdict on each test set, under the question's metric."""
        return self.deciding.sets

    @property
    def macro(self) -> SetVerdict:
        """The verdict on the mean over test sets, under the question's metric."""
        return self.deciding.macro

    def to_json(self) -> dict[str, Any]:
        """Give the verdict as plain values that JSON can hold, `sets` and `macro` included."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "question"}
        record = {name: _plain(value) for name, value in plain.items()}
        decided = {"sets": _plain(self.sets), "macro": _plain(self.macro), "adjusted": False}
        return {"question": self.question.model_dump(mode="json"), **decided, **record}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value
