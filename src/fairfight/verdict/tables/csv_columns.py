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
        TableError: the file is no UTF-8 text, or is empty.
    """
    with _opened(file) as source:
        try:
            return next(csv.reader(source), [])
        except (csv.Error, UnicodeDecodeError) as error:
            raise TableError(f"{file.name}, line 1: {error}. Save it as UTF-8 CSV.") from error


def cells(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Give the cells of `columns`, row by row, each with its line number.

    Raises:
        TableError: a column is missing (the nearest there is is named), or a row has another number of cells.
    """
    csv.field_size_limit(_LONGEST_CELL)
    with _opened(file) as source:
        reader = csv.reader(source)
        names = next(reader, [])
        for column in columns:
            if column not in names:
                raise TableError(
                    f"{file.name} has no column '{column}'; it has {', '.join(names) or 'none'}.{nearest(column, names)} Say which "
                    "column holds what with --map, such as --map task=dataset."
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


def _opened(file: Path):
    try:
        return file.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise TableError(f"{file} cannot be read ({error.strerror}). Give a CSV file, or a folder of them.") from error
