"""A person's calls: by name, date and reason, in a file beside what they are about, a line each."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from fairfight.errors import DamagedFileError, InputError, nearest
from fairfight.ledger import append_line, read_lines
from fairfight.verdict.criteria.case import CRITERIA, Call


def calls_file(path: Path) -> Path:
    """Give where the calls on a claim (`x.toml`: `x.calls.jsonl`) or on a run (its folder) are kept."""
    return path / "calls.jsonl" if path.is_dir() else path.with_suffix(".calls.jsonl")


def read_calls(path: Path) -> tuple[Call, ...]:
    """Give the calls that were entered on a claim or a run, oldest first; a later one on a criterion replaces earlier ones.

    Raises:
        DamagedFileError: a line of the file is no call.
    """
    file, found = calls_file(path), ()
    for number, call in enumerate(read_lines(file, Call, "call"), start=1):
        try:
            _check(call, f"{file}, line {number}")
        except InputError as error:
            raise DamagedFileError(str(error)) from error
        found = with_call(found, call)
    return found


def with_call(calls: tuple[Call, ...], call: Call) -> tuple[Call, ...]:
    """Give the calls with one more, which replaces an earlier one on its criterion."""
    return (*(own for own in calls if own.criterion != call.criterion), call)


def add_call(path: Path, call: Call) -> None:
    """Enter a call; nothing that was entered before is lost.

    Raises:
        InputError: the criterion or the word is none, name or reason are empty, or the place takes no files.
        DiskFullError: nothing more can be written.
    """
    _check(call, "The call")
    append_line(calls_file(path), call._asdict())


def call_from(text: str, *, by: str, because: str, private: bool) -> Call:
    """Give today's call from CRITERION=met or CRITERION="not met".

    Raises:
        InputError: as for `add_call`.
    """
    criterion, _, word = text.partition("=")
    call = Call(criterion, word.replace("_", " "), by, date.today().isoformat(), because, private)  # pyright: ignore[reportArgumentType]
    _check(call, f"--call {text}")
    return call


def _check(call: Call, where: str) -> None:
    if call.criterion not in CRITERIA:
        raise InputError(
            f"{where}: there is no criterion '{call.criterion}'; there are {', '.join(CRITERIA)}.{nearest(call.criterion, CRITERIA)}"
        )
    if call.word not in ("met", "not met"):
        raise InputError(f"{where}: the word is '{call.word}'; expected met or 'not met'. Say which.")
    if not call.by.strip() or not call.because.strip():
        raise InputError(f"{where}: a call carries a name and a reason. Give --by NAME and --because TEXT.")
