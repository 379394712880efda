"""What a verdict says: plain frozen records, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairfight.records import plain
from fairfight.study import Question
from fairfight.verdict.board import Metric
from fairfight.verdict.budget import Budgeted
from fairfight.verdict.cost import BreakEven
from fairfight.verdict.statistics.delong import DeLong
from fairfight.verdict.statistics.power import Needed
from fairfight.verdict.statistics.words import Word
from fairfight.verdict.tpr import OperatingPoint


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
    standard_error: float
    """Of the difference, over clusters and seeds."""
    degrees_of_freedom: float
    """Of that error: few where few seeds make most of it."""
    p: float
    """Of the word nearest at hand (wins, loses or ties), were it not so; not adjusted."""


@dataclass(frozen=True)
class Compared:
    """Two contenders under one metric, on every test set and on their mean."""

    challenger: str
    defender: str
    metric: Metric
    sets: Mapping[str, SetVerdict]
    macro: SetVerdict


@dataclass(frozen=True)
class Hardest:
    """The challenger against every contender of the defending side: what no choice among them can flatter."""

    compared: Compared
    """With the one that it is least sure to beat."""
    p: float
    """Of beating all of them by more than the margin: the largest of the single p-values (an intersection-union test)."""
    count: int

    @property
    def word(self) -> Word:
        """wins: it beats them all. Else the word against the hardest."""
        return self.compared.macro.word


@dataclass(frozen=True)
class Sensitivity:
    """What the study could have shown, and what more of it would."""

    smallest_effect: float
    """Smallest true difference that it would have called with a chance of 80 %."""
    needed: Needed
    """Times as many clusters (or of everything) that would settle the question, were the difference what it seems."""


@dataclass(frozen=True)
class Peeking:
    """A contender that is better on sealed texts than on those that it was fitted on."""

    name: str
    test_set: str
    test_auroc: float
    train_auroc: float


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
class Costs:
    """What the two contenders are charged: a trial, its tuning, and the share of the dictionary's training."""

    share: float
    challenger_flops: float | None
    """None where nobody says what the dictionary's training took."""
    defender_flops: float | None
    break_even: BreakEven


@dataclass(frozen=True)
class Verdict:
    """The answer to one question. Intervals are adjusted for the number of questions, not of test sets."""

    question: Question
    level: float
    """Coverage of every interval here: the question's own, widened by Holm's adjustment."""
    adjusted_p: float
    """Of the word on the mean over test sets, adjusted for the study's questions."""
    questions: int
    """How many the adjustment knows of."""
    challenger: str
    defender: str
    challenger_ties: tuple[str, ...]
    """Others of its side that validation cannot tell from the challenger."""
    defender_ties: tuple[str, ...]
    every: Hardest
    sensitivity: Sensitivity
    left_out: Mapping[str, float]
    """The deciding difference on the mean over test sets without one test set, split seed or dictionary seed, by its name."""
    auroc: Compared
    tpr: Compared | None
    """Nothing where no calibration scores were kept."""
    operating_point: OperatingPoint | None
    achieved: Mapping[str, Achieved]
    """By test set; empty without an operating point."""
    gaps: tuple[Compared, ...]
    """Probe on a contestant dictionary's reconstruction against the same probe on the activations, AUROC."""
    controls: tuple[Compared, ...]
    """The challenger against the same method on control dictionaries that can show something: is this one necessary?"""
    rivals: tuple[Compared, ...]
    """The challenger against the same method on rival dictionaries, such as k-means: contestants, not controls."""
    delong: Mapping[str, DeLong | str]
    """DeLong's test by test set, where one trial meets one, or why it is refused there; empty with several seeds."""
    random_controls: tuple[str, ...]
    """Controls whose dictionary is random directions, of any method."""
    sizes: Mapping[str, SetSize]
    seeds: int
    dictionary_seeds: int
    """Of the challenger; 0 when it uses no dictionary."""
    failed: tuple[str, ...]
    excluded: tuple[str, ...]
    """Contenders that lack a scored seed, each with what it lacks, and those that exceed the budget, with what they cost."""
    peeking: tuple[Peeking, ...]
    """Whose scores nobody should believe, of any side."""
    warnings: tuple[str, ...]
    costs: Costs
    budget: Budgeted | None
    """None where the study sets no budget."""

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
        return plain(self) | {"sets": plain(self.sets), "macro": plain(self.macro)}
