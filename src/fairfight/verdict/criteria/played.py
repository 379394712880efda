"""From a run and its first verdict to what the criteria look at."""

from __future__ import annotations

from collections.abc import Iterator

from fairfight.records import FAIR_FIELD
from fairfight.verdict.answer import Compared, SetVerdict, Verdict
from fairfight.verdict.board import Board
from fairfight.verdict.budget import budget_of
from fairfight.verdict.caution import moot_controls, tried_by_side
from fairfight.verdict.cost import SHARES, spent
from fairfight.verdict.criteria.case import (
    REMOVED,
    Beat,
    BudgetFacts,
    Call,
    Case,
    DictionaryFacts,
    FieldFacts,
    PublicFacts,
    RobustFacts,
    TaskFacts,
)
from fairfight.verdict.references import referenced
from fairfight.verdict.roster import Roster

_BARE = "neurons"
"""The dictionary whose latents are the coordinates themselves: the same method on it does without a dictionary."""


def case_of(roster: Roster, verdict: Verdict, calls: tuple[Call, ...] = ()) -> Case:
    """Give the case of a run by the verdict on one of its questions."""
    task = roster.run.get("task", {})
    return Case(
        title=f"{roster.run['study'].get('name', 'a run')}: {verdict.question.name}",
        task=_task(roster),
        constraints=tuple((rule, "") for rule in task.get("constraints", ())),
        budget=_budget(roster, verdict),
        field=_field(roster, verdict),
        main=_beat(verdict.deciding),
        every=_beat(verdict.every.compared),
        controls=tuple(_controls(roster, verdict)),
        moot_controls=moot_controls(roster, verdict.challenger),
        rivals=tuple(_beat(own, _kind(roster, own.defender)) for own in verdict.rivals),
        dictionary=_dictionary(roster, verdict),
        public=PublicFacts(
            is_public=None,
            artefacts=("study file", "ledger of every trial with its scores"),
            reproducible="yes" if roster.hash else "unknown",
            note=f"study hash {roster.hash[:12]}; the same command plays it again" if roster.hash else "",
        ),
        robust=_robust(roster, verdict),
        calls=calls,
    )


def _task(roster: Roster) -> TaskFacts:
    own, name = roster.run.get("task", {}), str(roster.run["study"].get("task", {}).get("name", ""))
    motive = str(own.get("motive", ""))
    return TaskFacts(
        name=name,
        contest=str(own.get("contest", "detect")),
        downstream="yes" if motive else "unknown",
        motive=motive,
        measured="objectively",
        measure=f"AUROC on {len(roster.test_sets)} sealed test sets",
    )


def _field(roster: Roster, verdict: Verdict) -> FieldFacts:
    entries = roster.eligible("baseline")
    families = tuple(dict.fromkeys(entry.contender.family for entry in entries))
    tried = tried_by_side(roster, verdict.question)
    contest = str(roster.run.get("task", {}).get("contest", "detect"))
    found = referenced(Board.of(roster))
    return FieldFacts(
        families=families,
        demanded=FAIR_FIELD.get(contest),
        tuning="unknown" if not all(tried.values()) else "equal" if len(set(tried.values())) == 1 else "unequal",
        tuning_note=", ".join(f"{side} {count} configurations" for side, count in tried.items()),
        peeking=tuple(
            f"{own.name} (AUROC {own.test_auroc:.3f} on '{own.test_set}', {own.train_auroc:.3f} where it was fitted)"
            for own in verdict.peeking
        ),
        incomplete=tuple(
            f"{name} ({why})"
            for name, why in {**roster.incomplete, **roster.barred}.items()
            if roster.contenders[name].side == "baseline"
        ),
        baselines_below=tuple(map(str, found.baselines)),
        dictionaries_below=tuple(map(str, found.dictionaries)),
        dictionary_quality="known" if _has_cards(roster) else "unknown",
        note="" if found.is_known else "no reference scores are known for this task and model",
    )


def _has_cards(roster: Roster) -> bool:
    own = [card for card in roster.run.get("dictionaries", ()) if card.get("role") == "contestant"]
    return bool(own) and all(card.get("fvu") is not None for card in own)


def _controls(roster: Roster, verdict: Verdict) -> Iterator[Beat]:
    for own in verdict.controls:
        kind = _kind(roster, own.defender)
        yield _beat(own, kind)
        if kind == _BARE:
            yield Beat(own.defender, own.macro.word, "On neurons the method reads the activations themselves.", REMOVED)


def _kind(roster: Roster, name: str) -> str:
    return roster.kind_of(roster.contenders[name])


def _beat(own: Compared, kind: str = "") -> Beat:
    return Beat(own.defender, own.macro.word, f"Against {own.defender} {_said(own.macro)}.", kind)


def _said(own: SetVerdict) -> str:
    return f"{own.difference:+.3f} [{own.low:+.3f}, {own.high:+.3f}] ({own.word})"


def _dictionary(roster: Roster, verdict: Verdict) -> DictionaryFacts:
    name = roster.contenders[verdict.challenger].dictionary
    cards = [card for card in roster.run.get("dictionaries", ()) if card.get("name") == name]
    # A card names what a dictionary is, the study how it came here: `given`, `fine_tuned`.
    kind = str(cards[0]["kind"]) if cards else roster.kind_of(roster.contenders[verdict.challenger]) or "none"
    l0 = [card["l0"] for card in cards if card.get("l0") is not None]
    latents = [card.get("recipe", {}).get("latents") for card in cards]
    known = [own for own in latents if own is not None]
    return DictionaryFacts(kind, sum(l0) / len(l0) if l0 else None, max(known) if known else None)


def _robust(roster: Roster, verdict: Verdict) -> RobustFacts:
    won = [name for name, own in verdict.sets.items() if own.word == "wins"]
    return RobustFacts(
        attempted=len(verdict.sets),
        usable=len(won),
        what="test sets on which it wins",
        seeds=verdict.seeds,
        dictionary_seeds=verdict.dictionary_seeds,
        attempts=roster.division.earlier_runs + roster.division.earlier_registrations,
        is_registered=roster.division.word == "closed",
        fragile=tuple(_turned(verdict)),
        note=f"{roster.division.word}: it {roster.division.reason}",
    )


def _budget(roster: Roster, verdict: Verdict) -> BudgetFacts | None:
    """Give what the challenger is charged by the share of its dictionary's training, None without a budget."""
    own = budget_of(roster)
    if own is None:
        return None
    cost = spent(roster)[verdict.challenger]
    return BudgetFacts(own.flops, {share: cost.charged(share) for share in SHARES})


def _turned(verdict: Verdict) -> Iterator[str]:
    """Give the test sets and seeds without which the mean would not be ahead."""
    if verdict.macro.word == "wins":
        yield from (name for name, rest in verdict.left_out.items() if rest <= verdict.question.margin)
