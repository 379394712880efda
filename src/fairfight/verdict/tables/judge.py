"""From a table of scores to a word: the same rules as for a run, and less to stand on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from fairfight.errors import TableError
from fairfight.verdict.draws import stream
from fairfight.verdict.statistics import words
from fairfight.verdict.statistics.crossed import Estimate
from fairfight.verdict.statistics.permutation import paired_permutation
from fairfight.verdict.statistics.several import Adjusted, against_every, holm
from fairfight.verdict.statistics.words import Word
from fairfight.verdict.tables.flaw import Flaw
from fairfight.verdict.tables.lint import lint
from fairfight.verdict.tables.pairs import Grid, Pair, clusters_shared, pair
from fairfight.verdict.tables.quiver import quiver
from fairfight.verdict.tables.score_table import ScoreTable

How = Literal["named", "the only one", "best on validation", "best on the scores themselves"]


@dataclass(frozen=True)
class Asked:
    """What is asked of every table."""

    challenger: str | None = None
    """A method by name; the best of the dictionary side when left out."""
    defender: str | None = None
    """A method by name; the best baseline when left out."""
    margin: float = 0.01
    level: float = 0.95
    draws: int = 10_000


class Champion(NamedTuple):
    """A side's method, and how it came to stand for it."""

    name: str
    place: int
    how: How


@dataclass(frozen=True)
class Difference:
    """A paired difference over the units of a table."""

    challenger: str
    defender: str
    word: Word
    difference: float
    low: float
    high: float
    level: float
    p: float
    """Of the word nearest at hand; not adjusted."""
    challenger_score: float
    defender_score: float
    ahead: int
    """Units on which the challenger is ahead."""
    units: int
    clusters: int
    seeds: int
    unpaired: int
    interval_by: Literal["Student's t", "bootstrap"]


@dataclass(frozen=True)
class QuiverVerdict:
    """The best on validation task by task, with and without the dictionary's methods."""

    baselines: float
    order_range: tuple[float, float]
    full_range: tuple[float, float]
    tied: int
    added: Difference
    """With the dictionary's methods minus without."""


@dataclass(frozen=True)
class TableVerdict:
    """What a table supports."""

    table: str
    metric: str
    asked: Asked
    challenger_how: How
    defender_how: How
    main: Difference
    adjusted_p: float
    permutation_p: float
    """Of any difference at all, by tossing the signs of the clusters' sums; it needs no normal error and knows no margin."""
    questions: int
    hardest: Difference
    every_p: float
    """Of beating every baseline: the largest of the single p-values."""
    baselines: int
    quivers: QuiverVerdict | None
    own: tuple[Difference, ...]
    """What the source itself sets against each other, at the level asked for, adjusted for nothing."""
    flaws: tuple[Flaw, ...]
    limits: tuple[str, ...]
    """What no table of this shape can show."""

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return asdict(self) | {"flaws": [flaw._asdict() for flaw in self.flaws]}


def judge_tables(tables: Sequence[ScoreTable], asked: Asked = Asked()) -> list[TableVerdict]:
    """Give the verdict on each table, adjusted for their number by Holm's procedure.

    Raises:
        TableError: a table has a flaw on which no verdict can stand, lacks a side, or its sides share nothing.
        EmptyBatchError: a table's tasks are all of one cluster.
    """
    cases = [_Case.of(table, asked) for table in tables]
    adjusted = holm([case.p for case in cases], [asked.level] * len(cases))
    return [_judged(case, own, len(cases)) for case, own in zip(cases, adjusted, strict=True)]


@dataclass(frozen=True)
class _Case:
    """A table with its champions."""

    grid: Grid
    asked: Asked
    challenger: Champion
    defender: Champion
    flaws: tuple[Flaw, ...]

    @staticmethod
    def of(table: ScoreTable, asked: Asked) -> _Case:
        grid = Grid.of(table)
        flaws = tuple(lint(grid))
        if fatal := next((flaw for flaw in flaws if flaw.is_fatal), None):
            raise TableError(f"{table.name}: {fatal.found}")
        challenger, defender = (
            _champion(grid, "dictionary", asked.challenger),
            _champion(grid, "baseline", asked.defender),
        )
        return _Case(grid, asked, challenger, defender, flaws)

    @property
    def pair(self) -> Pair:
        return _paired(self.grid, self.challenger.place, self.defender.place)

    @property
    def p(self) -> float:
        return words.chances(self.pair.estimate(), self.asked.margin).least


def _champion(grid: Grid, side: Literal["dictionary", "baseline"], named: str | None) -> Champion:
    table = grid.table
    if named is not None:
        return Champion(named, table.named(named), "named")
    places = table.on_side(side)
    if not places:
        sides = ", ".join(sorted({method.side for method in table.methods}))
        raise TableError(
            f"{table.name} has no method on the {side} side (only {sides}). Say which methods use a dictionary with "
            "--dictionary 'PATTERN', or map a column of sides (--map side=COLUMN)."
        )
    if len(places) == 1:
        return Champion(table.methods[places[0]].name, places[0], "the only one")
    seen = grid.scores if table.validation is None else grid.validation
    means = [float(np.nanmean(seen(place))) for place in places]
    best = places[int(np.argmax(means))]
    how: How = "best on the scores themselves" if table.validation is None else "best on validation"
    return Champion(table.methods[best].name, best, how)


