"""Labelled texts from files: JSONL, CSV, Parquet, or a Hugging Face data set by id and revision.

A row has a text and a label, perhaps a cluster and a set; what a file lacks as a column may be given for the whole
file. A text without a cluster is a cluster of its own, together with its duplicates.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from fairfight.contests.examples import DEVELOPMENT, Collection, Example, folded
from fairfight.errors import DataError, InputError, LabelError, StudyError, nearest
from fairfight.records import content_hash
from fairfight.seeds import stream


class TextFile(BaseModel):
    """Where texts come from, and what their columns are called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = ""
    """A .jsonl, .csv or .parquet file."""
    dataset: str = ""
    """Instead of a path: a Hugging Face data set, `org/name@revision`."""
    split: str = "train"
    """Which split of the data set."""
    text: str = "text"
    label: str | int = "label"
    """The label's column, or 0 or 1 for the whole file."""
    cluster: str = "cluster"
    set: str = ""
    """The set of the whole file; empty: the column `set`, or `development` where there is none."""
    limit: int | None = None
    """At most so many texts, drawn by a fixed stream; None takes all."""

    @model_validator(mode="after")
    def _has_one_source(self) -> TextFile:
        if bool(self.path) == bool(self.dataset):
            raise ValueError("give either `path` or `dataset`")
        if self.dataset and "@" not in self.dataset:
            raise ValueError("a data set needs its revision: `org/name@revision`")
        return self

    @property
    def source(self) -> str:
        """The file or data set, for messages."""
        return self.path or self.dataset


class Wrapped(BaseModel):
    """A further test set: the texts of a set, each in one template of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    set: str
    """The new set's name."""
    of: str
    """The set whose texts are wrapped; both classes get the same templates."""
    path: str
    template: str = "text"
    placeholder: str = "{prompt}"


def collection_of(files: list[dict[str, Any]], wrapped: list[dict[str, Any]]) -> Collection:
    """Give the collection that a study's `files` and `wrapped` describe.

    Test sets stand in the order in which they are first named.

    Raises:
        StudyError: an unknown key in a file's table.
        DataError: a file is missing, is not UTF-8, or lacks a column.
        LabelError: a label is not 0 or 1.
    """
    sources = [_validated(TextFile, raw, f"files[{place}]") for place, raw in enumerate(files)]
    examples = [example for place, source in enumerate(sources) for example in _examples(source, place)]
    for place, raw in enumerate(wrapped):
        examples += _wrap(_validated(Wrapped, raw, f"wrapped[{place}]"), examples)
    names = dict.fromkeys(example.set for example in examples if example.set != DEVELOPMENT)
    if not names:
        raise DataError('The files hold no test set. Give at least one file `set = "..."`, or a column `set`.')
    return Collection(tuple(examples), tuple(names))


def _validated(section: type[BaseModel], raw: dict[str, Any], where: str) -> Any:
    try:
        return section.model_validate(raw)
    except ValidationError as error:
        problem = error.errors()[0]
        key = str(problem["loc"][-1]) if problem["loc"] else ""
        known = sorted(section.model_fields)
        if problem["type"] == "extra_forbidden":
            raise StudyError(
                f"[task.settings] {where} has no key '{key}'; known keys: {', '.join(known)}.{nearest(key, known)}"
            ) from error
        raise StudyError(f"[task.settings] {where} {key}: {problem['msg']}.") from error


def _examples(source: TextFile, place: int) -> list[Example]:
    rows = list(enumerate(_rows(source)))
    if source.limit is not None and len(rows) > source.limit:
        chosen = stream("limit", Path(source.source).name).permutation(len(rows))[: source.limit]
        rows = [rows[index] for index in sorted(chosen.tolist())]
    return [_example(source, place, number, row) for number, row in rows]


def _example(source: TextFile, place: int, number: int, row: Mapping[str, Any]) -> Example:
    if source.text not in row:
        raise DataError(
            f"{source.source} has no column '{source.text}' (row {number + 1}); it has {', '.join(row)}. Name the text's column by `text = ...`."
        )
    text = row[source.text]
    if not isinstance(text, str):
        raise DataError(
            f"{source.source}, row {number + 1}: the text is {text!r} ({type(text).__name__}); expected a string. Mend or remove the row."
        )
    label = source.label if isinstance(source.label, int) else row.get(source.label)
    name = source.set or str(row.get("set") or DEVELOPMENT)
    return Example(
        id=f"{name}/{place}:{number}",
        text=text,
        label=_label(label, f"{source.source}, row {number + 1}"),
        cluster=str(row[source.cluster])
        if row.get(source.cluster) not in (None, "")
        else f"text {content_hash(folded(text))[:24]}",
        set=name,
        tags={tag: str(row[tag]) for tag in ("category", "jailbreak") if row.get(tag)},
    )


