"""From a run and its first verdict to what the criteria look at."""

from __future__ import annotations

from collections.abc import Iterator

from fairfight.verdict.answer import Compared, SetVerdict, Verdict
from fairfight.verdict.board import Board
from fairfight.verdict.budget import budget_of
from fairfight.verdict.cost import SHARES, spent
from fairfight.verdict.criteria.case import (
    DEMANDED,
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

_REMOVED = "neurons"
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
        moot_controls=_moot_controls(roster, verdict),
        rivals=tuple(_beat(own, _kind(roster, own.defender)) for own in verdict.rivals),
        dictionary=_dictionary(roster, verdict),
        public=PublicFacts(
            is_public=True,
            artefacts=("study file", "ledger of every trial with its scores", "code"),
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
    entries = roster.on_side("baseline")
    families = tuple(dict.fromkeys(entry.contender.family for entry in entries))
    counts = roster.run.get("configurations", {})
    tried = {
        side: sum(counts.get(name, 0) for name, own in roster.contenders.items() if own.side == side)
        for side in (verdict.question.challenger, verdict.question.defender)
    }
    found = referenced(Board.of(roster))
    peeking = [warning for warning in verdict.warnings if "sealed" in warning]
    return FieldFacts(
        families=families,
        demanded=DEMANDED[str(roster.run.get("task", {}).get("contest", "detect"))],
        tuning="equal" if len(set(tried.values())) == 1 else "unequal",
        tuning_note=", ".join(f"{side} {count} configurations" for side, count in tried.items()),
        baselines_below=(*map(str, found.baselines), *peeking),
        dictionaries_below=tuple(map(str, found.dictionaries)),
        dictionary_quality="known" if found.is_known or _has_cards(roster) else "unknown",
        note="" if found.is_known else "no reference scores are known for this task and model",
    )


def _has_cards(roster: Roster) -> bool:
    own = [card for card in roster.run.get("dictionaries", ()) if card.get("role") == "contestant"]
    return bool(own) and all(card.get("fvu") is not None for card in own)


def _controls(roster: Roster, verdict: Verdict) -> Iterator[Beat]:
    moot = dict(_moot_controls(roster, verdict))
    for own in verdict.controls:
        kind = _kind(roster, own.defender)
        if kind in moot:
            continue
        yield _beat(own, kind)
        if kind == _REMOVED:
            yield Beat(
                own.defender, own.macro.word, "On neurons the method reads the activations themselves.", "removed"
            )


def _moot_controls(roster: Roster, verdict: Verdict) -> tuple[tuple[str, str], ...]:
    method = roster.contenders[verdict.challenger].method
    if roster.run.get("reads", {}).get(method) != "codes":
        return ()
    return (("shuffled", f"it changes what codes stand for, not the codes, and {method} reads codes alone"),)


def _kind(roster: Roster, name: str) -> str:
    return roster.kind_of(roster.contenders[name])


def _beat(own: Compared, kind: str = "") -> Beat:
    return Beat(own.defender, own.macro.word, f"Against {own.defender} {_said(own.macro)}.", kind)


def _said(own: SetVerdict) -> str:
    return f"{own.difference:+.3f} [{own.low:+.3f}, {own.high:+.3f}] ({own.word})"


def _dictionary(roster: Roster, verdict: Verdict) -> DictionaryFacts:
    name = roster.contenders[verdict.challenger].dictionary
    cards = [card for card in roster.run.get("dictionaries", ()) if card.get("name") == name]
    kind = roster.kind_of(roster.contenders[verdict.challenger]) or "none"
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
