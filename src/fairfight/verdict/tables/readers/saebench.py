"""Sparse probing results of SAEBench (Karvonen et al. 2025): one JSON file an SAE.

| entry of `eval_result_details`, one a data set                   | row                                            |
|------------------------------------------------------------------|------------------------------------------------|
| `dataset_name`                                                   | the task                                       |
| `llm_test_accuracy`, `llm_top_{k}_test_accuracy`                 | baselines `llm`, `llm k={k}`: the model's own activations |
| `sae_test_accuracy`, `sae_top_{k}_test_accuracy`                 | dictionary methods: release, SAE, `k={k}`      |
| `…_test_auc`, `…_test_f1` of `sparse_probing_sae_probes`         | the same, where that metric is asked for       |

There is a table for each eval, model and layer, and a seed for each `random_seed`. Every file of a model and layer repeats
the model's own scores; where they differ from file to file, their mean is taken and the difference is said. An
`sae_test_accuracy` of -1 stands for a probe that was not trained, and is no row. Evals that score SAEs alone (core,
absorption, unlearning and others) hold no baseline, so no table is built on them, which is said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fairfight.errors import TableError
from fairfight.verdict.tables.flaw import Flaw
from fairfight.verdict.tables.found import Found
from fairfight.verdict.tables.json_files import below, files, heads, member, read_json, score
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.score_table import METRICS, Method, ScoreTable, TableBuilder

PROBING = ("sparse_probing", "sparse_probing_sae_probes")
KEYS = {"auroc": "auc", "accuracy": "accuracy", "f1": "f1"}
"""For each metric the end of its keys."""
NOT_TRAINED = -1
_PATTERN = "*eval_results.json"
_SCORE = re.compile(r"(llm|sae)(?:_top_(\d+))?_test_(accuracy|auc|f1)")
_HEAD = re.compile(r'"eval_(type_id|config|result_metrics)"')


class _Place(NamedTuple):
    """What has one table."""

    evaluation: str
    model: str
    layer: str


class _Play(NamedTuple):
    task: str
    seed: str
    method: Method


@dataclass
class _Probed:
    """The scores of one place, by play; a baseline has one from every file."""

    metric: str
    scores: dict[_Play, list[float]] = field(default_factory=dict)


def recognises(path: Path) -> bool:
    """Whether the path is a result file of SAEBench, or a folder with some."""
    return (path.is_dir() or path.suffix.lower() == ".json") and any(map(_HEAD.search, heads(path, _PATTERN)))


def read(path: Path, layout: Layout, cluster_of: Mapping[str, object] | None) -> Found:
    """Give a table for each eval, model and layer.

    The metric is the one asked for where the first file of a table has it, else accuracy.

    Raises:
        TableError: a file is no JSON or lacks a key, a score is none or outside its range, or no file holds a baseline.
    """
    places: dict[_Place, _Probed] = {}
    others: Counter[str] = Counter()
    for file in files(path, _PATTERN):
        found = read_json(file)
        evaluation = member(found, "eval_type_id", str, below(file, path))
        if evaluation in PROBING:
            _add(places, found, below(file, path), layout)
        else:
            others[evaluation] += 1
    if not places:
        raise TableError(
            f"{path.name} holds no results of sparse probing, only of {_listed(others)}: they score SAEs alone, so there is "
            f"nothing to compare them with. Give files of {' or '.join(PROBING)}."
        )
    tables = [_table(place, own, path.name, cluster_of) for place, own in places.items()]
    return Found(tables, list(_alone(others)))


def _add(places: dict[_Place, _Probed], found: dict[str, Any], where: str, layout: Layout) -> None:
    details = member(found, "eval_result_details", list, where)
    place = _Place(
        member(found, "eval_type_id", str, where),
        member(found, "eval_config.model_name", str, where),
        str(found.get("sae_cfg_dict", {}).get("hook_layer", "")) if isinstance(found.get("sae_cfg_dict"), dict) else "",
    )
    if place not in places:
        places[place] = _Probed(_metric(details, layout))
    seed = str(member(found, "eval_config", dict, where).get("random_seed", ""))
    sae = " ".join(member(found, key, str, where) for key in ("sae_lens_release_id", "sae_lens_id"))
    for number, entry in enumerate(details):
        at = f"{where}, eval_result_details[{number}]"
        task = member(entry, "dataset_name", str, at).removesuffix("_results")
        for method, value in _scores(entry, KEYS[places[place].metric], sae, at):
            own = Method(method.name, layout.side_of(method.name, method.side))
            values = places[place].scores.setdefault(_Play(task, seed, own), [])
            if values and method.side == "dictionary":
                raise TableError(f"{at}: {method.name} has a second score on {task}. Take one of the files out.")
            values.append(value)


def _metric(details: list[Any], layout: Layout) -> str:
    """Give the metric asked for if the first entry has the model's own score by it, else accuracy."""
    key = f"llm_test_{KEYS.get(layout.metric, '')}"
    is_there = bool(details) and isinstance(details[0], dict) and details[0].get(key) is not None
    return layout.metric if is_there else "accuracy"


def _scores(entry: dict[str, Any], metric: str, sae: str, where: str) -> Iterator[tuple[Method, float]]:
    """Give the methods of an entry with their scores."""
    if entry.get(key := f"llm_test_{metric}") is None:
        raise TableError(
            f"{where} has no score '{key}', the model's own probe; its keys are {', '.join(list(entry)[:8])}. Give files that "
            "were written with the baseline (include_llm_baseline)."
        )
    for key, value in entry.items():
        own = _SCORE.fullmatch(key)
        if own is None or own[3] != metric or value is None:
            continue
        side, k, _ = own.groups()
        if side == "sae" and k is None and value == NOT_TRAINED:
            continue
        method = Method(sae, "dictionary") if side == "sae" else Method("llm", "baseline")
        yield Method(f"{method.name} k={k}" if k else method.name, method.side), score(value, f"{where}: {key}")


def _table(place: _Place, own: _Probed, file: str, cluster_of: Mapping[str, object] | None) -> ScoreTable:
    builder = TableBuilder(_name(place), METRICS[own.metric], file)
    for play, values in own.scores.items():
        at = f"{play.method.name} on {play.task}"
        for value in values:
            builder.check(value, at)
        builder.add_numbers(at, (play.task, "", play.seed), play.method, (float(np.mean(values)), None, None))
    return builder.table(cluster_of, flaws=_unsteady(place, own))


def _name(place: _Place) -> str:
    return " ".join((place.evaluation, place.model, *((f"layer {place.layer}",) if place.layer else ())))


def _unsteady(place: _Place, own: _Probed) -> Iterator[Flaw]:
    gaps = {play: max(values) - min(values) for play, values in own.scores.items()}
    worst = max(gaps, key=lambda play: gaps[play], default=None)
    if worst is not None and gaps[worst] > 0:
        yield Flaw(
            "one baseline, several scores",
            f"the files of {_name(place)} disagree about {sum(gap > 0 for gap in gaps.values())} scores of the model's own probes, "
            f"most about {worst.method.name} on {worst.task} (by {gaps[worst]:.4f}); their mean is taken.",
            is_fatal=False,
        )


def _alone(others: Counter[str]) -> Iterator[Flaw]:
    if not others:
        return
    picked = (
        " An unlearning score is moreover the best of many settings, picked on the questions that it is scored on."
        if "unlearning" in others
        else ""
    )
    yield Flaw(
        "evals without a baseline",
        f"{others.total()} files ({_listed(others)}) score SAEs alone: no comparison is built on them.{picked}",
        is_fatal=False,
    )


def _listed(others: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(others.items())) or "nothing"
