"""Reading texts, and what is said of files that hold none."""

import json

import pytest
import zstandard

from fairfight.errors import DataError
from fairfight.texts import pieces, read_texts


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


def test_a_compressed_file_gives_the_same_and_each_field_is_a_text(tmp_path):
    lines = [{"prompt": "ask", "reply": "say"}, {"text": "alone", "id": 3}]
    file = tmp_path / "texts.jsonl.zst"
    file.write_bytes(zstandard.compress("\n".join(map(json.dumps, lines)).encode()))
    assert read_texts(file, ("prompt", "reply", "text")) == ["ask", "say", "alone"]
    with pytest.raises(
        DataError, match="line 2: found an object with text, id; an object with a string under 'prompt'"
    ):
        read_texts(file, ("prompt",))


def test_half_a_compressed_file_is_refused(tmp_path):
    file = tmp_path / "texts.txt.zst"
    file.write_bytes(zstandard.compress(b"word " * 2000)[:-6])
    with pytest.raises(DataError, match=r"texts\.txt\.zst"):
        read_texts(file)


def test_long_texts_are_cut_and_short_rests_left_out():
    assert pieces(["a b c d e f g", "h  i", "  "], 4) == ["a b c d", "e f g", "h  i"]
    assert pieces(["a b c d e"], 4) == ["a b c d"]
