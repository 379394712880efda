"""A study's budget: who exceeds it, and who would stand for a side if more or less of training were charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from fairfight.study import BudgetSection
from fairfight.verdict.cost import DICTIONARY_SHARE, SHARES, Spent
from fairfight.verdict.roster import Roster
from fairfight.verdict.statistics.words import Word


class Charge(NamedTuple):
    """How much of a dictionary's training is charged."""

    share: float
    """Of training that other tasks may share."""
    on_task_share: float = 1.0
    """Of training on the task's own texts."""


@dataclass(frozen=True)
class AtShare:
    """Who would stand for each side under the budget, were this share charged."""

    share: float
    on_task_share: float
    challenger: str | None
    """None where nobody of the side keeps the budget."""
    defender: str | None
    word: Word | None
    """On the mean over test sets, at the verdict's own level; None where a side stands empty."""
    over: tuple[str, ...]
    """Who exceeds the budget."""


@dataclass(frozen=True)
class Budgeted:
    """What the budget does to a verdict."""

    flops: float
    dictionary_share: float
    """What the verdict itself charges."""
    shares: tuple[AtShare, ...]


def budget_of(roster: Roster) -> BudgetSection | None:
    """Give the budget that the run's study sets, None where it sets none."""
    section = roster.run.get("study", {}).get("budget")
    return None if section is None else BudgetSection.model_validate(section)


def held_to_budget(roster: Roster, spent: Mapping[str, Spent]) -> Roster:
    """Give the roster with those barred from selection who exceed the study's budget; as it is without one."""
    budget = budget_of(roster)
    if budget is None:
        return roster
    return replace(roster, barred=over_budget(spent, budget.flops, Charge(budget.dictionary_share)))


def over_budget(spent: Mapping[str, Spent], flops: float, charge: Charge) -> dict[str, str]:
    """Give who is charged more than `flops`, each with what it cost.

    A contender of which nobody knows the cost cannot be shown to keep a budget, and is over it.
    """
    found = {}
    for name, own in sorted(spent.items()):
        charged = own.charged(charge.share, on_task_share=charge.on_task_share)
        if charged is None:
            found[name] = f"nobody says what its dictionary's training took; the budget is {flops:.3g} FLOPs"
        elif charged > flops:
            found[name] = f"it cost {charged:.3g} FLOPs; the budget is {flops:.3g}"
    return found


def charges(budget: BudgetSection, spent: Mapping[str, Spent]) -> list[Charge]:
    """Give what a verdict is shown at: 0, 10 and 100 % and the study's own share; 10 % of everything where that differs."""
    found = [Charge(share) for share in sorted({*SHARES, budget.dictionary_share})]
    has_on_task = any(own.training and own.training.on_task for own in spent.values())
    return [*found, Charge(DICTIONARY_SHARE, DICTIONARY_SHARE)] if has_on_task else found
