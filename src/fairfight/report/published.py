"""What a table of scores supports, in words and rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from fairfight.report.tables import Rows, drawn
from fairfight.report.wording import number, p_value, percent
from fairfight.verdict.tables.judge import Difference, QuiverVerdict, TableVerdict


def published_rows(verdicts: Sequence[TableVerdict]) -> Rows:
    """Give a row a comparison: the best of each side, the hardest baseline, the source's own pairs, the quiver."""
    columns = ("table", "verdict", "challenger", "defender", "difference", "ahead", "what it is")
    return Rows(columns, tuple(row for verdict in verdicts for row in _rows(verdict)))


def published_table(verdicts: Sequence[TableVerdict]) -> Table:
    """Give the comparisons as a terminal table."""
    return drawn(published_rows(verdicts), title="Verdict on published scores", caption=_caption(verdicts))


def headline(verdict: TableVerdict) -> str:
    """Give the verdict as a sentence."""
    own = verdict.main
    says = {
        "wins": f"{own.challenger} wins against {own.defender}",
        "loses": f"{own.challenger} loses to {own.defender}",
        "ties": f"{own.challenger} ties with {own.defender}",
        "undecided": f"between {own.challenger} and {own.defender} it is undecided",
    }
    return (
        f"{says[own.word]}: mean {verdict.metric} {_precise(own.challenger_score)} against {_precise(own.defender_score)}, "
        f"difference {_difference(own)} over {own.clusters} independent groups of tasks; ahead in {own.ahead} of {own.units}."
    )


def notes(verdict: TableVerdict) -> Iterator[str]:
    """Give what belongs beside the verdict: how the champions were chosen, every baseline, the quiver, flaws, limits."""
    yield f"{verdict.main.challenger}: {verdict.challenger_how}. {verdict.main.defender}: {verdict.defender_how}."
    hardest = verdict.hardest
    if verdict.baselines > 1:
        every = "beats every one of the" if hardest.word == "wins" else "does not beat every one of the"
        yield (
            f"It {every} {verdict.baselines} baselines ({p_value(verdict.every_p)}); the hardest is {hardest.defender}, "
            f"{_difference(hardest)}."
        )
    yield f"Signs of the clusters' differences tossed instead: {p_value(verdict.permutation_p)} of no difference at all."
    if verdict.quivers is not None:
        yield _quiver(verdict.quivers)
    if verdict.main.unpaired:
        yield f"{verdict.main.unpaired} tasks or conditions were not played by both under every seed that both have, and are left out."
    for flaw in verdict.flaws:
        yield f"Flaw, {flaw.name}: {flaw.found}"
    yield from verdict.limits


def _quiver(own: QuiverVerdict) -> str:
    low, high = own.order_range
    ties = f" ({_precise(low)} to {_precise(high)} by how {own.tied} ties are broken)" if own.tied else ""
    return (
        f"Choosing task by task on validation: baselines {_precise(own.baselines)}{ties}; with the dictionary's methods at hand "
        f"{signed_precise(own.added.difference)} [{signed_precise(own.added.low)}, {signed_precise(own.added.high)}], {own.added.word}."
    )


def _rows(verdict: TableVerdict) -> Iterator[tuple[str, ...]]:
    yield _cells(verdict.table, verdict.main, "best of each side")
    if verdict.hardest.defender != verdict.main.defender:
        yield _cells(verdict.table, verdict.hardest, "hardest baseline")
    for own in verdict.own:
        if (own.challenger, own.defender) != (verdict.main.challenger, verdict.main.defender):
            yield _cells(verdict.table, own, "the source's own pair")
    if verdict.quivers is not None:
        yield _cells(verdict.table, verdict.quivers.added, "best on validation, task by task")


def _cells(table: str, own: Difference, what: str) -> tuple[str, ...]:
    names = f"{own.challenger} {_precise(own.challenger_score)}", f"{own.defender} {_precise(own.defender_score)}"
    return (
        table,
        own.word,
        *names,
        _difference(own),
        f"{own.ahead} of {own.units}",
        f"{what}, {percent(round(own.level, 4))}",
    )


def _difference(own: Difference) -> str:
    return f"{signed_precise(own.difference)} [{signed_precise(own.low)}, {signed_precise(own.high)}]"


def _precise(value: float) -> str:
    return f"{value:.5f}"


def signed_precise(value: float) -> str:
    """Give a difference with four decimals, as published tables need to be told apart."""
    return f"{value:+.4f}"


def _caption(verdicts: Sequence[TableVerdict]) -> str:
    if not verdicts:
        return ""
    own = verdicts[0]
    by = sorted({verdict.main.interval_by for verdict in verdicts})
    return (
        f"Paired differences, challenger minus defender, with intervals over clusters of tasks ({' or '.join(by)}, {own.asked.draws:,} draws or more); "
        f"margin {number(own.asked.margin)}. Best of each side and hardest baseline at the level that Holm's adjustment for "
        f"{own.questions} table(s) leaves of {percent(own.asked.level)}, further out where the scores themselves chose the best."
    )
