"""The dictionaries that come with fairfight, by name: `shipped/minilm/topk-1536/seed-0` wherever a path is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fairfight.dictionaries.contract import Card
from fairfight.dictionaries.formats.own import CARD, load
from fairfight.errors import InputError, nearest

PREFIX = "shipped/"
_FOLDER = Path(__file__).parents[1] / "data" / "dictionaries"
_ENOUGH_SEEDS = 3


class Shipped(NamedTuple):
    """A shipped dictionary with all of its seeds."""

    name: str
    """As a path takes it, with `{seed}` where there are several."""
    latents: int
    cards: tuple[Card, ...]
    """By seed."""

    @property
    def has_few_seeds(self) -> bool:
        """Whether there are too few seeds to tell its training from chance."""
        return len(self.cards) < _ENOUGH_SEEDS


def shipped() -> list[Shipped]:
    """Give all of them, by name."""
    found = []
    for folder in sorted({card.parent.parent for card in _FOLDER.glob(f"*/*/seed-*/{CARD}")}):
        loaded = [load(each) for each in sorted(folder.glob("seed-*"))]
        name = f"{PREFIX}{folder.relative_to(_FOLDER).as_posix()}/seed-{'{seed}' if len(loaded) > 1 else 0}"
        found.append(Shipped(name, loaded[0].dictionary.latents, tuple(own.card for own in loaded)))
    return found


def folder_of(name: str) -> Path:
    """Give the folder of `shipped/…`.

    Raises:
        InputError: there is none of that name; the nearest is given.
    """
    folder = _FOLDER / name.removeprefix(PREFIX)
    if (folder / CARD).is_file() and folder.resolve().is_relative_to(_FOLDER):
        return folder
    known = sorted(
        f"{PREFIX}{card.parent.relative_to(_FOLDER).as_posix()}" for card in _FOLDER.glob(f"*/*/seed-*/{CARD}")
    )
    raise InputError(
        f"No dictionary '{name}' is shipped.{nearest(name, known)} (`fairfight list dictionaries` shows them all.)"
    )
