"""Attack success by model and intervention, of the refusal direction (Arditi et al. 2024).

| file                                                          | rows                                          |
|---------------------------------------------------------------|-----------------------------------------------|
| a CSV table with `model`, `file` and `…_success_rate` columns | model, prompts and judge × intervention       |
| `<model>/completions/<prompts>_<intervention>_evaluations.json`, keys `…_success_rate` | the same             |

The interventions are `baseline` (none), `ablation` and `actadd`; no dictionary is among them. Rates on harmless prompts
count answers where refusals are what is wanted, so they are another question and are left out, which is said. The judges
read the same completions, so a model's tasks are one cluster unless other clusters are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from fairfight.errors import TableError
from fairfight.verdict.tables.csv_columns import cells, header, number
from fairfight.verdict.tables.flaw import Flaw
from fairfight.verdict.tables.found import Found
from fairfight.verdict.tables.json_files import files, read_json, score
from fairfight.verdict.tables.layout import Layout
from fairfight.verdict.tables.score_table import METRICS, Row, TableBuilder

INTERVENTIONS = ("baseline", "ablation", "actadd")
HARMLESS = "harmless"
_RATE, _FILE = "_success_rate", "_evaluations.json"


class _Rate(NamedTuple):
    model: str
    prompts: str
    intervention: str
    judge: str
    rate: float
    place: int | str


def recognises(path: Path) -> bool:
    """Whether the path is the CSV table, a file of evaluations, or a folder with such files."""
    if path.suffix.lower() == ".csv" and path.is_file():
        try:
            names = header(path)
        except TableError:
            return False
        return {"model", "file"} <= set(names) and any(name.endswith(_RATE) for name in names)
    return bool(_evaluations(path))


def read(path: Path, layout: Layout, cluster_of: Mapping[str, object] | None) -> Found:
    """Give the table of attack success, and how many rows on harmless prompts were left out.

    Raises:
        TableError: a file's name says no intervention, it holds no rate, or a rate is none or outside its range.
    """
    is_csv = path.suffix.lower() == ".csv"
    builder = TableBuilder(path.stem if is_csv else "refusal direction", METRICS["rate"], path.name)
    model_of: dict[str, str] = {}
    left_out = 0
    for own in _csv_rates(path) if is_csv else _json_rates(_evaluations(path)):
        if own.prompts == HARMLESS:
            left_out += 1
            continue
        task = f"{own.model}, {own.prompts}, {own.judge}"
        model_of[task] = own.model
        builder.add(Row(task, own.intervention, layout.side_of(own.intervention), own.rate), own.place)
    return Found([builder.table(cluster_of or model_of)], _left_out(left_out, builder.name))


def _left_out(rows: int, table: str) -> list[Flaw]:
    if not rows:
        return []
    found = f"{rows} rates of {table} on harmless prompts are left out: there a refusal is what the intervention is to cause."
    return [Flaw("rates of another question", found, is_fatal=False)]


def _csv_rates(file: Path) -> Iterator[_Rate]:
    judges = [name for name in header(file) if name.endswith(_RATE)]
    for line, (model, name, *rates) in cells(file, ("model", "file", *judges)):
        prompts, intervention = _parts(name, f"{file.name}, line {line}")
        for judge, rate in zip(judges, rates, strict=True):
            # Llama Guard was not asked about harmless prompts.
            if rate:
                value = number(rate, file.name, line, "rate")
                yield _Rate(model, prompts, intervention, judge.removesuffix(_RATE), value, line)


def _json_rates(there: list[Path]) -> Iterator[_Rate]:
    for file in there:
        prompts, intervention = _parts(file.name, file.name)
        found = read_json(file)
        judges = [name for name in found if name.endswith(_RATE)]
        if not judges:
            raise TableError(
                f"{file.name} has no key that ends in '{_RATE}'; there is {', '.join(list(found)[:8]) or 'nothing'}. Give the "
                "file as it was written."
            )
        folder = file.absolute().parent
        model = (folder.parent if folder.name == "completions" else folder).name
        for judge in judges:
            value = score(found[judge], f"{file.name}: {judge}")
            yield _Rate(
                model, prompts, intervention, judge.removesuffix(_RATE), value, f"{judge} of {model}, {file.name}"
            )


def _evaluations(path: Path) -> list[Path]:
    return [file for file in files(path, f"*{_FILE}") if file.name.endswith(_FILE) and _intervention(file.name)]


def _intervention(name: str) -> str:
    return next((own for own in INTERVENTIONS if name.endswith(f"_{own}{_FILE}")), "")


def _parts(name: str, where: str) -> tuple[str, str]:
    """Give the prompts and the intervention that a file's name says."""
    if not (intervention := _intervention(name)):
        raise TableError(
            f"{where}: the file '{name}' names no intervention; expected <prompts>_<intervention>{_FILE} with one of "
            f"{', '.join(INTERVENTIONS)}. Mend the name."
        )
    return name.removesuffix(f"_{intervention}{_FILE}"), intervention
