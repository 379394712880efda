"""The texts of a quality measurement: a .jsonl or .txt file."""

from __future__ import annotations

import json
from pathlib import Path

from fairfight.errors import DataError


def read_texts(file: Path) -> list[str]:
    """Give the texts of a file, in its order: a line each in .txt, an object with `text` (or a string) a line in .jsonl.

    Blank lines are no texts.

    Raises:
        DataError: the file is missing, of another kind, not UTF-8, holds no text, or a line is not as expected.
    """
    if file.suffix not in (".jsonl", ".txt"):
        raise DataError(f"{file} ends in '{file.suffix}'; texts are read from .jsonl and .txt. Save it as one of them.")
    # Not splitlines: a text may hold U+2028, which JSON leaves as it is.
    lines = [(number, line.strip("\r")) for number, line in enumerate(_read(file).split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{file} holds no text; at least one line was expected. Give a file with texts.")
    return [_text(file, number, line) if file.suffix == ".jsonl" else line for number, line in lines]


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror}). Give a .jsonl file with a 'text' a line, or a .txt file."
        ) from error


def _text(file: Path, number: int, line: str) -> str:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise DataError(f"{file}, line {number}: not JSON ({error}). Mend or remove the line.") from error
    text = found.get("text") if isinstance(found, dict) else found
    if isinstance(text, str):
        return text
    has = f"an object with {', '.join(found) or 'nothing'}" if isinstance(found, dict) else type(found).__name__
    raise DataError(
        f"{file}, line {number}: found {has}; an object with a string under 'text' was expected. Name the key 'text'."
    )
