"""`fairfight judge`: who wins, in a run of ours, in anybody's table of scores, or by a claim's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairfight.cli.bars import Bars
from fairfight.cli.claimed import are_claims, judge_claims
from fairfight.cli.console import print_json
from fairfight.cli.shown import show_published, show_run, show_sheet
from fairfight.errors import InputError

if TYPE_CHECKING:
    from fairfight.report.standings import Standing
    from fairfight.verdict.answer import Verdict
    from fairfight.verdict.criteria.case import Call
    from fairfight.verdict.criteria.sheet import Sheet
    from fairfight.verdict.roster import Roster
    from fairfight.verdict.tables.score_table import Side


def judge(
    path: Annotated[
        Path,
        typer.Argument(
            help="A run's folder, a claim or a docket of claims (TOML), or a table of scores: CSV, or a layout that is known."
        ),
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="What a table's column holds, MEANING=COLUMN: task, method, score, side, seed, condition, "
            "validation, cost, cluster; columns are joined with +.",
        ),
    ] = None,
    dictionary: Annotated[
        list[str] | None, typer.Option(help="Methods that use a dictionary, by shell patterns.")
    ] = None,
    rival: Annotated[list[str] | None, typer.Option(help="Methods on rival dictionaries, such as k-means.")] = None,
    control: Annotated[list[str] | None, typer.Option(help="Methods on control dictionaries.")] = None,
    metric: Annotated[
        str, typer.Option(help="What a table's scores are: auroc, accuracy, f1, rate, rating or score.")
    ] = "auroc",
    clusters: Annotated[
        Path | None, typer.Option(help='Which tasks share examples: JSON, {"task": "cluster"}.')
    ] = None,
    challenger: Annotated[
        str | None, typer.Option(help="A table's method; the dictionaries' best when left out.")
    ] = None,
    defender: Annotated[str | None, typer.Option(help="A table's method; the best baseline when left out.")] = None,
    margin: Annotated[float, typer.Option(help="For a table: the smallest difference that matters.", min=0.0)] = 0.01,
    level: Annotated[float, typer.Option(help="For a table: the coverage of intervals.", min=0.5, max=0.9999)] = 0.95,
    call: Annotated[
        str | None, typer.Option(help="For a claim: what a person decides, CRITERION=met or CRITERION='not met'.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who makes the call.")] = "",
    because: Annotated[str, typer.Option(help="Why.")] = "",
    private: Annotated[bool, typer.Option(help="The call rests on something said in private.")] = False,
    pages: Annotated[Path | None, typer.Option(help="For claims: a folder for a page of Markdown each.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Say who wins: the verdict on each question of a run, on published scores, or whether a claim would resolve YES."""
    entered = None
    if call is not None:
        from fairfight.verdict.calls import call_from

        entered = call_from(call, by=by, because=because, private=private)
    if is_run(path):
        _judge_run(path, call=entered, as_json=as_json)
        return
    if are_claims(path):
        judge_claims(path, call=entered, pages=pages, as_json=as_json)
        return
    from fairfight.verdict.tables.judge import Asked, judge_tables
    from fairfight.verdict.tables.read import read_clusters, read_tables
    from fairfight.verdict.tables.readers.long import Layout

    patterns: dict[Side, list[str]] = {"dictionary": dictionary or [], "rival": rival or [], "control": control or []}
    layout = Layout(_mapped(columns or []), {side: own for side, own in patterns.items() if own}, metric)
    found = read_tables(path, layout, read_clusters(clusters) if clusters else None)
    verdicts = judge_tables(found.tables, Asked(challenger, defender, margin, level))
    if as_json:
        flaws = [flaw._asdict() for flaw in found.flaws]
        print_json({"path": str(path), "verdicts": [own.to_json() for own in verdicts], "flaws": flaws})
    else:
        show_published(verdicts, found.flaws)


def is_run(path: Path) -> bool:
    """Whether the path is a run's folder, finished or not."""
    return (path / "run.json").is_file() or (path / "trials").is_dir()


def _judge_run(folder: Path, *, call: Call | None, as_json: bool) -> None:
    from fairfight.verdict.calls import add_call

    roster = roster_of(folder)
    verdicts = judged(roster, is_quiet=as_json)
    if call is not None:
        sheet_of(folder, roster, verdicts, call)
        add_call(folder, call)
    if as_json:
        print_json({"run": str(folder), **verdicts_json(folder, roster, verdicts)})
    else:
        show_run(roster, standings_of(roster), verdicts)
        show_sheet(sheet_of(folder, roster, verdicts))


def verdicts_json(folder: Path, roster: Roster, verdicts: list[Verdict]) -> dict[str, Any]:
    """Give division, verdicts, criteria and gains as plain values."""
    from fairfight.verdict.gains import gains

    found = sheet_of(folder, roster, verdicts)
    return {
        "division": roster.division.to_json(),
        "verdicts": [verdict.to_json() for verdict in verdicts],
        "criteria": found.to_json() if found else None,
        "gains": [own.to_json() for own in gains(roster)],
    }


def sheet_of(folder: Path, roster: Roster, verdicts: list[Verdict], call: Call | None = None) -> Sheet | None:
    """Give the criteria sheet of a run's first question that has a dictionary for a challenger, None where there is none.

    Calls are those entered on the run, with `call` in place of an earlier one on its criterion.
    """
    from fairfight.verdict.calls import read_calls
    from fairfight.verdict.criteria.played import case_of
    from fairfight.verdict.criteria.sheet import sheet

    asked = next((verdict for verdict in verdicts if verdict.question.challenger == "dictionary"), None)
    if asked is None:
        return None
    entered = read_calls(folder)
    if call is not None:
        entered = (*(own for own in entered if own.criterion != call.criterion), call)
    return sheet(case_of(roster, asked, entered))


def _mapped(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        meaning, _, column = pair.partition("=")
        if not meaning or not column:
            raise InputError(
                f"--map {pair} cannot be; expected MEANING=COLUMN, such as task=dataset or method=model+k."
            )
        found[meaning] = column
    return found


def roster_of(run_folder: Path) -> Roster:
    """Give the ledger of a run's folder, sorted out for judging."""
    from fairfight.ledger import Ledger
    from fairfight.verdict.roster import read_roster

    return read_roster(Ledger(run_folder))


def standings_of(roster: Roster) -> list[Standing]:
    """Give how every contender did."""
    from fairfight.report.standings import standings

    return standings(roster)


def judged(roster: Roster, *, is_quiet: bool) -> list[Verdict]:
    """Give the verdict on every question, with a bar while they come."""
    from fairfight.verdict.decide import questions_of, verdicts

    found = []
    with Bars("verdict", is_quiet=is_quiet) as bars:
        if questions := questions_of(roster):
            bars.starts("verdict", len(questions))
        for verdict in verdicts(roster, questions):
            found.append(verdict)
            bars.advances(1)
    return found
