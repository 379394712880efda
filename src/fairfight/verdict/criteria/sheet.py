"""The nine criteria, one function each, and what they say together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fairfight.errors import InputError
from fairfight.records import plain
from fairfight.verdict.criteria.case import CONTROLS, CRITERIA, DENSE_KINDS, SPARSE_KINDS, Beat, Call, Case, Finding

Overall = Literal["YES", "NO", "NOT SHOWN"]

LEAST_COVERAGE = 0.5
"""Share of what was attempted that has to work before nobody need be asked."""
LEAST_SEEDS = 3
_AGAINST = ("downstream", "constraints", "compute", "beats", "necessary", "dictionary")
"""Criteria whose failure speaks against the claim; a failure of the others leaves it unshown."""
_SCORED = ("beats", "necessary")
"""Those of them that stand on the scores."""


@dataclass(frozen=True)
class Sheet:
    """The criteria of one case."""

    title: str
    findings: tuple[Finding, ...]
    are_scores_void: bool
    """Whether somebody looked at sealed answers, or dictionaries fall below their reference: then a loss says nothing either."""
    in_particular: Finding
    """Whether this very kind of dictionary is needed, or a cheaper one does as well; other dictionaries count, so this does not."""

    @property
    def overall(self) -> Overall:
        """YES: all met or not applicable. NO: the evidence is against one that counts. NOT SHOWN: anything else."""
        if self._against:
            return "NO"
        if all(own.status in ("met", "not applicable") for own in self.findings):
            return "YES"
        return "NOT SHOWN"

    @property
    def deciding(self) -> tuple[Finding, ...]:
        """The findings that keep it from YES: those that speak against it, else those that leave it open."""
        return self._against or tuple(own for own in self.findings if own.status not in ("met", "not applicable"))

    @property
    def _against(self) -> tuple[Finding, ...]:
        void = _SCORED if self.are_scores_void else ()
        return tuple(
            own
            for own in self.findings
            if own.status == "not met" and own.criterion in _AGAINST and own.criterion not in void
        )

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        found = [plain(own) | {"means": CRITERIA[own.criterion]} for own in self.findings]
        particular = plain(self.in_particular) | {"means": "this kind of dictionary is needed"}
        return {"title": self.title, "overall": self.overall, "criteria": found, "in_particular": particular}


def sheet(case: Case) -> Sheet:
    """Give the criteria of a case, a person's calls entered where the evidence leaves one to a person.

    Evidence may come later than a call and decide: the finding then says that the call no longer counts.

    Raises:
        InputError: a call is on a criterion that does not exist.
    """
    found = {name: judged(case) for name, judged in _JUDGES.items()}
    for call in case.calls:
        if call.criterion not in found:
            raise InputError(f"There is no criterion '{call.criterion}'; there are {', '.join(found)}.")
        own = found[call.criterion]
        if own.status == "a person's call":
            found[call.criterion] = own._replace(status=call.word, call=call)
        else:
            found[call.criterion] = own._replace(evidence=own.evidence + _overtaken(call))
    are_void = bool(case.field.dictionaries_below or case.field.peeking)
    return Sheet(case.title, tuple(found.values()), are_void, in_particular(case))


def require_call(found: Sheet, call: Call) -> None:
    """Refuse a call that a sheet, made with it, had no place for.

    Raises:
        InputError: the evidence decides the criterion.
    """
    own = next(finding for finding in found.findings if finding.criterion == call.criterion)
    if own.call != call:
        evidence = own.evidence.removesuffix(_overtaken(call))
        raise InputError(
            f"'{call.criterion}' of {found.title} is no person's call: it is {own.status} by the evidence ({evidence}). "
            "Take the call out, or mend the evidence."
        )


def _overtaken(call: Call) -> str:
    return f" {call.by}'s call '{call.word}' ({call.on}) does not count, as the evidence decides."


def downstream(case: Case) -> Finding:
    """A task that one would care about without dictionaries, with success that can be measured."""
    task = case.task
    evidence = f"{task.name}: {task.motive or 'no motive is given'}; measured by {task.measure or 'nothing'}."
    if task.downstream == "no":
        return Finding("downstream", "not met", evidence, "A task that people care about for itself.")
    if task.measured == "not":
        return Finding("downstream", "not met", evidence, "A measure of success, fixed before it is taken.")
    if task.downstream == "contested" or task.measured in ("qualitatively", "contested"):
        return Finding("downstream", "a person's call", evidence, "The same in a setting that nobody calls contrived.")
    if task.downstream == "unknown":
        return Finding(
            "downstream", "a person's call", evidence, "A sentence on who would want the task solved, and why."
        )
    return Finding("downstream", "met", evidence, "")


def constraints(case: Case) -> Finding:
    """Rules on how the task may be solved simulate something real."""
    if not case.constraints:
        return Finding("constraints", "not applicable", "No rule limits how the task may be solved.", "")
    bare = [rule for rule, argument in case.constraints if not argument]
    evidence = "; ".join(f"{rule} ({argument or 'no argument'})" for rule, argument in case.constraints) + "."
    if bare:
        return Finding("constraints", "not shown", evidence, f"An argument for: {'; '.join(bare)}.")
    return Finding("constraints", "met", evidence, "")


def compute(case: Case) -> Finding:
    """Within the declared budget, a tenth of the dictionary's training charged."""
    own = case.budget
    if own is None:
        return Finding("compute", "not applicable", "No compute budget is declared.", "")
    spent = ", ".join(f"{100 * share:g} %: {_flops(flops)}" for share, flops in sorted(own.charged.items()))
    evidence = f"Budget {_flops(own.budget)} FLOPs; charged by share of the dictionary's training: {spent}."
    tenth = own.charged.get(0.1)
    if tenth is None:
        return Finding("compute", "not shown", evidence, "What the dictionary's training took, in FLOPs.")
    if tenth > own.budget:
        return Finding("compute", "not met", evidence, f"A budget of {_flops(tenth)} FLOPs, or a cheaper dictionary.")
    return Finding("compute", "met", evidence, "")


