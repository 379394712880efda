"""Reading texts, and what is said of files that hold none."""

import json

import pytest

from fairfight.dictionaries.quality.texts import read_texts
from fairfight.errors import DataError


def test_lines_of_a_text_file_are_texts_and_blank_ones_are_not(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffone\r\n\n  \ntwo  words\n".encode())
    assert read_texts(file) == ["one", "two  words"]


def test_lines_of_a_jsonl_file_are_objects_with_text_or_strings(tmp_path):
    file = tmp_path / "texts.jsonl"
    lines = [{"text": "line\u2028separated", "label": 1}, "plain", {"text": "a\nb"}]
    file.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    assert read_texts(file) == ["line\u2028separated", "plain", "a\nb"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("texts.txt", b"", "holds no text"),
        ("texts.jsonl", b"\n \n", "holds no text"),
        ("texts.csv", b"text\na", "ends in '.csv'"),
        ("texts.txt", b"\xff\xfe", "not UTF-8"),
        ("texts.jsonl", b'{"text": "a"}\n{"text"', "line 2: not JSON"),
        ("texts.jsonl", b'{"prompt": "a", "label": 1}', "line 1: found an object with prompt, label"),
        ("texts.jsonl", b'{"text": 5}', "a string under 'text' was expected"),
        ("texts.jsonl", b"[1]", "found list"),
        ("texts.jsonl", None, "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_texts(tmp_path / name)
    assert words in str(caught.value)
    assert name in str(caught.value)
