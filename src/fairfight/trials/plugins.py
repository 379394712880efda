"""Plug-ins as a study uses them, checked before anything runs: the parts of their contract, the settings they get."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from fairfight import registry
from fairfight.dictionaries.contract import Recipe
from fairfight.errors import PluginError, StudyError, nearest
from fairfight.study import Study


def recipe_of(study: Study, dictionary: str) -> Recipe:
    """Give the recipe of one of the study's dictionaries.

    Raises:
        PluginError: there is no such kind, or it lacks a part of its contract.
        StudyError: a setting that the kind does not have (the nearest name is given), or of another type.
    """
    section = study.dictionaries[dictionary]
    return recipe_made(section.kind, section.recipe, f"dictionaries.{dictionary}.recipe")


def dictionary_seeds(study: Study, dictionary: str) -> range:
    """Give the seeds of one of the study's dictionaries: one where every seed gives the same.

    Raises:
        PluginError, StudyError: as `recipe_of`.
    """
    return range(study.trials.dictionary_seeds if recipe_of(study, dictionary).is_seeded else 1)


def check_parts(plugin: Any, what: str, parts: Iterable[str], contract: str) -> None:
    """Raise PluginError unless a plug-in has these parts; `contract` is where they are described."""
    if absent := [part for part in parts if not hasattr(plugin, part)]:
        raise PluginError(f"{what} lacks {', '.join(absent)}. Add what {contract} describes.")


def made(plugin: Any, settings: Mapping[str, Any], where: str) -> Any:
    """Give the plug-in with these settings; `where` is their table in the study.

    Raises:
        StudyError: a setting that the plug-in does not have (the nearest name is given), or of another type.
    """
    for key, value in settings.items():
        check_name(key, names_of(plugin), where)
        check_value(plugin, key, value, where)
    return plugin(**settings)


def recipe_made(kind: str, settings: Mapping[str, Any], where: str) -> Recipe:
    """Give the recipe of a kind with these settings.

    Raises:
        PluginError: there is no such kind, or it lacks a part of its contract.
        StudyError: as for `made`.
    """
    plugin = registry.load("kinds", kind)
    parts = ("is_seeded", "train", "restore")
    check_parts(plugin, f"The kind '{kind}'", parts, "`Recipe` in fairfight/dictionaries/contract.py")
    return made(plugin, settings, where)


def names_of(plugin: Any) -> list[str]:
    """Give the names of a plug-in's settings."""
    return sorted(own.name for own in fields(plugin)) if is_dataclass(plugin) else []


def check_name(key: str, known: Collection[str], where: str) -> None:
    """Raise StudyError unless `key` is one of the known settings; the nearest of them is given."""
    if key not in known:
        raise StudyError(f"[{where}] has no key '{key}'; known keys: {', '.join(sorted(known))}.{nearest(key, known)}")


def check_value(plugin: Any, key: str, value: Any, where: str) -> None:
    """Raise StudyError where a value is of another type than the field says (whole numbers do for floats), or NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        raise StudyError(f"[{where}] '{key}' is {value!r}; a finite number was expected. Change it and run again.")
    hint = _hints(plugin).get(key, Any)
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError:
        default = next((own.default for own in fields(plugin) if own.name == key), None)
        example = f", such as {default!r}" if isinstance(default, bool | int | float | str) else ""
        raise StudyError(
            f"[{where}] '{key}' is {value!r} ({type(value).__name__}); expected {_in_words(hint)}{example}. "
            "Change it and run again."
        ) from None
    except PydanticUserError:
        return  # A type of the plug-in's own: its class checks it.


@cache
def _hints(plugin: Any) -> dict[str, Any]:
    try:
        return get_type_hints(plugin)
    except NameError:
        return {}  # Names that only a type checker sees.


def _in_words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(repr(value) for value in get_args(hint))}"
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