def fair_field(case: Case) -> Finding:
    """All families that the contest demands, equal tuning, nobody under the reference of their own."""
    own = case.field
    missing = [family for family in own.demanded or () if family not in own.families]
    parts = [f"played: {', '.join(own.families) or 'no baseline'}"]
    parts += [f"missing: {', '.join(missing)}"] if missing else []
    parts += [f"tuning {own.tuning}{f' ({own.tuning_note})' if own.tuning_note else ''}"]
    parts += [f"better on sealed texts than on their own: {', '.join(own.peeking)}"] if own.peeking else []
    parts += [f"left out: {', '.join(own.incomplete)}"] if own.incomplete else []
    parts += [f"baselines below their reference: {', '.join(own.baselines_below)}"] if own.baselines_below else []
    parts += [f"dictionaries below theirs: {', '.join(own.dictionaries_below)}"] if own.dictionaries_below else []
    parts += [own.note] if own.note else []
    evidence = "; ".join(parts) + "."
    if own.peeking:
        return Finding("field", "not met", evidence, f"{', '.join(own.peeking)} looked at, mended and played again.")
    if own.baselines_below:
        return Finding("field", "not met", evidence, f"{', '.join(own.baselines_below)} mended and played again.")
    if own.dictionaries_below:
        return Finding(
            "field",
            "not met",
            evidence,
            "Dictionaries as good as their kind is known to be: a loss says nothing either.",
        )
    if missing:
        return Finding("field", "not met", evidence, f"Baselines of the families {', '.join(missing)}, tuned alike.")
    if own.incomplete:
        names = ", ".join(each.partition(" (")[0] for each in own.incomplete)
        return Finding("field", "not shown", evidence, f"All trials of {names}, within the budget.")
    if own.tuning == "unequal":
        return Finding("field", "not met", evidence, "The same number of configurations for both sides.")
    if own.dictionary_quality == "contested":
        return Finding(
            "field",
            "a person's call",
            evidence,
            "Dictionaries whose training is described and whose quality is measured.",
        )
    if own.demanded is None:
        return Finding(
            "field", "not shown", evidence, "Which families of baselines a fair field of this contest contains."
        )
    if own.tuning == "unknown" or own.dictionary_quality == "unknown":
        return Finding("field", "not shown", evidence, "How each side was tuned, and how good the dictionaries are.")
    return Finding("field", "met", evidence, "")


def beats(case: Case) -> Finding:
    """A win over the best baseline by validation, and over every baseline: a tie is none."""
    if case.main is None:
        return Finding("beats", "not shown", "Nothing was compared.", "A paired comparison with baselines.")
    both = [own for own in (case.main, case.every) if own is not None]
    evidence = " ".join(own.evidence for own in dict.fromkeys(both))
    if all(own.word == "wins" for own in both):
        return Finding("beats", "met", evidence, "")
    worst = next(own for own in both if own.word != "wins")
    if any(own.word in ("loses", "ties") for own in both):
        worst = next(own for own in both if own.word in ("loses", "ties"))
        return Finding("beats", "not met", evidence, f"A win against {worst.against}, by more than the margin.")
    return Finding("beats", "not shown", evidence, f"More data or seeds against {worst.against}.")


def necessary(case: Case) -> Finding:
    """The same method without a learned dictionary does worse, tested as a paired difference."""
    played = {own.kind for own in case.controls}
    missing = [kind for kind in CONTROLS if kind not in played and kind not in dict(case.moot_controls)]
    moot = [f"{kind} shows nothing here: {why}." for kind, why in case.moot_controls]
    evidence = " ".join([*([own.evidence for own in case.controls] or ["No control was played."]), *moot])
    level = [own for own in case.controls if own.word in ("loses", "ties")]
    if level:
        return Finding(
            "necessary", "not met", evidence, f"A win against {_names(level)}, which do without this dictionary."
        )
    undecided = [own for own in case.controls if own.word == "undecided"]
    if undecided or missing:
        parts = [f"a decision against {_names(undecided)}"] if undecided else []
        parts += [f"the same method on these controls: {', '.join(missing)}"] if missing else []
        overturn = " and ".join(parts)
        return Finding("necessary", "not shown", evidence, f"{overturn[:1].upper()}{overturn[1:]}.")
    return Finding("necessary", "met", evidence, "")


