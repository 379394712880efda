"""What will be played: contenders, their configurations, and the specs of every trial.

Fairness is arithmetic here. Every method gets the same number of configurations; both sides get the same total. What a
method gives up (because its fits are dear, or its space is small) goes to its own side's other methods; where they can
take no more, the other side gives up as many.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from fairfight import registry
from fairfight.activations.pool import check_pooling
from fairfight.contests.detect import DetectMethod
from fairfight.errors import PluginError, StudyError, nearest
from fairfight.models.sites import canonical
from fairfight.records import FAIR_FIELD, Contender, Family, Side, TrialSpec
from fairfight.study import Study
from fairfight.trials.order import even_order
from fairfight.trials.plugins import check_name, check_parts, check_value, dictionary_seeds, names_of

Settings = Mapping[str, Any]
TUNING_SEED = 0
_FAMILIES = get_args(Family)
_RESERVED = "configurations"
_LARGEST_SPACE = 100_000
"""Configurations of a method, of which a handful are tried: 3 MB and 0.05 s for the first eight of so many."""
_SIDE_OF: dict[str, Side] = {"contestant": "dictionary", "rival": "rival", "control": "control"}


def contenders(study: Study) -> list[Contender]:
    """Give everyone who plays: each baseline once, each dictionary method once a dictionary, controls included.

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
            found.append(Contender(name, method.family, _SIDE_OF[section.role], dictionary))
    return found


def missing_families(field: Sequence[Contender]) -> list[str]:
    """Give the families that a fair field of baselines must contain and this one does not."""
    present = {contender.family for contender in field if contender.side == "baseline"}
    return [family for family in FAIR_FIELD["detect"] if family not in present]


def method_class(name: str) -> Any:
    """Give a method's class, its contract checked.

    Raises:
        PluginError: it lacks a part of the contract, or names an unknown family.
    """
    method = registry.load("methods", name)
    parts = ("family", "needs_dictionary", "space", "strength", "fit", "notes")
    check_parts(method, f"The method '{name}'", parts, "`DetectMethod` in fairfight/contests/detect.py")
    if method.family not in _FAMILIES:
        raise PluginError(
            f"The method '{name}' has the family '{method.family}'; known: {', '.join(_FAMILIES)}.{nearest(method.family, _FAMILIES)}"
        )
    return method


def configurations(study: Study, field: Sequence[Contender]) -> dict[str, list[Settings]]:
    """Give the configurations that each contender tunes over, by contender name; both sides get the same total.

    Configurations stand in one even order, of which each contender takes the first ones: on every dictionary a method
    tunes over the same, but for the last where counts differ; and so do methods that share their settings.

    Raises:
        StudyError: a setting that cannot be, a space too large to be put in order, or sides that cannot be brought to
            one total.
    """
    for pooling in study.activations.poolings:
        check_pooling(pooling)
    spaces = {contender.name: space_for(study, contender) for contender in field}
    counts = {c.name: min(_wanted(study, c.method), _size(spaces[c.name])) for c in field}
    _level(counts, field, spaces, study)
    return {c.name: list(itertools.islice(even_order(spaces[c.name]), counts[c.name])) for c in field}


def space_of(study: Study, name: str) -> dict[str, tuple[Any, ...]]:
    """Give the values that a method may choose from, the study's own choices in place of the method's.

    Raises:
        StudyError: the study sets something that the method does not have (the nearest name is given), of another
            type, or that is not among the study's sites and poolings; or more values than can be put in order.
    """
    method, where = method_class(name), f"methods.{name}"
    space = dict(method.space(study.activations.sites, study.activations.poolings))
    places = {"site": study.activations.sites, "pooling": study.activations.poolings}
    known = [*(names_of(method) or space), _RESERVED]
    for key, value in study.methods.get(name, {}).items():
        check_name(key, known, where)
        if key == _RESERVED:
            continue
        space[key] = tuple(value) if isinstance(value, list) else (value,)
        if key == "site":
            space[key] = tuple(str(canonical(name)) if isinstance(name, str) else name for name in space[key])
        if not space[key]:
            raise StudyError(f"study: [{where}] '{key}' is an empty list; give at least one value, or leave it out.")
        for choice in space[key]:
            check_value(method, key, choice, where)
            if choice not in places.get(key, (choice,)):
                raise StudyError(
                    f"study: [{where}] '{key}' is {choice!r}, but this study reads only {', '.join(places[key])}. Choose "
                    "one of these, or add it to [activations]."
                )
    space = {key: tuple({repr(value): value for value in values}.values()) for key, values in space.items()}
    if _size(space) > _LARGEST_SPACE:
        raise StudyError(
            f"study: [{where}] offers {_size(space):,} configurations, but at most {_LARGEST_SPACE:,} can be put in order. "
            "Give fewer values."
        )
    return space