def _label(label: Any, where: str) -> int:
    if isinstance(label, bool) or str(label).strip() not in ("0", "1", "0.0", "1.0"):
        raise LabelError(
            f"{where}: the label is {label!r}; expected 0 or 1. Map your labels, or name another column by `label = ...`."
        )
    return int(float(label))


def _wrap(wrapped: Wrapped, examples: list[Example]) -> list[Example]:
    source = TextFile(path=wrapped.path, text=wrapped.template, label=0)
    templates = [str(row.get(wrapped.template, "")) for row in _rows(source)]
    templates = [template for template in templates if wrapped.placeholder in template]
    inner = [example for example in examples if example.set == wrapped.of]
    if not templates or not inner:
        raise DataError(
            f"The set '{wrapped.set}' would be empty: {len(templates)} templates with {wrapped.placeholder!r} in {wrapped.path}, "
            f"{len(inner)} texts in '{wrapped.of}'. Check `placeholder`, `template` and `of`."
        )
    chosen = stream("wrapped", wrapped.set).integers(len(templates), size=len(inner))
    return [
        Example(
            id=f"{wrapped.set}/{example.id}",
            text=templates[index].replace(wrapped.placeholder, example.text),
            label=example.label,
            cluster=example.cluster,
            set=wrapped.set,
            tags={**example.tags, "jailbreak": f"template {index}"},
        )
        for example, index in zip(inner, chosen.tolist(), strict=True)
    ]


def _rows(source: TextFile) -> Iterator[Mapping[str, Any]]:
    if source.dataset:
        return _dataset_rows(source)
    file = Path(source.path)
    readers = {".jsonl": _jsonl_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}
    if file.suffix not in readers:
        raise DataError(f"{file} ends in '{file.suffix}'; expected .jsonl, .csv or .parquet. Convert it.")
    if not file.is_file():
        raise DataError(f"There is no file {file} (looked for from {Path.cwd()}). Check task.settings.files.")
    return readers[file.suffix](file)


def _text_of(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 (byte {error.start} is {error.object[error.start]:#04x}). Convert it to UTF-8."
        ) from error


def _jsonl_rows(file: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(_text_of(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}, line {number} is not JSON: {error}. Each line must be one object.") from error
        if not isinstance(row, dict):
            raise DataError(f"{file}, line {number} is a {type(row).__name__}; expected one JSON object a line.")
        yield row


def _csv_rows(file: Path) -> Iterator[Mapping[str, Any]]:
    text = _text_of(file)
    # A prompt may be longer than the 128 KiB that the module allows a field unless it is told otherwise.
    limit = csv.field_size_limit(max(len(text), 131_072))
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        for row in rows:
            if None in row:
                raise DataError(
                    f"{file}, line {rows.line_num} has more fields than the header's {len(rows.fieldnames or ())}. Quote "
                    "fields that hold commas."
                )
            yield row
    except csv.Error as error:
        raise DataError(f"{file} is not CSV: {error}. Quote fields that hold commas, quotes or line breaks.") from error
    finally:
        csv.field_size_limit(limit)


def _parquet_rows(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise InputError("Reading Parquet needs pyarrow: pip install 'fairfight[data]'.") from error
    try:
        yield from parquet.read_table(file).to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as Parquet: {str(error).rstrip('.')}. Write it again.") from error


def _dataset_rows(source: TextFile) -> Iterator[Mapping[str, Any]]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise InputError(
            "Hugging Face data sets need the package `datasets`: pip install 'fairfight[data]'."
        ) from error
    name, _, revision = source.dataset.partition("@")
    try:
        # One split's rows are dicts, which the signature of load_dataset does not tell from a dict of splits.
        rows = cast(Iterable[Mapping[str, Any]], load_dataset(name, revision=revision, split=source.split))
    except Exception as error:  # The package lets through what its many back ends raise.
        raise DataError(
            f"The data set '{source.dataset}', split '{source.split}', cannot be loaded ({type(error).__name__}: {error}). "
            "Check its name, revision and split, and that the hub can be reached; or give a file by `path`."
        ) from error
    yield from rows
