"""Texts without labels, from .jsonl and .txt files, plain or compressed by Zstandard; long ones in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from fairfight.errors import DataError, InputError

_KINDS = (".jsonl", ".txt", ".jsonl.zst", ".txt.zst")


def read_texts(file: Path, fields: Sequence[str] = ("text",)) -> list[str]:
    """Give the texts of a file, in its order: a line each in .txt; in .jsonl strings, or the `fields` of an object a line.

    Blank lines are no texts; an object has at least one of the fields, and each that it has is a text of its own.

    Raises:
        DataError: the file is missing, of another kind, not UTF-8, holds no text, or a line is not as expected.
        InputError: the file is compressed, and the package zstandard is not installed.
    """
    if not file.name.endswith(_KINDS):
        raise DataError(
            f"{file} ends in '{file.suffix}'; texts are read from .jsonl and .txt, either with .zst behind it. Save it as one of them."
        )
    # Not splitlines: a text may hold U+2028, which JSON leaves as it is.
    lines = [(number, line.strip("\r")) for number, line in enumerate(_read(file).split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{file} holds no text; at least one line was expected. Give a file with texts.")
    if ".jsonl" not in file.name:
        return [line for _, line in lines]
    return [text for number, line in lines for text in _texts(file, number, line, fields)]


def pieces(texts: Iterable[str], words: int) -> list[str]:
    """Give the texts, those of more than `words` words cut into pieces of so many; a rest shorter than half of that is left out."""
    found = []
    for text in texts:
        parts = text.split()
        if len(parts) <= words:
            found.append(text)
            continue
        found += [
            " ".join(parts[start : start + words])
            for start in range(0, len(parts), words)
            if len(parts) - start >= words / 2
        ]
    return [text for text in found if text.strip()]


def _read(file: Path) -> str:
    try:
        return _bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror}). Give a .jsonl file with a 'text' a line, or a .txt file."
        ) from error


def _bytes(file: Path) -> bytes:
    if file.suffix != ".zst":
        return file.read_bytes()
    try:
        import zstandard
    except ImportError as error:
        raise InputError(
            f"{file} is compressed, and reading it needs the package zstandard. Install fairfight[zst], or decompress it."
        ) from error
    try:
        with file.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as plain:
            return plain.read()
    except zstandard.ZstdError as error:
        raise DataError(f"{file} is no whole Zstandard file ({error}). Fetch or compress it again.") from error


def _texts(file: Path, number: int, line: str, fields: Sequence[str]) -> list[str]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise DataError(f"{file}, line {number}: not JSON ({error}). Mend or remove the line.") from error
    if isinstance(found, str):
        return [found]
    texts = [found[name] for name in fields if name in found] if isinstance(found, dict) else []
    if texts and all(isinstance(text, str) for text in texts):
        return texts
    has = f"an object with {', '.join(found) or 'nothing'}" if isinstance(found, dict) else type(found).__name__
    wanted = " or ".join(f"'{name}'" for name in fields)
    raise DataError(
        f"{file}, line {number}: found {has}; an object with a string under {wanted} was expected. Name the key so."
    )
