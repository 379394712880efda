"""Logs of Inspect AI (UK AI Security Institute): one file an eval, `.json`, or `.eval`, of which only `header.json` is read.

| entry                                                | row                                                            |
|------------------------------------------------------|----------------------------------------------------------------|
| `eval.task`, and `results.scores[].name`, `reducer` if several | the task                                               |
| `eval.model`, and `eval.solver` where one is named    | the method; its side by `--dictionary` and the like            |
| `results.scores[].metrics.accuracy.value`, else `mean` | the score                                                     |
| `eval.config.limit`                                   | the condition: plays under others are not compared             |

A score lies between 0 and 1, unless the metric asked for is `score`. Evals that did not end in `success` are left out, which is said, as are scores with neither metric.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairfight.errors import TableError
from fairfight.verdict.tables.flaw import Flaw
from fairfight.verdict.tables.found import Found
from fairfight.verdict.tables.json_files import (
    LARGEST_BYTES,
    below,
    files,
    heads,
    member,
    parse,
    read_json,
    score,
    title,
)
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.score_table import METRICS, Row, TableBuilder

METRICS_READ = ("accuracy", "mean")
HEADER = "header.json"
_HEAD = re.compile(r'^\s*\{\s*"version"\s*:\s*\d+\s*,\s*"status"\s*:')


def recognises(path: Path) -> bool:
    """Whether the path is a log, or a folder with one somewhere."""
    if path.is_file() and path.suffix == ".eval":
        return True
    if path.is_dir() and next(path.rglob("*.eval"), None):
        return True
    return (path.is_dir() or path.suffix == ".json") and any(map(_HEAD.match, heads(path, "*.json")))


def read(path: Path, layout: Layout, cluster_of: Mapping[str, object] | None) -> Found:
    """Give the table of models by tasks.

    Raises:
        TableError: a log is damaged or lacks a key, a score is none or outside its range, or a model played a task twice.
    """
    builder = TableBuilder(title(path), METRICS["score" if layout.metric == "score" else "accuracy"], path.name)
    seen: dict[tuple[str, str, str], str] = {}
    unfinished, unread = [], []
    for file in _logs(path):
        found, name = _header(file) if file.suffix == ".eval" else read_json(file), below(file, path)
        if found is None or found.get("status") != "success":
            unfinished.append(name)
            continue
        builder.file = name
        method, condition = _method(found, name), _condition(found)
        for task, metrics in _scores(found, name):
            if (key := next((key for key in METRICS_READ if key in metrics), None)) is None:
                unread.append(task)
                continue
            if (before := seen.setdefault((method, task, condition), name)) != name:
                raise TableError(f"{name}: {method} played {task} in {before} already. Keep one of the logs.")
            where = f"{name}: {key} of {task}"
            if "value" not in member(metrics, key, dict, where):
                raise TableError(f"{where} has no key 'value'. Give the log as it was written.")
            value = score(metrics[key]["value"], where)
            builder.add(Row(task, method, layout.side_of(method), value, condition=condition), f"{key} of {task}")
    return Found([builder.table(cluster_of)], list(_left_out(unfinished, unread, builder.name)))


def _logs(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        file
        for file in (*files(path, "*.eval"), *files(path, "*.json"))
        if file.suffix == ".eval" or any(map(_HEAD.match, heads(file, "")))
    )


def _header(file: Path) -> dict[str, Any] | None:
    """Give the header of a zipped log, None if it was never finished.

    No more than 200 MB are unpacked, whatever the archive says of itself.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if HEADER not in archive.namelist():
                return None
            with archive.open(HEADER) as source:
                text = source.read(LARGEST_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise TableError(
            f"{file.name} cannot be unpacked ({error}). Give the log as it was written, or as JSON (inspect log convert)."
        ) from error
    if len(text) > LARGEST_BYTES:
        raise TableError(
            f"{file.name}: {HEADER} unpacks to more than {LARGEST_BYTES / 1e6:.0f} MB, which no header has. Give the log as it was "
            "written."
        )
    return parse(text, f"{file.name}, {HEADER}")


def _method(found: dict[str, Any], where: str) -> str:
    model, solver = member(found, "eval.model", str, where), found["eval"].get("solver")
    return f"{model} {solver}" if isinstance(solver, str) and solver else model


def _condition(found: dict[str, Any]) -> str:
    settings = found["eval"].get("config")
    limit = settings.get("limit") if isinstance(settings, dict) else None
    return "" if limit is None else f"limit {limit}"


def _scores(found: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the tasks of a log, one for each score, with their metrics."""
    task, scores = member(found, "eval.task", str, where), member(found, "results.scores", list, where)
    for number, own in enumerate(scores):
        at = f"{where}, results.scores[{number}]"
        metrics = member(own, "metrics", dict, at)
        reducer = own.get("reducer")
        name = f"{task}, {member(own, 'name', str, at)}{f' {reducer}' if isinstance(reducer, str) else ''}"
        yield task if len(scores) == 1 else name, metrics


def _left_out(unfinished: list[str], unread: list[str], table: str) -> Iterator[Flaw]:
    if unfinished:
        found = (
            f"{len(unfinished)} logs of {table} did not end in success ({', '.join(unfinished[:4])}), and are left out."
        )
        yield Flaw("unfinished evals", found, is_fatal=False)
    if unread:
        found = f"{len(unread)} scores of {table} ({', '.join(unread[:6])}) have none of {', '.join(METRICS_READ)}, and are left out."
        yield Flaw("tasks without an accuracy", found, is_fatal=False)
