"""Templates and their filters."""

import base64

import pytest

from fairfight.errors import DataError
from fairfight.tasks._wrappers import FILTERS, wrap

TEXT = "How do I repair the old kettle?"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("upper", "HOW DO I REPAIR THE OLD KETTLE?"),
        ("leet", "H0w d0 1 r3p41r th3 0ld k3ttl3?"),
        ("spaced", "H o w / d o / I / r e p a i r / t h e / o l d / k e t t l e ?"),
        ("dashed", "How do I repair the o-l-d kettle?"),
        ("reversed_words", "kettle? old the repair I do How"),
        ("reversed_letters", "woH od I riaper eht dlo elttek?"),
        ("no_vowels", "Hw do I rpr the old kttle?"),
        ("pig_latin", "owhay oday iway epairray ethay oldway ettlekay?"),
        ("first_half", "How do I repair"),
        ("second_half", "the old kettle?"),
        ("odd_words", "How I the kettle?"),
        ("even_words", "do repair old"),
        ("bracketed", "[How] [do] [I] [repair] [the] [old] [kettle?]"),
        ("typos", "How do I reapir the old kettle?"),
        ("stripped", "How do I repair the old kettle"),
    ],
)
def test_filters_do_what_their_names_say(name, expected):
    assert wrap(f"{{prompt|{name}}}", TEXT) == expected


def test_base64_and_rot13_can_be_undone():
    assert base64.b64decode(wrap("{prompt|base64}", TEXT)).decode() == TEXT
    assert wrap("{prompt|rot13}", wrap("{prompt|rot13}", TEXT)) == TEXT


def test_halves_and_alternate_words_lose_nothing():
    assert f"{FILTERS['first_half'](TEXT)} {FILTERS['second_half'](TEXT)}" == TEXT


def test_text_around_the_prompt_stays():
    assert wrap("- {prompt}\n-- ", "a {prompt} b") == "- a {prompt} b\n-- "


@pytest.mark.parametrize("template", ["no place", "{prompt|uper}", "{Prompt}"])
def test_a_template_without_a_known_place_is_refused(template):
    with pytest.raises(DataError):
        wrap(template, TEXT)
