"""CSV files as rows of named cells, a row at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from fairfight.errors import TableError, nearest

_LONGEST_CELL = 1_000_000


def header(file: Path) -> list[str]:
    """Give the names of a CSV file's columns.

    Raises:
        TableError: the file is no UTF-8 text, is separated by something else than commas, or names a column twice.
    """
    with _opened(file) as source:
        return _names(csv.reader(source), file)


def cells(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Give the cells of `columns`, row by row, each with its line number.

    Raises:
        TableError: a column is missing (the nearest there is is named), or a row has another number of cells.
    """
    csv.field_size_limit(_LONGEST_CELL)
    with _opened(file) as source:
        reader = csv.reader(source)
        names = _names(reader, file)
        for column in columns:
            if column not in names:
                raise TableError(
                    f"{file.name} has no column '{column}'; it has {', '.join(names) or 'none'}.{nearest(column, names)} Name it so, "
                    "or say which column holds what with --map."
                )
        places, width = [names.index(column) for column in columns], len(names)
        try:
            for row in reader:
                if len(row) != width:
                    raise TableError(
                        f"{file.name}, line {reader.line_num}: {len(row)} cells, but the header has {width}. Mend the row."
                    )
                yield reader.line_num, [row[place] for place in places]
        except (csv.Error, UnicodeDecodeError) as error:
            raise TableError(f"{file.name}, line {reader.line_num + 1}: {error}. Save it as UTF-8 CSV.") from error


def number(cell: str, file: str, line: int, what: str) -> float:
    """Give a cell's number.

    Raises:
        TableError: it is none.
    """
    try:
        return float(cell)
    except ValueError:
        raise TableError(f"{file}, line {line}: the {what} is {cell!r}, which is no number. Mend the row.") from None


def _names(reader: Iterator[list[str]], file: Path) -> list[str]:
    try:
        names = next(reader, [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise TableError(f"{file.name}, line 1: {error}. Save it as UTF-8 CSV.") from error
    for mark, named in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and mark in names[0]:
            raise TableError(
                f"{file.name} separates its columns by {named}, but commas were expected. Save it with commas; --map cannot help."
            )
    if twice := next((name for place, name in enumerate(names) if name and name in names[:place]), None):
        raise TableError(f"{file.name} has two columns '{twice}', and which of them is meant is a guess. Rename one.")
    return names


def _opened(file: Path):
    try:
        return file.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise TableError(f"{file} cannot be read ({error.strerror}). Give a CSV file, or a folder of them.") from error
