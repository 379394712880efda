"""`fairfight judge` on claims: one file, or a docket of them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer
from rich.markup import escape

from fairfight.cli.console import out, print_error, print_json
from fairfight.errors import FairfightError, InputError

if TYPE_CHECKING:
    from fairfight.report.criteria import Judged
    from fairfight.verdict.criteria.case import Call


class Refused(NamedTuple):
    """A file of a docket that is no claim, and why."""

    file: Path
    error: FairfightError


def are_claims(path: Path) -> bool:
    """Whether the path is a claim, or a folder that holds claims and no run."""
    if path.is_file():
        return path.suffix.lower() == ".toml"
    return path.is_dir() and any(path.glob("*.toml"))


def judge_claims(path: Path, *, call: Call | None, pages: Path | None, as_json: bool) -> None:
    """Judge a claim or a docket: print it, enter a call, write its pages.

    A file of a docket that cannot be judged keeps none of the others back; the command then ends with 2.
    """
    from fairfight.verdict.calls import add_call

    if call is not None:
        if path.is_dir():
            raise InputError(f"{path} is a folder; a call is on one claim. Give the claim's file.")
        _judged(path, call)
        add_call(path, call)
    judged, refused = _docket(path) if path.is_dir() else ([_judged(path)], [])
    if pages is not None:
        _write_pages(pages, judged)
    if as_json:
        found = [{"claim": own.claim.model_dump(mode="json"), "sheet": own.sheet.to_json()} for own in judged]
        errors = [
            {"file": str(own.file), "error": type(own.error).__name__, "message": str(own.error)} for own in refused
        ]
        print_json({"path": str(path), "claims": found, "errors": errors})
    else:
        _show(judged, is_docket=path.is_dir())
        for own in refused:
            print_error(own.error)
    if refused:
        raise typer.Exit(InputError.exit_code)


def _docket(folder: Path) -> tuple[list[Judged], list[Refused]]:
    """Give the claims of a folder, and the files that are none; of files that share a name, none is judged."""
    from fairfight.verdict.claims import files_of

    found: dict[str, list[tuple[Path, Judged]]] = defaultdict(list)
    refused = []
    for file in files_of(folder):
        try:
            own = _judged(file)
        except FairfightError as error:
            refused.append(Refused(file, error))
        else:
            found[own.claim.name].append((file, own))
    for name, same in found.items():
        if len(same) > 1:
            files = " and ".join(str(file) for file, _ in same)
            refused.append(
                Refused(same[0][0], InputError(f"{files} carry one name, '{name}'. Give each claim a name of its own."))
            )
    return [own for same in found.values() if len(same) == 1 for _, own in same], refused


def _judged(file: Path, call: Call | None = None) -> Judged:
    from fairfight.report.criteria import Judged
    from fairfight.verdict.calls import read_calls, with_call
    from fairfight.verdict.claims import read_claim
    from fairfight.verdict.criteria.claimed import called, case_of
    from fairfight.verdict.criteria.sheet import require_call, sheet
    from fairfight.verdict.reproduced import kept_record

    claim, entered = read_claim(file), read_calls(file)
    if call is not None:
        entered = with_call(entered, call)
    found = sheet(case_of(claim, entered, kept_record(file)))
    # What a file says of itself, and what is being entered, has to fit; what was entered once may have been overtaken.
    later = {own.criterion for own in entered}
    for own in (*(own for own in called(claim) if own.criterion not in later), *([call] if call else [])):
        require_call(found, own)
    return Judged(claim, found)


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

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for own in judged:
            write_atomically(folder / f"{own.claim.name}.md", page(own).encode())
        if len(judged) > 1:
            write_atomically(folder / "README.md", docket_page(judged).encode())
    except (OSError, InputError) as error:
        why = error if isinstance(error, OSError) else error.__cause__
        raise InputError(
            f"--pages {folder} takes no pages ({getattr(why, 'strerror', None) or why}). Give a folder that can be written to; it is made "
            "where there is none."
        ) from error
