"""How every contender did: scores with intervals, their range over trials, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairfight.records import Contender, Scored, Trial
from fairfight.report.wording import SIDES
from fairfight.verdict.board import MACRO, Board, Interval, interval
from fairfight.verdict.cost import Placed, Point, charged_trial, pareto
from fairfight.verdict.roster import Entry, Roster

Range = tuple[float, float]


@dataclass(frozen=True)
class Standing:
    """One complete contender over all of its scored trials."""

    contender: Contender
    sets: Mapping[str, Interval]
    """AUROC by test set, and `macro`."""
    ranges: Mapping[str, Range]
    """Least and greatest AUROC of a single trial, by test set."""
    train: float
    validation: float
    flops: float | None
    """Mean cost of a trial: model passes, encoding, fitting, a tenth of the dictionary's training and all of what was
    trained on the task; None where nobody says what that training took."""
    trials: int

    @property
    def name(self) -> str:
        """The contender's name."""
        return self.contender.name

    def shifted(self, test_sets: tuple[str, ...]) -> float:
        """Give the mean AUROC over the test sets after the first, which is the in-distribution one."""
        return float(np.mean([self.sets[name].score for name in test_sets[1:]]))


def standings(roster: Roster, *, level: float = 0.95) -> list[Standing]:
    """Give every complete contender, by side and then by macro AUROC; `roster.incomplete` names the others.

    Intervals cross clusters and seeds as the verdict's do; they are of single scores, so two that overlap may still
    differ: the verdict's paired difference decides.
    """
    board = Board.of(roster)
    complete = [_standing(board, entry, level) for entry in roster.entries.values()]
    return sorted(complete, key=lambda own: (SIDES.index(own.contender.side), -own.sets[MACRO].score, own.name))


def front_of(found: Sequence[Standing]) -> list[Placed]:
    """Give where each contender lies to the front of AUROC, mean over test sets, against the cost of a trial."""
    return pareto([Point(own.name, own.flops, own.sets[MACRO]) for own in found if own.flops is not None])


def _standing(board: Board, entry: Entry, level: float) -> Standing:
    outcomes = [play.outcome for play in entry.plays.values()]
    charged = [charged_trial(board.roster, play.trial) for play in entry.plays.values()]
    known = [flops for flops in charged if flops is not None]
    return Standing(
        contender=entry.contender,
        sets={name: interval(own, level) for name, own in board.alone(entry.name, "auroc").items()},
        ranges={name: _range([own.test_auroc[name] for own in outcomes]) for name in board.roster.test_sets},
        train=float(np.mean([own.train_auroc for own in outcomes])),
        validation=entry.validation_auroc,
        flops=float(np.mean(known)) if len(known) == len(charged) else None,
        trials=len(outcomes),
    )


def _range(values: list[float]) -> Range:
    return min(values), max(values)


@dataclass(frozen=True)
class Curve:
    """AUROC against the number of latents for one contender: in training and on each test set."""

    contender: Contender
    k: tuple[int, ...]
    train: tuple[float, ...]
    sets: Mapping[str, tuple[float, ...]]
    trials: int
    """Trials behind each point, where they differ the fewest."""


def curves(roster: Roster) -> list[Curve]:
    """Give the curves of contestants (then rivals), each point a mean over seeds and dictionary seeds."""
    found: dict[str, dict[int, list[Scored]]] = {}
    for trial in roster.trials:
        if trial.spec.purpose == "curve" and isinstance(trial.outcome, Scored) and "k" in trial.spec.settings:
            found.setdefault(trial.spec.contender.name, {}).setdefault(_k(trial), []).append(trial.outcome)
    made = [_curve(roster, name, points) for name, points in found.items()]
    return sorted(made, key=lambda own: (SIDES.index(own.contender.side), own.contender.name))


def _k(trial: Trial) -> int:
    return int(trial.spec.settings["k"])


def _curve(roster: Roster, name: str, points: Mapping[int, list[Scored]]) -> Curve:
    ks = tuple(sorted(points))
    return Curve(
        contender=roster.contenders[name],
        k=ks,
        train=tuple(float(np.mean([own.train_auroc for own in points[k]])) for k in ks),
        sets={s: tuple(float(np.mean([own.test_auroc[s] for own in points[k]])) for k in ks) for s in roster.test_sets},
        trials=min(len(outcomes) for outcomes in points.values()),
    )
