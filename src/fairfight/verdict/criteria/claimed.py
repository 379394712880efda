"""From a claim's numbers to what the criteria look at."""

from __future__ import annotations

import math

from fairfight.verdict.claims import Claim, ClaimedBudget, Result
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
from fairfight.verdict.reproduced import Record
from fairfight.verdict.statistics.words import word_of

_NORMAL = 1.959964
"""Of a 95 % interval."""


def case_of(claim: Claim, more_calls: tuple[Call, ...] = (), reproduced: Record | None = None) -> Case:
    """Give the case of a claim.

    Calls entered later stand in for those of the file on the same criterion, a reproduction for what the file says of it.
    """
    task, field = claim.task, claim.field
    baselines = [own for own in claim.results if own.role == "baseline"]
    best = next((own for own in baselines if own.is_best), None)
    hardest = min(baselines, key=_standing, default=None)
    later = {call.criterion for call in more_calls}
    calls = tuple(
        Call(own.criterion, own.word, own.by, str(own.on or "undated"), own.because, own.private)
        for own in claim.calls
        if own.criterion not in later
    )
    return Case(
        title=claim.title,
        task=TaskFacts(task.name, task.contest, task.downstream, task.motive, task.measured, task.measure),
        constraints=tuple((own.rule, own.argument) for own in claim.constraints),
        budget=_budget(claim.budget) if claim.budget else None,
        field=FieldFacts(
            families=tuple(field.families),
            demanded=DEMANDED[task.contest],
            tuning=field.tuning,
            tuning_note=field.tuning_note,
            baselines_below=field.baselines_below_reference,
            dictionary_quality=field.dictionary_quality,
            note=field.note,
        ),
        main=_beat(claim, best or hardest) if hardest else None,
        every=_beat(claim, hardest) if hardest else None,
        controls=tuple(_beat(claim, own) for own in claim.results if own.role == "control"),
        rivals=tuple(_beat(claim, own) for own in claim.results if own.role == "rival"),
        dictionary=DictionaryFacts(
            claim.dictionary.kind, claim.dictionary.l0, claim.dictionary.latents, claim.dictionary.note
        ),
        public=_public(claim, reproduced),
        robust=RobustFacts(
            attempted=claim.robustness.attempted,
            usable=claim.robustness.usable,
            what=claim.robustness.what,
            big_deal=claim.robustness.big_deal,
            seeds=claim.robustness.seeds,
            dictionary_seeds=claim.robustness.dictionary_seeds,
            fragile=claim.robustness.fragile,
            note=claim.robustness.note,
        ),
        calls=(*calls, *more_calls),
    )


def _public(claim: Claim, reproduced: Record | None) -> PublicFacts:
    own = claim.public
    if reproduced is None:
        return PublicFacts(own.is_public, own.artefacts, own.reproducible, own.note)
    note = f"{reproduced}; {own.note}" if own.note else str(reproduced)
    return PublicFacts(own.is_public, own.artefacts, "no" if reproduced.apart else "yes", note)


def bounds(own: Result) -> tuple[float, float, str] | None:
    """Give a result's interval with what it stands on, None where the numbers give none.

    From n items a side, shares p and q: difference +- 1.96 sqrt(p (1 - p) / n + q (1 - q) / n), as if the items were
    different ones; where they are the same and scores agree, the true interval is shorter.
    """
    if own.difference is None or own.challenger is None or own.defender is None:
        return None
    if own.low is not None and own.high is not None:
        return own.low, own.high, "interval as in the source"
    if own.n is None:
        return None
    p, q = own.challenger, own.defender
    reach = _NORMAL * math.sqrt((p * (1 - p) + q * (1 - q)) / own.n)
    return own.difference - reach, own.difference + reach, f"as if unpaired, n = {own.n} a side, seeds unknown"


def _beat(claim: Claim, own: Result) -> Beat:
    found, source = bounds(own), claim.sources[own.source]
    head = f"{own.against}: {own.measure}"
    if own.difference is not None:
        head += f" {own.challenger:g} against {own.defender:g}, difference {own.difference:+.3g}"
    unsure = "" if source.status in ("verified", "computed") else f", {source.status}"
    cited = f"{own.source}{unsure}{f'; {own.note}' if own.note else ''}"
    if found is not None:
        low, high, basis = found
        word = word_of(low, high, own.margin)
        return Beat(own.against, word, f"{head} [{low:+.3g}, {high:+.3g}] ({basis}; {cited}): {word}.", own.kind)
    if own.stated is None:
        return Beat(own.against, "undecided", f"{head}; no interval can be given ({cited}).", own.kind)
    # Whoever says that they lost is believed without an interval; whoever says that they won is not.
    word = "undecided" if own.stated == "wins" else own.stated
    return Beat(own.against, word, f"{head}; the source says '{own.stated}' and gives no interval ({cited}).", own.kind)


def _standing(own: Result) -> tuple[float, float]:
    """Give how surely a result is a win: by the interval's lower end; without one what is stated, as good as unknown."""
    found = bounds(own)
    if found is not None:
        return found[0], own.difference or 0.0
    return {"loses": -math.inf, "ties": -1e-9}.get(own.stated or "", 0.0), own.difference or 0.0


def _budget(own: ClaimedBudget) -> BudgetFacts:
    charged = {}
    for share in (0.0, 0.1, 1.0):
        known = own.spent is not None and (share == 0 or own.dictionary_training is not None)
        charged[share] = (own.spent or 0.0) + share * (own.dictionary_training or 0.0) if known else None
    return BudgetFacts(own.flops, charged)