def in_particular(case: Case) -> Finding:
    """This kind of dictionary does better than rival kinds, such as k-means, under the same method."""
    evidence = " ".join(own.evidence for own in case.rivals)
    if not case.rivals:
        return Finding("in particular", "not shown", "No rival dictionary was played.", "The same method on k-means.")
    unbeaten = [own for own in case.rivals if own.word != "wins"]
    if not unbeaten:
        return Finding("in particular", "met", evidence, "")
    level = any(own.word in ("loses", "ties") for own in unbeaten)
    status = "not met" if level else "not shown"
    return Finding("in particular", status, evidence, f"A win against {_names(unbeaten)}.")


def dictionary(case: Case) -> Finding:
    """A sparse decomposition of activations, by its kind and its measured L0."""
    own = case.dictionary
    of_all = f" of {own.latents:,}" if own.latents else ""
    measured = f", {own.l0:.4g}{of_all} latents active" if own.l0 is not None else ""
    evidence = f"{own.kind}{measured}{f'; {own.note}' if own.note else ''}."
    if own.kind in DENSE_KINDS:
        return Finding("dictionary", "not met", evidence, "The same result with a sparse dictionary of activations.")
    if own.l0 is not None and own.latents is not None and own.l0 > own.latents / 2:
        return Finding("dictionary", "not met", f"{evidence} Over half of the latents are active.", "A sparse code.")
    if own.kind not in SPARSE_KINDS and (own.l0 is None or own.latents is None):
        overturn = f"What '{own.kind}' is: its L0 and its number of latents."
        return Finding("dictionary", "not shown", evidence, overturn)
    if own.l0 is None:
        return Finding("dictionary", "met", f"{evidence} Its L0 is not stated.", "")
    return Finding("dictionary", "met", evidence, "")


def public(case: Case) -> Finding:
    """The key result is public, with what it takes to do it again."""
    own = case.public
    head = "At hand" if own.is_public is None else "Public"
    evidence = f"{head}: {', '.join(own.artefacts) or 'nothing'}; reproducible: {own.reproducible}{f'; {own.note}' if own.note else ''}."
    if own.is_public is None:
        overturn = "The run's folder in public, with the data and dictionaries that the study names."
        return Finding("public", "a person's call", evidence, overturn)
    if not own.is_public:
        return Finding("public", "not met", evidence, "The key result in public.")
    if own.reproducible != "yes":
        return Finding("public", "not shown", evidence, "Code, data and dictionaries, and somebody who has run them.")
    return Finding("public", "met", evidence, "")


def robust(case: Case) -> Finding:
    """The result holds over all that was attempted, over seeds, and with any one part left out."""
    own = case.robust
    parts = []
    share = own.usable / own.attempted if own.attempted and own.usable is not None else None
    if share is not None:
        parts.append(f"{own.usable} of {own.attempted} {own.what}")
    parts += [f"{own.seeds} split seeds"] if own.seeds is not None else ["seeds not stated"]
    parts += [f"{own.dictionary_seeds} dictionary seeds"] if own.dictionary_seeds is not None else []
    parts += [f"{own.attempts} earlier attempt{'' if own.attempts == 1 else 's'}"] if own.attempts is not None else []
    parts += [f"did not survive: {', '.join(own.fragile)}"] if own.fragile else []
    parts += [own.note] if own.note else []
    evidence = "; ".join(parts) + "."
    if share is not None and share < LEAST_COVERAGE:
        if own.big_deal:
            return Finding(
                "robust", "a person's call", f"{evidence} Among them: {own.big_deal}.", "More of what was attempted."
            )
        return Finding("robust", "not met", evidence, "A result over all that was attempted.")
    if own.fragile:
        return Finding("robust", "not met", evidence, f"The same without {', '.join(own.fragile)}.")
    if own.attempts and not own.is_registered:
        overturn = "The study registered before its first trial, or a word on what the earlier attempts were."
        return Finding("robust", "a person's call", evidence, overturn)
    if share is None or (own.seeds or 0) < LEAST_SEEDS or (own.dictionary_seeds or 0) < LEAST_SEEDS:
        return Finding(
            "robust",
            "not shown",
            evidence,
            f"The share of all attempts that worked, over {LEAST_SEEDS} split and dictionary seeds at least.",
        )
    return Finding("robust", "met", evidence, "")


_JUDGES: dict[str, Callable[[Case], Finding]] = {
    "downstream": downstream,
    "constraints": constraints,
    "compute": compute,
    "field": fair_field,
    "beats": beats,
    "necessary": necessary,
    "dictionary": dictionary,
    "public": public,
    "robust": robust,
}


def _names(found: list[Beat]) -> str:
    return ", ".join(own.against for own in found)


def _flops(count: float | None) -> str:
    return "unknown" if count is None else f"{count:.2g}"
