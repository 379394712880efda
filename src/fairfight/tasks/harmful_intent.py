"""Harmful intent in user prompts, under jailbreaks that the detector never saw.

The data was written for fairfight (`data/harmful_intent/CARD.md`): base prompts in pairs, a harmful request and a
benign twin of the same form; wrappers (jailbreak families and innocuous transforms), half of them kept for
the shifted sets. Twins get the same wrappers, so neither form nor wrapper is a clue. The label is the intent of the
base prompt: a wrapper does not change it.

    open     openly harmful (1) against everyday requests on any subject (0)
    plain    harmful (1) against benign of the same topic (0)
    cross    calm wording with harmful intent (1) against alarming wording without (0)

Test sets: `in_distribution`, `unseen_families`, `unseen_categories`, `calm_or_alarming`, `obfuscated`.
"""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fairfight.contests.examples import DEVELOPMENT, Collection, Example
from fairfight.seeds import stream
from fairfight.tasks._labelled_files import collection_of
from fairfight.tasks._wrappers import wrap

DATA = Path(__file__).parent.parent / "data" / "harmful_intent"
UNSEEN_CATEGORIES = ("drugs", "forgery", "sabotage", "wildlife")
"""Categories that no development example belongs to."""
DEVELOPMENT_SHARE = {"open": 0.6, "plain": 0.6, "cross": 0.3}
"""Share of the pairs of a seen category that develops detectors; the rest is for the test sets."""
PLAIN_WRAPPER = "plain"
TEST_SETS = ("in_distribution", "unseen_families", "unseen_categories", "calm_or_alarming", "obfuscated")


class Pair(NamedTuple):
    """A harmful base prompt and its benign twin."""

    key: str
    category: str
    tone: str
    harmful: str
    benign: str


class Wrapper(NamedTuple):
    """One template, and the family that it belongs to."""

    family: str
    template: str
    is_jailbreak: bool


class Shelf(NamedTuple):
    """All wrappers of one use, by family."""

    families: dict[str, tuple[Wrapper, ...]]
    transforms: dict[str, tuple[Wrapper, ...]]


@dataclass(frozen=True)
class HarmfulIntent:
    """Which prompts ask for help to do harm? Or the same question of your own files."""

    contest: ClassVar[str] = "detect"
    motive: ClassVar[str] = (
        "monitors of chat models have to see the intent behind a jailbreak that nobody trained them on"
    )

    share: float = 1.0
    """Share of the base pairs of each category and tone that is used."""
    families_a_prompt: int = 6
    """Jailbreak families that each development prompt is wrapped in, beside one transform and the bare prompt."""
    variants_a_test_prompt: int = 2
    """Wrappings of each test prompt in each test set."""
    corpus_texts: int = 8000
    """Further wrappings of development prompts, to train dictionaries on."""
    files: list[dict[str, Any]] = field(default_factory=list)
    """Your own texts instead (tables of `TextFile`); the fields above are then not used."""
    wrapped: list[dict[str, Any]] = field(default_factory=list)
    """Further test sets made from those files (tables of `Wrapped`)."""

    def collection(self) -> Collection:
        """Give the development and test examples."""
        if self.files:
            return collection_of(self.files, self.wrapped)
        sides = self._sides()
        chance = stream("harmful_intent", "wrappings")
        examples = [e for pair in sides.development for e in self._development(pair, chance)]
        for name in TEST_SETS:
            examples += [e for pair in sides.tests[name] for e in self._test(name, pair, chance)]
        return Collection(tuple(examples), TEST_SETS)

    def unlabelled(self) -> tuple[str, ...]:
        """Give development prompts in further wrappings of the seen families and transforms."""
        if self.files:
            return ()
        chance = stream("harmful_intent", "corpus")
        pairs = self._sides().development
        wrappers = _flat(shelf(is_seen=True))
        drawn = zip(
            chance.integers(2 * len(pairs), size=self.corpus_texts),
            chance.integers(len(wrappers), size=self.corpus_texts),
            strict=True,
        )
        prompts = [prompt for pair in pairs for prompt in (pair.harmful, pair.benign)]
        return tuple(dict.fromkeys(wrap(wrappers[w].template, prompts[p]) for p, w in drawn))

    def _sides(self) -> Sides:
        return sides(base_pairs(), self.share)

    def _development(self, pair: Pair, chance: np.random.Generator) -> Iterable[Example]:
        seen = shelf(is_seen=True)
        count = min(self.families_a_prompt, len(seen.families))
        names = chance.choice(sorted(seen.families), size=count, replace=False).tolist()
        wrappers = [_bare(), _drawn(seen.transforms, chance), *(_one_of(seen.families[name], chance) for name in names)]
        return _twins(DEVELOPMENT, pair, wrappers)

    def _test(self, name: str, pair: Pair, chance: np.random.Generator) -> Iterable[Example]:
        draws = range(self.variants_a_test_prompt)
        if name == "obfuscated":
            wrappers = [_drawn(obfuscations(), chance) for _ in draws]
        elif name == "unseen_families":
            unseen = shelf(is_seen=False)
            wrappers = [_drawn(unseen.transforms if chance.random() < 0.25 else unseen.families, chance) for _ in draws]
        else:
            wrappers = [self._seen_wrapper(chance) for _ in draws]
        return _twins(name, pair, _distinct(wrappers))

    def _seen_wrapper(self, chance: np.random.Generator) -> Wrapper:
        """Draw as development prompts are wrapped: bare : transform : families = 1 : 1 : `families_a_prompt`."""
        seen = shelf(is_seen=True)
        kind = chance.integers(2 + self.families_a_prompt)
        if kind == 0:
            return _bare()
        return _drawn(seen.transforms if kind == 1 else seen.families, chance)


