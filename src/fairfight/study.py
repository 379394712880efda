"""A study file: what is asked, of which model and dictionaries, with which effort. Checked before anything runs.

The hash of a study covers everything that can move a number; `workers` and `runs_folder` cannot and stay outside.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fairfight.errors import StudyError, nearest
from fairfight.records import content_hash

LARGEST_FILE = 1_000_000
"""Bytes of a TOML file that is read; the largest that is shipped has a few thousand."""


class Section(BaseModel):
    """A table of the study file; keys that it does not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSection(Section):
    """Which transformer."""

    name: str = "all-MiniLM-L6-v2"
    """`all-MiniLM-L6-v2` (embedded), a Hugging Face id with revision (`org/name@sha`), or a local folder."""
    allow_remote_code: bool = False
    """Whether the model's repository may run its own Python code here."""


class TaskSection(Section):
    """Which task, with its settings."""

    name: str
    settings: dict[str, Any] = {}
    """Fields of the task's class."""


class ActivationsSection(Section):
    """Where activations are read; the same choice stands in every method's space."""

    sites: tuple[str, ...] = Field(min_length=1)
    poolings: tuple[str, ...] = ("mean", "max_min", "last")
    max_tokens: int = Field(default=128, ge=2)
    """Longer texts are cut there; how many were is said."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of what is stored."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the model's passes: bfloat16 is two to three times as fast where the processor has it, and less exact."""


class DictionarySection(Section):
    """A dictionary to train at each site that a method asks for."""

    kind: str
    role: Literal["contestant", "rival", "control"]
    sites: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Where it stands, of the study's sites; all of them when left out."""
    variant_of: str | None = None
    """The dictionary of the study that it was made from: the report says what that gained, and at which cost."""
    recipe: dict[str, Any] = {}
    """Fields of the kind's class."""


class TrialsSection(Section):
    """How much effort; the same for everybody."""

    configurations: int = Field(default=8, ge=1)
    """Configurations a method; both sides get the same total."""
    seeds: int = Field(default=5, ge=1)
    """Scored split seeds (1, 2, …). Seed 0 is for tuning; its test sets stay sealed."""
    dictionary_seeds: int = Field(default=3, ge=1)
    methods: tuple[str, ...] | None = None
    """Names of the methods to play; all that the contest knows when left out."""
    workers: int = Field(default=2, ge=1)
    validation_share: float = Field(default=0.34, gt=0, lt=1)
    left_out_families: int = Field(default=2, ge=0)
    """Jailbreak families that validation leaves out of training, drawn anew for each seed."""
    curve_k: tuple[int, ...] = ()
    """Numbers of latents for the score-against-k figure; empty for none."""


class Question(Section):
    """What the verdict answers, fixed before the trials."""

    name: str
    challenger: Literal["dictionary", "rival", "control"] = "dictionary"
    defender: Literal["baseline", "rival", "control"] = "baseline"
    metric: Literal["auroc", "tpr"] = "auroc"
    margin: float = Field(default=0.01, ge=0, lt=1)
    """Smallest difference that matters, in the metric's units."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    """Coverage of the interval."""
    replicates: int = Field(default=2000, ge=200)


class BudgetSection(Section):
    """How much a contender may spend; who spends more is not chosen for its side."""

    flops: float = Field(gt=0, allow_inf_nan=False)
    """For a trial, the tuning before it, and the charged share of its dictionary's training."""
    dictionary_share: float = Field(default=0.1, ge=0, le=1)
    """Share of a dictionary's training that is charged; training on the task's own texts is charged in full."""


