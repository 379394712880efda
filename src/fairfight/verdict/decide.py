"""From the ledger to a verdict: choose on validation, compare on the test sets, say one word a set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fairfight.errors import InputError
from fairfight.ledger import Ledger
from fairfight.records import Failed, Side, Trial
from fairfight.study import Question
from fairfight.verdict.answer import Achieved, Compared, Costs, Hardest, Sensitivity, SetSize, SetVerdict, Verdict
from fairfight.verdict.board import MACRO, Board, Metric
from fairfight.verdict.budget import AtShare, Budgeted, budget_of, charges, held_to_budget, over_budget
from fairfight.verdict.caution import moot_controls, peeking, warnings_about
from fairfight.verdict.cost import DICTIONARY_SHARE, Spent, break_even, spent
from fairfight.verdict.left_out import differences_without
from fairfight.verdict.roster import Entry, Roster, read_roster
from fairfight.verdict.select import Chosen, choose
from fairfight.verdict.statistics import words
from fairfight.verdict.statistics.crossed import Crossed
from fairfight.verdict.statistics.delong import DeLong, delong
from fairfight.verdict.statistics.power import needed, smallest_effect
from fairfight.verdict.statistics.several import Adjusted, against_every, holm
from fairfight.verdict.tpr import OperatingPoint, achieved_rates

DENSE_PROBE, _RECONSTRUCTION_PROBE = "logistic_probe", "reconstruction_probe"


def judge(ledger: Ledger, question: Question) -> Verdict:
    """Give the verdict on one question: best challenger against best defender, both chosen on validation.

    Differences are paired. Their intervals cross clusters, split seeds and dictionary seeds (`statistics.crossed`), and
    are adjusted for nothing, as the question stands alone. The same ledger and question give the same bits.

    Raises:
        InputError: a side has no complete contender, or the metric is TPR and no calibration scores were kept.
        DamagedFileError: a record is damaged.
        EmptyClassError: a test set has too few clusters of a class to be resampled.
    """
    return next(verdicts(read_roster(ledger), [question]))


def judge_all(ledger: Ledger) -> list[Verdict]:
    """Give the verdict on every question of the run's study, in the study's order, adjusted for their number.

    Raises:
        InputError, DamagedFileError, EmptyClassError: as for `judge`.
    """
    roster = read_roster(ledger)
    return list(verdicts(roster, questions_of(roster)))


def questions_of(roster: Roster) -> list[Question]:
    """Give the questions that the study fixed before its trials."""
    return [Question.model_validate(raw) for raw in roster.run.get("study", {}).get("questions", ())]


def verdicts(roster: Roster, questions: Sequence[Question]) -> Iterator[Verdict]:
    """Give the verdicts on a family of questions one by one, from a ledger that was read before; see `judge` and `holm`.

    The p-value of a question is that of the word nearest at hand on the mean over test sets, under its own metric. Its
    word follows from the adjusted one, because its interval is shown at the level that Holm's procedure leaves it.

    Raises:
        InputError, EmptyClassError: as for `judge`.
    """
    costs = spent(roster)
    roster = held_to_budget(roster, costs)
    board = Board.of(roster, replicates=max((own.replicates for own in questions), default=0))
    cases = [_Case.of(board, question, costs) for question in questions]
    adjusted = holm([case.p for case in cases], [case.question.level for case in cases])
    return (_judged(case, own, len(cases)) for case, own in zip(cases, adjusted, strict=True))


@dataclass(frozen=True)
class _Case:
    """A question with its champions."""

    board: Board
    question: Question
    challenger: Chosen
    defender: Chosen
    spent: Mapping[str, Spent]

    @staticmethod
    def of(board: Board, question: Question, costs: Mapping[str, Spent]) -> _Case:
        """Give the case with each side's best on validation."""
        if question.metric == "tpr" and board.point is None:
            raise InputError(
                f"The question '{question.name}' asks about TPR, but the calibration set, which sets the threshold, kept no "
                "scores or has too few negative texts (30 in 15 clusters are needed). Ask about AUROC."
            )
        challenger, defender = (choose(board.roster, side) for side in (question.challenger, question.defender))
        return _Case(board, question, challenger, defender, costs)

    @property
    def macro(self) -> Crossed:
        """The difference that decides."""
        names = (self.challenger.best.name, self.defender.best.name)
        return self.board.difference(*names, self.question.metric)[MACRO]

    @property
    def p(self) -> float:
        """The p-value that takes part in the adjustment."""
        return words.chances(self.macro.estimate(), self.question.margin).least


