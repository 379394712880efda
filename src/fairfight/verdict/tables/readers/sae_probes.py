"""Result files of SAE-Probes (Kantamneni et al. 2025): one folder, a pair of files a regime.

| file                                          | rows                                                   |
|-----------------------------------------------|--------------------------------------------------------|
| `standard_baselines.csv`, `standard_saes.csv` | task × method; task × SAE × k                          |
| `scarcity_…`                                  | the same by `num_train`                                |
| `label_noise_…`                               | the same by `ratio` of the baselines, `corrupt_frac` of the SAEs |
| `ood.csv`                                     | one baseline and one SAE a task, paired                |
| `ood_saes….csv`                               | SAE rows that say they are out of distribution         |
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fairfight.verdict.tables.csv_columns import cells, number
from fairfight.verdict.tables.flaw import Flaw
from fairfight.verdict.tables.found import Found
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.lint import in_distribution_scores
from fairfight.verdict.tables.score_table import METRICS, Method, Row, ScoreTable, TableBuilder

REGIMES = {"standard": ("", ""), "scarcity": ("num_train", "num_train"), "label_noise": ("ratio", "corrupt_frac")}
"""For each regime the column that holds its condition, on the baselines' side and the SAEs'."""
_PAIRED = ("test_auc_baseline", "test_auc_sae")
_NAMES = {"": "", "num_train": "n = {:g}", "ratio": "noise {:.2f}", "corrupt_frac": "noise {:.2f}"}


OWN_PAIR = ("sae 16k k=128", "logreg")
"""What the paper's figures set against each other."""


def recognises(path: Path) -> bool:
    """Whether the path is a folder with a pair of the files above, or one file of a pair."""
    return bool(_regimes(path)) or path.name.startswith("ood") or (path / "ood.csv").is_file()


def read(path: Path, layout: Layout, cluster_of: Mapping[str, object] | None) -> Found:
    """Give a table for each regime, and what is wrong with files that belong to none.

    Of a single file of a pair both are read, and no other regime.

    Raises:
        TableError: a file lacks a column, or a row holds no score.
    """
    folder = path if path.is_dir() else path.parent
    tables = [_regime(folder, name, layout, cluster_of) for name in _regimes(path)]
    if (folder / "ood.csv").is_file() and (path.is_dir() or path.name == "ood.csv"):
        tables.append(_paired(folder / "ood.csv", layout, cluster_of))
    return Found(tables, _misnamed(path, folder))


def _regimes(path: Path) -> list[str]:
    folder = path if path.is_dir() else path.parent
    there = [name for name in REGIMES if all(file.is_file() for file in _files(folder, name))]
    return there if path.is_dir() else [name for name in there if path in _files(folder, name)]


def _files(folder: Path, regime: str) -> tuple[Path, Path]:
    return folder / f"{regime}_baselines.csv", folder / f"{regime}_saes.csv"


def _regime(folder: Path, regime: str, layout: Layout, cluster_of: Mapping[str, object] | None) -> ScoreTable:
    baselines, saes = _files(folder, regime)
    builder = TableBuilder(regime, METRICS["auroc"], baselines.name)
    _add_baselines(builder, baselines, REGIMES[regime][0], layout)
    builder.file = saes.name
    _add_saes(builder, saes, REGIMES[regime][1], layout)
    return builder.table(cluster_of, own_pairs=(OWN_PAIR,))


def _misnamed(path: Path, folder: Path) -> list[Flaw]:
    files = (
        sorted(folder.glob("ood_saes*.csv")) if path.is_dir() else [path] if path.name.startswith("ood_saes") else []
    )
    if not files or "standard" not in _regimes(folder):
        return []
    standard, found = _regime(folder, "standard", Layout(), None), []
    for file in files:
        builder = TableBuilder(file.name, METRICS["auroc"], file.name)
        _add_saes(builder, file, "", Layout())
        found += in_distribution_scores(builder.table(), standard)
    return found


def _add_baselines(builder: TableBuilder, file: Path, condition: str, layout: Layout) -> None:
    columns = ("dataset", "method", "test_auc", "val_auc", *([condition] if condition else ()))
    for line, (task, method, *numbers) in cells(file, columns):
        own = Method(method, layout.side_of(method))
        builder.add(_row(builder, line, own, task, numbers, condition), line)


def _add_saes(builder: TableBuilder, file: Path, condition: str, layout: Layout) -> None:
    columns = ("dataset", "sae_id", "k", "test_auc", "val_auc", *([condition] if condition else ()))
    for line, (task, sae, k, *numbers) in cells(file, columns):
        width = next((part.removeprefix("width_") for part in sae.split("/") if part.startswith("width_")), sae)
        name = f"sae {width} k={k}"
        own = Method(name, layout.side_of(name, "dictionary"))
        builder.add(_row(builder, line, own, task, numbers, condition), line)


def _row(builder: TableBuilder, line: int, method: Method, task: str, numbers: list[str], condition: str) -> Row:
    names = ("score", "validation score", condition)
    score, validation, *rest = (
        number(cell, builder.file, line, name) for cell, name in zip(numbers, names, strict=False)
    )
    named = _NAMES[condition].format(*rest)
    return Row(task, method.name, method.side, score, condition=named, validation=validation)


def _paired(file: Path, layout: Layout, cluster_of: Mapping[str, object] | None) -> ScoreTable:
    builder = TableBuilder("ood", METRICS["auroc"], file.name)
    for line, (task, baseline, sae) in cells(file, ("dataset", *_PAIRED)):
        builder.add(Row(task, "baseline", layout.side_of("baseline"), number(baseline, file.name, line, "score")), line)
        builder.add(Row(task, "sae", layout.side_of("sae", "dictionary"), number(sae, file.name, line, "score")), line)
    return builder.table(cluster_of)