class Study(Section):
    """The whole file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    about: str = ""
    model: ModelSection = ModelSection()
    task: TaskSection
    activations: ActivationsSection
    dictionaries: dict[str, DictionarySection] = {}
    methods: dict[str, dict[str, Any]] = {}
    """For a method: settings to fix (`penalty = 0.1`) or values to choose from (`penalty = [0.1, 1.0]`), and
    `configurations` to give it fewer because its fits are dear (they go to its side's other methods)."""
    trials: TrialsSection = TrialsSection()
    questions: tuple[Question, ...] = ()
    budget: BudgetSection | None = None
    """None: cost is shown and bars nobody."""
    runs_folder: str = "runs"

    @model_validator(mode="after")
    def _questions_have_distinct_names(self) -> Study:
        names = [question.name for question in self.questions]
        if len(set(names)) != len(names):
            raise ValueError("two questions carry one name")
        return self

    @model_validator(mode="after")
    def _dictionaries_refer_to_what_is_there(self) -> Study:
        for name, section in self.dictionaries.items():
            others = sorted(self.dictionaries.keys() - {name})
            if section.variant_of is not None and section.variant_of not in others:
                raise ValueError(
                    f"dictionaries.{name} is a variant of '{section.variant_of}'; others are {', '.join(others) or 'none'}"
                )
            if outside := set(section.sites or ()) - set(self.activations.sites):
                raise ValueError(
                    f"dictionaries.{name} stands at {', '.join(sorted(outside))}, but the study reads only "
                    f"{', '.join(self.activations.sites)}"
                )
        return self

    def sites_of(self, dictionary: str) -> tuple[str, ...]:
        """Give the sites where a dictionary stands, in the study's order."""
        own = self.dictionaries[dictionary].sites
        return tuple(site for site in self.activations.sites if own is None or site in own)

    @property
    def hash(self) -> str:
        """Content hash of everything that can move a number, in hex."""
        return content_hash(canonical_study(self.model_dump(mode="json")))


def canonical_study(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give those fields of a study, dumped as plain values, that can move a number: what its hash covers.

    A study without a budget is as it was before there were budgets: what ran then keeps its hash.
    """
    kept = {name: value for name, value in fields.items() if name not in ("runs_folder", "about")}
    if kept.get("budget") is None:
        kept.pop("budget", None)
    trials = {name: value for name, value in fields.get("trials", {}).items() if name != "workers"}
    return {**kept, "trials": trials}


def read_study(file: Path) -> Study:
    """Give the study that a TOML file holds.

    Raises:
        StudyError: as for `read_sections`.
    """
    return read_sections(file, Study, "a study", "studies/quick.toml")


Schema = TypeVar("Schema", bound=Section)


def read_sections(file: Path, schema: type[Schema], what: str, example: str) -> Schema:
    """Give what a TOML file holds, by the tables and keys of `schema`; `what` and `example` name such a file in errors.

    Raises:
        StudyError: as for `read_toml`; or the file has an unknown key (the nearest known one is named), or an impossible value.
    """
    return sections_from(read_toml(file, what, example), schema, where=file.name)


def read_toml(file: Path, what: str, example: str) -> dict[str, Any]:
    """Give a TOML file as plain values; `what` and `example` name such a file in errors.

    Raises:
        StudyError: the file is missing, unreadable, too large, not UTF-8 or not TOML.
    """
    advice = f"Give a path to a .toml file, such as {example}."
    try:
        content = file.read_bytes()
        if len(content) > LARGEST_FILE:
            raise StudyError(
                f"{file} has {len(content):,} bytes; {what} takes {LARGEST_FILE:,} at most. Data do not belong into it: name a file."
            )
        # Some editors begin a file with a byte order mark, which TOML does not know.
        return tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise StudyError(f"{file} is nested too deeply to be {what}. {advice}") from None
    except FileNotFoundError:
        raise StudyError(f"There is no {what.removeprefix('a ')} file {file}. {advice}") from None
    except OSError as error:
        raise StudyError(f"{file} cannot be read as {what} ({error.strerror}). {advice}") from error
    except UnicodeDecodeError as error:
        raise StudyError(f"{file} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except ValueError as error:
        # Also what Python refuses by itself: an integer of thousands of digits, a NUL in the path.
        raise StudyError(
            f"{file} is not TOML: {error}. Mend that place; the format is described at toml.io."
        ) from error


def study_from(raw: dict[str, Any], *, where: str = "study") -> Study:
    """Give the study that a parsed file holds; `where` names it in errors.

    Raises:
        StudyError: as for `read_study`.
    """
    return sections_from(raw, Study, where=where)


def sections_from(raw: dict[str, Any], schema: type[Schema], *, where: str) -> Schema:
    """Give what a parsed file holds; `where` names it in errors.

    Raises:
        StudyError: as for `read_sections`.
    """
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise StudyError("\n".join(_explain(where, schema, problem) for problem in error.errors())) from error


def _explain(where: str, schema: type[Section], problem: Any) -> str:
    place, last = list(problem["loc"][:-1]), str(problem["loc"][-1]) if problem["loc"] else ""
    section = ".".join(str(part) for part in place)
    at = f"{where}: [{section}]" if section else f"{where}: the top level"
    if problem["type"] == "extra_forbidden":
        known = sorted(_fields_at(schema, place))
        return f"{at} has no key '{last}'; known keys: {', '.join(known)}.{nearest(last, known)}"
    if problem["type"] == "missing":
        return f"{at} lacks the key '{last}'. Add it."
    found = f" (found {problem['input']!r})" if not isinstance(problem.get("input"), dict) else ""
    return f"{at} '{last}': {problem['msg']}{found}. Change it and run again."


def _fields_at(schema: type[Section], place: list[Any]) -> set[str]:
    section: Any = schema
    for part in place:
        if isinstance(section, type) and issubclass(section, Section) and part in section.model_fields:
            section = section.model_fields[part].annotation
        inner = [arg for arg in getattr(section, "__args__", ()) if isinstance(arg, type) and issubclass(arg, Section)]
        section = inner[0] if inner else section
    return set(section.model_fields) if isinstance(section, type) and issubclass(section, Section) else set()
