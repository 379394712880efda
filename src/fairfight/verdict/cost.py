"""What each contender spent, what of its dictionary's training is charged, and who gives the most for it.

A use is a trial: the method fitted once on the study's training texts and scored on its test sets. What is spent once,
tuning and the dictionary's training, is spread over uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fairfight.records import Contender, Cost, Trial
from fairfight.verdict.board import Interval
from fairfight.verdict.roster import Entry, Roster

DICTIONARY_SHARE = 0.1
"""Share of a dictionary's training that is charged to a method that uses it, unless the study says another."""
SHARES = (0.0, DICTIONARY_SHARE, 1.0)
ON_TASK = ("fine_tuned", "supervised")
"""Kinds of dictionary that were trained on the task's own texts; charged in full, as no other task would share it."""


class Training(NamedTuple):
    """FLOPs of a dictionary's training and of the model passes that gave its tokens."""

    general: float
    """What other tasks may share, of which a share is charged."""
    on_task: float
    """On the task's own texts: charged in full. All of a fine-tuned dictionary whose base the study does not name."""

    def charged(self, share: float, on_task_share: float = 1.0) -> float:
        """Give what is charged of it."""
        return share * self.general + on_task_share * self.on_task


@dataclass(frozen=True)
class Spent:
    """What one complete contender spent; FLOPs are dense-equivalent unless their name says otherwise."""

    contender: Contender
    trial_flops: float
    """Model passes, encoding, fitting and scoring; mean of a scored trial."""
    tuning_flops: float
    """The same, all its tuning trials together."""
    training: Training | None
    """Of the dictionary that it scored with, mean over trials; None where nobody says what that took."""
    executed_training: Training | None
    """Without products of codes that are known to be zero; None as above, or where the cards do not say."""
    tuning_trials: int
    labels: float
    """Of a scored trial, as are tokens, seconds, judge calls and their tokens."""
    tokens: float
    seconds: float
    peak_bytes: int
    """Largest of a scored trial's process."""
    judge_calls: float = 0.0
    judge_tokens: float = 0.0

    @property
    def name(self) -> str:
        """The contender's name."""
        return self.contender.name

    def charged(self, share: float, *, on_task_share: float = 1.0) -> float | None:
        """Give a trial, its tuning, and the charged share of the training; None where that is not known."""
        return self._with(self.training, share, on_task_share)

    def executed(self, share: float, *, on_task_share: float = 1.0) -> float | None:
        """Give what `charged` gives, of the training as it was executed."""
        return self._with(self.executed_training, share, on_task_share)

    def _with(self, training: Training | None, share: float, on_task_share: float) -> float | None:
        if training is None:
            return None
        return self.trial_flops + self.tuning_flops + training.charged(share, on_task_share)


def spent(roster: Roster) -> dict[str, Spent]:
    """Give what every complete contender spent, by name.

    Dictionaries that only tuning looked at, at other sites, are not charged.
    """
    tuning: dict[str, list[float]] = {name: [] for name in roster.entries}
    for trial in roster.trials:
        if trial.spec.purpose == "tune" and trial.spec.contender.name in tuning:
            tuning[trial.spec.contender.name].append(trial_flops(trial.cost))
    return {name: _spent(roster, entry, tuning[name]) for name, entry in roster.entries.items()}


def _spent(roster: Roster, entry: Entry, tuning: Sequence[float]) -> Spent:
    trials = [play.trial for play in entry.plays.values()]
    return Spent(
        contender=entry.contender,
        trial_flops=float(np.mean([trial_flops(trial.cost) for trial in trials])),
        tuning_flops=float(sum(tuning)),
        training=_mean([training_of(roster, trial) for trial in trials]),
        executed_training=_mean([training_of(roster, trial, is_executed=True) for trial in trials]),
        tuning_trials=len(tuning),
        labels=float(np.mean([trial.cost.labels for trial in trials])),
        tokens=float(np.mean([trial.cost.tokens for trial in trials])),
        judge_calls=float(np.mean([trial.cost.judge_calls for trial in trials])),
        judge_tokens=float(np.mean([trial.cost.judge_tokens for trial in trials])),
        seconds=float(np.mean([trial.machine.seconds for trial in trials])),
        peak_bytes=max(trial.machine.peak_bytes for trial in trials),
    )


def trial_flops(cost: Cost) -> float:
    """Give what the trial itself did: model passes, encoding, fitting and scoring."""
    return cost.forward_flops + cost.encode_flops + cost.fit_flops


def charged_trial(roster: Roster, trial: Trial, share: float = DICTIONARY_SHARE) -> float | None:
    """Give what the trial did and the charged share of its dictionary's training; None where that is not known."""
    training = training_of(roster, trial)
    return None if training is None else trial_flops(trial.cost) + training.charged(share)


