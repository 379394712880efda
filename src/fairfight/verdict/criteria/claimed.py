"""From a claim's numbers to what the criteria look at."""

from __future__ import annotations

import math
from typing import Literal

from fairfight.records import FAIR_FIELD
from fairfight.verdict.calls import with_call
from fairfight.verdict.claims import Claim, ClaimedBudget, Result
from fairfight.verdict.criteria.case import (
    Beat,
    BudgetFacts,
    Call,
    Case,
    DictionaryFacts,
    FieldFacts,
    PublicFacts,
    Record,
    RobustFacts,
    TaskFacts,
)
from fairfight.verdict.statistics.words import Word, word_of

Reproducible = Literal["yes", "partly", "no", "unknown"]

_NORMAL = 1.959964
"""Of a 95 % interval."""
_HARDEST_FIRST: tuple[Word, ...] = ("loses", "ties", "undecided", "wins")


def case_of(claim: Claim, more_calls: tuple[Call, ...] = (), reproduced: Record | None = None) -> Case:
    """Give the case of a claim.

    Calls entered later stand in for those of the file on the same criterion, a reproduction for what the file says of it.
    """
    task, field = claim.task, claim.field
    hardest = hardest_of(claim)
    calls = called(claim)
    for call in more_calls:
        calls = with_call(calls, call)
    return Case(
        title=claim.title,
        task=TaskFacts(task.name, task.contest, task.downstream, task.motive, task.measured, task.measure),
        constraints=tuple((own.rule, own.argument) for own in claim.constraints),
        budget=_budget(claim.budget) if claim.budget else None,
        field=FieldFacts(
            families=tuple(field.families),
            demanded=FAIR_FIELD[task.contest],
            tuning=field.tuning,
            tuning_note=field.tuning_note,
            baselines_below=field.baselines_below_reference,
            dictionary_quality=field.dictionary_quality,
            note=field.note,
        ),
        main=_beat(claim, _best_of(claim) or hardest) if hardest else None,
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
        calls=calls,
    )


def called(claim: Claim) -> tuple[Call, ...]:
    """Give the calls that the claim's own file holds."""
    return tuple(
        Call(own.criterion, own.word, own.by, str(own.on or "undated"), own.because, own.private) for own in claim.calls
    )


def hardest_of(claim: Claim) -> Result | None:
    """Give the result against the hardest of all baselines: the worst word, and of equal words the least sure of a win."""
    return min(
        (own for own in claim.results if own.role == "baseline"), key=lambda own: _standing(claim, own), default=None
    )


def _best_of(claim: Claim) -> Result | None:
    return next((own for own in claim.results if own.is_best), None)


def _public(claim: Claim, reproduced: Record | None) -> PublicFacts:
    own = claim.public
    reproducible, notes = own.reproducible, [own.note] if own.note else []
    if reproduced is not None and reproduced.claim != claim.evidence_hash:
        came = f"{reproduced.numbers - reproduced.apart} of {reproduced.numbers} came out"
        notes.insert(0, f"reproduced before its numbers were edited ({came}); reproduce it again")
        reproducible = "unknown"
    elif reproduced is not None:
        lacking = _not_taken_again(claim)
        if lacking:
            notes.insert(0, f"not among these: the numbers against {' and '.join(lacking)}")
        notes.insert(0, str(reproduced))
        reproducible = _came_out(own.reproducible, reproduced, is_whole=not lacking)
    if not any(name.strip() for name in own.artefacts) and reproducible in ("yes", "partly"):
        reproducible = "unknown"
    return PublicFacts(own.is_public, own.artefacts, reproducible, "; ".join(notes))


def _came_out(said: Reproducible, record: Record, *, is_whole: bool) -> Reproducible:
    """Give what a reproduction leaves of what the file says; numbers that decide nothing do not make it whole."""
    if record.apart:
        return "no"
    if is_whole:
        return "yes"
    return "partly" if said in ("no", "unknown") else said


