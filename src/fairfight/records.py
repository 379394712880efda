"""What a run leaves behind: the plan of a trial, its cost, and its outcome, as plain data that JSON can hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal

Side = Literal["dictionary", "baseline", "rival", "control"]
"""Which side a contender fights on. A rival (k-means) is scored and shown, a control must not win."""

Family = Literal[
    "dictionary",
    "probing",
    "finetuning",
    "prompting",
    "steering-vector",
    "adversarial",
    "erasure",
    "text-only",
    "floor",
]
"""What kind of method a contender is."""

Contest = Literal["detect", "steer", "jailbreak", "erase", "unlearn", "discover", "explain"]

FAIR_FIELD: Mapping[str, tuple[Family, ...]] = {
    "detect": ("probing", "finetuning", "text-only", "floor"),
    "steer": ("prompting", "steering-vector", "finetuning"),
    "jailbreak": ("prompting", "steering-vector", "finetuning", "adversarial"),
    "erase": ("erasure", "text-only", "finetuning"),
    "unlearn": ("finetuning", "steering-vector", "probing", "prompting"),
    "discover": ("text-only", "probing", "prompting"),
    "explain": (),
}
"""Families of baselines that a fair field of each contest contains."""

Purpose = Literal["tune", "score", "curve"]
"""`tune`: one configuration on seed 0, test sets sealed. `score`: the tuned settings on a scored seed.
`curve`: the tuned settings with one of them swept (k), for a figure; never part of a verdict."""

SCORING_VERSION = 3
"""Raise it when the meaning of a score changes: old records then no longer match and are played again."""


def canonical_json(value: Any) -> str:
    """Give the one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def content_hash(value: Any) -> str:
    """Give the SHA-256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def plain(value: Any) -> Any:
    """Give records as values that JSON can hold: names of fields are kept at every depth, tuples become lists."""
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if is_dataclass(value):
        return {own.name: plain(getattr(value, own.name)) for own in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def flattened(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Give the leaves of nested tables as dotted names and JSON values."""
    if isinstance(value, Mapping) and value:
        return [
            leaf for key, inner in value.items() for leaf in flattened(inner, f"{name}.{key}" if name else str(key))
        ]
    if isinstance(value, list) and value and all(isinstance(inner, Mapping) for inner in value):
        return [leaf for place, inner in enumerate(value) for leaf in flattened(inner, f"{name}.{place}")]
    return [(name, json.dumps(value, ensure_ascii=False))]


@dataclass(frozen=True)
class Contender:
    """A method, with the dictionary that it plays on (or none)."""

    method: str
    family: str
    side: Side
    dictionary: str | None = None

    @property
    def name(self) -> str:
        """`method` or `method[dictionary]`: the word for it in every table."""
        return f"{self.method}[{self.dictionary}]" if self.dictionary else self.method


@dataclass(frozen=True)
class TrialSpec:
    """One play of one contender, fixed before it happens. Its `key` names its file in the ledger."""

    study: str
    """Hash of what the study measures (`Study.hash`)."""
    inputs: str
    """Hash of what the trial reads: the task's examples and the activations' keys."""
    contender: Contender
    purpose: Purpose
    seed: int
    dictionary_seed: int | None
    settings: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Content hash of everything above: the same trial has the same key on any machine."""
        return content_hash({"version": SCORING_VERSION, **asdict(self)})[:24]


@dataclass(frozen=True)
class Cost:
    """What a trial spent, in counts that do not depend on the machine."""

    forward_flops: int = 0
    """Model passes over the texts that the method looked at, up to the site it read (fine-tuning: passes and gradients)."""
    encode_flops: int = 0
    """Dictionary encoding and decoding of those texts, dense-equivalent."""
    fit_flops: int = 0
    """Fitting and scoring: by torch's counter where torch does it, by hand-checked formulas elsewhere."""
    dictionary_flops: int | None = 0
    """Training of the dictionary that was used, in full; what share is charged is the verdict's setting. None where it
    was trained elsewhere and nobody says what that took."""
    tokens: int = 0
    """Content tokens of the texts that the method looked at."""
    labels: int = 0
    """Labelled examples it was fitted on."""
    fits: int = 0
    """Optimisation problems solved, a penalty path counting each of its penalties."""
    judge_calls: int = 0
    """Replies asked of judge models."""
    judge_tokens: int = 0
    """Of those, prompts and replies together, by the judge's own count."""


@dataclass(frozen=True)
class Machine:
    """What depends on where and when a trial ran; left out of every comparison of ledgers."""

    seconds: float = 0.0
    peak_bytes: int = 0
    host: str = ""


@dataclass(frozen=True)
class Scored:
    """A trial that was played to its end."""

    train_auroc: float
    validation_auroc: float
    """On the validation set that selection uses (whole families left out where the task has families)."""
    test_auroc: Mapping[str, float]
    """By test set; empty while the test sets are sealed (`tune`)."""
    scores: Mapping[str, tuple[float, ...]]
    """Score of every example, by set (`validation`, `calibration` and each test set), in the order of `ExampleTable`."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What the method wants to be known: latents chosen, steps taken, tokens seen."""
    status: Literal["scored"] = "scored"


@dataclass(frozen=True)
class Failed:
    """A trial that broke: a record as well, never a missing number."""

    error: str
    message: str
    traceback: str
    status: Literal["failed"] = "failed"


Outcome = Scored | Failed


@dataclass(frozen=True)
class Trial:
    """A row of the ledger."""

    spec: TrialSpec
    outcome: Outcome
    cost: Cost
    machine: Machine = Machine()

    @property
    def is_scored(self) -> bool:
        """Whether the trial was played to its end."""
        return isinstance(self.outcome, Scored)


@dataclass(frozen=True)
class ExampleRow:
    """One example as the ledger shows it to the verdict and the report."""

    id: str
    text: str
    label: int
    cluster: str
    set: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExampleTable:
    """The examples that were scored: every row once, and for each seed the ids of each set in score order."""

    rows: tuple[ExampleRow, ...]
    test_sets: tuple[str, ...]
    """Test sets in the task's order; the first is the in-distribution one."""
    order: Mapping[str, Mapping[str, tuple[str, ...]]]
    """seed (as text) -> set -> ids; sets are `validation`, `calibration` and the test sets."""
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """seed (as text) -> the families that validation leaves out of training."""


def trial_to_json(trial: Trial) -> dict[str, Any]:
    """Give a trial as a JSON object."""
    return asdict(trial)


def trial_from_json(raw: Mapping[str, Any]) -> Trial:
    """Give the trial that `trial_to_json` wrote."""
    spec = dict(raw["spec"])
    spec["contender"] = Contender(**spec["contender"])
    outcome = dict(raw["outcome"])
    if outcome["status"] == "scored":
        outcome["scores"] = {name: tuple(values) for name, values in outcome["scores"].items()}
    made: Outcome = Scored(**outcome) if outcome["status"] == "scored" else Failed(**outcome)
    return Trial(TrialSpec(**spec), made, Cost(**raw["cost"]), Machine(**raw["machine"]))
