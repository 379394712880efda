"""Who fights for a side: the best on validation, and those that validation cannot tell from it."""

from __future__ import annotations

from typing import NamedTuple

from fairfight.errors import InputError
from fairfight.verdict.board import auroc_of
from fairfight.verdict.roster import VALIDATION, Entry, Roster
from fairfight.verdict.statistics.crossed import Played


class Chosen(NamedTuple):
    """A side's best contender."""

    best: Entry
    ties: tuple[str, ...]
    """Other contenders within one standard error of it on validation, best first."""


def choose(roster: Roster, side: str) -> Chosen:
    """Give a side's contender with the highest mean validation AUROC over seeds and dictionary seeds, and its ties.

    A contender ties when its mean is at most one standard error below the best. The standard error is that of the
    paired difference in mean validation AUROC between the two under another sample of clusters (base prompts, the same
    for every seed and both contenders); seeds are taken as they are. Where no validation scores were kept, nobody can
    be said to tie. Equal means: the alphabetically first name is best, the other ties.

    Who exceeds the study's budget is not chosen, and ties with nobody.

    Raises:
        InputError: no contender of that side is complete and within the budget.
    """
    entries = sorted(roster.eligible(side), key=lambda entry: (-entry.validation_auroc, entry.name))
    if not entries and (over := [own.name for own in roster.on_side(side)]):
        found = "; ".join(f"{name}: {roster.barred[name]}" for name in over)
        raise InputError(
            f"No contender on the side '{side}' keeps the study's budget ({found}). One was expected. Raise budget.flops, "
            "or give that side cheaper methods."
        )
    if not entries:
        lacking = {name: why for name, why in roster.incomplete.items() if roster.contenders[name].side == side}
        found = "; ".join(f"{name}: {why}" for name, why in lacking.items()) or "nobody played on it"
        raise InputError(
            f"No contender on the side '{side}' has a scored trial on every seed ({found}). Mend what failed and run "
            "the study again, or ask a question about another side."
        )
    best, others = entries[0], entries[1:]
    if not roster.has_scores(VALIDATION):
        return Chosen(best, ())
    own = auroc_of(roster, best, VALIDATION).mean
    return Chosen(
        best, tuple(other.name for other in others if _is_tied(own, auroc_of(roster, other, VALIDATION).mean))
    )


def _is_tied(best: Played, other: Played) -> bool:
    difference = best - other
    return float(difference.values.mean()) <= difference.cluster_error
