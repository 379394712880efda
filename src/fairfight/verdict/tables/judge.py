"""From a table of scores to a word: the same rules as for a run, and less to stand on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fairfight.errors import TableError
from fairfight.records import plain
from fairfight.verdict.draws import stream
from fairfight.verdict.statistics import words
from fairfight.verdict.statistics.permutation import paired_permutation
from fairfight.verdict.statistics.several import Adjusted, against_every, holm
from fairfight.verdict.statistics.words import Word
from fairfight.verdict.tables.champion import Champion, How, champion
from fairfight.verdict.tables.compared import Compared, draws_for
from fairfight.verdict.tables.flaw import Flaw
from fairfight.verdict.tables.lint import lint
from fairfight.verdict.tables.pairs import Grid, Units, clusters_shared, pair
from fairfight.verdict.tables.quiver import quiver
from fairfight.verdict.tables.score_table import ScoreTable


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
    """Of a bootstrap, at least: more where an interval is read further out."""


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
    """Of the word nearest at hand, off the same chance as the interval; not adjusted."""
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
    """Times the pairs that the champions were picked from by the scores themselves, then adjusted for the other tables."""
    permutation_p: float
    """Of any difference at all, by tossing the signs of the clusters' sums; it needs no normal error and knows no margin.
    Times the pairs that the champions were picked from."""
    questions: int
    hardest: Difference
    every_p: float
    """Of beating every baseline: the largest of the single p-values, times what the challenger was picked from."""
    baselines: int
    quivers: QuiverVerdict | None
    own: tuple[Difference, ...]
    """What the source itself sets against each other, at the level asked for, adjusted for nothing."""
    flaws: tuple[Flaw, ...]
    limits: tuple[str, ...]
    """What no table of this shape can show."""

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return plain(self)


def judge_tables(tables: Sequence[ScoreTable], asked: Asked = Asked()) -> list[TableVerdict]:
    """Give the verdict on each table, adjusted for their number by Holm's procedure.

    Raises:
        TableError: a table has a flaw on which no verdict can stand, lacks a side, its sides share nothing, or no more
            than one cluster of tasks.
    """
    cases = [_Case.of(table, asked, len(tables)) for table in tables]
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
    draws: int
    _known: dict[tuple[int, int], Compared] = field(default_factory=dict)

    @staticmethod
    def of(table: ScoreTable, asked: Asked, questions: int) -> _Case:
        grid = Grid.of(table)
        flaws = tuple(lint(grid))
        if fatal := next((flaw for flaw in flaws if flaw.is_fatal), None):
            raise TableError(f"{table.name}: {fatal.found}")
        challenger, defender = (
            champion(grid, "dictionary", asked.challenger),
            champion(grid, "baseline", asked.defender),
        )
        draws = draws_for(asked.draws, asked.level, questions * challenger.picked_from * defender.picked_from)
        own = _Case(grid, asked, challenger, defender, flaws, draws)
        if own.main.pair.clusters < 2:
            what = "the table has" if table.clusters < 2 else f"{challenger.name} and {defender.name} share"
            raise TableError(
                f"{table.name}: {what} one task (cluster); an error needs two. Add tasks that share no examples with it."
            )
        return own

    @property
    def picked_from(self) -> int:
        """Pairs of methods from which the scores that are judged chose one."""
        return self.challenger.picked_from * self.defender.picked_from

    @property
    def main(self) -> Compared:
        return self.against(self.defender.place)

    @property
    def p(self) -> float:
        """Of the champions, by Bonferroni's adjustment for their choice."""
        return min(1.0, self.picked_from * self.main.chances(self.asked.margin).least)

    def against(self, place: int) -> Compared:
        """Give the challenger against a method."""
        return self.compared(self.challenger.place, place)

    def compared(self, ours: int, theirs: int) -> Compared:
        """Give two methods' comparison; the same one whenever it is asked for, so that it is drawn once."""
        if (ours, theirs) not in self._known:
            names = (self.grid.table.methods[ours].name, self.grid.table.methods[theirs].name)
            self._known[ours, theirs] = self.of_scores(self.grid.scores(ours), self.grid.scores(theirs), names)
        return self._known[ours, theirs]

    def of_scores(self, ours: Units, theirs: Units, names: tuple[str, str]) -> Compared:
        """Give the comparison of any two sets of scores on the table's places."""
        return Compared(pair(self.grid, ours, theirs, names), (self.grid.table.name, *names), self.draws)


def _judged(case: _Case, adjusted: Adjusted, questions: int) -> TableVerdict:
    table, asked = case.grid.table, case.asked
    level = 1 - (1 - adjusted.level) / case.picked_from
    hardest, chances = _hardest(case)
    tossed = paired_permutation(case.main.pair.cluster_sums, stream(table.name, "permutation"), draws=asked.draws)
    return TableVerdict(
        table=table.name,
        metric=table.metric.name,
        asked=asked,
        challenger_how=case.challenger.how,
        defender_how=case.defender.how,
        main=(main := _difference(case, case.main, level)),
        adjusted_p=adjusted.p,
        permutation_p=min(1.0, case.picked_from * tossed),
        questions=questions,
        hardest=_difference(case, case.against(hardest), level),
        every_p=min(1.0, case.challenger.picked_from * against_every(chances)),
        baselines=len(chances),
        quivers=_quivers(case, adjusted.level),
        own=tuple(_own_pairs(case)),
        flaws=case.flaws,
        limits=(*_limits(table, main), *_of_choice(case, level), *_unmet(case), *_below_chance(table, main)),
    )


