"""The log of registrations: what was asked before the trials, and when trials began.

`registrations.jsonl` stands in the runs folder and only grows. A line is a canonical JSON object that ends in the hash of
its content and holds that of the line before, so that nobody changes a line without changing all that follow. Whether a
study was registered before its first trial is read off the order of the lines, not off clocks: `fairfight run` adds a
line when it begins. `registrations.head.json` keeps the last line's hash, because a chain alone does not tell that its
end is missing.

Whoever owns the folder can write both files anew. Against that helps only a line's hash in other hands: publish it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fairfight import __version__
from fairfight.errors import DamagedFileError, DiskFullError, has_no_room, refuse_place
from fairfight.ledger import Ledger, read_json, write_json
from fairfight.records import ExampleTable, canonical_json, content_hash
from fairfight.study import canonical_study

Event = Literal["registered", "begun"]
"""What a line tells: a study was registered, or the first trial of a run of it was about to be played."""

_REMEDY = (
    "Restore the log from a copy; or move it and registrations.head.json away: what was registered then counts no more."
)


@dataclass(frozen=True)
class Entry:
    """A line of the log."""

    event: Event
    time: str
    """UTC, ISO 8601. For readers: the order of events is that of the lines."""
    name: str
    hash: str
    """Of the study (`Study.hash`)."""
    study: Mapping[str, Any]
    """All that the hash covers, so that what was changed later can be named."""
    questions: str
    """Hash of the questions."""
    examples: str
    """Hash of the examples with their labels, clusters and sets, and of each seed's splits (`examples_hash`)."""
    fairfight: str
    """Version."""
    earlier_runs: int = 0
    """Runs of the same task and model that were there, of whatever study."""
    earlier_registrations: int = 0
    """Registrations of the same task and model that were there, of whatever study."""
    number: int = 0
    """Of the line, from 1; 0 while it is not in a log."""
    previous: str = ""
    """Hash of the line before; empty for the first."""
    sha256: str = ""
    """Hash of all the above."""

    @property
    def subject(self) -> tuple[str, str]:
        """Task and model: two attempts at the same are earlier and later attempts."""
        return subject_of(self.study)

    @property
    def content_hash(self) -> str:
        """The hash that the line must carry."""
        return content_hash({name: value for name, value in asdict(self).items() if name != "sha256"})

    @property
    def line(self) -> bytes:
        """The line as it stands in the file."""
        return canonical_json(asdict(self)).encode() + b"\n"


class Registered(NamedTuple):
    """What came of a registration."""

    entry: Entry
    is_new: bool
    """False where the same study with the same examples was registered before: `entry` is then that one."""
    is_late: bool
    """Whether a run of the study had begun before: it stays open."""
    file: Path


def subject_of(study: Mapping[str, Any]) -> tuple[str, str]:
    """Give the names of a study's task and model, empty where it does not say."""
    return str(study.get("task", {}).get("name", "")), str(study.get("model", {}).get("name", ""))


