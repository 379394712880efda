"""A study file is checked before anything runs, and its hash covers what can move a number."""

import pytest

from fairfight.errors import StudyError
from fairfight.study import read_study, study_from

SMALLEST = {"name": "s", "task": {"name": "t"}, "activations": {"sites": ["resid_post.1"]}}


def test_an_unknown_key_is_refused_and_the_nearest_named():
    with pytest.raises(StudyError, match=r"\[trials\] has no key 'configuration'.*Did you mean 'configurations'\?"):
        study_from({**SMALLEST, "trials": {"configuration": 3}})


def test_an_unknown_key_deep_in_a_table_is_placed():
    with pytest.raises(StudyError, match=r"\[dictionaries.mine\] has no key 'knid'.*Did you mean 'kind'"):
        study_from({**SMALLEST, "dictionaries": {"mine": {"kind": "topk", "role": "rival", "knid": 1}}})


def test_an_impossible_value_is_said_with_what_was_found():
    with pytest.raises(StudyError, match=r"\[trials\] 'seeds'.*found 0"):
        study_from({**SMALLEST, "trials": {"seeds": 0}})


def test_a_missing_file_says_where_to_look(tmp_path):
    with pytest.raises(StudyError, match="There is no study file"):
        read_study(tmp_path / "none.toml")


def test_a_file_that_is_not_utf8_is_refused_with_the_byte(tmp_path):
    (tmp_path / "s.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(StudyError, match=r"not UTF-8 \(byte 11"):
        read_study(tmp_path / "s.toml")


def test_the_hash_ignores_how_fast_it_is_played_and_nothing_else():
    base = study_from(SMALLEST)
    assert study_from({**SMALLEST, "trials": {"workers": 7}, "runs_folder": "x", "about": "y"}).hash == base.hash
    changed = [
        {"trials": {"seeds": 4}},
        {"activations": {"sites": ["resid_post.2"]}},
        {"methods": {"m": {"penalty": 1.0}}},
    ]
    assert len({study_from({**SMALLEST, **change}).hash for change in changed} | {base.hash}) == 4


def test_two_questions_may_not_share_a_name():
    with pytest.raises(StudyError, match="two questions carry one name"):
        study_from({**SMALLEST, "questions": [{"name": "q"}, {"name": "q"}]})


def test_a_study_without_a_budget_keeps_the_hash_it_had_before_there_were_budgets():
    before = "00a1cdb6101c15b3718af3a518cc493783635f8838f788d23a275f046de2f4c2"
    assert study_from(SMALLEST).hash == study_from({**SMALLEST, "budget": None}).hash == before
    shares = [study_from({**SMALLEST, "budget": {"flops": 1e14, "dictionary_share": share}}).hash for share in (0.1, 1)]
    assert len({before, *shares}) == 3


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"flops": 0}, r"\[budget\] 'flops'.*found 0"),
        ({"dictionary_share": 0.1}, r"\[budget\] lacks the key 'flops'"),
        ({"flops": 1e14, "dictionary_share": 2}, r"\[budget\] 'dictionary_share'.*found 2"),
        ({"flops": 1e14, "share": 0.1}, r"\[budget\] has no key 'share'; known keys: dictionary_share, flops"),
    ],
)
def test_an_impossible_budget_is_refused(budget, message):
    with pytest.raises(StudyError, match=message):
        study_from({**SMALLEST, "budget": budget})
