"""Templates around a base prompt: `{prompt}`, or `{prompt|filter}` for a rewritten one.

A filter is a pure function of the text: the same prompt gives the same wrapping on every machine.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable

from fairfight.errors import DataError, nearest

_PLACEHOLDER = re.compile(r"\{prompt(?:\|(\w+))?\}")
_VOWELS = set("aeiouAEIOU")
_LEET = str.maketrans("aeiosAEIOS", "4310543105")


def wrap(template: str, prompt: str) -> str:
    """Give the template with every placeholder filled.

    Raises:
        DataError: the template has no placeholder, or one with an unknown filter.
    """
    if not _PLACEHOLDER.search(template):
        raise DataError(f"The template {template[:60]!r} has no {{prompt}}: every wrapper must hold the base prompt.")
    return _PLACEHOLDER.sub(lambda match: _filter_named(match[1])(prompt), template)


def _filter_named(name: str | None) -> Callable[[str], str]:
    if name is None:
        return str
    if name not in FILTERS:
        raise DataError(f"There is no filter '{name}'; known: {', '.join(sorted(FILTERS))}.{nearest(name, FILTERS)}")
    return FILTERS[name]


def _words(rewrite: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: " ".join(rewrite(word) for word in text.split())


def _core(rewrite: Callable[[str], str]) -> Callable[[str], str]:
    """Rewrite the letters of a word and leave the punctuation around it."""
    return _words(lambda word: re.sub(r"[A-Za-z][A-Za-z']*", lambda match: rewrite(match[0]), word))


def _half(text: str, *, is_first: bool) -> str:
    words = text.split()
    middle = (len(words) + 1) // 2
    return " ".join(words[:middle] if is_first else words[middle:])


def _dashed(text: str) -> str:
    return " ".join("-".join(word) if index % 3 == 2 else word for index, word in enumerate(text.split()))


def _no_vowels(word: str) -> str:
    return word if len(word) < 3 else word[0] + "".join(c for c in word[1:-1] if c not in _VOWELS) + word[-1]


def _pig_latin(word: str) -> str:
    start = next((index for index, letter in enumerate(word) if letter in _VOWELS), 0)
    return f"{word[start:]}{word[:start]}ay".lower() if start else f"{word}way".lower()


def _typo(word: str) -> str:
    if len(word) < 5:
        return word
    middle = len(word) // 2
    return word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]


FILTERS: dict[str, Callable[[str], str]] = {
    "upper": str.upper,
    "lower": str.lower,
    "leet": lambda text: text.translate(_LEET),
    "spaced": lambda text: " / ".join(" ".join(word) for word in text.split()),
    "dashed": _dashed,
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "reversed_words": lambda text: " ".join(reversed(text.split())),
    "reversed_letters": _core(lambda word: word[::-1]),
    "no_vowels": _core(_no_vowels),
    "pig_latin": _core(_pig_latin),
    "first_half": lambda text: _half(text, is_first=True),
    "second_half": lambda text: _half(text, is_first=False),
    "odd_words": lambda text: " ".join(text.split()[::2]),
    "even_words": lambda text: " ".join(text.split()[1::2]),
    "bracketed": _words(lambda word: f"[{word}]"),
    "typos": _core(_typo),
    "stripped": lambda text: text.rstrip(".!?"),
}
