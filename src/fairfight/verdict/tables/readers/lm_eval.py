"""Results of lm-evaluation-harness (EleutherAI): one `results_….json` a model and call.

| entry                                                      | row                                                     |
|------------------------------------------------------------|---------------------------------------------------------|
| `results.<task>.<metric>,<filter>`                         | the score: the first accuracy there is, see `METRICS_READ` |
| `model_name`, else `config.model_args`                     | the method; its side by `--dictionary` and the like     |
| `n-shot.<task>`, `n-samples.<task>` where a limit was set   | the condition: plays under others are not compared      |

Groups such as `mmlu` are means of tasks that stand beside them, and are left out; so are tasks without an accuracy, which
is said. A task's score is the same metric and filter in every file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairfight.errors import TableError
from fairfight.verdict.tables.flaw import Flaw
from fairfight.verdict.tables.found import Found
from fairfight.verdict.tables.json_files import below, files, heads, member, read_json, score, title
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.score_table import METRICS, Row, TableBuilder

METRICS_READ = ("acc", "exact_match", "acc_norm", "prompt_level_strict_acc", "pass@1", "mc2")
"""Accuracies by name, the first that a task has; among its filters `none` comes first, then the order of the file."""
_PATTERN = "results_*.json"
_MODEL_ARGUMENTS = ("peft", "delta", "pretrained", "model", "path", "engine")
"""Under which the harness looks for a model's name, in its order."""


def recognises(path: Path) -> bool:
    """Whether the path is a results file, or a folder with one somewhere."""
    if path.is_file() and not (path.suffix == ".json" and path.name.startswith("results")):
        return False
    return any('"results"' in head for head in heads(path, _PATTERN))


def read(path: Path, layout: Layout, cluster_of: Mapping[str, object] | None) -> Found:
    """Give the table of models by tasks.

    Raises:
        TableError: a file is no JSON or lacks a key, a score is none or outside its range, a model played a task twice, or
            two models' scores on a task are not of one metric.
    """
    builder = TableBuilder(title(path), METRICS["accuracy"], path.name)
    key_of: dict[str, tuple[str, str]] = {}
    seen: dict[tuple[str, str, str], str] = {}
    unread: dict[str, None] = {}
    for file in files(path, _PATTERN):
        found, name = read_json(file), below(file, path)
        method = _model(found, name)
        builder.file = name
        for task, own in _tasks(found, name):
            if (key := _key(own, _better(found, task))) is None:
                unread[task] = None
                continue
            first, where = key_of.setdefault(task, (key, name))
            if first not in own:
                raise TableError(
                    f"{name}: {task} has no '{first}', by which it is read in {where}; it has {', '.join(own)}. Two metrics "
                    "are no comparison: give results of one version of the task."
                )
            condition = _condition(found, task)
            if (before := seen.setdefault((method, task, condition), name)) != name:
                raise TableError(f"{name}: {method} played {task} in {before} already. Keep one of the files.")
            value = score(own[first], f"{name}: {task}, {first}")
            builder.add(Row(task, method, layout.side_of(method), value, condition=condition), f"{task}, {first}")
    return Found([builder.table(cluster_of)], list(_unread(list(unread), builder.name)))


def _model(found: dict[str, Any], where: str) -> str:
    if isinstance(name := found.get("model_name"), str) and name:
        return name
    said = member(found, "config", dict, where).get("model_args")
    arguments = dict(_pairs(said)) if isinstance(said, str) else said if isinstance(said, dict) else {}
    for key in _MODEL_ARGUMENTS:
        if isinstance(name := arguments.get(key), str) and name:
            return name
    raise TableError(
        f"{where} names no model: there is no 'model_name', and config.model_args has none of {', '.join(_MODEL_ARGUMENTS)}. Add "
        "'model_name' to the file."
    )


def _pairs(arguments: str) -> Iterator[tuple[str, str]]:
    for part in arguments.split(","):
        key, _, value = part.partition("=")
        yield key, value


def _tasks(found: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the tasks that are no groups."""
    results, groups = member(found, "results", dict, where), found.get("group_subtasks")
    for task, own in results.items():
        if not isinstance(own, dict):
            raise TableError(f"{where}: results.{task} is no object. Give the file as it was written.")
        if not (isinstance(groups, dict) and groups.get(task)):
            yield task, own


def _better(found: dict[str, Any], task: str) -> dict[str, Any]:
    """Give for each metric whether more is better, as far as the file says so."""
    there = found.get("higher_is_better")
    own = there.get(task) if isinstance(there, dict) else None
    return own if isinstance(own, dict) else {}


def _key(own: dict[str, Any], better: dict[str, Any]) -> str | None:
    for metric in METRICS_READ:
        keys = [key for key in own if key.split(",")[0] == metric]
        if keys and better.get(metric) is not False:
            return next((key for key in keys if key == f"{metric},none"), keys[0])
    return None


def _condition(found: dict[str, Any], task: str) -> str:
    shots, examples = (
        own.get(task) if isinstance(own := found.get(key), dict) else None for key in ("n-shot", "n-samples")
    )
    said = [] if shots is None else [f"{shots}-shot"]
    if isinstance(examples, dict) and examples.get("effective") != examples.get("original"):
        said.append(f"{examples.get('effective')} of {examples.get('original')} examples")
    return ", ".join(said)


def _unread(tasks: list[str], table: str) -> Iterator[Flaw]:
    if tasks:
        yield Flaw(
            "tasks without an accuracy",
            f"{len(tasks)} tasks of {table} ({', '.join(tasks[:6])}) have none of {', '.join(METRICS_READ)}, and are left out.",
            is_fatal=False,
        )
