"""What the criteria look at: facts of a claim or of a run, in the same plain records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fairfight.verdict.statistics.words import Word

Status = Literal["met", "not met", "not shown", "a person's call", "not applicable"]
"""`not met`: the evidence is against it. `not shown`: the evidence is lacking."""

CRITERIA = {
    "downstream": "a downstream task, objectively measured",
    "constraints": "constraints on the task are argued for",
    "compute": "within the declared compute budget",
    "field": "a fair field of baselines",
    "beats": "beats the baselines, not merely ties",
    "necessary": "the dictionary is necessary",
    "dictionary": "a sparse decomposition of activations",
    "public": "public and reproducible",
    "robust": "not cherry-picked or brittle",
}
"""In the order in which they are shown; the keys are what `--call` takes."""

CONTROLS = ("random", "frozen", "shuffled", "pca", "neurons", "removed")
"""What the dictionary is taken out for, before it is called necessary; `removed`: the method without its dictionary step."""
REMOVED = "removed"

SPARSE_KINDS = frozenset(
    [
        "sae",
        "relu",
        "topk",
        "batch_topk",
        "jumprelu",
        "gated",
        "matryoshka",
        "transcoder",
        "skip_transcoder",
        "crosscoder",
        "kmeans",
        "spherical_kmeans",
        "sparse_coding",
    ]
)
"""What is sparse by its make, whether or not its L0 is stated; the words are those of claims too."""

DENSE_KINDS = frozenset(["pca", "random", "neurons", "direction", "probe", "none"])
"""What does not count, whatever its L0. Of other kinds (ICA, NMF, what came from files, a plug-in's) the measured L0 says."""


class Call(NamedTuple):
    """What a person decided, by name, date and reason."""

    criterion: str
    word: Literal["met", "not met"]
    by: str
    on: str
    because: str
    private: bool = False
    """Whether it rests on something said in private; the key result must be public all the same."""


class Record(NamedTuple):
    """What is kept of a reproduction, beside the claim."""

    on: str
    fairfight: str
    basis: str
    claim: str
    """Hash of the numbers and their evidence: a claim that was edited since is not the one that came out."""
    numbers: int
    apart: int
    largest: float
    tolerance: float

    def __str__(self) -> str:
        """Give it as a phrase."""
        came = f"{self.numbers - self.apart} of {self.numbers} numbers came out within {self.tolerance:g}"
        return f"{came} (largest gap {self.largest:.1g}) from {self.basis}, {self.on}, fairfight {self.fairfight}"


class Finding(NamedTuple):
    """One criterion, judged."""

    criterion: str
    status: Status
    evidence: str
    overturn: str
    """What would change it; empty where nothing has to."""
    call: Call | None = None


class Beat(NamedTuple):
    """The challenger against one other."""

    against: str
    word: Word
    evidence: str
    """Difference, interval, and what it stands on."""
    kind: str = ""
    """Of a control or rival: the kind of dictionary, or `removed`."""


@dataclass(frozen=True)
class TaskFacts:
    """What is asked for, and why anybody would."""

    name: str
    contest: str
    downstream: Literal["yes", "no", "contested", "unknown"]
    motive: str
    """What one would care about without dictionaries."""
    measured: Literal["objectively", "qualitatively", "contested", "not"]
    measure: str


@dataclass(frozen=True)
class BudgetFacts:
    """A declared budget, and what the challenger spent of it, in FLOPs."""

    budget: float
    charged: Mapping[float, float | None]
    """By the share of the dictionary's training that is charged; None where nobody says what that took."""


@dataclass(frozen=True)
class FieldFacts:
    """Who played against the dictionary, and whether all were given the same chance."""

    families: tuple[str, ...]
    demanded: tuple[str, ...] | None
    """None: what a fair field of this contest contains is not known."""
    tuning: Literal["equal", "unequal", "unknown"]
    tuning_note: str = ""
    peeking: tuple[str, ...] = ()
    """Contenders, of any side, that have seen the sealed answers."""
    incomplete: tuple[str, ...] = ()
    """Baselines that were left out, with why: what they would have reached is not known."""
    baselines_below: tuple[str, ...] = ()
    """Baselines under their own reference score."""
    dictionaries_below: tuple[str, ...] = ()
    """Dictionaries under the quality that their kind is known to reach."""
    dictionary_quality: Literal["known", "unknown", "contested"] = "known"
    note: str = ""


@dataclass(frozen=True)
class DictionaryFacts:
    """What is said to have won."""

    kind: str
    l0: float | None
    latents: int | None
    note: str = ""


@dataclass(frozen=True)
class PublicFacts:
    """What anybody can look at, and do again."""

    is_public: bool | None
    """None: the tool cannot know, a person has to say."""
    artefacts: tuple[str, ...]
    reproducible: Literal["yes", "partly", "no", "unknown"]
    note: str = ""


@dataclass(frozen=True)
class RobustFacts:
    """How much was tried, and how much of it worked."""

    attempted: int | None
    usable: int | None
    """Of what was attempted (concepts, tasks, test sets), where the dictionary had something to offer or won."""
    what: str
    """What is counted."""
    big_deal: str = ""
    """A concept among the usable that matters by itself, if one is declared."""
    seeds: int | None = None
    dictionary_seeds: int | None = None
    attempts: int | None = None
    """Earlier runs of the same question."""
    is_registered: bool = False
    """Whether what was asked was written down before the first trial: then earlier attempts were not picked from."""
    fragile: tuple[str, ...] = ()
    """What the result did not survive: a seed, a set, a layer left out."""
    note: str = ""


@dataclass(frozen=True)
class Case:
    """All that the criteria look at."""

    title: str
    task: TaskFacts
    constraints: tuple[tuple[str, str], ...]
    """Each rule on how the task may be solved, with the argument for it."""
    budget: BudgetFacts | None
    field: FieldFacts
    main: Beat | None
    """Against the best baseline, chosen on validation; None where nothing was compared."""
    every: Beat | None
    """Against the hardest of all baselines."""
    controls: tuple[Beat, ...]
    rivals: tuple[Beat, ...]
    dictionary: DictionaryFacts
    public: PublicFacts
    robust: RobustFacts
    calls: tuple[Call, ...] = ()
    moot_controls: tuple[tuple[str, str], ...] = ()
    """Kinds of controls that can show nothing about this challenger, with why."""