@dataclass(frozen=True)
class _Comparisons:
    """Paired comparisons for one question, at one level."""

    board: Board
    question: Question
    level: float

    def __call__(self, first: str, second: str, metric: Metric | None = None) -> Compared:
        """Compare by a metric, the question's own when left out."""
        return compared(self.board, (first, second), metric or self.question.metric, self.question.margin, self.level)


def _judged(case: _Case, adjusted: Adjusted, questions: int) -> Verdict:
    board, roster, question = case.board, case.board.roster, case.question
    challenger, defender = case.challenger.best, case.defender.best
    compare = _Comparisons(board, question, adjusted.level)
    auroc = compare(challenger.name, defender.name, "auroc")
    failed, looked = _failures(roster), peeking(board)
    incomplete, barred = (
        tuple(f"{name}: {why}" for name, why in own.items()) for own in (roster.incomplete, roster.barred)
    )
    return Verdict(
        question=question,
        level=adjusted.level,
        adjusted_p=adjusted.p,
        questions=questions,
        challenger=challenger.name,
        defender=defender.name,
        challenger_ties=case.challenger.ties,
        defender_ties=case.defender.ties,
        every=_hardest(case, compare),
        sensitivity=_sensitivity(case, adjusted.level),
        left_out=differences_without(board, challenger, defender, question.metric),
        auroc=auroc,
        tpr=compare(challenger.name, defender.name, "tpr") if board.point else None,
        operating_point=board.point,
        achieved=_achieved(roster, challenger, defender, board.point),
        gaps=_gaps(roster, compare),
        controls=_controls(roster, challenger, compare),
        rivals=_same_method(roster, challenger, compare, "rival"),
        delong=_delong(roster, challenger, defender),
        random_controls=tuple(e.name for e in roster.on_side("control") if roster.kind_of(e.contender) == "random"),
        sizes=_sizes(roster),
        seeds=len(roster.seeds),
        dictionary_seeds=len(challenger.dictionary_seeds) if challenger.contender.dictionary else 0,
        failed=failed,
        excluded=incomplete + barred,
        peeking=looked,
        warnings=warnings_about(roster, question, auroc, looked, board.point, failed, incomplete),
        costs=_costs(case),
        budget=_budgeted(case, compare),
    )


def _costs(case: _Case) -> Costs:
    budget = budget_of(case.board.roster)
    share = budget.dictionary_share if budget else DICTIONARY_SHARE
    ours, theirs = (case.spent[own.best.name] for own in (case.challenger, case.defender))
    return Costs(share, ours.charged(share), theirs.charged(share), break_even(ours, theirs))


def _budgeted(case: _Case, compare: _Comparisons) -> Budgeted | None:
    """Give who would stand for each side at each share that could be charged, and the word between them."""
    roster = case.board.roster
    budget = budget_of(roster)
    if budget is None:
        return None
    found = []
    for charge in charges(budget, case.spent):
        barred = over_budget(case.spent, budget.flops, charge)
        held = replace(roster, barred=barred)
        sides = (case.question.challenger, case.question.defender)
        first, second = (choose(held, side).best.name if held.eligible(side) else None for side in sides)
        word = compare(first, second).macro.word if first and second else None
        found.append(AtShare(charge.share, charge.on_task_share, first, second, word, tuple(barred)))
    return Budgeted(budget.flops, budget.dictionary_share, tuple(found))


def compared(board: Board, names: tuple[str, str], metric: Metric, margin: float, level: float) -> Compared:
    """Give the paired comparison of two contenders, on every test set and on their mean."""
    first, second = names
    differences = board.difference(first, second, metric)
    ours, theirs = (board.played(name, metric) for name in names)
    by_set = {
        name: _set_verdict(own, (ours[name].values, theirs[name].values), margin, level)
        for name, own in differences.items()
    }
    macro = by_set.pop(MACRO)
    return Compared(first, second, metric, by_set, macro)


