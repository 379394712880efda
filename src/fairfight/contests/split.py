"""How a seed divides the development examples: training, validation for selection, calibration for thresholds.

Validation leaves whole families out (jailbreak families that training never shows), because in-distribution validation
saturates and then chooses by chance. Calibration is in distribution: thresholds for TPR are set on it. Test sets are
the same for every seed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from fairfight.contests.examples import DEVELOPMENT, Collection, Example
from fairfight.errors import EmptyClassError
from fairfight.seeds import stream


class Split(NamedTuple):
    """The examples of one seed, by purpose."""

    train: list[Example]
    validation: list[Example]
    calibration: list[Example]
    tests: dict[str, list[Example]]
    left_out: tuple[str, ...]
    """Families that stand in validation only; empty when the task has too few, and validation is in distribution."""


def split(collection: Collection, seed: int, *, validation_share: float, left_out_families: int) -> Split:
    """Divide a collection for one seed.

    Groups (clusters with their twins) go to one side as a whole, stratified by the labels they hold. Fewer than
    three families leave nothing to hold out: validation and calibration are then the same in-distribution examples.

    Raises:
        EmptyClassError: a part lacks one of the classes; more clusters are needed.
    """
    chance = stream("split", seed)
    development = [e for e in collection.examples if e.set == DEVELOPMENT]
    held = _held_out_groups(development, validation_share, chance)
    families = sorted({e.tags[collection.family_tag] for e in development if collection.family_tag in e.tags})
    count = left_out_families if len(families) >= max(3, left_out_families + 1) else 0
    left_out = tuple(sorted(chance.choice(families, size=count, replace=False).tolist())) if count else ()

    def is_left_out(example: Example) -> bool:
        return example.tags.get(collection.family_tag) in left_out

    train = [e for e in development if e.side_key not in held and not is_left_out(e)]
    calibration = [e for e in development if e.side_key in held and not is_left_out(e)]
    validation = [e for e in development if e.side_key in held and is_left_out(e)] if left_out else calibration
    for name, part in (("training", train), ("validation", validation), ("calibration", calibration)):
        if len({e.label for e in part}) < 2:
            raise EmptyClassError(
                f"Seed {seed}: the {name} part has {len(part)} examples of one class only. Give the development set more "
                "clusters of both classes, or change trials.validation_share."
            )
    tests = {name: [e for e in collection.examples if e.set == name] for name in collection.test_sets}
    return Split(train, validation, calibration, tests, left_out)


def _held_out_groups(development: list[Example], share: float, chance: np.random.Generator) -> set[str]:
    labels_of: dict[str, set[int]] = defaultdict(set)
    for example in development:
        labels_of[example.side_key].add(example.label)
    strata: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for group, labels in labels_of.items():
        strata[tuple(sorted(labels))].append(group)
    held: set[str] = set()
    for stratum in sorted(strata):
        groups = sorted(strata[stratum])
        held.update(chance.permutation(groups)[: max(1, round(share * len(groups)))].tolist())
    return held
