"""A small, real contest that plug-ins are tried in, and plug-ins that are small enough to try."""

from __future__ import annotations

import atexit
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fairfight import registry
from fairfight.activations.harvest import harvest
from fairfight.contests.examples import DEVELOPMENT, Collection, Example, admit
from fairfight.contests.split import Split, split
from fairfight.contests.views import Subject
from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.formats import save
from fairfight.dictionaries.pooled import open_pooled, pool_codes
from fairfight.dictionaries.train import train
from fairfight.models.load import DEFAULT, load

SITE = "resid_post.1"


POOLINGS = ("mean", "max_min")


class World(NamedTuple):
    """A small, real contest: texts of two topics, activations of the embedded model, a dictionary."""

    split: Split
    subject: Subject


@cache
def world() -> World:
    """Make the small world once a process; it lives in a temporary folder that goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="fairfight-conformance-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    collection = admit(_small_collection())
    texts = [example.text for example in collection.examples]
    stores = harvest(load(), texts, [SITE], folder / "activations", max_tokens=32)
    store = stores[SITE]
    recipe = registry.load("kinds", "random")(latents=96)
    dictionary, card = train(recipe, TokenSource.from_activations(store, np.arange(len(texts))), 0, model=DEFAULT)
    save(dictionary, card, folder / "dictionary")
    pool_codes(dictionary, store, np.arange(len(texts)), POOLINGS, folder / "dictionary")
    subject = Subject(DEFAULT, False, stores, folder / "pooled", {SITE: open_pooled(folder / "dictionary")}, 32)
    return World(split(collection, 1, validation_share=0.4, left_out_families=1), subject)


def small(shelf: registry.Shelf, name: str, folder: Path) -> Any:
    """Give a plug-in that is small enough to check: `small(folder)` where it has one, else its defaults."""
    plugin = registry.load(shelf, name)
    if hasattr(plugin, "small"):
        return plugin.small(folder)
    if shelf == "methods":
        return plugin(**{key: values[0] for key, values in plugin.space((SITE,), POOLINGS).items()})
    return plugin()


def global_chance() -> tuple[str, str, str]:
    """Give the states of all generators that nobody may draw from."""
    import sklearn.utils  # noqa: F401  one of its parts draws from Python's generator when it is imported

    numpys = np.random.get_state(legacy=False)  # noqa: NPY002
    return str(torch.get_rng_state().tolist()), repr(numpys), repr(random.getstate())


_THINGS = (
    "kettle",
    "ladder",
    "bicycle",
    "garden hose",
    "piano",
    "telescope",
    "raincoat",
    "lawn mower",
    "sewing machine",
    "canoe",
)


_DOINGS = (
    ("How do I repair a {}?", 1),
    ("Where can I buy a {}?", 0),
    ("Please help me mend the broken {}.", 1),
    ("Please tell me the price of that {}.", 0),
)


_FRAMES = (
    ("{}", ""),
    ("My uncle asks: {}", "uncle"),
    ("For a school essay. {}", "school"),
    ("Answer briefly. {}", "brief"),
)


def _small_collection() -> Collection:
    """Repairing (1) against buying (0), in three frames that stand for families."""
    examples = [
        Example(
            id=f"{thing}/{place}/{frame}",
            text=wrapper.format(doing.format(thing)),
            label=label,
            cluster=f"{thing}/{place}",
            set=DEVELOPMENT if number < 7 else "test",
            tags={"jailbreak": frame} if frame else {},
            group=thing,
        )
        for number, thing in enumerate(_THINGS)
        for place, (doing, label) in enumerate(_DOINGS)
        for wrapper, frame in _FRAMES
    ]
    return Collection(tuple(examples), ("test",))
