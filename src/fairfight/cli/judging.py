"""`fairfight judge`: who wins, in a run of ours, in anybody's table of scores, or by a claim's numbers."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

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
    from fairfight.verdict.tables.layout import Layout
    from fairfight.verdict.tables.score_table import Side


TABLE_OPTIONS = (
    "--map",
    "--dictionary",
    "--rival",
    "--control",
    "--metric",
    "--clusters",
    "--challenger",
    "--defender",
    "--margin",
    "--level",
)
CALL_OPTIONS = ("--call", "--by", "--because", "--private")


class Kind(NamedTuple):
    """What a path that is judged can be."""

    what: str
    takes: tuple[str, ...]
    """The options that mean something for it."""
    why: str
    """Why others mean nothing."""


RUN = Kind("a run", CALL_OPTIONS, "its study says what is asked")
CLAIM = Kind("a claim", (*CALL_OPTIONS, "--pages"), "its file says who stands against whom")
DOCKET = Kind("a folder of claims", CLAIM.takes, "their files say who stands against whom")
TABLE = Kind("a table of scores", TABLE_OPTIONS, "calls and pages are for claims")


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
        str | None,
        typer.Option(
            help="What a table's scores are: auroc, accuracy, f1, rate, rating or score; auroc when left out, or what the layout says."
        ),
    ] = None,
    clusters: Annotated[
        Path | None, typer.Option(help='Which tasks share examples: JSON, {"task": "cluster"}.')
    ] = None,
    challenger: Annotated[
        str | None, typer.Option(help="A table's method; the dictionaries' best when left out.")
    ] = None,
    defender: Annotated[str | None, typer.Option(help="A table's method; the best baseline when left out.")] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="For a table: the smallest difference that matters; 0.01 when left out.", min=0.0),
    ] = None,
    level: Annotated[
        float | None,
        typer.Option(help="For a table: the coverage of intervals; 0.95 when left out.", min=0.5, max=0.9999),
    ] = None,
    call: Annotated[
        str | None,
        typer.Option(help="For a claim or a run: what a person decides, CRITERION=met or CRITERION='not met'."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who makes the call.")] = None,
    because: Annotated[str | None, typer.Option(help="Why.")] = None,
    private: Annotated[bool, typer.Option("--private", help="The call rests on something said in private.")] = False,
    pages: Annotated[Path | None, typer.Option(help="For claims: a folder for a page of Markdown each.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Say who wins: the verdict on each question of a run, on published scores, or whether a claim would resolve YES."""
    kind = _kind_of(path)
    values = (columns, dictionary, rival, control, metric, clusters, challenger, defender, margin, level)
    given = dict(zip(TABLE_OPTIONS, values, strict=True))
    given |= dict(zip(CALL_OPTIONS, (call, by, because, private or None), strict=True)) | {"--pages": pages}
    _require_options(path, kind, [option for option, value in given.items() if value is not None])
    entered = _call_from(call, by, because, private=private)
    if kind is RUN:
        _judge_run(path, call=entered, as_json=as_json)
    elif kind is not TABLE:
        judge_claims(path, call=entered, pages=pages, as_json=as_json)
    else:
        patterns: dict[Side, list[str]] = {
            "dictionary": dictionary or [],
            "rival": rival or [],
            "control": control or [],
        }
        _require_two(challenger, defender)
        asked = {"challenger": challenger, "defender": defender, "margin": margin, "level": level}
        _judge_tables(path, _layout(path, columns, patterns, metric), clusters, asked, as_json=as_json)


def is_run(path: Path) -> bool:
    """Whether the path is a run's folder, finished or not."""
    return (path / "run.json").is_file() or (path / "trials").is_dir()


def _kind_of(path: Path) -> Kind:
    try:
        path.stat()
    except FileNotFoundError:
        raise InputError(f"There is no {path}. Give a run's folder, a claim, or a table of scores.") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be looked at ({getattr(error, 'strerror', error)}). Give a run's folder, a claim, or a table of scores."
        ) from error
    if is_run(path):
        return RUN
    if are_claims(path):
        return DOCKET if path.is_dir() else CLAIM
    return TABLE