def utc_now() -> str:
    """Give the time: 2026-07-01T12:00:00+00:00."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def examples_hash(table: ExampleTable) -> str:
    """Give the content hash of the examples and their splits, just as a run keeps them in `examples.json`."""
    return content_hash(asdict(table))


def entry_of(event: Event, study: Mapping[str, Any], examples: str, time: str) -> Entry:
    """Give the line on a study, dumped as plain values, that is not in a log yet."""
    fields = canonical_study(study)
    questions = content_hash(fields.get("questions", []))
    return Entry(event, time, str(fields["name"]), content_hash(fields), fields, questions, examples, __version__)


def sealed(entry: Entry, before: Sequence[Entry], unlogged_runs: int = 0) -> Entry:
    """Give the line that continues a chain; `unlogged_runs` of the same task and model are in no line of it."""
    same = [own.event for own in before if own.subject == entry.subject]
    placed = replace(
        entry,
        earlier_runs=same.count("begun") + unlogged_runs,
        earlier_registrations=same.count("registered"),
        number=len(before) + 1,
        previous=before[-1].sha256 if before else "",
    )
    return replace(placed, sha256=placed.content_hash)


def verified(data: bytes, where: str) -> tuple[Entry, ...]:
    """Give the lines of a log after checking every byte of them; `where` names the log in errors.

    Raises:
        DamagedFileError: a line was cut off, edited, removed, added or moved.
    """
    *lines, rest = data.split(b"\n")
    found: list[Entry] = []
    for line in lines:
        found.append(_verified_line(line, found[-1] if found else None, f"{where}, line {len(found) + 1}"))
    if rest:
        raise DamagedFileError(
            f"{where}, line {len(found) + 1}, is cut off: it ends without a newline. If a machine stopped while it was "
            f"written, delete that line: it was not confirmed to anybody. Otherwise: {_REMEDY}"
        )
    return tuple(found)


def _verified_line(line: bytes, before: Entry | None, where: str) -> Entry:
    try:
        entry = Entry(**json.loads(line))
        is_whole = entry.line == line + b"\n"
    except (ValueError, TypeError) as error:
        raise DamagedFileError(
            f"{where}, is no line of such a log ({error}): it was edited or cut off. {_REMEDY}"
        ) from error
    if not is_whole or entry.sha256 != entry.content_hash:
        raise DamagedFileError(
            f"{where}, was edited: it says that its hash is {entry.sha256}, but its content has {entry.content_hash}"
            f"{'' if is_whole else ', and it is not written as this log writes'}. {_REMEDY}"
        )
    number, previous = (before.number, before.sha256) if before else (0, "")
    if (entry.number, entry.previous) != (number + 1, previous):
        raise DamagedFileError(
            f"{where}, is number {entry.number} and follows {entry.previous[:12] or 'nothing'}, but {previous[:12] or 'nothing'} "
            f"stands before it: a line was removed, added or moved. {_REMEDY}"
        )
    return entry


class Log:
    """The log of a runs folder, which two processes may write to at once."""

    def __init__(self, runs_folder: Path) -> None:
        self.file = runs_folder / "registrations.jsonl"
        self._head = runs_folder / "registrations.head.json"

    @classmethod
    def beside(cls, run_folder: Path) -> Log:
        """Give the log of the folder that a run stands in."""
        return cls(run_folder.resolve().parent)

    def entries(self) -> tuple[Entry, ...]:
        """Give every line, none where there is no log.

        Raises:
            DamagedFileError: a line, or the end of the log, is not what was written.
        """
        if not self.file.is_file():
            return self._with_its_head(())
        with FileIO(self.file, "r") as source, _locked(source, for_writing=False):
            return self._with_its_head(verified(source.readall(), str(self.file)))

    def append(self, entry: Entry) -> Registered:
        """Add a line, or find that its study is registered with these examples; then nothing is changed.

        Raises:
            DamagedFileError: as for `entries`; nothing was added.
            DiskFullError: nothing more can be written; the log is as it was.
            InputError: the folder takes no files.
        """
        with self._opened() as file, _locked(file, for_writing=True):
            before = self._with_its_head(verified(file.readall(), str(self.file)))
            if entry.event == "registered" and (known := registration_of(before, entry.hash, entry.examples)):
                return Registered(known, False, _is_late(known, before), self.file)
            added = sealed(entry, before, self._unlogged_runs(entry, before))
            self._write(file, added.line)
            write_json(self._head, {"lines": added.number, "sha256": added.sha256})
        return Registered(added, True, _is_late(added, before), self.file)

    def _opened(self) -> FileIO:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            opened = FileIO(os.open(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666), "r+")
        except OSError as error:
            refuse_place(self.file, error)
            raise
        return opened

    def _write(self, file: FileIO, line: bytes) -> None:
        length = os.fstat(file.fileno()).st_size
        try:
            while line:
                line = line[file.write(line) :]
            os.fsync(file.fileno())
        except OSError as error:
            file.truncate(length)
            if has_no_room(error):
                raise DiskFullError(
                    f"The disk is full: {self.file} could not take another line ({error.strerror}), and is as it was. "
                    "Free some space and run the same command again."
                ) from error
            raise

    def _with_its_head(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Give the lines back when the head is the last of them, or the last but one: a process may stop in between."""
        head = read_json(self._head) if self._head.is_file() else {"lines": 0, "sha256": ""}
        lines, known = head["lines"], head["sha256"]
        if len(entries) < lines or (lines and entries[lines - 1].sha256 != known):
            found = f"line {lines} is another" if len(entries) >= lines else f"it has {len(entries)}"
            raise DamagedFileError(
                f"{self.file} must have {lines} lines or one more, the last with the hash {known}, says {self._head.name}; {found}: "
                f"lines from {min(len(entries) + 1, lines)} on were removed or written anew. {_REMEDY}"
            )
        if len(entries) > lines + 1:
            raise DamagedFileError(
                f"{self.file} has {len(entries)} lines, but {self._head.name} knows {lines}, so line {lines + 2} and later ones "
                f"were added by another hand, or that file was changed. {_REMEDY}"
            )
        return entries

    def _unlogged_runs(self, entry: Entry, before: Sequence[Entry]) -> int:
        logged = {own.sha256 for own in before}
        runs = [Ledger(file.parent) for file in sorted(self.file.parent.glob("*/run.json"))]
        others = [own for own in runs if (own.start() or {}).get("line") not in logged]
        return sum(subject_of(own.run().get("study", {})) == entry.subject for own in others)


def _is_late(entry: Entry, entries: Sequence[Entry]) -> bool:
    return any(own.event == "begun" and own.hash == entry.hash for own in entries[: entry.number - 1])


def registration_of(entries: Sequence[Entry], study: str, examples: str) -> Entry | None:
    """Give the first registration of a study with these examples, both by their hashes."""
    known = (own for own in entries if own.event == "registered" and (own.hash, own.examples) == (study, examples))
    return next(known, None)


@contextmanager
def _locked(file: FileIO, *, for_writing: bool) -> Iterator[None]:
    # Not at the top: the module does not exist on Windows, where the rest of the package must still be importable.
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX if for_writing else fcntl.LOCK_SH)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
