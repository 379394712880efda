"""Numbers and verdicts in words: one way of writing them in every table, figure and sentence."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fairfight.division import Division
from fairfight.records import Trial
from fairfight.study import Question
from fairfight.verdict.answer import Compared, SetVerdict, Verdict
from fairfight.verdict.board import Interval
from fairfight.verdict.cost import Placed
from fairfight.verdict.tpr import OperatingPoint

SIDES = ("dictionary", "baseline", "rival", "control")
"""In the order of every table and legend."""

SIDE_MARKS = {"dictionary": "●", "baseline": "■", "rival": "◆", "control": "✕"}
"""The shape of each side, so that no figure leans on colour alone."""

_SHOWN_CHANGES = 6
METRICS = {"auroc": "AUROC", "tpr": "TPR"}
SETS_UNADJUSTED = "Words of single test sets are not adjusted for the number of sets."


def number(value: float) -> str:
    """Give a score with three decimals."""
    return f"{value:.3f}".replace("-0.000", "0.000")


def signed(value: float) -> str:
    """Give a difference with its sign and three decimals; what rounds to nothing has no sign."""
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def bracketed(own: Interval) -> str:
    """Give a score with its interval: 0.912 [0.890, 0.931]."""
    return f"{number(own.score)} [{number(own.low)}, {number(own.high)}]"


def difference(own: SetVerdict) -> str:
    """Give a difference with its interval: -0.021 [-0.040, -0.003]."""
    return f"{signed(own.difference)} [{signed(own.low)}, {signed(own.high)}]"


def percent(share: float) -> str:
    """Give a share in percent, with one decimal where it is not whole."""
    text = f"{100 * share:.1f}"
    return f"{text.removesuffix('.0')} %"


def spread(values: Sequence[float], how: Callable[[float], str]) -> str:
    """Give the range of values, or the one that all round to: 0.211 to 0.214."""
    low, high = how(min(values)), how(max(values))
    return low if low == high else f"{low} to {high}"


def flops(count: float | None) -> str:
    """Give a count of FLOPs with two digits, 3.2e+12, or say that it is unknown."""
    if count is None:
        return "unknown"
    return f"{count:.1e}" if count else "0"


def asked(question: Question) -> str:
    """Give the question as a sentence."""
    return (
        f"Does the best {question.challenger} method beat the best {question.defender} "
        f"({METRICS[question.metric]}, by more than {question.margin:g})?"
    )


def headline(verdict: Verdict) -> str:
    """Give the verdict on the mean over test sets as a sentence."""
    own, count = verdict.macro, len(verdict.sets)
    where = f"On the mean over {count} test sets" if count > 1 else "On the test set"
    says = {
        "wins": f"{verdict.challenger} wins against {verdict.defender}",
        "loses": f"{verdict.challenger} loses to {verdict.defender}",
        "ties": f"{verdict.challenger} ties with {verdict.defender}",
        "undecided": f"between {verdict.challenger} and {verdict.defender} it is undecided",
    }
    metric = METRICS[verdict.question.metric]
    return (
        f"{where}, {says[own.word]}: {metric} {number(own.challenger_score)} against {number(own.defender_score)}, "
        f"difference {difference(own)}."
    )


def division(own: Division) -> str:
    """Give whether the study was fixed before its trials, and how many attempts there were before, as sentences."""
    tried = [
        *_counted(own.earlier_runs, "run"),
        *_counted(own.earlier_registrations, "registration of another study", "registrations of other studies"),
    ]
    attempts = f"Earlier on the same task and model: {' and '.join(tried) or 'nothing that is known'}."
    when = f" ({own.registered})" if own.registered else ""
    if own.word == "closed":
        return f"Closed: it {own.reason}{when}. {attempts}"
    shown, more = "; ".join(own.changes[:_SHOWN_CHANGES]), len(own.changes) - _SHOWN_CHANGES
    changes = f": {shown}{f'; and {more} more' if more > 0 else ''}" if own.changes else ""
    return f"Open (exploratory): it {own.reason}{when}{changes}. {attempts}"


def _counted(count: int, one: str, many: str = "") -> list[str]:
    return [f"{count} {one if count == 1 else many or one + 's'}"] if count else []


def tied(name: str, ties: tuple[str, ...]) -> str:
    """Give whom validation cannot tell from the chosen contender, or "" when it stands alone."""
    if not ties:
        return ""
    return f"Within one standard error of {name} on validation: {', '.join(ties)}."


def necessity(verdict: Verdict) -> str:
    """Give whether the challenger's own dictionary is needed, from its controls and rivals, or "" without any.

    Yes needs a random control among them, and all of them beaten: whoever beats neurons alone has not shown that
    training the dictionary was worth anything. Rivals are contestants too, and stand apart.
    """
    if not verdict.controls and not verdict.rivals:
        return ""
    beaten, unbeaten = _by_word(verdict.controls)
    has_random = any(own.defender in verdict.random_controls for own in verdict.controls)
    sentences = []
    if unbeaten:
        sentences.append(
            f"Not shown: {verdict.challenger} does not beat {', '.join(unbeaten)} on the mean over test sets."
        )
        sentences += [f"It does beat {', '.join(beaten)}."] if beaten else []
    elif has_random:
        sentences.append(
            f"By the controls that were played, yes: {verdict.challenger} beats {', '.join(beaten)} on the mean over test sets."
        )
    else:
        sentences.append("Not shown: the method was not played on random directions.")
        sentences += [f"It beats {', '.join(beaten)}."] if beaten else []
    behind, level = _by_word(verdict.rivals)
    sentences += [f"Rivals beaten under the same method: {', '.join(behind)}."] if behind else []
    sentences += [f"Rivals not beaten under the same method: {', '.join(level)}."] if level else []
    return " ".join(sentences)


def _by_word(compared: Sequence[Compared]) -> tuple[list[str], list[str]]:
    """Give the defenders that are beaten on the mean over test sets, and those that are not."""
    beaten = [own.defender for own in compared if own.macro.word == "wins"]
    return beaten, [own.defender for own in compared if own.macro.word != "wins"]


def notes(verdict: Verdict, *, shows_gaps: bool = True) -> list[str]:
    """Give what belongs beside a verdict on a terminal, a sentence or two each: ties, gaps, controls, warnings."""
    found = [against_every(verdict), sensitivity(verdict), left_out(verdict), textbook(verdict)]
    found += [tied(verdict.challenger, verdict.challenger_ties), tied(verdict.defender, verdict.defender_ties)]
    if shows_gaps and verdict.gaps:
        found.append(f"Reconstruction gap (AUROC, mean over test sets): {' '.join(map(gap, verdict.gaps))}")
    if needed := necessity(verdict):
        found.append(f"Is the dictionary necessary? {needed}")
    return [note for note in [*found, costs(verdict), *verdict.warnings] if note]


def costs(verdict: Verdict) -> str:
    """Give what the two contenders are charged, and when the challenger pays, as a sentence or two."""
    own = verdict.costs
    ours, theirs = flops(own.challenger_flops), flops(own.defender_flops)
    paid = (
        f"Cost of a trial and its tuning, with {percent(own.share)} of the dictionary's training: {verdict.challenger} "
        f"{ours} FLOPs, {verdict.defender} {theirs}."
    )
    uses, reason = own.break_even.uses, own.break_even.reason
    if uses is None:
        return f"{paid} With all of it, no number of uses makes {verdict.challenger} the cheaper: {reason}."
    if uses == 0:
        return f"{paid} With all of it, {verdict.challenger} is no dearer from the first use on: {reason}."
    return f"{paid} With all of it, {verdict.challenger} is no dearer from {uses:,.0f} uses on: {reason}."


def place(own: Placed) -> str:
    """Give where a contender lies to the front of score against cost."""
    if own.is_on_front:
        return "on the front"
    best, *others = own.dominated_by
    more = f" and {len(others)} more" if others else ""
    near = ", interval overlaps" if own.overlaps_front else ""
    return f"behind {best}{more}{near}"


def gap(own: Compared) -> str:
    """Give the reconstruction gap in AUROC on the mean over test sets as a sentence."""
    return f"{own.challenger} minus {own.defender}: {difference(own.macro)}."


def p_value(p: float) -> str:
    """Give a p-value with two digits: p = 0.032, p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def adjustment(verdict: Verdict) -> str:
    """Give how intervals were made and adjusted as a sentence."""
    own = verdict.macro
    made = (
        f"Intervals at {percent(round(verdict.level, 6))}, clusters and seeds crossed (Student's t, {own.degrees_of_freedom:.0f} degrees of freedom on the "
        "mean)"
    )
    if verdict.questions == 1:
        return f"{made}; {p_value(verdict.adjusted_p)}. {SETS_UNADJUSTED}"
    return (
        f"{made}: the question's {percent(verdict.question.level)} after Holm's adjustment for {verdict.questions} "
        f"questions, adjusted {p_value(verdict.adjusted_p)}. {SETS_UNADJUSTED}"
    )


