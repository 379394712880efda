"""JSON files that somebody else wrote: read within bounds, and asked for what must be there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from fairfight.errors import TableError, nearest

LARGEST_BYTES = 200_000_000
_HEAD_BYTES = 65_536
_MOST_SNIFFED = 100
_NAMES: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}

Kind = TypeVar("Kind", dict[str, Any], list[Any], str)


def parse(text: str | bytes, where: str) -> dict[str, Any]:
    """Give the JSON object that a text holds; `where` is named in errors.

    Raises:
        TableError: it is no JSON, nested too deeply, or another value than an object.
    """
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise TableError(
            f"{where} is nested too deeply to be a file of results. Give the file as it was written."
        ) from error
    except ValueError as error:
        raise TableError(f"{where} cannot be read as JSON ({error}). Give the file as it was written.") from error
    if not isinstance(found, dict):
        raise TableError(f"{where} holds {_named(found)}, but an object was expected. Give the file as it was written.")
    return found


def read_json(file: Path) -> dict[str, Any]:
    """Give the JSON object that a file holds.

    Raises:
        TableError: it cannot be read, is larger than 200 MB, or holds no JSON object.
    """
    check_size(file, file.name)
    try:
        return parse(file.read_bytes(), file.name)
    except OSError as error:
        raise TableError(f"{file} cannot be read ({error.strerror}). Give a file of results.") from error


def check_size(file: Path, where: str) -> None:
    """Refuse a file of more than 200 MB.

    Raises:
        TableError: it is larger, or not there.
    """
    try:
        size = file.stat().st_size
    except OSError as error:
        raise TableError(f"{file} cannot be read ({error.strerror}). Give a file of results.") from error
    if size > LARGEST_BYTES:
        raise TableError(
            f"{where} has {size / 1e6:.0f} MB, but {LARGEST_BYTES / 1e6:.0f} MB are read at most. Give the file of scores "
            "alone, without the examples."
        )


def member(found: object, keys: str, kind: type[Kind], where: str) -> Kind:
    """Give what stands under `keys`, which are joined by dots.

    Raises:
        TableError: a key is missing, or its value is of another kind.
    """
    come = ""
    for key in keys.split("."):
        if not isinstance(found, dict) or key not in found:
            close = nearest(key, found) if isinstance(found, dict) else ""
            known = ", ".join(list(found)[:8]) or "nothing" if isinstance(found, dict) else _named(found)
            raise TableError(
                f"{where} has no key '{key}' {f'in {come[:-1]}' if come else 'at the top'}; there is {known}.{close} Give the "
                "file as it was written."
            )
        found, come = found[key], f"{come}{key}."
    if not isinstance(found, kind):
        raise TableError(
            f"{where}: {keys} is {_named(found)}, but {_NAMES[kind]} was expected. Give the file as it was written."
        )
    return found


def score(value: object, where: str) -> float:
    """Give a score that a file holds as a number.

    Raises:
        TableError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TableError(
            f"{where} is {_named(value)}, but a number was expected. Take the entry out if the play failed, and say so."
        )
    try:
        return float(value)
    except OverflowError as error:
        raise TableError(f"{where} is too large for a score. Mend the file.") from error


def files(path: Path, pattern: str) -> list[Path]:
    """Give the path itself if it is a file, else the files below it that match, in order of their names."""
    return [path] if path.is_file() else sorted(file for file in path.rglob(pattern) if file.is_file())


def below(file: Path, path: Path) -> str:
    """Give a file's name, with the folders between it and the path that was given."""
    return file.relative_to(path).as_posix() if path.is_dir() else file.name


def title(path: Path) -> str:
    """Give the name of a table that a path's files make."""
    return path.stem if path.is_file() else path.absolute().name


def heads(path: Path, pattern: str) -> Iterator[str]:
    """Give the beginnings of up to 100 files of a path, for telling a layout before it is read."""
    there = iter([path]) if path.is_file() else (file for file in path.rglob(pattern) if file.is_file())
    for file in islice(there, _MOST_SNIFFED):
        try:
            with file.open("rb") as source:
                yield source.read(_HEAD_BYTES).decode("utf-8", "replace")
        except OSError:
            continue


def _named(value: object) -> str:
    known = next((name for kind, name in _NAMES.items() if isinstance(value, kind)), None)
    return f"the text {value[:40]!r}" if isinstance(value, str) else known or json.dumps(value)
