"""`fairfight judge` on claims: one file, or a docket of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from fairfight.cli.console import out, print_json
from fairfight.errors import InputError

if TYPE_CHECKING:
    from fairfight.report.criteria import Judged
    from fairfight.verdict.criteria.case import Call


def are_claims(path: Path) -> bool:
    """Whether the path is a claim, or a folder that holds claims and no run."""
    if path.is_file():
        return path.suffix.lower() == ".toml"
    return path.is_dir() and any(path.glob("*.toml"))


def judge_claims(path: Path, *, call: Call | None, pages: Path | None, as_json: bool) -> None:
    """Judge a claim or a docket: print it, enter a call, write its pages."""
    from fairfight.verdict.calls import add_call

    if call is not None:
        if path.is_dir():
            raise InputError(f"{path} is a folder; a call is on one claim. Give the claim's file.")
        _judged(path, call)
        add_call(path, call)
    judged = [_judged(file) for file in (sorted(path.glob("*.toml")) if path.is_dir() else [path])]
    if pages is not None:
        _write_pages(pages, judged)
    if as_json:
        found = [{"claim": own.claim.model_dump(mode="json"), "sheet": own.sheet.to_json()} for own in judged]
        print_json({"path": str(path), "claims": found})
    else:
        _show(judged, is_docket=path.is_dir())


def _judged(file: Path, call: Call | None = None) -> Judged:
    from fairfight.report.criteria import Judged
    from fairfight.verdict.calls import read_calls
    from fairfight.verdict.claims import read_claim
    from fairfight.verdict.criteria.claimed import case_of
    from fairfight.verdict.criteria.sheet import sheet
    from fairfight.verdict.reproduced import kept_record

    claim, entered = read_claim(file), read_calls(file)
    if call is not None:
        entered = (*(own for own in entered if own.criterion != call.criterion), call)
    return Judged(claim, sheet(case_of(claim, entered, kept_record(file, claim))))


def _show(judged: list[Judged], *, is_docket: bool) -> None:
    from fairfight.report.criteria import docket_table, sheet_table

    if is_docket:
        out.print(docket_table(judged))
        return
    for own in judged:
        out.print(
            f"[bold]{escape(own.claim.title)}[/]\n{escape(f'{own.claim.who}, {own.claim.when}. {own.claim.says}')}"
        )
        out.print(sheet_table(own.sheet))
        for line in own.claim.history:
            out.print(f"Later: {escape(line)}", highlight=False)


def _write_pages(folder: Path, judged: list[Judged]) -> None:
    from fairfight.ledger import write_atomically
    from fairfight.report.criteria import docket_page, page

    for own in judged:
        write_atomically(folder / f"{own.claim.name}.md", page(own).encode())
    if len(judged) > 1:
        write_atomically(folder / "README.md", docket_page(judged).encode())