def _paired(grid: Grid, ours: int, theirs: int) -> Pair:
    names = (grid.table.methods[ours].name, grid.table.methods[theirs].name)
    return pair(grid, grid.scores(ours), grid.scores(theirs), names)


def _judged(case: _Case, adjusted: Adjusted, questions: int) -> TableVerdict:
    table, asked = case.grid.table, case.asked
    main = _difference(case, case.pair, (case.challenger.name, case.defender.name), adjusted.level)
    hardest, chances = _hardest(case)
    return TableVerdict(
        table=table.name,
        metric=table.metric.name,
        asked=asked,
        challenger_how=case.challenger.how,
        defender_how=case.defender.how,
        main=main,
        adjusted_p=adjusted.p,
        permutation_p=paired_permutation(case.pair.cluster_sums, stream(table.name, "permutation"), draws=asked.draws),
        questions=questions,
        hardest=_difference(
            case,
            _paired(case.grid, case.challenger.place, hardest),
            (case.challenger.name, table.methods[hardest].name),
            adjusted.level,
        ),
        every_p=against_every(chances),
        baselines=len(chances),
        quivers=_quivers(case, adjusted.level),
        own=tuple(_own_pairs(case)),
        flaws=case.flaws,
        limits=(*_limits(table), *_unmet(case)),
    )


def _hardest(case: _Case) -> tuple[int, list[float]]:
    """Give the baseline that the challenger is least sure to beat, and the chances of wrongly saying so for each."""
    baselines = _met(case) or [case.defender.place]
    estimates = [_paired(case.grid, case.challenger.place, place).estimate() for place in baselines]
    chances = [words.chances(own, case.asked.margin).wins for own in estimates]
    order = sorted(range(len(baselines)), key=lambda i: (chances[i], -estimates[i].value))
    return baselines[order[-1]], chances


def _met(case: _Case) -> list[int]:
    """Give the baselines that played what the challenger played, often enough for a difference to have an error."""
    places = [place for place in case.grid.table.on_side("baseline") if place != case.challenger.place]
    ours = case.grid.scores(case.challenger.place)
    return [place for place in places if clusters_shared(case.grid, ours, case.grid.scores(place)) > 1]


def _difference(case: _Case, own: Pair, names: tuple[str, str], level: float) -> Difference:
    found: Estimate = own.estimate()
    low, high = own.interval(level, stream(case.grid.table.name, *names), case.asked.draws)
    return Difference(
        challenger=names[0],
        defender=names[1],
        word=words.word_of(low, high, case.asked.margin),
        difference=found.value,
        low=low,
        high=high,
        level=level,
        p=words.chances(found, case.asked.margin).least,
        challenger_score=float(own.ours.mean()),
        defender_score=float(own.theirs.mean()),
        ahead=own.wins,
        units=len(own.cluster),
        clusters=own.clusters,
        seeds=own.ours.shape[1],
        unpaired=own.unpaired,
        interval_by="Student's t" if own.are_levels_few else "bootstrap",
    )


def _own_pairs(case: _Case) -> Iterator[Difference]:
    if case.asked.challenger or case.asked.defender:
        return
    names = [method.name for method in case.grid.table.methods]
    for ours, theirs in case.grid.table.own_pairs:
        if ours in names and theirs in names:
            own = _paired(case.grid, names.index(ours), names.index(theirs))
            yield _difference(case, own, (ours, theirs), case.asked.level)


def _quivers(case: _Case, level: float) -> QuiverVerdict | None:
    table = case.grid.table
    baselines, dictionaries = table.on_side("baseline"), table.on_side("dictionary")
    if table.validation is None or not baselines or not dictionaries or len(baselines) + len(dictionaries) < 3:
        return None
    without, with_dictionaries = quiver(case.grid, baselines), quiver(case.grid, [*baselines, *dictionaries])
    if clusters_shared(case.grid, with_dictionaries.scores, without.scores) < 2:
        return None
    names = ("baselines and dictionaries", "baselines")
    added = _difference(case, pair(case.grid, with_dictionaries.scores, without.scores, names), names, level)
    return QuiverVerdict(without.mean, without.order_range, without.full_range, without.tied, added)


def _unmet(case: _Case) -> Iterator[str]:
    others = [place for place in case.grid.table.on_side("baseline") if place != case.challenger.place]
    if apart := len(others) - len(_met(case)):
        yield (
            f"{apart} of {len(others)} baselines played too little of what {case.challenger.name} played: nothing is said about them."
        )


def _limits(table: ScoreTable) -> list[str]:
    found = [
        "Scores, not items: how sure each score is, and which examples differ, cannot be known; what is resampled are tasks."
    ]
    if len(table.seeds) == 1:
        found.append("One seed: what another split or another dictionary would give is not in the interval.")
    if not table.are_clusters_known:
        found.append(
            "Tasks are taken as independent; if some share examples, the interval is too short (--clusters FILE)."
        )
    if table.validation is None and any(len(table.on_side(side)) > 1 for side in ("dictionary", "baseline")):
        found.append("No validation scores: who stands for a side was chosen by the scores that it is judged by.")
    if table.cost is None:
        found.append("No costs: nothing can be said about a compute budget.")
    return found
