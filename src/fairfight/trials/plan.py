"""What will be played: contenders, their configurations, and the specs of every trial.

Fairness is arithmetic here. Every method gets the same number of configurations; both sides get the same total. What a
method gives up (because its fits are dear, or its space is small) goes to its own side's other methods.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from fairfight import registry
from fairfight.contests.detect import FAIR_FIELD, FAMILIES, DetectMethod
from fairfight.errors import PluginError, StudyError, nearest
from fairfight.records import Contender, Side, TrialSpec
from fairfight.seeds import stream
from fairfight.study import Study

Settings = Mapping[str, Any]
TUNING_SEED = 0
_RESERVED = "configurations"
_SIDE_OF: dict[str, Side] = {"contestant": "dictionary", "rival": "rival", "control": "control"}


def contenders(study: Study) -> list[Contender]:
    """Give everyone who plays: each baseline once, each dictionary method once a dictionary.

    On a control dictionary only those methods play that ask for it (`runs_on_controls`).

    Raises:
        PluginError: a method that does not exist, or one that breaks its contract.
    """
    known = registry.places("methods")
    names = study.trials.methods if study.trials.methods is not None else tuple(sorted(known))
    for name in study.methods:
        if name not in known:
            raise PluginError(
                f"study: [methods.{name}]: there is no such method; known: {', '.join(sorted(known))}.{nearest(name, known)}"
            )
    found = []
    for name in names:
        method = method_class(name)
        if not method.needs_dictionary:
            found.append(Contender(name, method.family, "baseline"))
            continue
        for dictionary, section in study.dictionaries.items():
            if section.role != "control" or method.runs_on_controls:
                found.append(Contender(name, method.family, _SIDE_OF[section.role], dictionary))
    return found


def missing_families(field: Sequence[Contender]) -> list[str]:
    """Give the families that a fair field of baselines must contain and this one does not."""
    present = {contender.family for contender in field if contender.side == "baseline"}
    return [family for family in FAIR_FIELD if family not in present]


def method_class(name: str) -> Any:
    """Give a method's class, its contract checked.

    Raises:
        PluginError: it lacks a part of the contract, or names an unknown family.
    """
    method = registry.load("methods", name)
    parts = ("family", "needs_dictionary", "space", "strength", "fit", "notes")
    if absent := [part for part in parts if not hasattr(method, part)]:
        raise PluginError(
            f"The method '{name}' lacks {', '.join(absent)}. See `DetectMethod` in fairfight/contests/detect.py."
        )
    if method.family not in FAMILIES:
        raise PluginError(
            f"The method '{name}' has the family '{method.family}'; known: {', '.join(FAMILIES)}.{nearest(method.family, FAMILIES)}"
        )
    return method


def configurations(study: Study, field: Sequence[Contender]) -> dict[str, list[Settings]]:
    """Give the configurations that each contender tunes over, by contender name; both sides get the same total."""
    spaces = {contender.name: space_of(study, contender.method) for contender in field}
    counts = {c.name: min(_wanted(study, c.method), _size(spaces[c.name])) for c in field}
    _level(counts, field, spaces, study)
    return {c.name: _balanced(spaces[c.name], counts[c.name], c.method) for c in field}


def space_of(study: Study, name: str) -> dict[str, tuple[Any, ...]]:
    """Give the values that a method may choose from, the study's own choices in place of the method's.

    Raises:
        StudyError: the study sets something that the method does not have; the nearest name is given.
    """
    method = method_class(name)
    space = dict(method.space(study.activations.sites, study.activations.poolings))
    own = {field.name for field in fields(method)} if is_dataclass(method) else set(space)
    known = sorted({*own, _RESERVED})
    for key, value in study.methods.get(name, {}).items():
        if key not in known:
            raise StudyError(
                f"study: [methods.{name}] has no key '{key}'; known keys: {', '.join(known)}.{nearest(key, known)}"
            )
        if key != _RESERVED:
            space[key] = tuple(value) if isinstance(value, list) else (value,)
    return space


def make(name: str, settings: Settings) -> DetectMethod:
    """Give a method with these settings."""
    return method_class(name)(**settings)


def tune_specs(
    study: Study, inputs: str, configs: Mapping[str, list[Settings]], field: Sequence[Contender]
) -> list[TrialSpec]:
    """Give one trial a configuration, on the tuning seed."""
    return [
        TrialSpec(study.hash, inputs, contender, "tune", TUNING_SEED, 0 if contender.dictionary else None, settings)
        for contender in field
        for settings in configs[contender.name]
    ]


def score_specs(
    study: Study, inputs: str, selected: Mapping[str, Settings], field: Sequence[Contender]
) -> list[TrialSpec]:
    """Give the trials of the selected settings on every scored seed and dictionary seed."""
    return [
        TrialSpec(study.hash, inputs, contender, "score", seed, dictionary_seed, selected[contender.name])
        for contender in field
        if contender.name in selected
        for seed in range(1, _seeds(study, contender) + 1)
        for dictionary_seed in dictionary_seeds(study, contender)
    ]


def curve_specs(
    study: Study, inputs: str, selected: Mapping[str, Settings], field: Sequence[Contender]
) -> list[TrialSpec]:
    """Give the trials that sweep k for contestants and rivals, all else as selected."""
    return [
        TrialSpec(study.hash, inputs, contender, "curve", seed, dictionary_seed, {**selected[contender.name], "k": k})
        for contender in field
        if contender.side in ("dictionary", "rival") and "k" in selected.get(contender.name, {})
        for k in study.trials.curve_k
        for seed in range(1, study.trials.seeds + 1)
        for dictionary_seed in dictionary_seeds(study, contender)
    ]


def dictionary_seeds(study: Study, contender: Contender) -> tuple[int | None, ...]:
    """Give the dictionary seeds that a contender plays: one where every seed gives the same dictionary."""
    if contender.dictionary is None:
        return (None,)
    recipe = registry.load("kinds", study.dictionaries[contender.dictionary].kind)
    return tuple(range(study.trials.dictionary_seeds)) if recipe.is_seeded else (0,)


def _seeds(study: Study, contender: Contender) -> int:
    return study.trials.seeds


def _wanted(study: Study, method: str) -> int:
    return int(study.methods.get(method, {}).get(_RESERVED, study.trials.configurations))


def _size(space: Mapping[str, tuple[Any, ...]]) -> int:
    return int(np.prod([len(values) for values in space.values()], dtype=np.int64))


def _level(
    counts: dict[str, int],
    field: Sequence[Contender],
    spaces: Mapping[str, Mapping[str, tuple[Any, ...]]],
    study: Study,
) -> None:
    """Bring the dictionary and baseline sides to one total: fill the smaller up, then trim the larger."""
    sides = {side: [c for c in field if c.side == side] for side in ("dictionary", "baseline")}
    if not all(sides.values()):
        return
    totals = {side: sum(counts[c.name] for c in members) for side, members in sides.items()}
    smaller, larger = sorted(totals, key=lambda side: totals[side])
    takers = [c for c in sides[smaller] if _RESERVED not in study.methods.get(c.method, {}) and c.family != "floor"]
    while totals[smaller] < totals[larger] and (open_ := [c for c in takers if counts[c.name] < _size(spaces[c.name])]):
        for contender in open_[: totals[larger] - totals[smaller]]:
            counts[contender.name] += 1
            totals[smaller] += 1
    for contender in itertools.cycle(sides[larger]):
        if totals[larger] <= totals[smaller]:
            return
        if counts[contender.name] > 1:
            counts[contender.name] -= 1
            totals[larger] -= 1


def _balanced(space: Mapping[str, tuple[Any, ...]], count: int, method: str) -> list[Settings]:
    """Give `count` distinct configurations in which each value of each setting occurs about equally often.

    The draw hangs on the method's name alone, so a method tunes over the same configurations on every dictionary.
    """
    chance = stream("configurations", method, count)
    everything = _size(space)
    if count >= everything:
        return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    chosen: dict[str, Settings] = {}
    while len(chosen) < count:
        columns = [_spread(values, count, chance) for values in space.values()]
        for row in zip(*columns, strict=True):
            if len(chosen) < count:
                settings = dict(zip(space, row, strict=True))
                chosen.setdefault(repr(settings), settings)
    return list(chosen.values())


def _spread(values: tuple[Any, ...], count: int, chance: np.random.Generator) -> list[Any]:
    rounds = -(-count // len(values))
    order = [values[index] for _ in range(rounds) for index in chance.permutation(len(values))]
    return [order[index] for index in chance.permutation(len(order))[:count]] if len(values) < count else order[:count]
