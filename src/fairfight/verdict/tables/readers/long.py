"""Anybody's long table: a CSV file with a play a row, its columns mapped to what they mean.

task         what was played; joined from several columns with `+`
method       who played
score        what it earned
side         dictionary, baseline, rival or control; patterns of methods stand above it
seed, condition, validation, cost, cluster        where the table has them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from fairfight.errors import TableError, nearest
from fairfight.verdict.tables.csv_columns import cells, header, number
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.score_table import METRICS, Method, ScoreTable, Side, TableBuilder

MEANINGS = ("task", "method", "score", "side", "seed", "condition", "validation", "cost", "cluster", "metric")
NEEDED = ("task", "method", "score")
ALIASES = {
    "task": ("dataset", "concept", "concept_id"),
    "method": ("model", "name"),
    "score": ("test_auc", "auroc", "accuracy", "lm_judge_rating"),
    "side": ("family", "role"),
    "validation": ("val_auc", "validation_score"),
    "cost": ("flops",),
    "condition": ("setting",),
}
"""Names under which a column is found without a map."""


def read(file: Path, layout: Layout, cluster_of: Mapping[str, object] | None = None) -> ScoreTable:
    """Give the table that a CSV file holds; `cluster_of` stands above a column of clusters.

    Memory: 40 bytes a row while it is read, and one row's text at a time.

    Raises:
        TableError: a column is missing or unknown, a score is none or outside its range, a method stands on two sides.
    """
    columns = _columns(file, layout)
    if layout.metric not in METRICS:
        raise TableError(
            f"There is no metric '{layout.metric}'; there are {', '.join(METRICS)}.{nearest(layout.metric, METRICS)} Two "
            "metrics in one table are two tables."
        )
    builder = TableBuilder(file.stem, METRICS[layout.metric], file.name)
    sides = _Sides(builder, layout)
    clusters: dict[str, object] = {}
    metric: str | None = None
    flat = [name for names in columns.values() for name in names]
    for line, row in cells(file, flat):
        own = _by_meaning(columns, row)
        task, name = own["task"], own["method"]
        if not task or not name:
            raise TableError(f"{builder.where(line)}: the {'method' if task else 'task'} is empty. Mend the row.")
        if not own["score"]:
            raise TableError(
                f"{builder.where(line)}: the score is empty, which is no score. Take the row out if the play failed, and say so."
            )
        score, validation, cost = (
            number(own[what], file.name, line, what) if own.get(what) else None
            for what in ("score", "validation", "cost")
        )
        assert score is not None, "it is not empty"
        place = (task, own.get("condition", ""), own.get("seed", ""))
        builder.add_numbers(line, place, sides.of(name, own.get("side"), line), (score, validation, cost))
        if "metric" in own and metric is not None and own["metric"] != metric:
            raise TableError(
                f"{builder.where(line)}: the metric is '{own['metric']}', but '{metric}' above. Scores of two metrics are two "
                "tables: split the file, or map the column to a condition (--map condition=metric)."
            )
        metric = own.get("metric")
        if "cluster" in own and clusters.setdefault(task, own["cluster"]) != own["cluster"]:
            raise TableError(
                f"{builder.where(line)}: task '{task}' is of cluster '{own['cluster']}', but of '{clusters[task]}' above. A task "
                "has one."
            )
    return builder.table(cluster_of or clusters or None)


def _columns(file: Path, layout: Layout) -> dict[str, list[str]]:
    if unknown := [name for name in layout.columns if name not in MEANINGS]:
        raise TableError(
            f"--map {unknown[0]}=… names nothing that a score has; known are {', '.join(MEANINGS)}.{nearest(unknown[0], MEANINGS)}"
        )
    names = header(file)
    found = {meaning: column.split("+") for meaning, column in layout.columns.items()}
    for meaning, column in ((meaning, column) for meaning, own in found.items() for column in own):
        if column not in names:
            raise TableError(
                f"{file.name} has no column '{column}'; it has {', '.join(names) or 'none'}.{nearest(column, names)} Say which holds "
                f"the {meaning}, such as --map {meaning}={_guess(column, names)}."
            )
    free = [name for name in names if not any(name in taken for taken in found.values())]
    for meaning in MEANINGS:
        known = next((name for name in (meaning, *ALIASES.get(meaning, ())) if name in free), None)
        if meaning not in found and known is not None:
            found[meaning] = [known]
    if missing := [meaning for meaning in NEEDED if meaning not in found]:
        close = nearest(missing[0], free)
        raise TableError(
            f"{file.name} has no column for the {', the '.join(missing)}; its columns are {', '.join(names) or 'none'}.{close} Say "
            f"which it is, such as --map {missing[0]}={_guess(missing[0], free)}."
        )
    return found


def _guess(word: str, names: Sequence[str]) -> str:
    """Give the name that `nearest` asks about, for an example that can be typed as it stands."""
    return nearest(word, names).partition("'")[2].rpartition("'")[0] or "COLUMN"


def _by_meaning(columns: Mapping[str, Sequence[str]], row: Sequence[str]) -> dict[str, str]:
    if len(columns) == len(row):
        return dict(zip(columns, row, strict=True))
    found, place = {}, 0
    for meaning, names in columns.items():
        found[meaning] = " ".join(row[place : place + len(names)])
        place += len(names)
    return found


class _Sides:
    """Whose a method is: worked out once a method, and held against every later row."""

    def __init__(self, builder: TableBuilder, layout: Layout) -> None:
        self._builder, self._layout = builder, layout
        self._known: dict[str, tuple[Method, str | None]] = {}

    def of(self, name: str, said: str | None, line: int) -> Method:
        """Give a method with its side; `said` is what the row says of it, None without such a column."""
        if name not in self._known:
            self._known[name] = (Method(name, self._side(name, said, line)), said)
        method, before = self._known[name]
        if said != before and self._layout.matched(name) is None:
            raise TableError(
                f"{self._builder.where(line)}: {name} stands on the side '{said}', but on '{before}' above. A method has one side."
            )
        return method

    def _side(self, name: str, said: str | None, line: int) -> Side:
        if said is None or self._layout.matched(name):
            return self._layout.side_of(name)
        for side in get_args(Side):
            if said == side:
                return side
        raise TableError(
            f"{self._builder.where(line)}: the side is {said!r}; expected {', '.join(get_args(Side))}. Map another column, or name "
            "the dictionary's methods by --dictionary 'PATTERN'."
        )
