"""From the ledger to a verdict: choose on validation, compare on the test sets, say one word a set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from threadpoolctl import threadpool_limits

from fairfight.errors import InputError
from fairfight.ledger import Ledger
from fairfight.records import Failed, Side, Trial
from fairfight.study import Question
from fairfight.verdict.answer import Achieved, Compared, Metric, SetSize, SetVerdict, Verdict, word_of
from fairfight.verdict.caution import warnings_about
from fairfight.verdict.draws import draw
from fairfight.verdict.intervals import MACRO, Board, Replicates, interval
from fairfight.verdict.roster import CALIBRATION, VALIDATION, Entry, Roster, read_roster
from fairfight.verdict.select import choose
from fairfight.verdict.tpr import OperatingPoint, achieved_rates, operating_point, tpr_of_plays

Named = tuple[str, Mapping[str, Replicates]]
"""A contender's name, and its replicates by test set."""

DENSE_PROBE, _RECONSTRUCTION_PROBE = "logistic_probe", "reconstruction_probe"


def judge(ledger: Ledger, question: Question) -> Verdict:
    """Give the verdict on one question: best challenger against best defender, both chosen on validation.

    The paired bootstrap crosses clusters and seeds: a replicate draws clusters (stratified by class), split seeds and
    dictionary seeds once, for both contenders and every test set; intervals are percentiles at `question.level`, not
    adjusted for the number of questions or sets. The same ledger and question give the same bits.

    Raises:
        InputError: a side has no complete contender, or the metric is TPR and no calibration scores were kept.
        DamagedFileError: a record is damaged.
        EmptyClassError: a test set has too few clusters of a class to be resampled.
    """
    return judge_roster(read_roster(ledger), question)


def judge_all(ledger: Ledger) -> list[Verdict]:
    """Give the verdict on every question of the run's study, in the study's order.

    Raises:
        InputError, DamagedFileError, EmptyClassError: as for `judge`.
    """
    return list(verdicts(read_roster(ledger)))


def verdicts(roster: Roster) -> Iterator[Verdict]:
    """Give the verdicts of `judge_all` one by one, as each takes seconds on a large run.

    Raises:
        InputError, EmptyClassError: as for `judge`.
    """
    return (judge_roster(roster, question) for question in questions_of(roster))


def questions_of(roster: Roster) -> list[Question]:
    """Give the questions that the study fixed before its trials."""
    return [Question.model_validate(raw) for raw in roster.run.get("study", {}).get("questions", ())]


def judge_roster(roster: Roster, question: Question) -> Verdict:
    """Give the verdict on one question from a ledger that was read before; see `judge`."""
    # One BLAS thread: the order of sums, and so the last bit, would depend on how many cores there are.
    with threadpool_limits(limits=1, user_api="blas"):
        return _judged(roster, question)


def _judged(roster: Roster, question: Question) -> Verdict:
    names = (roster.hash, question.name)
    on_validation = None
    if roster.has_scores(VALIDATION):
        on_validation = draw(roster, (VALIDATION,), question.replicates, (*names, VALIDATION))
    challenger = choose(roster, question.challenger, on_validation)
    defender = choose(roster, question.defender, on_validation)
    point = operating_point(roster)
    if question.metric == "tpr" and point is None:
        raise InputError(
            f"The question '{question.name}' asks about TPR, but the ledger keeps no calibration scores, which set the "
            "threshold. Ask about AUROC, or run the study again."
        )
    sets = roster.test_sets if point is None else (*roster.test_sets, CALIBRATION)
    compare = _Comparisons(Board.of(roster, draw(roster, sets, question.replicates, names)), question, point)
    auroc = compare.auroc(challenger.best.name, defender.best.name)
    failed, excluded = _failures(roster), tuple(f"{name}: {why}" for name, why in roster.incomplete.items())
    return Verdict(
        question=question,
        challenger=challenger.best.name,
        defender=defender.best.name,
        challenger_ties=challenger.ties,
        defender_ties=defender.ties,
        auroc=auroc,
        tpr=compare.tpr(challenger.best.name, defender.best.name) if point else None,
        operating_point=point,
        achieved=_achieved(roster, challenger.best, defender.best, point),
        gaps=_gaps(roster, compare),
        controls=_same_method(roster, challenger.best, compare, "control"),
        rivals=_same_method(roster, challenger.best, compare, "rival"),
        random_controls=tuple(e.name for e in roster.on_side("control") if roster.kind_of(e.contender) == "random"),
        sizes=_sizes(roster),
        seeds=len(roster.seeds),
        dictionary_seeds=len(challenger.best.dictionary_seeds) if challenger.best.contender.dictionary else 0,
        failed=failed,
        excluded=excluded,
        warnings=warnings_about(roster, question, auroc, point, failed, excluded),
    )


class _Comparisons:
    """Paired comparisons under one draw."""

    def __init__(self, board: Board, question: Question, point: OperatingPoint | None) -> None:
        self._board, self._question = board, question
        self._tpr_of_play = tpr_of_plays(board.roster, board.draws, point.fpr) if point else None

    def auroc(self, first: str, second: str) -> Compared:
        """Compare by AUROC."""
        one, two = (self._board.aurocs(name) for name in (first, second))
        return compared((first, one), (second, two), "auroc", self._question)

    def tpr(self, first: str, second: str) -> Compared:
        """Compare by TPR at the operating point."""
        assert self._tpr_of_play is not None, "asked only where there is an operating point"
        one, two = (self._board.replicates(name, "tpr", self._tpr_of_play) for name in (first, second))
        return compared((first, one), (second, two), "tpr", self._question)

    def deciding(self, first: str, second: str) -> Compared:
        """Compare by the question's metric."""
        return self.auroc(first, second) if self._question.metric == "auroc" else self.tpr(first, second)


def compared(first: Named, second: Named, metric: Metric, question: Question) -> Compared:
    """Give the paired comparison of two contenders from their replicates under one draw."""
    (challenger, ours), (defender, theirs) = first, second
    by_set = {name: _set_verdict(ours[name], theirs[name], question) for name in ours}
    macro = by_set.pop(MACRO)
    return Compared(challenger, defender, metric, by_set, macro)


def _set_verdict(ours: Replicates, theirs: Replicates, question: Question) -> SetVerdict:
    difference, low, high = interval(ours - theirs, question.level)
    return SetVerdict(word_of(low, high, question.margin), difference, low, high, float(ours[0]), float(theirs[0]))


def _gaps(roster: Roster, compare: _Comparisons) -> tuple[Compared, ...]:
    probes = [entry for entry in roster.on_side("dictionary") if entry.contender.method == _RECONSTRUCTION_PROBE]
    return tuple(compare.auroc(probe.name, DENSE_PROBE) for probe in probes if DENSE_PROBE in roster.entries)


def _same_method(roster: Roster, challenger: Entry, compare: _Comparisons, side: Side) -> tuple[Compared, ...]:
    others = [entry for entry in roster.on_side(side) if entry.contender.method == challenger.contender.method]
    return tuple(compare.deciding(challenger.name, entry.name) for entry in others if entry.name != challenger.name)


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