def _require_options(path: Path, kind: Kind, given: list[str]) -> None:
    """Refuse an option that would change nothing."""
    if strange := [option for option in given if option not in kind.takes]:
        raise InputError(
            f"{strange[0]} does nothing here: {path} is judged as {kind.what}, and {kind.why}. {kind.what.capitalize()} takes "
            f"{', '.join(kind.takes)}. Leave {', '.join(strange)} out, or give another path."
        )
    if "--call" not in given and (idle := [option for option in given if option in CALL_OPTIONS]):
        raise InputError(
            f"{idle[0]} belongs to a call, and there is none. Give --call CRITERION=met too, or leave it out."
        )


def _call_from(call: str | None, by: str | None, because: str | None, *, private: bool) -> Call | None:
    if call is None:
        return None
    from fairfight.verdict.calls import call_from

    return call_from(call, by=by or "", because=because or "", private=private)


def _require_two(challenger: str | None, defender: str | None) -> None:
    if challenger is not None and challenger == defender:
        raise InputError(
            f"--challenger and --defender are both '{challenger}'; nobody plays against themselves. Name two methods."
        )


def _layout(path: Path, columns: list[str] | None, patterns: dict[Side, list[str]], metric: str | None) -> Layout:
    """Give what the options say of a table; a metric only where no reader knows it already."""
    from fairfight.verdict.tables.layout import Layout

    if metric is not None and not columns and (name := _reader_of(path)):
        raise InputError(
            f"--metric {metric} does nothing here: {path} has the layout {name}, which says what its scores are. Leave --metric out, or "
            "map the columns of a CSV file yourself (--map)."
        )
    sides: dict[Side, list[str]] = {side: own for side, own in patterns.items() if own}
    return Layout(_mapped(columns or []), sides, Layout.metric if metric is None else metric)


def _reader_of(path: Path) -> str | None:
    """Give the name of the layout that a reader knows a path by, None for a long table."""
    from fairfight.verdict.tables.read import known, readers

    modules = {name: importlib.import_module(f"{readers.__name__}.{name}") for name in known() if name != "long"}
    return next((name for name, reader in modules.items() if reader.recognises(path)), None)


def _judge_tables(path: Path, layout: Layout, clusters: Path | None, asked: dict[str, Any], *, as_json: bool) -> None:
    from fairfight.verdict.tables.judge import Asked, judge_tables
    from fairfight.verdict.tables.read import read_clusters, read_tables

    found = read_tables(path, layout, read_clusters(clusters) if clusters else None)
    verdicts = judge_tables(found.tables, Asked(**{name: own for name, own in asked.items() if own is not None}))
    if as_json:
        flaws = [flaw._asdict() for flaw in found.flaws]
        print_json({"path": str(path), "verdicts": [own.to_json() for own in verdicts], "flaws": flaws})
    else:
        show_published(verdicts, found.flaws)


def _judge_run(folder: Path, *, call: Call | None, as_json: bool) -> None:
    roster = roster_of(folder)
    verdicts = judged(roster, is_quiet=as_json)
    if call is not None:
        _enter(folder, roster, verdicts, call)
    if as_json:
        print_json({"run": str(folder), **verdicts_json(folder, roster, verdicts)})
    else:
        show_run(roster, standings_of(roster), verdicts)
        show_sheet(sheet_of(folder, roster, verdicts))


def _enter(folder: Path, roster: Roster, verdicts: list[Verdict], call: Call) -> None:
    from fairfight.verdict.calls import add_call
    from fairfight.verdict.criteria.sheet import require_call

    found = sheet_of(folder, roster, verdicts, call)
    if found is None:
        raise InputError(
            f"--call does nothing here: {folder} is a run whose study asks no question of a dictionary, so it has no criteria. Leave it out."
        )
    require_call(found, call)
    add_call(folder, call)


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
    from fairfight.verdict.calls import read_calls, with_call
    from fairfight.verdict.criteria.played import case_of
    from fairfight.verdict.criteria.sheet import sheet

    asked = next((verdict for verdict in verdicts if verdict.question.challenger == "dictionary"), None)
    if asked is None:
        return None
    entered = read_calls(folder)
    if call is not None:
        entered = with_call(entered, call)
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
