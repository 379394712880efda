"""A table of scores as the verdict reads it: one row a play, whoever wrote it down."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NoReturn

import numpy as np
from jaxtyping import Float, Int

from fairfight.errors import TableError
from fairfight.verdict.tables.flaw import Flaw

Side = Literal["dictionary", "baseline", "rival", "control"]


class Metric(NamedTuple):
    """What a score is; larger is better."""

    name: str
    low: float
    high: float


METRICS = {
    "auroc": Metric("AUROC", 0.0, 1.0),
    "accuracy": Metric("accuracy", 0.0, 1.0),
    "f1": Metric("F1", 0.0, 1.0),
    "rate": Metric("rate", 0.0, 1.0),
    "rating": Metric("rating, 0 to 2", 0.0, 2.0),
    "score": Metric("score", -np.inf, np.inf),
}


_ROUNDING = 1e-9
"""By how much a sum of floats may step out of a metric's range; found in published files."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that move a terminal's cursor or turn its text round: a name with one is not the name that is shown."""
_COPIED = 20
"""Rows beyond which validation scores do not equal the scores by chance."""


class Method(NamedTuple):
    """A contender of the table."""

    name: str
    side: Side


class Row(NamedTuple):
    """One play."""

    task: str
    method: str
    side: Side
    score: float
    seed: str = ""
    condition: str = ""
    """What else has to be equal for two plays to be comparable: a number of examples, a share of noise."""
    validation: float | None = None
    cost: float | None = None


@dataclass(frozen=True)
class ScoreTable:
    """Rows as columns of numbers; names stand once each.

    Methods keep the order of their first rows. All else is in order of its names, so that no draw depends on how a file
    is sorted.
    """

    name: str
    metric: Metric
    tasks: tuple[str, ...]
    conditions: tuple[str, ...]
    seeds: tuple[str, ...]
    methods: tuple[Method, ...]
    task: Int[np.ndarray, " row"]
    condition: Int[np.ndarray, " row"]
    seed: Int[np.ndarray, " row"]
    method: Int[np.ndarray, " row"]
    score: Float[np.ndarray, " row"]
    validation: Float[np.ndarray, " row"] | None
    """None where a row lacks one, or all are the scores themselves."""
    cost: Float[np.ndarray, " row"] | None
    cluster: Int[np.ndarray, " task"]
    """Tasks of one cluster share examples, and are resampled together."""
    are_clusters_known: bool
    own_pairs: tuple[tuple[str, str], ...] = ()
    """Methods that the source itself sets against each other, challenger first."""
    without_validation: int = 0
    """Rows whose validation score is missing, where others have one."""
    flaws: tuple[Flaw, ...] = ()
    """What its reader found that the rows no longer show."""

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self.score)

    @property
    def clusters(self) -> int:
        """How many independent groups of tasks there are."""
        return int(self.cluster.max()) + 1

    def on_side(self, side: Side) -> list[int]:
        """Give the places of a side's methods."""
        return [place for place, method in enumerate(self.methods) if method.side == side]

    def named(self, name: str) -> int:
        """Give a method's place.

        Raises:
            TableError: no method has that name.
        """
        names = [method.name for method in self.methods]
        if name not in names:
            from fairfight.errors import nearest

            shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
            raise TableError(f"{self.name} has no method '{name}'; there are {shown}.{nearest(name, names)}")
        return names.index(name)


