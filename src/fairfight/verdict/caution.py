"""What a reader should know before leaning on a verdict."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fairfight.study import Question
from fairfight.verdict.answer import Compared, Peeking
from fairfight.verdict.board import Board
from fairfight.verdict.criteria.case import CONTROLS, REMOVED
from fairfight.verdict.roster import Roster
from fairfight.verdict.tpr import LEAST_LOOSE_CLUSTERS, LEAST_LOOSE_NEGATIVES, LOOSE_FPR, OperatingPoint

SATURATED = 0.99
"""A defender's mean AUROC from which differences can hardly be seen."""
FEW_CLUSTERS = 20
FEW_SEEDS = 3
"""Fewer split seeds, or fewer dictionary seeds, than this say little about how they differ."""
LEARNABLE = 0.03
"""By how much AUROC on sealed texts of the training distribution may exceed that on the training texts themselves, beside
two standard errors of the former."""


def warnings_about(
    roster: Roster,
    question: Question,
    auroc: Compared,
    peeking: tuple[Peeking, ...],
    point: OperatingPoint | None,
    failed: tuple[str, ...],
    incomplete: tuple[str, ...],
) -> tuple[str, ...]:
    """Give the warnings that belong to a verdict, each a sentence."""
    found = [*map(_looked_at, peeking), *_unfair_field(roster, question, auroc.challenger)]
    for name, verdict in auroc.sets.items():
        if verdict.defender_score >= SATURATED:
            found.append(
                f"'{name}' is saturated: {auroc.defender} has a mean AUROC of {verdict.defender_score:.3f} there, so "
                "differences in AUROC are hardly visible. Look at the TPR."
            )
    found += [_few_clusters(name, count) for name, count in _smallest_class(roster).items() if count < FEW_CLUSTERS]
    if len(roster.seeds) < FEW_SEEDS:
        found.append(f"Only {len(roster.seeds)} split seed(s) were scored: intervals hardly know how seeds differ.")
    if len(seeds := _dictionary_seeds(roster, auroc)) in range(1, FEW_SEEDS):
        found.append(
            f"Only {len(seeds)} dictionary seed(s) were scored: intervals hardly know how dictionaries differ."
        )
    if point is None:
        found.append(
            "No TPR can be given: the calibration set kept no scores, or has fewer than the "
            f"{LEAST_LOOSE_NEGATIVES} negative texts in {LEAST_LOOSE_CLUSTERS} clusters that a threshold at 5 % needs."
        )
    elif point.fpr == LOOSE_FPR:
        found.append(f"The TPR is at a false positive rate of 5 %, not 1 %: {point.reason}.")
    if incomplete:
        found.append(f"Left out of selection for want of scored seeds: {'; '.join(incomplete)}.")
    if over := _over_budget(roster, question):
        found.append(f"Left out of selection by the study's budget: {'; '.join(over)}.")
    if failed:
        found.append(f"{len(failed)} trial(s) failed; they are listed.")
    return tuple(found)


def peeking(board: Board) -> tuple[Peeking, ...]:
    """Give who is better on the sealed in-distribution texts than on those that it was fitted on: nobody learns that."""
    return tuple(_peeking(board))


def _peeking(board: Board) -> Iterator[Peeking]:
    sealed = board.roster.test_sets[0]
    for name, entry in sorted(board.roster.entries.items()):
        own = board.played(name, "auroc")[sealed].mean
        test = float(own.values.mean())
        train = float(np.mean([play.outcome.train_auroc for play in entry.plays.values()]))
        if test - 2 * own.cluster_error > train + LEARNABLE:
            yield Peeking(name, sealed, test, train)


def _looked_at(own: Peeking) -> str:
    return (
        f"{own.name} has AUROC {own.test_auroc:.3f} on the sealed set '{own.test_set}', but {own.train_auroc:.3f} on the texts that it was "
        "fitted on: it has seen the answers, or the set is another task. Look at its code before you believe any of its scores."
    )


def _over_budget(roster: Roster, question: Question) -> list[str]:
    """Give the contenders of the question's sides that exceed the budget, with what they cost."""
    sides = (question.challenger, question.defender)
    return [f"{name}: {why}" for name, why in roster.barred.items() if roster.contenders[name].side in sides]


def _unfair_field(roster: Roster, question: Question, challenger: str) -> Iterator[str]:
    if families := roster.run.get("missing_families"):
        yield f"The field lacks baselines of these families: {', '.join(families)}. A win here is not a fair win."
    if question.challenger == "dictionary":
        played = {roster.kind_of(entry.contender) for entry in roster.on_side("control")}
        moot = dict(moot_controls(roster, challenger))
        if lacking := [kind for kind in CONTROLS if kind not in played and kind not in moot and kind != REMOVED]:
            yield f"No control dictionary of these kinds was played: {', '.join(lacking)}. What a win owes to the SAE stays open."
    tried = tried_by_side(roster, question)
    if all(tried.values()) and len(set(tried.values())) > 1:
        yield (
            f"The sides were tuned unequally: the {question.challenger} side tried {tried[question.challenger]} configurations in all, the "
            f"{question.defender} side {tried[question.defender]}."
        )


def tried_by_side(roster: Roster, question: Question) -> dict[str, int]:
    """Give how many configurations the question's challengers tried in all, then its defenders; 0: the run does not say."""
    counts = roster.run.get("configurations", {})
    return {
        side: sum(counts.get(name, 0) for name, own in roster.contenders.items() if own.side == side)
        for side in (question.challenger, question.defender)
    }


def moot_controls(roster: Roster, challenger: str) -> tuple[tuple[str, str], ...]:
    """Give the kinds of controls that can show nothing about a challenger, by what its method reads, with why."""
    method = roster.contenders[challenger].method
    if roster.run.get("reads", {}).get(method) != "codes":
        return ()
    return (("shuffled", f"it changes what codes stand for, not the codes, and {method} reads codes alone"),)


def _dictionary_seeds(roster: Roster, auroc: Compared) -> set[int]:
    """Give the dictionary seeds of the two sides where they have several; one seed is all there is for some kinds."""
    study = roster.run.get("study", {}).get("trials", {})
    own = [roster.entries[name] for name in (auroc.challenger, auroc.defender)]
    found = {seed for entry in own for seed in entry.dictionary_seeds if seed is not None}
    return found if len(found) > 1 or study.get("dictionary_seeds") == 1 else set()


def _few_clusters(name: str, count: int) -> str:
    return f"'{name}' has only {count} clusters of one class: its interval is rough."


def _smallest_class(roster: Roster) -> dict[str, int]:
    smallest = {}
    for name in roster.test_sets:
        indices = [roster.indices[seed, name] for seed in roster.seeds]
        of_classes = [index.clusters[index.labels == label] for index in indices for label in (0, 1)]
        smallest[name] = min(len(np.unique(clusters)) for clusters in of_classes)
    return smallest