def space_for(study: Study, contender: Contender) -> dict[str, tuple[Any, ...]]:
    """Give the values that a contender may choose from: its method's, at the sites where its dictionary stands.

    Raises:
        StudyError: as for `space_of`, or nothing is left.
    """
    space = space_of(study, contender.method)
    if contender.dictionary is None or "site" not in space:
        return space
    here = study.sites_of(contender.dictionary)
    left = tuple(site for site in space["site"] if site in here)
    if not left:
        raise StudyError(
            f"study: {contender.name} may read {', '.join(space['site'])}, but its dictionary stands at {', '.join(here)}. "
            "Give them a site in common."
        )
    return space | {"site": left}


def make(name: str, settings: Settings) -> DetectMethod:
    """Give a method with these settings."""
    return method_class(name)(**settings)


def tune_specs(
    study: Study, inputs: str, tried: Mapping[str, list[Settings]], field: Sequence[Contender]
) -> list[TrialSpec]:
    """Give one trial a configuration, on the tuning seed."""
    return [
        TrialSpec(study.hash, inputs, contender, "tune", TUNING_SEED, 0 if contender.dictionary else None, settings)
        for contender in field
        for settings in tried[contender.name]
    ]


def score_specs(
    study: Study, inputs: str, selected: Mapping[str, Settings], field: Sequence[Contender]
) -> list[TrialSpec]:
    """Give the trials of the selected settings on every scored seed and dictionary seed."""
    return [
        TrialSpec(study.hash, inputs, contender, "score", seed, dictionary_seed, selected[contender.name])
        for contender in field
        if contender.name in selected
        for seed in range(1, study.trials.seeds + 1)
        for dictionary_seed in seeds_played(study, contender)
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
        for dictionary_seed in seeds_played(study, contender)
    ]


def seeds_played(study: Study, contender: Contender) -> tuple[int | None, ...]:
    """Give the dictionary seeds that a contender plays: one where every seed gives the same dictionary."""
    return (None,) if contender.dictionary is None else tuple(dictionary_seeds(study, contender.dictionary))


def _wanted(study: Study, method: str) -> int:
    wanted = study.methods.get(method, {}).get(_RESERVED, study.trials.configurations)
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise StudyError(
            f"study: [methods.{method}] '{_RESERVED}' is {wanted!r}; expected a whole number from 1. To leave the method "
            "out, name the others in trials.methods."
        )
    return wanted


def _size(space: Mapping[str, tuple[Any, ...]]) -> int:
    return math.prod(len(values) for values in space.values())


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
    if totals[smaller] == totals[larger]:
        return
    takers = [c for c in sides[smaller] if _RESERVED not in study.methods.get(c.method, {}) and c.family != "floor"]
    while totals[smaller] < totals[larger] and (open_ := [c for c in takers if counts[c.name] < _size(spaces[c.name])]):
        for contender in open_[: totals[larger] - totals[smaller]]:
            counts[contender.name] += 1
            totals[smaller] += 1
    if totals[smaller] < len(sides[larger]):
        raise StudyError(
            f"The sides cannot tune over equally many configurations: the {smaller} side has no more than "
            f"{totals[smaller]}, and the {len(sides[larger])} contenders of the {larger} side need one each. Let methods "
            f"of the {smaller} side choose from more (more sites, poolings or values, a higher 'configurations'), or name "
            "fewer methods in trials.methods."
        )
    for contender in itertools.cycle(sides[larger]):
        if totals[larger] <= totals[smaller]:
            return
        if counts[contender.name] > 1:
            counts[contender.name] -= 1
            totals[larger] -= 1