class Sides(NamedTuple):
    """Base pairs by where they may be used; a pair of `development` stands in no test set."""

    development: tuple[Pair, ...]
    tests: dict[str, tuple[Pair, ...]]


def sides(pairs: tuple[Pair, ...], share: float) -> Sides:
    """Divide base pairs between development and the test sets, in fixed proportions of each category and tone."""
    strata: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        strata[pair.category, pair.tone].append(pair)
    development: list[Pair] = []
    held: dict[str, list[Pair]] = {tone: [] for tone in DEVELOPMENT_SHARE}
    unseen: list[Pair] = []
    for (category, tone), stratum in sorted(strata.items()):
        order = stream("harmful_intent", "sides", category, tone).permutation(len(stratum))
        kept = [stratum[index] for index in order[: max(2, round(share * len(stratum)))]]
        cut = 0 if category in UNSEEN_CATEGORIES else max(1, round(DEVELOPMENT_SHARE[tone] * len(kept)))
        development += kept[:cut]
        (unseen if category in UNSEEN_CATEGORIES else held[tone]).extend(kept[cut:])
    # In distribution means: the tones in development's own proportion; more cross pairs are held back than that takes.
    uncrossed = (*held["open"], *held["plain"])
    cross_share = sum(pair.tone == "cross" for pair in development) / len(development)
    cross_count = max(1, round(len(uncrossed) * cross_share / (1 - cross_share)))
    alike = (*uncrossed, *held["cross"][:: max(1, len(held["cross"]) // cross_count)][:cross_count])
    cross = (*held["cross"], *(pair for pair in unseen if pair.tone == "cross"))
    tests = {
        "in_distribution": alike,
        "unseen_families": alike,
        "unseen_categories": tuple(unseen),
        "calm_or_alarming": cross,
        "obfuscated": alike,
    }
    return Sides(tuple(development), tests)


@cache
def base_pairs() -> tuple[Pair, ...]:
    """Give every base pair that fairfight ships."""
    pairs = []
    for file in sorted((DATA / "base").glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            pairs.append(Pair(row["pair"], file.stem, row["tone"], row["harmful"], row["benign"]))
    return tuple(pairs)


@cache
def shelf(*, is_seen: bool) -> Shelf:
    """Give the wrappers that training sees, or those that only `unseen_families` holds."""
    families = {
        n: _wrappers(n, f) for n, f in _jailbreaks().items() if f["seen"] == is_seen and f.get("set") != "obfuscated"
    }
    transforms = {n: _wrappers(n, f, is_jailbreak=False) for n, f in _transforms().items() if f["seen"] == is_seen}
    return Shelf(families, transforms)


@cache
def obfuscations() -> dict[str, tuple[Wrapper, ...]]:
    """Give the families that hide the prompt's words."""
    return {n: _wrappers(n, f) for n, f in _jailbreaks().items() if f.get("set") == "obfuscated"}


def _jailbreaks() -> dict[str, Any]:
    return tomllib.loads((DATA / "jailbreaks.toml").read_text(encoding="utf-8"))["family"]


def _transforms() -> dict[str, Any]:
    return tomllib.loads((DATA / "transforms.toml").read_text(encoding="utf-8"))["transform"]


def _wrappers(name: str, family: dict[str, Any], *, is_jailbreak: bool = True) -> tuple[Wrapper, ...]:
    return tuple(Wrapper(name, template, is_jailbreak) for template in family["templates"])


def _flat(wrappers: Shelf) -> list[Wrapper]:
    return [wrapper for part in wrappers for family in part.values() for wrapper in family]


def _bare() -> Wrapper:
    return Wrapper(PLAIN_WRAPPER, "{prompt}", is_jailbreak=False)


def _one_of(family: tuple[Wrapper, ...], chance: np.random.Generator) -> Wrapper:
    return family[int(chance.integers(len(family)))]


def _drawn(families: dict[str, tuple[Wrapper, ...]], chance: np.random.Generator) -> Wrapper:
    return _one_of(families[sorted(families)[int(chance.integers(len(families)))]], chance)


def _distinct(wrappers: list[Wrapper]) -> list[Wrapper]:
    return list(dict.fromkeys(wrappers))


def _twins(name: str, pair: Pair, wrappers: list[Wrapper]) -> list[Example]:
    return [
        Example(
            id=f"{name}/{pair.key}-{side}/{number}",
            text=wrap(wrapper.template, prompt),
            label=label,
            cluster=f"{pair.key}-{side}",
            set=name,
            tags={
                "category": pair.category,
                "tone": pair.tone,
                "wrapper": wrapper.family,
                **({"jailbreak": wrapper.family} if wrapper.is_jailbreak else {}),
            },
            group=pair.key,
        )
        for number, wrapper in enumerate(wrappers)
        for side, label, prompt in (("h", 1, pair.harmful), ("b", 0, pair.benign))
    ]