def _hardest(case: _Case) -> tuple[int, list[float]]:
    """Give the baseline that the challenger is least sure to beat, and the chances of wrongly saying so for each.

    Of those that it is not ahead of, the one that is furthest ahead: there the chances differ by noise in a tail.
    """
    baselines = _met(case) or [case.defender.place]
    table, ours = case.grid.table, case.grid.scores(case.challenger.place)
    estimates = [pair(case.grid, ours, case.grid.scores(place), ("", "")).estimate() for place in baselines]
    chances = [words.chances(own, case.asked.margin).wins for own in estimates]
    hardness = [
        (min(p, 0.5), -own.value, table.methods[place].name)
        for p, own, place in zip(chances, estimates, baselines, strict=True)
    ]
    return baselines[hardness.index(max(hardness))], chances


def _met(case: _Case) -> list[int]:
    """Give the baselines that played what the challenger played, often enough for a difference to have an error."""
    places = [place for place in case.grid.table.on_side("baseline") if place != case.challenger.place]
    ours = case.grid.scores(case.challenger.place)
    return [place for place in places if clusters_shared(case.grid, ours, case.grid.scores(place)) > 1]


def _difference(case: _Case, own: Compared, level: float) -> Difference:
    found, (low, high) = own.pair, own.interval(level)
    return Difference(
        challenger=own.names[-2],
        defender=own.names[-1],
        word=words.word_of(low, high, case.asked.margin),
        difference=found.estimate().value,
        low=low,
        high=high,
        level=level,
        p=own.chances(case.asked.margin).least,
        challenger_score=float(found.ours.mean()),
        defender_score=float(found.theirs.mean()),
        ahead=found.wins,
        units=len(found.cluster),
        clusters=found.clusters,
        seeds=found.ours.shape[1],
        unpaired=found.unpaired,
        interval_by=own.interval_by,
    )


def _own_pairs(case: _Case) -> Iterator[Difference]:
    if case.asked.challenger or case.asked.defender:
        return
    grid, names = case.grid, [method.name for method in case.grid.table.methods]
    for own in case.grid.table.own_pairs:
        if set(own) <= set(names):
            ours, theirs = (names.index(name) for name in own)
            if clusters_shared(grid, grid.scores(ours), grid.scores(theirs)) > 1:
                yield _difference(case, case.compared(ours, theirs), case.asked.level)


def _quivers(case: _Case, level: float) -> QuiverVerdict | None:
    table = case.grid.table
    baselines, dictionaries = table.on_side("baseline"), table.on_side("dictionary")
    if table.validation is None or not baselines or not dictionaries or len(baselines) + len(dictionaries) < 3:
        return None
    without, with_dictionaries = quiver(case.grid, baselines), quiver(case.grid, [*baselines, *dictionaries])
    if clusters_shared(case.grid, with_dictionaries.scores, without.scores) < 2:
        return None
    names = ("baselines and dictionaries", "baselines")
    added = _difference(case, case.of_scores(with_dictionaries.scores, without.scores, names), level)
    return QuiverVerdict(without.mean, without.order_range, without.full_range, without.tied, added)


def _of_choice(case: _Case, level: float) -> Iterator[str]:
    sides = (case.challenger, case.defender)
    yield from (limit for own in sides for limit in own.limits)
    if not any(own.how == "best on the scores themselves" for own in sides):
        return
    why = _why_by_scores(case.grid.table)
    if case.picked_from == 1:
        yield f"{why}: who stands for a side was chosen by the scores that it is judged by."
    else:
        yield (
            f"{why}: who stands for a side was chosen by the scores that it is judged by, so p-values of that pair are taken "
            f"times {case.picked_from}, the number of pairs to choose from, and its interval is read at {100 * level:.6g} %."
        )


def _why_by_scores(table: ScoreTable) -> str:
    if table.without_validation:
        return f"{table.without_validation} of {len(table)} validation cells are empty, so none was used"
    return "No validation scores"


def _below_chance(table: ScoreTable, main: Difference) -> Iterator[str]:
    if table.metric.name == "AUROC" and max(main.challenger_score, main.defender_score) < 0.5:
        yield "Both are worse than chance (an AUROC below 0.5): labels or scores may be turned round, and nobody has won anything."


def _unmet(case: _Case) -> Iterator[str]:
    others = [place for place in case.grid.table.on_side("baseline") if place != case.challenger.place]
    if apart := len(others) - len(_met(case)):
        yield (
            f"{apart} of {len(others)} baselines played too little of what {case.challenger.name} played: nothing is said about them."
        )


def _limits(table: ScoreTable, main: Difference) -> list[str]:
    found = [
        "Scores, not items: how sure each score is, and which examples differ, cannot be known; what is resampled are tasks."
    ]
    if main.seeds == 1:
        found.append("One seed: what another split or another dictionary would give is not in the interval.")
    if not table.are_clusters_known:
        found.append(
            "Tasks are taken as independent; if some share examples, the interval is too short (--clusters FILE)."
        )
    if table.cost is None:
        found.append("No costs: nothing can be said about a compute budget.")
    return found
