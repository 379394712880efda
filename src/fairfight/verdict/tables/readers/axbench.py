"""Steering and detection scores of AxBench (Wu et al. 2025), by concept.

| file                                                     | rows                                                      |
|----------------------------------------------------------|-----------------------------------------------------------|
| a CSV table with `run`, `method`, `concept_id`, `factor`, `lm_judge_rating` | run and concept × method and run, rated 0 to 2 |
| `…/evaluate/steering.jsonl`: `results.LMJudgeEvaluator` by method: `lm_judge_rating`, `factor` | the same     |
| `…/evaluate/latent.jsonl`: `results.AUCROCEvaluator` by method: `roc_auc` | run and concept × method, AUROC          |

A run's folder is its place, such as `layer_10`: concepts are numbered within it and are others in another place. Every
method was rated at many factors and no factor was chosen on anything else, so each run of a method stands at the one factor
that is best over all its concepts, and what that choice is worth is said (`lint.picked_on_scores`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from fairfight.errors import TableError
from fairfight.verdict.tables.csv_columns import cells, header, number
from fairfight.verdict.tables.found import Found
from fairfight.verdict.tables.json_files import check_size, files, member, parse, score
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.lint import picked_on_scores
from fairfight.verdict.tables.picked import Picked
from fairfight.verdict.tables.score_table import METRICS, Row, ScoreTable, Side, TableBuilder

COLUMNS = ("run", "method", "concept_id", "factor", "lm_judge_rating")
STEERING, LATENT = "steering.jsonl", "latent.jsonl"


class _Run(NamedTuple):
    """One method in one run of AxBench."""

    name: str
    method: str

    @property
    def place(self) -> str:
        """The folder that the run lies in: the layer, whose concepts it was run on."""
        return str(PurePosixPath(self.name).parent)

    @property
    def contender(self) -> str:
        """The method with the run's name, without the layer's number, so that it is one method at every layer."""
        layer = self.place.rpartition("layer_")[2]
        return f"{self.method} {PurePosixPath(self.name).name.replace(f'_{layer}', '', 1)}" if layer else self.method


_Ratings = dict[_Run, dict[str, dict[str, float]]]
"""By run, factor and concept."""


def recognises(path: Path) -> bool:
    """Whether the path is the CSV table, a file of ratings, or a folder with such files."""
    if path.is_dir():
        return any(next(path.rglob(f"evaluate/{name}"), None) for name in (STEERING, LATENT))
    if path.suffix.lower() == ".csv":
        try:
            return set(COLUMNS) <= set(header(path))
        except TableError:
            return False
    return path.name in (STEERING, LATENT)


def read(path: Path, layout: Layout, cluster_of: Mapping[str, object] | None) -> Found:
    """Give the tables of ratings and of detection scores.

    Raises:
        TableError: a file lacks a column or a key, or a rating is none or outside its range.
    """
    tables = []
    is_csv = path.suffix.lower() == ".csv"
    ratings = _csv_ratings(path) if is_csv else _jsonl_ratings(_of(path, STEERING), path)
    if ratings:
        picks = {run: _picked(run, by_factor) for run, by_factor in ratings.items()}
        name = path.stem if is_csv else "steering"
        tables.append(_steering(name, path.name, picks, ratings, layout, cluster_of))
    if latent := [] if is_csv else _of(path, LATENT):
        tables.append(_latent(latent, path, layout, cluster_of))
    return Found(tables, [])


def _of(path: Path, name: str) -> list[Path]:
    return [file for file in files(path, f"evaluate/{name}") if file.name == name]


def _csv_ratings(file: Path) -> _Ratings:
    found: _Ratings = {}
    for line, (run, method, concept, factor, rating) in cells(file, COLUMNS):
        value = number(rating, file.name, line, "rating")
        _add(found, _Run(run, method), factor, concept, value, f"{file.name}, line {line}")
    return found


def _jsonl_ratings(there: list[Path], path: Path) -> _Ratings:
    found: _Ratings = {}
    for file in there:
        for where, concept, method, own in _lines(file, "LMJudgeEvaluator"):
            ratings, factors = (member(own, key, list, f"{where}, {method}") for key in ("lm_judge_rating", "factor"))
            if len(ratings) != len(factors):
                raise TableError(
                    f"{where}: {method} has {len(ratings)} ratings, but {len(factors)} factors. Give the file as it was written."
                )
            for rating, factor in zip(ratings, factors, strict=True):
                run = _Run(_run_of(file, path), method)
                _add(found, run, str(factor), concept, score(rating, f"{where}: a rating of {method}"), where)
    return found


def _add(found: _Ratings, run: _Run, factor: str, concept: str, rating: float, where: str) -> None:
    metric = METRICS["rating"]
    if not metric.low <= rating <= metric.high:
        raise TableError(
            f"{where}: the rating is {rating:g}, but a rating lies between {metric.low:g} and {metric.high:g}. Mend the row, or "
            "take it out if the play failed, and say so."
        )
    concepts = found.setdefault(run, {}).setdefault(factor, {})
    if concept in concepts:
        raise TableError(
            f"{where}: {run.method} has a second rating for concept {concept} at factor {factor} in {run.name}. Take one out."
        )
    concepts[concept] = rating


def _picked(run: _Run, by_factor: Mapping[str, Mapping[str, float]]) -> Picked:
    """Give a run at each factor that all of its concepts were rated at."""
    concepts = list(dict.fromkeys(concept for own in by_factor.values() for concept in own))
    whole = {factor: own for factor, own in by_factor.items() if len(own) == len(concepts)}
    if not whole:
        raise TableError(
            f"{run.method} in {run.name} has no factor at which all of its {len(concepts)} concepts were rated, so none can be "
            "chosen. Take out the concepts that were not rated."
        )
    scores = np.array([[own[concept] for concept in concepts] for own in whole.values()])
    return Picked(f"{run.method} in {run.name}", tuple(whole), scores)


def _steering(
    name: str,
    file: str,
    picks: Mapping[_Run, Picked],
    ratings: _Ratings,
    layout: Layout,
    cluster_of: Mapping[str, object] | None,
) -> ScoreTable:
    builder = TableBuilder(name, METRICS["rating"], file)
    for run, own in picks.items():
        factor = own.settings[own.best]
        for concept, rating in ratings[run][factor].items():
            method = run.contender
            row = Row(f"{run.place}, concept {concept}", method, layout.side_of(method, _side(run.method)), rating)
            builder.add(row, f"{run.method} in {run.name}")
    return builder.table(cluster_of, flaws=picked_on_scores(list(picks.values()), name))


def _latent(there: list[Path], path: Path, layout: Layout, cluster_of: Mapping[str, object] | None) -> ScoreTable:
    builder = TableBuilder("latent", METRICS["auroc"], LATENT)
    for file in there:
        builder.file = file.name
        for where, concept, method, own in _lines(file, "AUCROCEvaluator"):
            run = _Run(_run_of(file, path), method)
            if "roc_auc" not in own:
                raise TableError(
                    f"{where}: {method} has no key 'roc_auc'; there is {', '.join(own)}. Give the file as it was written."
                )
            auroc = score(own["roc_auc"], f"{where}: the roc_auc of {method}")
            name = run.contender
            row = Row(f"{run.place}, concept {concept}", name, layout.side_of(name, _side(method)), auroc)
            builder.add(row, where.partition(", ")[2])
    return builder.table(cluster_of)


def _lines(file: Path, evaluator: str) -> Iterator[tuple[str, str, str, dict]]:
    """Give the place, the concept, the method and its results for each line of a file that has them."""
    check_size(file, file.name)
    with file.open("rb") as source:
        for line, text in enumerate(source, start=1):
            where = f"{file.name}, line {line}"
            own = parse(text, where)
            results = member(own, "results", dict, where)
            if "concept_id" not in own:
                raise TableError(
                    f"{where} has no key 'concept_id' at the top; there is {', '.join(own)}. Give the file as it was written."
                )
            for method, found in (member(results, evaluator, dict, where) if evaluator in results else {}).items():
                if not isinstance(found, dict):
                    raise TableError(f"{where}: {evaluator}.{method} is no object. Give the file as it was written.")
                yield where, str(own["concept_id"]), method, found


def _run_of(file: Path, path: Path) -> str:
    """Give the run's folder, as it lies below the path that was given."""
    run = file.parent.parent
    return run.relative_to(path).as_posix() if path.is_dir() and run != path else f"{run.parent.name}/{run.name}"


def _side(method: str) -> Side:
    return "dictionary" if "SAE" in method else "baseline"
