"""Open or closed: whether a run's study was registered, as it is, before its first trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from fairfight.ledger import Ledger
from fairfight.records import ExampleTable, content_hash, flattened, plain
from fairfight.registration import Entry, Log, examples_hash, registration_of, subject_of
from fairfight.study import canonical_study


@dataclass(frozen=True)
class Division:
    """In which division a run fights: `closed` was fixed before the trials, `open` is exploratory."""

    word: Literal["closed", "open"]
    reason: str
    """Why, as a clause that follows "it"."""
    changes: tuple[str, ...]
    """What stands otherwise than when a study of that name was registered, a key each."""
    registered: str | None
    """When the registration that the reason speaks of was made (UTC)."""
    began: str | None
    """When the first trial began (UTC), as far as the log knows."""
    earlier_runs: int
    """On the same task and model, before this run."""
    earlier_registrations: int
    """Of other studies on the same task and model, before this run."""

    def to_json(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return plain(self)


class Played(NamedTuple):
    """What a run says about itself."""

    study: Mapping[str, Any]
    """The canonical study."""
    hashes: frozenset[str]
    """Of the study, as run.json and the trials name it."""
    examples: str
    line: str | None
    """Hash of the line of the log that says when it began."""

    @property
    def hash(self) -> str:
        """What the study's hash must be."""
        return content_hash(self.study)


def division_of(ledger: Ledger) -> Division:
    """Give the division of a run from its folder and the log beside it; reads every trial.

    Raises:
        InputError: the folder is not a finished run.
        DamagedFileError: a record or the log is damaged.
    """
    run = ledger.run()
    studies = (ledger.read(key).spec.study for key in sorted(ledger.keys() & set(run.get("trials", ()))))
    return division_from(ledger, run, ledger.examples(), studies)


def division_from(ledger: Ledger, run: Mapping[str, Any], table: ExampleTable, studies: Iterable[str]) -> Division:
    """Give the same for a run that was read already; `studies` are the hashes that its trials name."""
    line = (ledger.start() or {}).get("line")
    hashes = frozenset({str(run.get("hash", "")), *studies})
    played = Played(canonical_study(run.get("study", {})), hashes, examples_hash(table), line)
    return divide(Log.beside(ledger.folder).entries(), played)


def divide(entries: Sequence[Entry], played: Played) -> Division:
    """Give the division of a run from the lines of a log."""
    wanted, subject = played.hash, subject_of(played.study)
    own = [entry for entry in entries if entry.hash == wanted]
    registered = [entry for entry in own if entry.event == "registered"]
    begun = [entry for entry in own if entry.event == "begun"]
    start = next((entry for entry in begun if entry.sha256 == played.line), None)
    # The first run of this study, not this one: a run that was deleted has shown its scores all the same.
    why = _why(entries, played, registered, begun[0] if start else None)
    before = [entry for entry in entries[: start.number if start else None] if entry.subject == subject]
    return Division(
        word="closed" if why.is_closed else "open",
        reason=why.reason,
        changes=why.changes,
        registered=why.registered.time if why.registered else None,
        began=start.time if start else None,
        earlier_runs=start.earlier_runs if start else sum(entry.event == "begun" for entry in before),
        earlier_registrations=sum(entry.event == "registered" and entry.hash != wanted for entry in before),
    )


class _Why(NamedTuple):
    reason: str
    registered: Entry | None = None
    is_closed: bool = False
    changes: tuple[str, ...] = ()


def _why(entries: Sequence[Entry], played: Played, registered: Sequence[Entry], first: Entry | None) -> _Why:
    """Give the first reason why a run cannot be closed, or that it is."""
    if played.hashes != {played.hash}:
        return _Why("holds trials of another study than the one in its run.json")
    if not registered:
        return _nearest(entries, played)
    if first is None:
        return _Why("does not show when its first trial began: no line of the log says so", registered[0])
    earlier = [own for own in registered if own.number < first.number]
    if not earlier:
        return _Why(f"was registered after the first trial, which began at {first.time}", registered[0])
    own = registration_of(earlier, played.hash, played.examples)
    if own is None:
        return _Why("was registered with other examples or splits", earlier[-1])
    return _Why("was registered before its first trial", own, is_closed=True)


def _nearest(entries: Sequence[Entry], played: Played) -> _Why:
    """Give what was changed since the most similar registration of the same name."""
    named = [own for own in entries if own.event == "registered" and own.name == played.study.get("name")]
    if not named:
        return _Why("was never registered")
    own = min(reversed(named), key=lambda other: len(differences(other.study, played.study)))
    return _Why("was registered with other questions or settings", own, changes=differences(own.study, played.study))


def differences(registered: Mapping[str, Any], played: Mapping[str, Any]) -> tuple[str, ...]:
    """Name every key of two studies that differs: questions.0.margin was 0.01 when registered, is 0.005."""
    before, now = dict(flattened(registered)), dict(flattened(played))
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return tuple(
        f"{name} was {before.get(name, 'absent')} when registered, is {now.get(name, 'absent')}" for name in changed
    )
