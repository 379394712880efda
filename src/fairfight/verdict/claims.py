"""A claim is one TOML file: who says that a dictionary won at what, against whom, by which numbers, from which sources."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from fairfight.errors import InputError, StudyError
from fairfight.records import Contest, Family, content_hash
from fairfight.study import Section, read_toml, sections_from

EXAMPLE = "docket/golden_gate_claude.toml"


class Part(Section):
    """A table of a claim: its numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class Source(Part):
    """Where numbers come from."""

    what: str
    """Author, year, title or post, and the place in it."""
    identifier: str = ""
    """arXiv id, repository with commit, or name of a post."""
    status: Literal["verified", "computed", "secondary", "unverified"]
    """Read there; calculated from files there; read about elsewhere; from memory."""


class ClaimedTask(Part):
    """What is claimed to be won."""

    name: str
    contest: Contest
    motive: str = ""
    downstream: Literal["yes", "no", "contested", "unknown"]
    measured: Literal["objectively", "qualitatively", "contested", "not"]
    measure: str


class Constraint(Part):
    """A rule on how the task may be solved."""

    rule: str
    argument: str = ""


class ClaimedBudget(Part):
    """A declared budget, in FLOPs."""

    flops: float = Field(gt=0)
    spent: float | None = None
    """By the challenger, the dictionary's training left out."""
    dictionary_training: float | None = None


class ClaimedField(Part):
    """Who played."""

    families: tuple[Family, ...]
    tuning: Literal["equal", "unequal", "unknown"]
    tuning_note: str = ""
    baselines_below_reference: tuple[str, ...] = ()
    dictionary_quality: Literal["known", "unknown", "contested"]
    note: str = ""


class Result(Part):
    """Two scores, challenger first, and what they stand on."""

    against: str
    role: Literal["baseline", "control", "rival"]
    kind: str = ""
    """Of a control or rival: `random`, `pca`, `removed`, `kmeans` and so on."""
    is_best: bool = False
    """Whether it is the baseline that a choice on validation, or the authors, put forward."""
    measure: str
    challenger: float | None = None
    defender: float | None = None
    stated: Literal["wins", "loses", "ties"] | None = None
    """The order that the source states, where its numbers give no interval."""
    larger_is_better: bool = True
    low: float | None = None
    high: float | None = None
    """95 % interval of challenger minus defender, in the measure's direction, where one is given or was calculated."""
    n: int | None = Field(default=None, gt=0)
    """Items behind each score, where scores are shares of them (0 to 1): an interval is then calculated as if unpaired.
    An AUROC is no share of items: it has `low` and `high`, or no interval."""
    margin: float = Field(default=0.0, ge=0)
    source: str
    note: str = ""

    @model_validator(mode="after")
    def _numbers_agree(self) -> Result:
        scores = [own for own in (self.challenger, self.defender) if own is not None]
        if len(scores) == 1 or not (scores or self.stated):
            raise ValueError("a result has both scores, or the order that the source states")
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has both low and high")
        if self.low is not None and self.high is not None and self.difference is None:
            raise ValueError("an interval needs the scores that it belongs to")
        if self.low is not None and self.high is not None and not self.low <= (self.difference or 0.0) <= self.high:
            raise ValueError(
                f"the difference {self.difference:+.4f} lies outside its interval [{self.low:+.4f}, {self.high:+.4f}]"
            )
        if self.stated is not None and (self.low is not None or self.n is not None):
            raise ValueError("where an interval can be given, the source's word is not needed: leave out `stated`")
        if self.n is not None and not all(0 <= score <= 1 for score in scores):
            raise ValueError("scores with an n are shares from 0 to 1")
        outside = [score for score in scores if not 0 <= score <= 1]
        if outside and (bounded := _named(self.measure, *_FROM_0_TO_1)):
            raise ValueError(
                f"the result against '{self.against}' has the {bounded} {outside[0]:g}, which goes from 0 to 1: give it as a share"
            )
        if self.n is not None and (area := _named(self.measure, *_AREAS)):
            raise ValueError(
                f"the result against '{self.against}' has an n, but an {area} is no share of items: give low and high instead"
            )
        if self.role != "baseline" and not self.kind:
            raise ValueError("a control or rival names its kind")
        return self

    @property
    def difference(self) -> float | None:
        """Challenger minus defender, positive where the challenger is better; None without scores."""
        if self.challenger is None or self.defender is None:
            return None
        return (self.challenger - self.defender) * (1 if self.larger_is_better else -1)


