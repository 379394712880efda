"""Labelled texts in clusters: what a `detect` task hands to the contest, and the checks before it is admitted.

A task gives a `Collection`. A method sees `Labelled` (training) or `Examples` (anything it must score): the second has
no labels, so looking at test labels is a type error and not a matter of discipline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from fairfight.errors import DataError, EmptyClassError, LabelError, LeakError
from fairfight.records import content_hash
from fairfight.shapes import Labels

DEVELOPMENT = "development"
"""The set from which every seed draws its training, validation and calibration examples."""


@dataclass(frozen=True)
class Example:
    """One labelled text."""

    id: str
    text: str
    label: int
    """1 for what the detector must find, 0 for the rest."""
    cluster: str
    """Variants of one base text share it: they are resampled together and never split."""
    set: str
    """`development`, or the name of a test set."""
    tags: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    """What must stay on one side of a split beyond the cluster (twins of opposite label); the cluster when empty."""

    @property
    def side_key(self) -> str:
        """What is assigned to one side of a split as a whole."""
        return self.group or self.cluster


@dataclass(frozen=True)
class Examples:
    """Texts without labels."""

    ids: tuple[str, ...]
    """Opaque: a task's own ids may tell labels, sets and clusters."""
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Labelled:
    """Texts with labels, for fitting."""

    examples: Examples
    labels: Labels
    clusters: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class Collection:
    """Everything that a `detect` task has to say: its examples, and which sets are which."""

    examples: tuple[Example, ...]
    test_sets: tuple[str, ...]
    """In the order of tables; the first is the in-distribution one."""
    family_tag: str = "jailbreak"
    """The tag whose values validation leaves out whole; examples without it are in distribution."""

    @cached_property
    def hash(self) -> str:
        """Content hash of every example and of the order of the sets."""
        rows = [[e.id, e.text, e.label, e.cluster, e.set, sorted(e.tags.items()), e.group] for e in self.examples]
        return content_hash({"examples": rows, "sets": self.test_sets, "family_tag": self.family_tag})


def admit(collection: Collection) -> Collection:
    """Give the collection back when a fair contest can use it.

    Raises:
        LabelError: a label is not 0 or 1.
        EmptyClassError: a set lacks positives or negatives.
        LeakError: a text stands in `development` and in a test set, or with both labels, or in two groups of
            `development`, which a split may part; or a cluster or group stands on both sides.
        DataError: no examples, an empty text, a repeated id, or an unknown set.
    """
    if not collection.examples:
        raise DataError("The task gave no examples. Check its files or settings.")
    repeated = [name for name, count in Counter(e.id for e in collection.examples).items() if count > 1]
    if repeated:
        raise DataError(
            f"{len(repeated)} ids occur more than once, first '{repeated[0]}'. Ids name examples in the ledger: make them unique."
        )
    known = {DEVELOPMENT, *collection.test_sets}
    for example in collection.examples:
        _check_example(example, known)
    for name in (DEVELOPMENT, *collection.test_sets):
        _check_classes(name, [e.label for e in collection.examples if e.set == name])
    _check_leaks(collection.examples)
    return collection


def _check_example(example: Example, known_sets: set[str]) -> None:
    if example.label not in (0, 1) or isinstance(example.label, bool):
        raise LabelError(
            f"Example '{example.id}' has the label {example.label!r}; labels are 0 or 1. Map yours to these two."
        )
    if not example.text.strip():
        raise DataError(f"Example '{example.id}' has an empty text; there is nothing to pool over. Remove it.")
    if example.set not in known_sets:
        raise DataError(
            f"Example '{example.id}' is in the set '{example.set}'; this task has {', '.join(sorted(known_sets))}."
        )


def _check_classes(name: str, labels: list[int]) -> None:
    for label, word in ((1, "positive"), (0, "negative")):
        if label not in labels:
            raise EmptyClassError(
                f"The set '{name}' has {len(labels)} examples and no {word} one; AUROC needs both classes. Add some, or drop the set."
            )


def folded(text: str) -> str:
    """Give a text as duplicates are told by: without regard to spaces and capitals."""
    return " ".join(text.split()).casefold()


def _check_leaks(examples: Iterable[Example]) -> None:
    text_at: dict[str, Example] = {}
    side_at: dict[str, Example] = {}
    for example in examples:
        is_test = example.set != DEVELOPMENT
        same = text_at.setdefault(folded(example.text), example)
        if (same.set != DEVELOPMENT) != is_test:
            raise LeakError(
                f"Duplicate text across splits: '{example.id}' ({example.set}) and '{same.id}' ({same.set}) are the same text "
                f"({example.text[:60]!r}). Keep one."
            )
        if same.label != example.label:
            raise LeakError(f"'{example.id}' and '{same.id}' are the same text with different labels. Keep one.")
        if not is_test and same.side_key != example.side_key:
            raise LeakError(
                f"'{example.id}' and '{same.id}' are the same text ({example.text[:60]!r}) in the clusters "
                f"'{same.side_key}' and '{example.side_key}', which a split may part. Keep one, or give both one cluster."
            )
        for key in (f"cluster {example.cluster}", f"group {example.side_key}"):
            first = side_at.setdefault(key, example)
            if (first.set != DEVELOPMENT) != is_test:
                raise LeakError(
                    f"The {key!r} straddles splits: '{first.id}' is in {first.set}, '{example.id}' in {example.set}. "
                    "Variants of one text must share a side; move one."
                )


def labelled(examples: Iterable[Example]) -> Labelled:
    """Give the examples with their labels."""
    rows = list(examples)
    return Labelled(unlabelled(rows), np.array([e.label for e in rows], dtype=np.int64), tuple(e.cluster for e in rows))


def unlabelled(examples: Iterable[Example]) -> Examples:
    """Give the examples without their labels, under opaque ids."""
    rows = list(examples)
    return Examples(tuple(content_hash(e.id)[:24] for e in rows), tuple(e.text for e in rows))


def permute_labels(collection: Collection, chance: np.random.Generator) -> Collection:
    """Give the collection with labels shuffled between clusters, within each side of the split.

    All examples of a cluster keep one label; every method must fall to an AUROC of 0.5 on the result.
    """
    label_of = {}
    for is_test in (False, True):
        own = {e.cluster: e.label for e in collection.examples if (e.set != DEVELOPMENT) == is_test}
        label_of |= dict(zip(own, chance.permutation(list(own.values())).tolist(), strict=True))
    moved = tuple(replace(e, label=int(label_of[e.cluster])) for e in collection.examples)
    return replace(collection, examples=moved)
