"""Train the dictionaries of a training file: harvest once, then all that share a site and a plan in one pass over the data.

The same command goes on from where it stopped: finished dictionaries are found, activations are kept, and a pass that was
interrupted resumes at its checkpoint, to the same bits.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from fairfight.activations.harvest import harvest
from fairfight.activations.shards import Activations
from fairfight.dictionaries.contract import TRAINING_VERSION, Card, Recipe, TokenSource
from fairfight.dictionaries.fit import Plan, Progress, fit, require_room
from fairfight.dictionaries.formats import load, save
from fairfight.dictionaries.mixing import Mixing
from fairfight.dictionaries.sae import Trainable, sample_of
from fairfight.dictionaries.tokens import Needs, needs_of
from fairfight.dictionaries.train import Trained, carded, settings_of
from fairfight.errors import StudyError
from fairfight.ledger import read_json, write_json
from fairfight.models.load import load as load_model
from fairfight.models.sites import locate, resolve
from fairfight.records import content_hash
from fairfight.seeds import stream
from fairfight.texts import pieces, read_texts
from fairfight.trials.plugins import recipe_made
from fairfight.trials.training_file import TextsSection, TrainedSection, Training

_SAMPLE_BYTES = 2**28
"""Tokens that calibrate a pass and measure its dictionaries: 256 MiB."""
_METRICS_SECONDS = 15


class Watcher(Protocol):
    """Who wants to know how a training goes on."""

    def starts(self, stage: str, total: int) -> None:
        """A stage begins."""

    def advances(self, done: int) -> None:
        """So many steps of the stage are done."""

    def remarks(self, line: str) -> None:
        """How it looks just now."""


class Place(NamedTuple):
    """One dictionary of the file: its section's name and its seed."""

    name: str
    seed: int

    @property
    def label(self) -> str:
        """Both in one word."""
        return f"{self.name}/seed-{self.seed}"


class Made(NamedTuple):
    """A dictionary that is finished."""

    place: Place
    folder: Path
    card: Card
    is_new: bool


def train_all(training: Training, cache: Path, watcher: Watcher) -> list[Made]:
    """Give every dictionary of the file, training what is not finished yet.

    Memory: two loads of the mixing, a sample of 256 MiB, the tokens' ids, and for each dictionary of a pass its weights
    three times (Adam's means); kinds that are not trained by steps hold up to 1.5 GiB of tokens.

    Raises:
        StudyError, PluginError: the file names a kind or setting that does not exist, or asks for more latents than fit into
            the machine's memory.
        DataError: the texts cannot be read.
        SiteError: the model has no such site.
        NonFiniteError: a loss or a weight became NaN or infinite.
        DiskFullError: what was finished before is whole.
    """
    recipes = {name: _recipe(name, section) for name, section in training.dictionaries.items()}
    model = load_model(training.model.name, allow_remote_code=training.model.allow_remote_code)
    sites = {name: str(resolve(model, section.site)) for name, section in training.dictionaries.items()}
    for name, recipe in recipes.items():
        require_room([getattr(recipe, "latents", None) or 0], locate(model, sites[name]).width)
    settings = training.activations
    stores = harvest(
        model,
        _texts(training.texts, training.name),
        sorted(set(sites.values())),
        cache / "activations",
        max_tokens=settings.max_tokens,
        dtype=settings.dtype,
        compute_dtype=settings.compute_dtype,
        progress=_Steps(watcher, "activations").reached,
    )
    found = []
    for site, store in stores.items():
        members = {name: recipe for name, recipe in recipes.items() if sites[name] == site}
        found += _Site(training, store, members, cache, watcher).trained()
    order = list(training.dictionaries)
    return sorted(found, key=lambda own: (order.index(own.place.name), own.place.seed))


