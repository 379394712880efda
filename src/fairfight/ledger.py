"""The ledger: the only bridge between measuring and judging.

A run is a folder:

    started.json          when the first trial began, and the line of the runs folder's log that says so
    run.json              study, hash, versions, cards of the dictionaries
    examples.json         the examples that were scored (`ExampleTable`)
    trials/<key>.json     one file a trial, written whole or not at all

Every file carries the SHA-256 of its content, so that a truncated or edited file is never read as whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from fairfight.errors import DamagedFileError, DiskFullError, InputError, has_no_room, refuse_place
from fairfight.records import ExampleRow, ExampleTable, Trial, canonical_json, trial_from_json, trial_to_json

Schema = TypeVar("Schema")


class Ledger:
    """Trials in a run folder, one atomic file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trials_folder = folder / "trials"

    def keys(self) -> set[str]:
        """Give the keys of the trials that are there."""
        return {file.stem for file in self.trials_folder.glob("*.json")}

    def write(self, trial: Trial) -> None:
        """Add a trial, replacing an earlier play of the same key.

        Raises:
            DiskFullError: the disk is full; earlier trials stay whole.
        """
        write_json(self.trials_folder / f"{trial.spec.key}.json", trial_to_json(trial))

    def read(self, key: str) -> Trial:
        """Give one trial.

        Raises:
            DamagedFileError: the file is truncated or was edited.
        """
        return trial_from_json(read_json(self.trials_folder / f"{key}.json"))

    def trials(self) -> list[Trial]:
        """Give every trial, in the order of their keys."""
        return [self.read(key) for key in sorted(self.keys())]

    def write_examples(self, table: ExampleTable) -> None:
        """Keep the examples that the trials scored."""
        write_json(self.folder / "examples.json", asdict(table))

    def examples(self) -> ExampleTable:
        """Give the examples that the trials scored.

        Raises:
            InputError: they are not in the folder.
        """
        if not (self.folder / "examples.json").is_file():
            raise InputError(
                f"{self.folder} is no whole run: it holds a run.json, but no examples.json. Restore that file, or run the same study "
                "again; what is there is not played twice."
            )
        raw = read_json(self.folder / "examples.json")
        order = {seed: {name: tuple(ids) for name, ids in sets.items()} for seed, sets in raw["order"].items()}
        left_out = {seed: tuple(families) for seed, families in raw["left_out"].items()}
        return ExampleTable(tuple(ExampleRow(**row) for row in raw["rows"]), tuple(raw["test_sets"]), order, left_out)

    def write_start(self, started: str, line: str) -> None:
        """Keep when the run began (UTC) and the hash of the line in the log of registrations that says so."""
        write_json(self.folder / "started.json", {"started": started, "line": line})

    def start(self) -> dict[str, str] | None:
        """Give what `write_start` kept, or None where the run was begun without."""
        file = self.folder / "started.json"
        return read_json(file) if file.is_file() else None

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Keep what holds for the whole run: study, hash, versions, dictionary cards, selections."""
        write_json(self.folder / "run.json", dict(run))

    def run(self) -> dict[str, Any]:
        """Give what holds for the whole run.

        Raises:
            InputError: the folder is not a run.
        """
        if not (self.folder / "run.json").is_file():
            raise InputError(
                f"{self.folder} is an unfinished run: it holds {len(self.keys())} trials and no run.json yet. Run the same "
                "study again; it goes on from there, and judges at the end."
                if self.keys()
                else f"{self.folder} is not a run: it holds no run.json. Give the folder that `fairfight run` printed."
            )
        return read_json(self.folder / "run.json")


def write_json(file: Path, content: Any) -> None:
    """Write `content` with its checksum, whole or not at all.

    Raises:
        DiskFullError: nothing more can be written.
    """
    text = canonical_json(content)
    checksum = hashlib.sha256(text.encode()).hexdigest()
    write_atomically(file, f'{{"sha256":"{checksum}","content":{text}}}\n'.encode())


def read_json(file: Path) -> Any:
    """Give the content of a file that `write_json` wrote.

    Raises:
        DamagedFileError: the file is truncated, or is not what its checksum says.
    """
    try:
        wrapped = json.loads(file.read_bytes())
        content, checksum = wrapped["content"], wrapped["sha256"]
        # Python reads NaN and Infinity, which no record holds: the canonical text refuses them.
        found = hashlib.sha256(canonical_json(content).encode()).hexdigest()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedFileError(
            f"{file} is not a whole record ({error}). Delete it and run the same command again."
        ) from error
    if found != checksum:
        raise DamagedFileError(
            f"{file} is not what its checksum says: it was edited. Delete it and run the same command again."
        )
    return content


def append_line(file: Path, record: Mapping[str, Any]) -> None:
    """Add a record as a line of JSON; two processes at once both add theirs.

    Raises:
        DiskFullError: nothing more can be written.
        InputError: the folder takes no files.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # One write of one line to a file opened for appending is not torn apart by another's.
        with FileIO(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666), "w") as sink:
            sink.write(json.dumps(dict(record), ensure_ascii=True, allow_nan=False).encode() + b"\n")
            os.fsync(sink.fileno())
    except OSError as error:
        if has_no_room(error):
            raise DiskFullError(f"The disk is full: {file} could not take another line ({error.strerror}).") from error
        refuse_place(file, error)
        raise


def read_lines(file: Path, schema: type[Schema], what: str) -> list[Schema]:
    """Give the records of a file that `append_line` wrote, none where there is no file; `what` names one in errors.

    Raises:
        DamagedFileError: a line is no such record.
    """
    if not file.is_file():
        return []
    found, adapter = [], TypeAdapter(schema)
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            found.append(adapter.validate_json(line, strict=False))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = "".join(f"{part}: " for part in first["loc"])
            raise DamagedFileError(
                f"{file}, line {number} is no {what} ({place}{first['msg']}). Mend or remove the line."
            ) from error
    return found


def write_atomically(file: Path, content: bytes) -> None:
    """Write bytes beside `file`, then rename: a reader sees the old file, the new one, or none.

    Raises:
        DiskFullError: nothing more can be written; the half-written neighbour is removed.
        InputError: the folder takes no files.
    """
    temporary: str | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        with os.fdopen(handle, "wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(temporary, file)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        if has_no_room(error):
            raise DiskFullError(
                f"The disk is full: {file.name} could not be written to {file.parent} ({error.strerror}). What was finished before is whole. "
                "Free some space and run the same command again; it goes on from there."
            ) from error
        refuse_place(file, error)
        raise