def _not_taken_again(claim: Claim) -> list[str]:
    """Name the best and the hardest baseline where the evidence is not for their results."""
    hardest = hardest_of(claim)
    if hardest is None:
        return ["any baseline"]
    deciding = (_best_of(claim) or hardest, hardest)
    return list(dict.fromkeys(own.against for own in deciding if own not in claim.evidenced))


def bounds(own: Result) -> tuple[float, float, str] | None:
    """Give a result's interval with what it stands on, None where the numbers give none.

    From n items a side it is the hybrid score interval of two independent shares: where the items are the same ones and
    scores agree, the true interval is shorter.

    Source: Newcombe (1998), Statistics in Medicine 17, 873-890, method 10.
    """
    if own.difference is None or own.challenger is None or own.defender is None:
        return None
    if own.low is not None and own.high is not None:
        return own.low, own.high, "interval as in the source"
    if own.n is None:
        return None
    ahead, behind = (own.challenger, own.defender) if own.larger_is_better else (own.defender, own.challenger)
    (p_low, p_high), (q_low, q_high) = _wilson(ahead, own.n), _wilson(behind, own.n)
    low = own.difference - math.hypot(ahead - p_low, q_high - behind)
    high = own.difference + math.hypot(p_high - ahead, behind - q_low)
    return low, high, f"as if unpaired, n = {own.n} a side, seeds unknown"


def _wilson(share: float, n: int) -> tuple[float, float]:
    """Give Wilson's (1927) score interval of a share of n items."""
    z2 = _NORMAL**2
    centre = share + z2 / (2 * n)
    reach = _NORMAL * math.sqrt((share * (1 - share) + z2 / (4 * n)) / n)
    return (centre - reach) / (1 + z2 / n), (centre + reach) / (1 + z2 / n)


def _beat(claim: Claim, own: Result) -> Beat:
    found, source, word = bounds(own), claim.sources[own.source], _word(claim, own)
    head = f"{own.against}: {own.measure}"
    if own.difference is not None:
        head += f" {own.challenger:g} against {own.defender:g}, difference {own.difference:+.3g}"
    unsure = "" if source.status in ("verified", "computed") else f", {source.status}"
    cited = f"{own.source}{unsure}{f'; {own.note}' if own.note else ''}"
    if found is not None:
        low, high, basis = found
        said = f"{word}, as a win from memory decides nothing" if _is_from_memory(claim, own) else word
        return Beat(own.against, word, f"{head} [{low:+.3g}, {high:+.3g}] ({basis}; {cited}): {said}.", own.kind)
    if own.stated is None:
        return Beat(own.against, word, f"{head}; no interval can be given ({cited}).", own.kind)
    return Beat(own.against, word, f"{head}; the source says '{own.stated}' and gives no interval ({cited}).", own.kind)


def _word(claim: Claim, own: Result) -> Word:
    if bounds(own) is None:
        # Whoever says that they lost is believed without an interval; whoever says that they won is not.
        return own.stated if own.stated in ("loses", "ties") else "undecided"
    return "undecided" if _is_from_memory(claim, own) else _by_interval(own)


def _by_interval(own: Result) -> Word:
    found = bounds(own)
    return word_of(found[0], found[1], own.margin) if found else "undecided"


def _is_from_memory(claim: Claim, own: Result) -> bool:
    """Whether a result is a win by its numbers, which nobody has looked up."""
    return claim.sources[own.source].status == "unverified" and _by_interval(own) == "wins"


def _standing(claim: Claim, own: Result) -> tuple[int, float, float]:
    """Give how surely a result is a win: by its word, then by what its interval leaves above the margin.

    Without an interval, what is stated or two scores alone are as good as a difference that just reaches the margin.
    """
    found, word = bounds(own), _word(claim, own)
    sure = found[0] - own.margin if found else -math.inf if word == "loses" else 0.0
    return _HARDEST_FIRST.index(word), sure, own.difference or 0.0


def _budget(own: ClaimedBudget) -> BudgetFacts:
    charged = {}
    for share in (0.0, 0.1, 1.0):
        known = own.spent is not None and (share == 0 or own.dictionary_training is not None)
        charged[share] = (own.spent or 0.0) + share * (own.dictionary_training or 0.0) if known else None
    return BudgetFacts(own.flops, charged)
