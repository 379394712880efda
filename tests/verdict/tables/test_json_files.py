"""Files that somebody else wrote are read within bounds, and refused with what was found, expected and to do."""

import pytest

from fairfight.errors import TableError
from fairfight.verdict.tables import json_files
from fairfight.verdict.tables.json_files import member, read_json, score


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read as JSON"),
        ("{'a': 1}", "cannot be read as JSON"),
        ("[1]", "holds a list, but an object was expected"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[" * 1_000_000, "nested too deeply"),
        ('{"a": ' + "9" * 5_000 + "}", "cannot be read as JSON"),
    ],
)
def test_what_is_no_object_is_refused(tmp_path, text, words):
    file = tmp_path / "scores.json"
    file.write_text(text)
    with pytest.raises(TableError, match=f"scores.json .*{words}.*Give the file as it was written"):
        read_json(file)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    file = tmp_path / "scores.json"
    file.write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(TableError, match="cannot be read as JSON"):
        read_json(file)


def test_a_file_that_is_too_large_is_not_opened(tmp_path, monkeypatch):
    file = tmp_path / "scores.json"
    file.write_text("{}")
    monkeypatch.setattr(json_files, "LARGEST_BYTES", 1)
    with pytest.raises(TableError, match="are read at most"):
        read_json(file)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(TableError, match="cannot be read"):
        read_json(tmp_path / "scores.json")


def test_a_missing_key_is_named_with_its_place_and_the_nearest():
    with pytest.raises(
        TableError, match=r"f.json has no key 'scores' in results; there is score. Did you mean 'score'\?"
    ):
        member({"results": {"score": 1}}, "results.scores", dict, "f.json")
    with pytest.raises(TableError, match="has no key 'results' at the top; there is nothing"):
        member({}, "results", dict, "f.json")
    with pytest.raises(TableError, match="there is the text 'x'"):
        member({"results": "x"}, "results.scores", dict, "f.json")


def test_a_value_of_another_kind_is_named():
    with pytest.raises(TableError, match="results is a list, but an object was expected"):
        member({"results": []}, "results", dict, "f.json")


@pytest.mark.parametrize("value", [None, True, "0.9", [0.9], {}])
def test_a_score_that_is_no_number_is_refused(value):
    with pytest.raises(TableError, match="but a number was expected"):
        score(value, "f.json: acc")


def test_a_number_beyond_floats_is_refused():
    with pytest.raises(TableError, match="too large"):
        score(10**400, "f.json: acc")
