"""The user's own files: JSONL, CSV and Parquet, with clear errors."""

import csv
import json
import sys
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from fairfight.contests.examples import admit
from fairfight.errors import DataError, InputError, LabelError, StudyError
from fairfight.tasks.harmful_intent import HarmfulIntent
from fairfight.tasks.labelled_texts import LabelledTexts

ROWS = [
    {"text": f"text {i}", "label": i % 2, "cluster": f"c{i}", "set": "development" if i < 6 else "test"}
    for i in range(10)
]


def write(folder, kind, rows=ROWS):
    file = folder / f"texts.{kind}"
    if kind == "jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    elif kind == "csv":
        file.write_text("text,label,cluster,set\n" + "\n".join(",".join(map(str, row.values())) for row in rows))
    else:
        parquet.write_table(pa.Table.from_pylist(rows), file)
    return str(file)


def test_a_limit_keeps_the_same_texts_wherever_the_file_lies(tmp_path):
    kept = []
    for place in ("here", "there", "elsewhere"):
        (tmp_path / place).mkdir()
        path = write(tmp_path / place, "jsonl")
        files = [{"path": path, "set": "development"}, {"path": path, "set": "other", "limit": 5}]
        examples = LabelledTexts(files=files).collection().examples
        kept.append([example.text for example in examples if example.set == "other"])
    assert kept[0] == kept[1] == kept[2]
    assert len(kept[0]) == 5


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_every_format_gives_the_same_examples(tmp_path, kind):
    collection = admit(LabelledTexts(files=[{"path": write(tmp_path, kind)}]).collection())
    assert [(e.text, e.label, e.cluster, e.set) for e in collection.examples] == [tuple(row.values()) for row in ROWS]
    assert collection.test_sets == ("test",)


def test_harmful_intent_takes_the_users_files_too(tmp_path):
    files = [{"path": write(tmp_path, "jsonl")}]
    assert HarmfulIntent(files=files).collection().hash == LabelledTexts(files=files).collection().hash


def test_a_whole_file_may_have_one_label_and_one_set(tmp_path):
    path = write(tmp_path, "jsonl")
    collection = LabelledTexts(
        files=[{"path": path}, {"path": path, "label": 1, "set": "other", "limit": 4}]
    ).collection()
    other = [e for e in collection.examples if e.set == "other"]
    assert len(other) == 4
    assert {e.label for e in other} == {1}
    assert collection.test_sets == ("test", "other")


def test_templates_wrap_both_classes_of_a_set(tmp_path):
    (tmp_path / "t.csv").write_text('id,text\n0,"Say: [HERE]!"\n1,no place\n')
    wrapped = [{"set": "wrapped", "of": "test", "path": str(tmp_path / "t.csv"), "placeholder": "[HERE]"}]
    collection = admit(LabelledTexts(files=[{"path": write(tmp_path, "jsonl")}], wrapped=wrapped).collection())
    made = [(e.text, e.label, e.cluster) for e in collection.examples if e.set == "wrapped"]
    assert made == [(f"Say: text {i}!", i % 2, f"c{i}") for i in range(6, 10)]


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b'{"text": "a", "label": 2}', LabelError, "the label is 2; expected 0 or 1"),
        (b'{"text": "a"}', LabelError, "the label is None"),
        (b'{"words": "a", "label": 1}', DataError, "no column 'text'"),
        (b'{"text": "a", "label": 1', DataError, "line 1 is not JSON"),
        (b'["a", 1]', DataError, "line 1 is a list"),
        (b'{"text": null, "label": 1}', DataError, r"row 1: the text is None .NoneType.; expected a string"),
        (b'{"text": 7, "label": 1}', DataError, "the text is 7 .int."),
        (b'{"text": "caf\xe9", "label": 1}', DataError, "not UTF-8 .byte 13"),
    ],
)
def test_damaged_files_are_refused_with_the_place(tmp_path, content, error, words):
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(error, match=words):
        LabelledTexts(files=[{"path": str(tmp_path / "bad.jsonl")}]).collection()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ({"path": "none.jsonl"}, "There is no file none.jsonl"),
        ({"path": "x.pkl"}, "expected .jsonl, .csv or .parquet"),
    ],
)
def test_a_missing_or_foreign_file_is_refused(file, words):
    with pytest.raises(DataError, match=words):
        LabelledTexts(files=[file]).collection()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ({"path": "a.jsonl", "tekst": "x"}, r"files\[0\] has no key 'tekst'.*Did you mean 'text'"),
        ({}, "give either `path` or `dataset`"),
        ({"dataset": "org/name"}, "needs its revision"),
    ],
)
def test_a_wrong_table_is_refused(file, words):
    with pytest.raises(StudyError, match=words):
        LabelledTexts(files=[file]).collection()