def training_of(roster: Roster, trial: Trial, *, is_executed: bool = False) -> Training | None:
    """Give the training of the dictionary that a trial used, None where nobody says what it took.

    A fine-tuned dictionary's card counts the training that it began with; what goes beyond its base's card at the same site
    and seed was trained on the task.
    """
    total = trial.cost.dictionary_flops
    own = _card(roster, trial, trial.spec.contender.dictionary)
    if total is None:
        return None
    if total == 0:
        return Training(0.0, 0.0)
    if is_executed:
        total = _of_card(own, "executed")
    if total is None or roster.kind_of(trial.spec.contender) not in ON_TASK:
        return None if total is None else Training(total, 0.0)
    base = _card(roster, trial, roster.base_of(trial.spec.contender.dictionary))
    kind = "executed" if is_executed else "dense"
    whole, before = _of_card(own, kind), _of_card(base, kind)
    on_task = total if whole is None or before is None else min(total, max(0.0, whole - before))
    return Training(total - on_task, on_task)


def _card(roster: Roster, trial: Trial, dictionary: str | None) -> Mapping[str, Any] | None:
    """Give a dictionary's card at the trial's site and seed, or at its only seed there; None where there is none."""
    site = trial.spec.settings.get("site")
    cards = [own for own in roster.run.get("dictionaries", ()) if own.get("name") == dictionary]
    cards = [own for own in cards if own.get("site") == site]
    same = [own for own in cards if own.get("seed") == trial.spec.dictionary_seed]
    return next(iter(same or cards), None) if same or len(cards) == 1 else None


def _of_card(card: Mapping[str, Any] | None, kind: str) -> float | None:
    """Give training and harvest of a card, where it knows them."""
    if card is None or not card.get("training_flops") or card.get("harvest_flops", 0) is None:
        return None
    return float(card["training_flops"][kind]) + card.get("harvest_flops", 0)


def _mean(found: Sequence[Training | None]) -> Training | None:
    known = [own for own in found if own is not None]
    if len(known) < len(found):
        return None
    return Training(*(float(np.mean(values)) for values in zip(*known, strict=True)))


@dataclass(frozen=True)
class BreakEven:
    """From how many uses on the challenger's total is no dearer than the defender's, with all training charged."""

    uses: float | None
    """0 where it is no dearer from the start; None where it never is, or where a cost is not known."""
    reason: str


def break_even(challenger: Spent, defender: Spent) -> BreakEven:
    """Give the number of uses from which the challenger is no dearer, and why; the first use counts as one.

    Once: tuning, and all of the dictionary's training; a use: a trial.
    """
    ours, theirs = challenger.charged(1.0), defender.charged(1.0)
    if ours is None or theirs is None:
        name = challenger.name if ours is None else defender.name
        return BreakEven(None, f"nobody says what training the dictionary of {name} took")
    ahead = (ours - challenger.trial_flops) - (theirs - defender.trial_flops)
    saved = defender.trial_flops - challenger.trial_flops
    if ahead <= 0 and saved >= 0:
        return BreakEven(0.0, "it costs no more once and no more a trial")
    if saved > 0:
        return BreakEven(float(np.ceil(ahead / saved)), "its trials cost less than what it spent beforehand saves")
    if ahead < 0 and (most := int(ahead // saved)) >= 1:
        return BreakEven(0.0, f"but a trial of it costs more: that holds for up to {most} uses")
    return BreakEven(None, "it is dearer from the first use on, and no use of it costs less")


class Point(NamedTuple):
    """A contender's cost and score."""

    name: str
    flops: float
    score: Interval


class Placed(NamedTuple):
    """Where a point lies to the front of those that nobody dominates."""

    name: str
    is_on_front: bool
    dominated_by: tuple[str, ...]
    """Who is cheaper and scores higher, the highest score first."""
    overlaps_front: bool
    """Whether its interval reaches that of the best point on the front that costs no more: it may belong there."""


def pareto(points: Sequence[Point]) -> list[Placed]:
    """Give for each point, cheapest first, whether it is on the front, and who dominates it.

    A point is dominated only by one that is cheaper and whose score is higher.
    """
    ordered = sorted(points, key=lambda own: (own.flops, -own.score.score, own.name))
    better = {own.name: [other for other in ordered if _dominates(other, own)] for own in ordered}
    placed = []
    for own in ordered:
        above = [other for other in better[own.name] if not better[other.name]]
        best = max(above, key=lambda other: other.score.score, default=own)
        names = tuple(other.name for other in sorted(better[own.name], key=lambda other: -other.score.score))
        placed.append(Placed(own.name, not names, names, own.score.high >= best.score.low))
    return placed


def _dominates(other: Point, own: Point) -> bool:
    return other.flops < own.flops and other.score.score > own.score.score
