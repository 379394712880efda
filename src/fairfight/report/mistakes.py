"""Which examples a contender gets wrong at its threshold, and in which jailbreak families."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from fairfight.records import ExampleRow
from fairfight.verdict.roster import CALIBRATION, Entry, Roster
from fairfight.verdict.tpr import sample_threshold

PLAIN = "plain"
"""The family of examples that carry no jailbreak."""


@dataclass(frozen=True)
class Judged:
    """One test example as one contender sees it, over all of its trials."""

    row: ExampleRow
    wrong_share: float
    """Share of trials that put it on the wrong side of their threshold."""
    displacement: float
    """How far up the wrong end of its set's ranking it stands, 0 to 1, averaged over trials."""

    @property
    def family(self) -> str:
        """Its jailbreak family, or `plain`."""
        return self.row.tags.get("jailbreak", PLAIN)


@dataclass(frozen=True)
class FamilyRates:
    """Error rates of one contender in one family; None where the family has no example of that label."""

    missed: float | None
    """Share of positives that stay under the threshold."""
    false_alarms: float | None
    """Share of negatives above it."""


@dataclass(frozen=True)
class Family:
    """One family, as challenger and defender see it."""

    name: str
    positives: int
    negatives: int
    rates: tuple[FamilyRates, ...]
    """One a contender, in the order asked for."""
    worst: tuple[tuple[Judged, ...], ...]
    """One list a contender, worst first."""


def families(roster: Roster, names: Iterable[str], fpr: float, *, show: int = 2) -> list[Family]:
    """Give every family of the test sets with the error rates of `names`, the most missed by the first one first.

    Thresholds are each trial's own, set on its calibration negatives at `fpr`. `show` examples a contender are kept.
    """
    by_contender = [_by_family(judged(roster, roster.entries[name], fpr)) for name in names]
    made = [_family(name, [own[name] for own in by_contender], show) for name in by_contender[0]]
    return sorted(made, key=lambda own: (-(own.rates[0].missed or 0.0), own.name))


def judged(roster: Roster, entry: Entry, fpr: float) -> list[Judged]:
    """Give every test example with how often and how badly a contender gets it wrong."""
    wrong: dict[str, list[bool]] = defaultdict(list)
    displaced: dict[str, list[float]] = defaultdict(list)
    for (seed, _), play in entry.plays.items():
        at = sample_threshold(play, roster.indices[seed, CALIBRATION], fpr)
        for name in roster.test_sets:
            index, scores = roster.indices[seed, name], play.scores[name]
            ranks = (rankdata(scores) - 1) / max(1, len(scores) - 1)
            errors = (scores > at) != (index.labels == 1)
            distances = np.where(index.labels == 1, 1 - ranks, ranks)
            for key, error, distance in zip(index.ids, errors.tolist(), distances.tolist(), strict=True):
                wrong[key].append(error)
                displaced[key].append(distance)
    rows = {row.id: row for row in roster.table.rows}
    return [Judged(rows[key], float(np.mean(wrong[key])), float(np.mean(displaced[key]))) for key in wrong]


def _by_family(examples: Iterable[Judged]) -> dict[str, list[Judged]]:
    grouped: dict[str, list[Judged]] = defaultdict(list)
    for example in examples:
        grouped[example.family].append(example)
    return grouped


def _family(name: str, by_contender: list[list[Judged]], show: int) -> Family:
    labels = [example.row.label for example in by_contender[0]]
    return Family(
        name=name,
        positives=sum(labels),
        negatives=len(labels) - sum(labels),
        rates=tuple(FamilyRates(_error_rate(own, 1), _error_rate(own, 0)) for own in by_contender),
        worst=tuple(_worst(own, show) for own in by_contender),
    )


def _error_rate(examples: list[Judged], label: int) -> float | None:
    shares = [example.wrong_share for example in examples if example.row.label == label]
    return float(np.mean(shares)) if shares else None


def _worst(examples: list[Judged], show: int) -> tuple[Judged, ...]:
    wrong = [example for example in examples if example.wrong_share > 0]
    return tuple(sorted(wrong, key=lambda own: (-own.wrong_share, -own.displacement, own.row.id))[:show])