class ClaimedDictionary(Part):
    """What is said to have won."""

    kind: str
    l0: float | None = Field(default=None, ge=0)
    latents: int | None = Field(default=None, gt=0)
    note: str = ""

    @model_validator(mode="after")
    def _active_are_among_the_latents(self) -> ClaimedDictionary:
        if self.l0 is not None and self.latents is not None and self.l0 > self.latents:
            raise ValueError(f"l0 = {self.l0:g} of latents = {self.latents}: no more can be active than there are")
        return self


class ClaimedPublic(Part):
    """What anybody can look at."""

    is_public: bool
    artefacts: tuple[str, ...] = ()
    reproducible: Literal["yes", "partly", "no", "unknown"]
    note: str = ""


class ClaimedRobustness(Part):
    """How much was tried."""

    attempted: int | None = Field(default=None, gt=0)
    usable: int | None = Field(default=None, ge=0)
    what: str = "concepts"
    big_deal: str = ""
    seeds: int | None = Field(default=None, ge=1)
    dictionary_seeds: int | None = Field(default=None, ge=1)
    fragile: tuple[str, ...] = ()
    note: str = ""

    @model_validator(mode="after")
    def _usable_are_among_the_attempted(self) -> ClaimedRobustness:
        if self.usable is not None and (self.attempted is None or self.usable > self.attempted):
            raise ValueError(f"usable = {self.usable} of attempted = {self.attempted}")
        return self


class ClaimedCall(Part):
    """What a person decided about a criterion that is a person's to decide."""

    criterion: Literal["downstream", "field", "robust"]
    word: Literal["met", "not met"]
    by: str
    on: dt.date | None = None
    """Left out where the source gives none."""
    because: str
    source: str = ""
    private: bool = False


class Evidence(Part):
    """What the claim's numbers come out of again: a study, to be played, or a published table, to be judged."""

    source: str
    """The results with this source are the ones to come out."""
    study: Path | None = None
    """A study file, from the claim's folder."""
    question: str = ""
    """Of the study; its first one when left out."""
    table: str = ""
    """The name under which `fairfight judge` shows the table."""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the table's files, by name."""
    clusters: Path | None = None
    """Which of the table's tasks share examples: JSON, from the claim's folder."""
    challenger: str
    """The name that the challenger has in the run or the table."""
    defenders: dict[str, str] = Field(default_factory=dict)
    """The names that others have there, where a result says `against` in other words."""
    tolerance: float = Field(default=0.001, gt=0)

    @model_validator(mode="after")
    def _is_a_study_or_a_table(self) -> Evidence:
        if (self.study is None) == (not self.table):
            raise ValueError("evidence is a study or a table: name one of them")
        if self.table and self.question:
            raise ValueError("a table has no questions; `question` belongs to a study")
        if self.study is not None and (self.files or self.clusters):
            raise ValueError("`files` and `clusters` belong to a table, not to a study")
        return self