class _Site:
    """The dictionaries of one site."""

    def __init__(
        self, training: Training, store: Activations, recipes: Mapping[str, Recipe], cache: Path, watcher: Watcher
    ) -> None:
        self._training, self._store, self._cache, self._watcher = training, store, cache, watcher
        self._recipes = recipes
        self._folder = training.folder / training.name
        self._rows = np.arange(len(store.token_counts))
        self._sample = TokenSource.from_activations(store, self._rows, memory_bytes=_SAMPLE_BYTES)
        self._harvest_flops = int(store.flops(store.lengths).sum())

    def trained(self) -> list[Made]:
        """Give all of them."""
        places = [
            Place(name, seed)
            for name, recipe in self._recipes.items()
            for seed in range(self._training.dictionaries[name].seeds if recipe.is_seeded else 1)
        ]
        finished = {place: card for place in places if (card := self._finished(place))}
        passes: dict[Plan, list[Place]] = defaultdict(list)
        for place in places:
            if place not in finished and isinstance(recipe := self._recipes[place.name], Trainable):
                passes[recipe.plan()].append(place)
        for plan, members in passes.items():
            self._pass(plan, members)
        for place in places:
            if place not in finished and not isinstance(self._recipes[place.name], Trainable):
                self._alone(place)
        return [
            Made(place, self._at(place), finished.get(place) or load(self._at(place)).card, place not in finished)
            for place in places
        ]

    def _at(self, place: Place) -> Path:
        return self._folder / place.name / f"seed-{place.seed}"

    def _finished(self, place: Place) -> Card | None:
        """Give the card of a dictionary that was trained before, just so."""
        if not (self._at(place) / "card.json").is_file():
            return None
        card = load(self._at(place)).card
        wanted = (settings_of(self._recipes[place.name]), place.seed, self._store.key)
        return card if (dict(card.recipe), card.seed, card.activations_key) == wanted else None

    def _pass(self, plan: Plan, places: list[Place]) -> None:
        """Train all of these in one pass over the tokens."""
        recipes: dict[Place, Trainable] = {place: self._recipes[place.name] for place in places}  # pyright: ignore[reportAssignmentType]
        sample = sample_of(self._sample)._replace(harvest_flops=self._harvest_flops)
        courses = {place: recipe.course(place.seed, sample, place.label) for place, recipe in recipes.items()}
        metrics = _Metrics(self._folder / f"progress-{self._store.site}.json", self._watcher, plan, len(courses))
        states = fit(
            [course.job for course in courses.values()],
            Mixing.of_activations(self._store, self._rows, self._store.key),
            sample.scaling,
            plan,
            back_end=self._training.back_end,
            checkpoint=self._checkpoint(recipes),
            checkpoint_seconds=self._training.checkpoint_seconds,
            watch=metrics.add,
        )
        metrics.write()
        for (place, course), state in zip(courses.items(), states, strict=True):
            self._save(place, carded(recipes[place], course.fitted(state), place.seed, **self._origin()))

    def _alone(self, place: Place) -> None:
        """Train one of a kind that takes the tokens at once."""
        self._watcher.starts(place.label, 1)
        recipe = self._recipes[place.name]
        tokens = TokenSource.from_activations(self._store, self._rows)
        self._save(place, carded(recipe, recipe.train(tokens, place.seed), place.seed, **self._origin()))
        self._watcher.advances(1)

    def _origin(self) -> dict[str, Any]:
        return {
            "tokens": self._sample,
            "model": self._training.model.name,
            "harvest_flops": self._harvest_flops,
            "dtype": getattr(torch, self._training.weights),
        }

    def _save(self, place: Place, trained: Trained) -> None:
        save(trained.dictionary, trained.card, self._at(place), dtype=getattr(torch, self._training.weights))

    def _checkpoint(self, recipes: Mapping[Place, Trainable]) -> Path:
        """Give the file of a pass, named by all that shapes it."""
        members = {place.label: [type(recipe).__name__, settings_of(recipe)] for place, recipe in recipes.items()}
        content = [TRAINING_VERSION, self._store.key, self._training.back_end, members]
        return self._cache / "training" / f"{content_hash(content)[:24]}.safetensors"


class _Metrics:
    """What each dictionary's last steps found, on the screen and, checksummed, in a file."""

    def __init__(self, file: Path, watcher: Watcher, plan: Plan, jobs: int) -> None:
        self._file, self._watcher, self._jobs = file, watcher, jobs
        kept = read_json(file) if file.is_file() else []
        self._rows = {(row["job"], row["step"]): row for row in kept}
        self._written_at = time.monotonic()
        self._steps = _Steps(watcher, f"training {jobs} dictionaries" if jobs > 1 else "training 1 dictionary")
        self._total = plan.steps

    def add(self, found: Progress) -> None:
        """Take what a job reports."""
        self._rows[found.job, found.step] = found._asdict()
        speed = found.tokens_per_second
        self._watcher.remarks(
            f"{found.job}: FVU {found.fvu:.3f}, L0 {found.l0:.1f}, dead {100 * found.dead_share:.1f} %, {speed:,.0f} tokens/s"
        )
        self._steps.reached(found.step, self._total)
        if time.monotonic() - self._written_at > _METRICS_SECONDS:
            self.write()

    def write(self) -> None:
        """Write all rows, whole or not at all."""
        write_json(self._file, [self._rows[key] for key in sorted(self._rows)])
        self._written_at = time.monotonic()


class _Steps:
    """Turns what was reached into what was added since."""

    def __init__(self, watcher: Watcher, stage: str) -> None:
        self._watcher, self._stage = watcher, stage
        self._reached = -1

    def reached(self, done: int, total: int) -> None:
        """So much of the total is done by now."""
        if self._reached < 0:
            self._watcher.starts(self._stage, total)
            self._reached = 0
        if done > self._reached:
            self._watcher.advances(done - self._reached)
            self._reached = done


def _recipe(name: str, section: TrainedSection) -> Recipe:
    recipe = recipe_made(section.kind, section.recipe, f"dictionaries.{name}.recipe")
    if needs_of(recipe, section.site) != Needs():
        raise StudyError(
            f"dictionaries.{name} is of the kind '{section.kind}', which needs more than the tokens of one site (labels, another "
            "site, or the model with random weights). `fairfight train` gives tokens alone: name it in a study."
        )
    return recipe


def _texts(section: TextsSection, name: str) -> list[str]:
    """Give the pieces to read, without repetitions, in the files' order; where there are too many, a random part."""
    whole = [text for file in section.files for text in read_texts(file, section.fields)]
    found = list(dict.fromkeys(pieces(whole, section.words)))
    if section.limit is None or len(found) <= section.limit:
        return found
    chosen = stream("texts to train on", name).permutation(len(found))[: section.limit]
    return [found[place] for place in np.sort(chosen)]


__all__ = ["Made", "Place", "Watcher", "train_all"]