def against_every(verdict: Verdict) -> str:
    """Give how the challenger does against every defender, whoever validation chose, as a sentence."""
    own, side = verdict.every, verdict.question.defender
    macro = own.compared.macro
    if own.count == 1:
        return f"{own.compared.defender} is the only {side}."
    if own.word == "wins":
        return f"It beats every one of the {own.count} {side}s ({p_value(own.p)}); the hardest is {own.compared.defender}, {difference(macro)}."
    return (
        f"It does not beat every one of the {own.count} {side}s ({p_value(own.p)}): against {own.compared.defender} "
        f"({number(macro.defender_score)}) the difference is {difference(macro)}, {macro.word}."
    )


def textbook(verdict: Verdict) -> str:
    """Give DeLong's test on each test set where it applies, or why it does not, as a sentence; "" with several seeds."""
    if not verdict.delong:
        return ""
    said = [
        f"{name} {own.rstrip('.')}" if isinstance(own, str) else f"{name} {signed(own.difference)}, {p_value(own.p)}"
        for name, own in verdict.delong.items()
    ]
    return f"DeLong's test, for comparison: {'; '.join(said)}."


def sensitivity(verdict: Verdict) -> str:
    """Give what the study could have shown and what would settle the question, as a sentence or two."""
    own, margin = verdict.sensitivity, verdict.question.margin
    could = f"A true difference of {number(own.smallest_effect)} would have been called with a chance of 80 %."
    if verdict.macro.word != "undecided":
        return could
    settled = "wins" if verdict.macro.difference > margin else "loses" if verdict.macro.difference < -margin else "ties"
    if own.needed.everything is None:
        return could
    clusters = "" if own.needed.clusters is None else f" or {_times(own.needed.clusters)} the test clusters alone"
    return (
        f"{could} Were the difference what it seems, {_times(own.needed.everything)} as many clusters and seeds{clusters} "
        f"would settle it ({settled})."
    )


