"""`fairfight reproduce`: a claim's numbers, taken again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fairfight.cli.bars import Bars
from fairfight.cli.console import out, print_json
from fairfight.cli.judging import is_run, roster_of
from fairfight.errors import InputError

if TYPE_CHECKING:
    from fairfight.verdict.claims import Claim
    from fairfight.verdict.reproduced import Reproduction


def reproduce(
    claim: Annotated[Path, typer.Argument(help="A claim (TOML) that names its evidence: a study, or a table.")],
    at: Annotated[
        Path | None,
        typer.Option(
            help="Where the table lies that the claim names; or a finished run of its study, which is then not played."
        ),
    ] = None,
    no_record: Annotated[bool, typer.Option("--no-record", help="Keep nothing beside the claim.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Take a claim's numbers again from the study or table that it names, and keep beside the claim what came out.

    Plays the study, which resumes like any other. Ends with 1 where a number came out otherwise.
    """
    from fairfight.report.reproduction import reproduction_table
    from fairfight.verdict.claims import read_claim
    from fairfight.verdict.reproduced import keep, record_file, record_of

    own = read_claim(claim)
    found = _reproduced(own, claim.parent, at, is_quiet=as_json)
    record = record_of(own, found)
    if not no_record:
        keep(claim, record)
    if as_json:
        print_json({"claim": own.name, **found.to_json(), "record": record._asdict()})
    else:
        out.print(reproduction_table(found))
        out.print(f"{escape(own.name)}: {escape(str(record))}.", highlight=False)
        out.print("Nothing was kept." if no_record else f"Kept in {escape(str(record_file(claim)))}", soft_wrap=True)
    if found.apart:
        raise typer.Exit(1)


def _reproduced(claim: Claim, folder: Path, at: Path | None, *, is_quiet: bool) -> Reproduction:
    from fairfight.verdict.reproduced import from_run, from_table

    own = claim.evidence
    if own is None or own.study is None:
        if own is not None and at is None:
            raise InputError(
                f"The claim {claim.name} stands on the table '{own.table}', which is not in this repository. Give --at with "
                f"its place; it comes from {claim.sources[own.source].identifier or claim.sources[own.source].what}."
            )
        return from_table(claim, at or folder, folder)
    return from_run(claim, roster_of(_run_of(folder / own.study, at, is_quiet=is_quiet)))


def _run_of(file: Path, at: Path | None, *, is_quiet: bool) -> Path:
    """Give a finished run of the study: the one at hand, or one that is played now."""
    from fairfight.ledger import Ledger
    from fairfight.study import read_study
    from fairfight.trials.run import run, with_canonical_sites

    study = read_study(file)
    if at is None:
        with Bars(f"{study.name} ({study.trials.workers} processes)", is_quiet=is_quiet) as bars:
            return run(study, bars).ledger.folder
    if not is_run(at):
        raise InputError(f"{at} is no run of {file}. Give the folder that `fairfight run {file}` printed.")
    wanted, found = with_canonical_sites(study).hash, Ledger(at).run().get("hash")
    if found != wanted:
        raise InputError(
            f"{at} is a run of the study {str(found)[:12]}, but {file} is {wanted[:12]} now. Leave --at out to play it, or give a "
            "run of it."
        )
    return at