def _set_verdict(own: Crossed, scores: tuple[np.ndarray, np.ndarray], margin: float, level: float) -> SetVerdict:
    found = own.estimate()
    low, high = words.interval(found, level)
    p = words.chances(found, margin).least
    ours, theirs = (float(values.mean()) for values in scores)
    word = words.word_of(low, high, margin)
    return SetVerdict(word, found.value, low, high, ours, theirs, found.error, found.degrees, p)


def _hardest(case: _Case, compare: _Comparisons) -> Hardest:
    """Give the comparison with the defender that the challenger is least sure to beat."""
    name, question = case.challenger.best.name, case.question
    others = [entry.name for entry in case.board.roster.eligible(question.defender) if entry.name != name] or [name]
    macros = {other: case.board.difference(name, other, question.metric)[MACRO].estimate() for other in others}
    chances = {other: words.chances(macro, question.margin).wins for other, macro in macros.items()}
    # Among those that it surely does not beat p says nothing; there the largest deficit stands.
    hardest = max(chances, key=lambda other: (min(chances[other], 0.5), -macros[other].value))
    return Hardest(compare(name, hardest), against_every(list(chances.values())), len(chances))


def _sensitivity(case: _Case, level: float) -> Sensitivity:
    found, margin = case.macro.estimate(), case.question.margin
    return Sensitivity(smallest_effect(found, margin, level), needed(found, case.macro.parts(), margin, level))


def _gaps(roster: Roster, compare: _Comparisons) -> tuple[Compared, ...]:
    probes = [entry for entry in roster.on_side("dictionary") if entry.contender.method == _RECONSTRUCTION_PROBE]
    return tuple(compare(probe.name, DENSE_PROBE, "auroc") for probe in probes if DENSE_PROBE in roster.entries)


def _same_method(roster: Roster, challenger: Entry, compare: _Comparisons, side: Side) -> tuple[Compared, ...]:
    others = [entry for entry in roster.on_side(side) if entry.contender.method == challenger.contender.method]
    return tuple(compare(challenger.name, entry.name) for entry in others if entry.name != challenger.name)


def _controls(roster: Roster, challenger: Entry, compare: _Comparisons) -> tuple[Compared, ...]:
    moot = dict(moot_controls(roster, challenger.name))
    found = _same_method(roster, challenger, compare, "control")
    return tuple(own for own in found if roster.kind_of(roster.contenders[own.defender]) not in moot)


def _delong(roster: Roster, challenger: Entry, defender: Entry) -> dict[str, DeLong | str]:
    """Give the textbook's test where it applies: one trial a side, independent examples, AUROCs short of perfect."""
    if len(challenger.plays) > 1 or len(defender.plays) > 1:
        return {}
    ours, theirs = (next(iter(entry.plays.values())).scores for entry in (challenger, defender))
    found: dict[str, DeLong | str] = {}
    for name in roster.test_sets:
        index = roster.indices[roster.seeds[0], name]
        try:
            found[name] = delong(ours[name], theirs[name], index.labels, clusters=index.clusters)
        except InputError as refusal:
            found[name] = str(refusal)
    return found


def _achieved(roster: Roster, challenger: Entry, defender: Entry, point: OperatingPoint | None) -> dict[str, Achieved]:
    if point is None:
        return {}
    ours, theirs = (achieved_rates(roster, entry, point.fpr) for entry in (challenger, defender))
    return {name: Achieved(ours[name].fpr, theirs[name].fpr) for name in roster.test_sets}


def _sizes(roster: Roster) -> dict[str, SetSize]:
    sizes = {}
    for name in roster.test_sets:
        index = roster.indices[roster.seeds[0], name]
        positives = int((index.labels == 1).sum())
        sizes[name] = SetSize(positives, len(index.labels) - positives, len(np.unique(index.clusters)))
    return sizes


def _failures(roster: Roster) -> tuple[str, ...]:
    return tuple(_failure(trial) for trial in roster.failed)


def _failure(trial: Trial) -> str:
    assert isinstance(trial.outcome, Failed)
    spec = trial.spec
    own = f", dictionary seed {spec.dictionary_seed}" if spec.dictionary_seed is not None else ""
    what = f"{trial.outcome.error}: {trial.outcome.message}"
    return f"{spec.contender.name} ({spec.purpose}, seed {spec.seed}{own}): {what}"