def left_out(verdict: Verdict) -> str:
    """Give what the difference is with any one part left out as a sentence; "" where there is one of everything."""
    own = verdict.left_out
    if not own:
        return ""
    least, most = min(own, key=own.__getitem__), max(own, key=own.__getitem__)
    return (
        f"With any one test set or seed left out the difference lies between {signed(own[least])} (without {least}) and "
        f"{signed(own[most])} (without {most})."
    )


def _times(factor: float) -> str:
    return f"{factor:.1f} times" if factor < 10 else f"{factor:,.0f} times"


def threshold(point: OperatingPoint) -> str:
    """Give how thresholds were set as a sentence."""
    return (
        f"Thresholds are set for {percent(point.fpr)} false positives on in-distribution calibration texts, and drawn "
        f"anew in every replicate: {point.reason}. The false positives of each are what these thresholds then give on the test set."
    )


def settings_of(settings: Mapping[str, Any]) -> str:
    """Give settings in one line: k=5 site="resid_post.2"."""
    return " ".join(f"{name}={json.dumps(value)}" for name, value in sorted(settings.items()))


def seed_of(trial: Trial) -> str:
    """Give a trial's seeds in one cell: 3, or 3 / 1 with the dictionary seed second."""
    own = trial.spec.dictionary_seed
    return str(trial.spec.seed) if own is None else f"{trial.spec.seed} / {own}"
