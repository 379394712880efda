"""A claim's numbers, taken again from the study or the table that they are said to come from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from fairfight import __version__
from fairfight.errors import DamagedFileError, InputError, nearest
from fairfight.ledger import append_line, read_lines
from fairfight.records import plain
from fairfight.verdict.board import Board
from fairfight.verdict.claims import Claim, Evidence, Result
from fairfight.verdict.criteria.case import Record
from fairfight.verdict.decide import compared, questions_of
from fairfight.verdict.roster import Roster
from fairfight.verdict.tables.judge import Asked, judge_tables
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.read import read_clusters, read_tables
from fairfight.verdict.tables.score_table import ScoreTable

LEVEL = 0.95
"""Of a claim's intervals."""
QUIVER = "best on validation, task by task"
"""The defender that is no method of a table: of all its baselines the one with the best validation score, for each task."""


class Number(NamedTuple):
    """A number of the claim, and what comes out now."""

    against: str
    what: str
    claimed: float
    found: float

    @property
    def gap(self) -> float:
        """How far apart they are."""
        return abs(self.claimed - self.found)


@dataclass(frozen=True)
class Reproduction:
    """Every number that the evidence is for, taken again."""

    basis: str
    """The run or the table."""
    tolerance: float
    numbers: tuple[Number, ...]

    @property
    def apart(self) -> tuple[Number, ...]:
        """The numbers that came out otherwise."""
        return tuple(own for own in self.numbers if not own.gap <= self.tolerance)

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return plain(self) | {"agrees": not self.apart}


def from_table(claim: Claim, path: Path, folder: Path) -> Reproduction:
    """Give a claim's numbers as the table at `path` has them; `folder` is the claim's own.

    Raises:
        InputError: a file of the table is not the one that the claim stands on, or the path holds no such table.
        TableError: as for `read_tables` and `judge_tables`.
    """
    own = _evidence(claim)
    _require_same_files(own, path)
    found = read_tables(path, Layout(), read_clusters(folder / own.clusters) if own.clusters else None)
    tables = {table.name: table for table in found.tables}
    if own.table not in tables:
        raise InputError(
            f"{path} has no table '{own.table}'; it has {', '.join(tables) or 'none'}.{nearest(own.table, tables)}"
        )

    def numbers() -> Iterator[Number]:
        for result in claim.evidenced:
            yield from _taken(result, _in_table(tables[own.table], own.challenger, _name_of(own, result)))

    return Reproduction(f"the table {own.table}", own.tolerance, tuple(numbers()))


def from_run(claim: Claim, roster: Roster) -> Reproduction:
    """Give a claim's numbers as a run of its study has them.

    Raises:
        InputError: the run has no such question, or no such contender.
    """
    own, questions = _evidence(claim), questions_of(roster)
    named = {question.name: question for question in questions}
    if not questions or (own.question and own.question not in named):
        raise InputError(
            f"The study has no question '{own.question}'; it has {', '.join(named) or 'none'}.{nearest(own.question, named)}"
        )
    question = named[own.question] if own.question else questions[0]
    board = Board.of(roster, replicates=question.replicates)

    def numbers() -> Iterator[Number]:
        for result in claim.evidenced:
            names = (own.challenger, _name_of(own, result))
            if lacking := [name for name in names if name not in roster.entries]:
                known = sorted(roster.entries)
                raise InputError(
                    f"The run has no complete contender '{lacking[0]}'; it has {', '.join(known)}.{nearest(lacking[0], known)}"
                )
            found = compared(board, names, question.metric, result.margin, LEVEL).macro
            yield from _taken(result, (found.challenger_score, found.defender_score, found.low, found.high))

    return Reproduction(f"a run of the study {roster.hash[:12]}", own.tolerance, tuple(numbers()))


def record_of(claim: Claim, found: Reproduction) -> Record:
    """Give what is to be kept of a reproduction."""
    largest = max(own.gap for own in found.numbers)
    counts = (len(found.numbers), len(found.apart), float(f"{largest:.3g}"), found.tolerance)
    return Record(date.today().isoformat(), __version__, found.basis, claim.evidence_hash, *counts)


def keep(file: Path, record: Record) -> None:
    """Write a record down beside the claim, after what was written before.

    Raises:
        InputError: the claim's folder takes no files.
        DiskFullError: nothing more can be written.
    """
    append_line(record_file(file), record._asdict())


def kept_record(file: Path) -> Record | None:
    """Give the last reproduction that was kept beside a claim, None where there is none.

    It may be of earlier numbers: `Record.claim` says of which.

    Raises:
        DamagedFileError: a line of the file is no such record.
    """
    found = read_lines(record_file(file), Record, "reproduction")
    for number, own in enumerate(found, start=1):
        counts = 0 <= own.apart <= own.numbers and own.numbers > 0
        if not counts or not 0 <= own.largest < math.inf or not 0 < own.tolerance < math.inf:
            raise DamagedFileError(
                f"{record_file(file)}, line {number} is no reproduction ({own.apart} of {own.numbers} numbers apart, largest gap "
                f"{own.largest:g}, tolerance {own.tolerance:g}). Mend or remove the line."
            )
    return found[-1] if found else None


def record_file(file: Path) -> Path:
    """Give where a claim's reproductions are kept: `x.reproduced.jsonl` beside `x.toml`."""
    return file.with_suffix(".reproduced.jsonl")


def _evidence(claim: Claim) -> Evidence:
    if claim.evidence is None:
        raise InputError(
            f"The claim {claim.name} names nothing to reproduce it from. Add a section [evidence] with a study or a table."
        )
    return claim.evidence


def _name_of(own: Evidence, result: Result) -> str:
    return own.defenders.get(result.against, result.against)


def _in_table(table: ScoreTable, challenger: str, defender: str) -> tuple[float, ...]:
    if defender == QUIVER:
        verdict = judge_tables([table], Asked(challenger, level=LEVEL))[0]
        if verdict.quivers is None:
            raise InputError(f"{table.name} has no validation scores of several methods, so none is '{QUIVER}'.")
        return verdict.main.challenger_score, verdict.quivers.baselines
    main = judge_tables([table], Asked(challenger, defender, level=LEVEL))[0].main
    return main.challenger_score, main.defender_score, main.low, main.high


def _taken(result: Result, found: tuple[float, ...]) -> Iterator[Number]:
    claimed = (result.challenger, result.defender, result.low, result.high)
    for what, said, now in zip(("challenger", "defender", "low", "high"), claimed, found, strict=False):
        if said is not None:
            yield Number(result.against, what, said, now)


def _require_same_files(own: Evidence, path: Path) -> None:
    folder = path if path.is_dir() else path.parent
    for name, wanted in own.files.items():
        file = folder / name
        if not file.is_file():
            raise InputError(f"There is no {file}, which the claim stands on. Give --at the folder that holds it.")
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != wanted:
            raise InputError(
                f"{file} is not the file that the claim stands on: its SHA-256 is {found}, expected {wanted}. Take the "
                "version that the claim's source names."
            )