class Claim(Part):
    """The whole file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str
    who: str
    when: str = Field(pattern=r"^[0-9]{4}(-[0-9]{2}){0,2}$")
    """A year, a month (2024-05) or a day."""
    says: str
    """What is claimed, in a sentence or two."""
    sources: dict[str, Source]
    task: ClaimedTask
    constraints: tuple[Constraint, ...] = ()
    budget: ClaimedBudget | None = None
    field: ClaimedField
    dictionary: ClaimedDictionary
    results: tuple[Result, ...] = ()
    public: ClaimedPublic
    robustness: ClaimedRobustness = ClaimedRobustness()
    calls: tuple[ClaimedCall, ...] = ()
    evidence: Evidence | None = None
    history: tuple[str, ...] = ()
    """What became of the claim later."""

    @field_validator("when")
    @classmethod
    def _when_is_in_the_calendar(cls, when: str) -> str:
        try:
            dt.date.fromisoformat(when + "-01" * (2 - when.count("-")))
        except ValueError as error:
            raise ValueError(f"{error}; a year, a month such as 2024-05 or a day was expected") from None
        return when

    @model_validator(mode="after")
    def _sources_are_there(self) -> Claim:
        named = [("a result", own.source) for own in self.results]
        named += [("a call", own.source) for own in self.calls if own.source]
        if lacking := [f"{what} names the source '{key}'" for what, key in named if key not in self.sources]:
            raise ValueError(f"{lacking[0]}, but sources are {', '.join(self.sources) or 'none'}")
        return self

    @model_validator(mode="after")
    def _fields_agree(self) -> Claim:
        best = [own for own in self.results if own.is_best]
        if len(best) > 1:
            raise ValueError(f"{len(best)} results are called the best baseline's")
        if any(own.role != "baseline" for own in best):
            raise ValueError("only a baseline can be the best baseline")
        if self.results and not any(own.role == "baseline" for own in self.results) and self.field.families:
            raise ValueError(
                f"baselines of {', '.join(self.field.families)} are said to have played, but no result is against a baseline"
            )
        if len({call.criterion for call in self.calls}) < len(self.calls):
            raise ValueError("two calls on one criterion")
        return self

    @model_validator(mode="after")
    def _one_challenger_has_one_score(self) -> Claim:
        """Refuse another challenger against controls than against the best baseline: that would be another method."""
        baselines = [own for own in self.results if own.role == "baseline"]
        best = [own for own in baselines if own.is_best] or baselines
        for own in self.results:
            known = [
                score
                for score, measure in ((other.challenger, other.measure) for other in best)
                if score is not None and _same(measure, own.measure)
            ]
            if own.role != "baseline" and known and own.challenger is not None and own.challenger not in known:
                raise ValueError(
                    f"the {own.role} '{own.against}' is against a challenger of {own.challenger:g}, the best baseline against one of "
                    f"{known[0]:g}, both by '{own.measure}': give the same challenger's score, or say in the measure what differs"
                )
        return self

    @model_validator(mode="after")
    def _evidence_has_results(self) -> Claim:
        if self.evidence is None:
            return self
        if not self.evidenced:
            raise ValueError(f"evidence is for the source '{self.evidence.source}', but no result with scores cites it")
        known = [own.against for own in self.evidenced]
        if unknown := [name for name in self.evidence.defenders if name not in known]:
            raise ValueError(
                f"evidence names the defender '{unknown[0]}', but its results are against {', '.join(known)}"
            )
        return self

    @property
    def evidenced(self) -> tuple[Result, ...]:
        """The results that the evidence is for."""
        wanted = self.evidence.source if self.evidence else None
        return tuple(own for own in self.results if own.source == wanted and own.challenger is not None)

    @property
    def evidence_hash(self) -> str:
        """Hash of the evidenced results and their evidence: what a reproduction is of."""
        evidence = self.evidence.model_dump(mode="json") if self.evidence else None
        return content_hash({"numbers": [own.model_dump(mode="json") for own in self.evidenced], "evidence": evidence})


_AREAS = ("AUROC", "AUC")
_FROM_0_TO_1 = (*_AREAS, "accuracy", "F1")
_OTHER_FILES = (
    ({"task", "activations"}, "a study: `fairfight run` or `fairfight register` it"),
    ({"texts", "dictionaries"}, "a training file: `fairfight train` it"),
)
"""Sections that no claim has, and what a file with all of them is."""


def read_claim(file: Path) -> Claim:
    """Give the claim that a TOML file holds.

    Raises:
        StudyError: as for `read_sections`; fields that contradict each other too, and files of other kinds.
    """
    raw = read_toml(file, "a claim", EXAMPLE)
    for sections, what in _OTHER_FILES:
        if sections <= raw.keys() and not {"who", "says"} & raw.keys():
            raise StudyError(f"{file} is no claim. This is {what}.")
    return sections_from(raw, Claim, where=file.name)


def files_of(path: Path) -> list[Path]:
    """Give a claim's file, or those of a folder of claims by name.

    Raises:
        InputError: the folder holds none.
    """
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        raise InputError(
            f"{path} holds no claim (no .toml file). Give a claim, such as {EXAMPLE}, or a folder of claims."
        )
    return files


def _named(measure: str, *words: str) -> str:
    """Give the first of some words that a measure names, "" where it names none."""
    return next((own for own in words if re.search(rf"(?<![a-z0-9]){own}(?![a-z0-9])", measure, re.IGNORECASE)), "")


def _same(measure: str, other: str) -> bool:
    return measure.casefold().split() == other.casefold().split()
