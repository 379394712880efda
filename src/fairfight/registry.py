"""A plug-in is its file's name: `methods/logistic_probe.py` holds `LogisticProbe`, called `logistic_probe`.

Plug-ins are looked for in three places, in this order; a name may stand in one of them only:

1. fairfight itself: `fairfight/tasks`, `fairfight/methods`, `fairfight/dictionaries/kinds`, `fairfight/dictionaries/formats`;
2. packages that name themselves under the entry point `fairfight.plugins`, laid out the same way;
3. folders listed in the environment variable `FAIRFIGHT_PLUGINS` (parted as PATH is), with `tasks/`, `methods/`, `kinds/`,
   `formats/`.

Nothing is imported until a plug-in is asked for.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

from fairfight.errors import PluginError, nearest

Shelf = Literal["tasks", "methods", "kinds", "formats"]
SHELVES: tuple[Shelf, ...] = ("tasks", "methods", "kinds", "formats")
_HOME: dict[str, str] = {
    "tasks": "tasks",
    "methods": "methods",
    "kinds": "dictionaries/kinds",
    "formats": "dictionaries/formats",
}
FOLDERS_VARIABLE = "FAIRFIGHT_PLUGINS"


class Place(NamedTuple):
    """Where a plug-in lives: its name, its file, and who brought it."""

    name: str
    file: Path
    origin: str


def places(shelf: Shelf) -> dict[str, Place]:
    """Give every plug-in of a shelf by name, importing none.

    Raises:
        PluginError: two files claim one name.
    """
    found: dict[str, Place] = {}
    for folder, origin in _folders(shelf):
        for file in sorted(folder.glob("*.py")):
            if file.stem.startswith("_"):
                continue
            if file.stem in found:
                raise PluginError(
                    f"Two {shelf} are called '{file.stem}': {found[file.stem].file} and {file}. A plug-in is its "
                    "file's name, so names must differ. Rename one of the two files."
                )
            found[file.stem] = Place(file.stem, file, origin)
    return found


def load(shelf: Shelf, name: str) -> Any:
    """Give the plug-in class called `name`.

    Raises:
        PluginError: there is none of that name, or its file holds no class of that name.
    """
    shelf_places = places(shelf)
    if name not in shelf_places:
        raise PluginError(
            f"There is no '{name}' among the {shelf}; known: {', '.join(sorted(shelf_places))}."
            f"{nearest(name, shelf_places)} (`fairfight list {shelf}` shows them all.)"
        )
    return plugin_class(_module(shelf, shelf_places[name]), name)


def fingerprint(shelf: Shelf, name: str) -> str:
    """Give the SHA-256 of a plug-in's file, or "" for fairfight's own, whose versions are counted by hand.

    It goes into the keys of what is kept, so that an edited plug-in is never taken for the one before.
    """
    place = places(shelf)[name]
    return "" if place.origin == "fairfight" else hashlib.sha256(place.file.read_bytes()).hexdigest()


def plugin_class(module: ModuleType, name: str) -> Any:
    """Give the class in `module` whose name is `name` in capitals-for-words, in any spelling (`topk` -> `TopK`)."""
    wanted = name.replace("_", "").lower()
    for attribute, value in vars(module).items():
        if isinstance(value, type) and value.__module__ == module.__name__ and attribute.lower() == wanted:
            return value
    expected = "".join(word.capitalize() for word in name.split("_"))
    raise PluginError(
        f"{module.__file__} holds no class '{expected}'. A plug-in's class is named as its file: add it, or rename."
    )


def _folders(shelf: Shelf) -> list[tuple[Path, str]]:
    folders = [(Path(__file__).parent / _HOME[shelf], "fairfight")]
    folders += [(location / shelf, name) for location, name in _packages()]
    for folder in filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)):
        folders.append((Path(folder).resolve() / shelf, folder))
    return [(folder, origin) for folder, origin in folders if folder.is_dir()]


@cache
def _packages() -> list[tuple[Path, str]]:
    """Give where installed packages of plug-ins lie; once a process, as it reads the metadata of all that is installed."""
    found = []
    for entry in entry_points(group="fairfight.plugins"):
        spec = importlib.util.find_spec(entry.value)
        found += [(Path(location), entry.name) for location in (spec.submodule_search_locations or [])] if spec else []
    return found


def _module(shelf: Shelf, place: Place) -> ModuleType:
    if place.origin == "fairfight":
        return importlib.import_module(f"fairfight.{_HOME[shelf].replace('/', '.')}.{place.name}")
    return _module_from_file(f"fairfight_plugins.{shelf}.{place.name}", place.file)


@cache
def _module_from_file(module_name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{file} cannot be imported as a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module