@dataclass
class TableBuilder:
    """Collects rows, a few numbers each, so that a million of them fit in a hundred megabytes."""

    name: str
    metric: Metric
    file: str
    """Named in errors."""
    _task: dict[str, int] = field(default_factory=dict)
    _condition: dict[str, int] = field(default_factory=dict)
    _seed: dict[str, int] = field(default_factory=dict)
    _method: dict[Method, int] = field(default_factory=dict)
    _places: array = field(default_factory=lambda: array("i"))
    _numbers: array = field(default_factory=lambda: array("d"))
    _without_validation: int = 0
    _has_cost: bool = True

    def add(self, row: Row, line: int | str) -> None:
        """Add a play of some line of the file, or of a place in it that has a name.

        Raises:
            TableError: its score is no number, or outside the metric's range, or a name holds a control character.
        """
        method = Method(row.method, row.side)
        self.add_numbers(line, (row.task, row.condition, row.seed), method, (row.score, row.validation, row.cost))

    def add_numbers(
        self,
        line: int | str,
        place: tuple[str, str, str],
        method: Method,
        numbers: tuple[float, float | None, float | None],
    ) -> None:
        """Add a play from its parts: task, condition and seed; the method; score, validation and cost."""
        score, validation, cost = numbers
        self.check(score, line)
        if validation is None:
            self._without_validation, validation = self._without_validation + 1, 0.0
        else:
            self.check(validation, line, "validation score")
        if cost is None:
            self._has_cost, cost = False, 0.0
        task, condition, seed = place
        if task not in self._task:
            self._check_name(task, "task", line)
        if method not in self._method:
            self._check_name(method.name, "method", line)
        self._places.extend(
            (
                self._task.setdefault(task, len(self._task)),
                self._condition.setdefault(condition, len(self._condition)),
                self._seed.setdefault(seed, len(self._seed)),
                self._method.setdefault(method, len(self._method)),
            )
        )
        self._numbers.extend((score, validation, cost))

    def check(self, value: float, line: int | str, what: str = "score") -> None:
        """Refuse what is no number, or lies outside the metric's range.

        Raises:
            TableError: it is or does.
        """
        if not self._low <= value <= self._high:
            self._refuse(value, what, line)

    def where(self, line: int | str) -> str:
        """Give the place of a row, for errors; names in it may hold anything."""
        return _CONTROL.sub("?", f"{self.file}, line {line}" if isinstance(line, int) else f"{self.file}, {line}")

    def __post_init__(self) -> None:
        """Widen the metric's range by what rounding may do."""
        self._low, self._high = self.metric.low - _ROUNDING, self.metric.high + _ROUNDING

    def _check_name(self, name: str, what: str, line: int | str) -> None:
        if found := _CONTROL.search(name):
            raise TableError(
                f"{self.where(line)}: the {what} {name[:60]!a} holds the control character U+{ord(found[0]):04X}, which changes how "
                "it is shown. Take it out of the name."
            )

    def _refuse(self, value: float, what: str, line: int | str) -> NoReturn:
        if value != value:
            raise TableError(
                f"{self.where(line)}: the {what} is NaN, which no mean may swallow. Take the row out if the play failed, "
                "and say so."
            )
        raise TableError(
            f"{self.where(line)}: the {what} is {value:g}, but {self.metric.name} lies between {self.metric.low:g} and "
            f"{self.metric.high:g}. Name the metric (--metric), or mend the row."
        )

    def table(
        self,
        cluster_of: Mapping[str, object] | None = None,
        *,
        own_pairs: tuple[tuple[str, str], ...] = (),
        flaws: Iterable[Flaw] = (),
    ) -> ScoreTable:
        """Give the table; `cluster_of` says which tasks share examples.

        Raises:
            TableError: there is no row, or a task has no cluster though others have.
        """
        if not self._places:
            raise TableError(f"{self.name} holds no score. Give a table with at least one row.")
        places = np.frombuffer(self._places, dtype=np.int32).reshape(-1, 4)
        score, validation, cost = np.frombuffer(self._numbers, dtype=np.float64).reshape(-1, 3).T
        (tasks, task), (conditions, condition), (seeds, seed) = (
            _in_order(names, places[:, column])
            for column, names in enumerate((self._task, self._condition, self._seed))
        )
        is_copied = not self._without_validation and len(score) > _COPIED and bool((score == validation).all())
        return ScoreTable(
            name=self.name,
            metric=self.metric,
            tasks=tasks,
            conditions=conditions,
            seeds=seeds,
            methods=tuple(self._method),
            task=task,
            condition=condition,
            seed=seed,
            method=places[:, 3],
            score=score,
            validation=None if self._without_validation or is_copied else validation,
            cost=cost if self._has_cost else None,
            cluster=_clusters(self.name, tasks, cluster_of),
            are_clusters_known=cluster_of is not None,
            own_pairs=own_pairs,
            without_validation=self._without_validation if self._without_validation < len(score) else 0,
            flaws=(*flaws, *([_COPY] if is_copied else [])),
        )


_COPY = Flaw(
    "validation is the score itself",
    "the validation score equals the score in every row, so nothing is chosen by it: whoever is picked by such a column is "
    "picked by what it is judged by. Map the column of another split, or leave it out.",
    is_fatal=False,
)


def _in_order(names: Mapping[str, int], places: Int[np.ndarray, " row"]) -> tuple[tuple[str, ...], np.ndarray]:
    """Give names in order, and each row's place among them."""
    ordered = sorted(names)
    rank = np.empty(len(ordered), dtype=np.int32)
    rank[[names[name] for name in ordered]] = np.arange(len(ordered))
    return tuple(ordered), rank[places]


def _clusters(name: str, tasks: tuple[str, ...], cluster_of: Mapping[str, object] | None) -> Int[np.ndarray, " task"]:
    if cluster_of is None:
        return np.arange(len(tasks))
    if missing := [task for task in tasks if task not in cluster_of]:
        raise TableError(
            f"{len(missing)} of {len(tasks)} tasks of {name} have no cluster, such as '{missing[0]}'. Give every task one; a "
            "task that shares nothing has a cluster of its own."
        )
    known: dict[object, int] = {}
    return np.array([known.setdefault(cluster_of[task], len(known)) for task in tasks])
