"""Any path that holds scores as tables: the readers by turn, and the long table where none knows the path."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from fairfight.errors import TableError
from fairfight.verdict.tables import readers
from fairfight.verdict.tables.found import Found
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.readers import long

Clusters = Mapping[str, object]
"""For each task the name of its cluster."""


class Reader(Protocol):
    """A file in `readers`: one layout that somebody publishes."""

    def recognises(self, path: Path) -> bool:
        """Whether the path has this layout."""
        ...

    def read(self, path: Path, layout: Layout, cluster_of: Clusters | None) -> Found:
        """Give its tables; what the layout says of sides stands above what the reader knows."""
        ...


def read_tables(path: Path, layout: Layout, cluster_of: Clusters | None = None) -> Found:
    """Give the tables of a path: by the reader that recognises it, else as a long CSV table.

    A layout that maps columns is taken at its word, whoever would recognise the path.

    Raises:
        TableError: nothing reads it, or what reads it finds it wrong.
    """
    if not path.exists():
        raise TableError(f"There is no {path}. Give a run's folder, a claim, or a table of scores.")
    if not layout.columns:
        for _, name, _ in pkgutil.iter_modules(readers.__path__):
            reader: Reader = importlib.import_module(f"{readers.__name__}.{name}")  # pyright: ignore[reportAssignmentType]
            if reader is not long and reader.recognises(path):
                return reader.read(path, layout, cluster_of)
    if path.is_file() and path.suffix.lower() == ".csv":
        return Found([long.read(path, layout, cluster_of)], [])
    if path.is_file() and path.suffix.lower() in (".tsv", ".tab"):
        raise TableError(
            f"{path} separates its columns by tabs, but commas were expected. Save it with commas, as CSV; --map cannot help."
        )
    raise TableError(
        f"{path} is no run (it holds no run.json) and no layout of scores that is known ({', '.join(known())}). Give a CSV file "
        "with a play a row."
    )


def known() -> list[str]:
    """Give the names of the layouts that are read."""
    return [name for _, name, _ in pkgutil.iter_modules(readers.__path__)]


def read_clusters(file: Path) -> Clusters:
    """Give the clusters that a JSON file holds: an object of tasks, or one under the key `cluster_of`.

    Raises:
        TableError: the file is none.
    """
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise TableError(f'{file} is nested too deeply to name clusters. Give {{"task": "cluster", …}}.') from error
    except (OSError, ValueError) as error:
        raise TableError(f'{file} cannot be read as JSON ({error}). Give {{"task": "cluster", …}}.') from error
    found = raw.get("cluster_of", raw) if isinstance(raw, dict) else None
    if not isinstance(found, dict):
        raise TableError(f'{file} holds no JSON object of tasks. Give {{"task": "cluster", …}}.')
    if odd := next((task for task, own in found.items() if isinstance(own, dict | list)), None):
        raise TableError(f'{file}: the cluster of \'{odd}\' is no name. Give {{"task": "cluster", …}}.')
    return found