def test_a_study_without_a_test_set_is_refused(tmp_path):
    with pytest.raises(DataError, match="hold no test set"):
        LabelledTexts(files=[{"path": write(tmp_path, "jsonl", ROWS[:6])}]).collection()


def test_duplicates_without_a_cluster_share_one(tmp_path):
    rows = [{"text": text, "label": 1, "set": "test"} for text in ("One text.", "one  TEXT.", "Another.")]
    first, second, other = LabelledTexts(files=[{"path": write(tmp_path, "jsonl", rows)}]).collection().examples
    assert first.cluster == second.cluster != other.cluster


def test_csv_keeps_line_breaks_and_long_texts(tmp_path):
    long = "word " * 40_000
    file = tmp_path / "texts.csv"
    with file.open("w", newline="", encoding="utf-8") as open_file:
        csv.writer(open_file).writerows([["text", "label", "set"], ["a\r\nb\nc", 1, "test"], [long, 0, "test"]])
    assert [e.text for e in LabelledTexts(files=[{"path": str(file)}]).collection().examples] == ["a\r\nb\nc", long]
    assert csv.field_size_limit() == 131_072


def test_what_is_not_csv_or_parquet_is_refused(tmp_path):
    (tmp_path / "bad.csv").write_text('text,label\n"a" b,1\n')
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but nothing more")
    (tmp_path / "wide.csv").write_text("text,label\na, b,1\n")
    for name, words in (
        ("bad.csv", "bad.csv is not CSV"),
        ("wide.csv", "wide.csv, line 2 has more fields than the header's 2"),
        ("bad.parquet", "bad.parquet cannot be read as Parquet"),
    ):
        with pytest.raises(DataError, match=words):
            LabelledTexts(files=[{"path": str(tmp_path / name)}]).collection()


def test_parquet_whose_texts_are_not_utf_8_is_refused(tmp_path):
    ends = pa.array([0, 1], pa.int32()).buffers()[1]
    text = pa.StringArray.from_buffers(1, ends, pa.py_buffer(b"\xff"))
    parquet.write_table(pa.Table.from_arrays([text, pa.array([1])], names=["text", "label"]), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"bad.parquet cannot be read as Parquet: 'utf-8' codec .*\. Write it again"):
        LabelledTexts(files=[{"path": str(tmp_path / "bad.parquet")}]).collection()


def test_a_data_set_that_cannot_be_loaded_is_refused_with_the_reason(monkeypatch):
    def unreachable(name, revision, split):
        raise ConnectionError("no route to the hub")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=unreachable))
    with pytest.raises(DataError, match=r"'org/name@abc', split 'train', cannot be loaded .ConnectionError: no route"):
        LabelledTexts(files=[{"dataset": "org/name@abc"}]).collection()


def test_the_package_for_data_sets_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"fairfight\[data\]"):
        LabelledTexts(files=[{"dataset": "org/name@abc"}]).collection()


def test_the_package_for_parquet_is_named_where_it_is_missing(tmp_path, monkeypatch):
    path = write(tmp_path, "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"needs pyarrow: pip install 'fairfight\[data\]'"):
        LabelledTexts(files=[{"path": path}]).collection()
