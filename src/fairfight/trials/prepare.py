"""Everything that trials share and that costs time: activations, dictionaries, pooled codes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fairfight import registry
from fairfight.activations.harvest import Progress, harvest
from fairfight.contests.examples import DEVELOPMENT, Collection, Example, admit
from fairfight.dictionaries.contract import Card, TokenSource
from fairfight.dictionaries.formats import load, save
from fairfight.dictionaries.pooled import is_pooled, pool_codes
from fairfight.dictionaries.tokens import needs_of
from fairfight.dictionaries.train import train
from fairfight.errors import PluginError
from fairfight.models.load import RANDOM, Model
from fairfight.models.load import load as load_model
from fairfight.study import Study
from fairfight.trials.context import Context, Job, Setup
from fairfight.trials.plugins import check_parts, made, recipe_of


def cache_folder() -> Path:
    """Give the folder of activations and dictionaries: `FAIRFIGHT_CACHE`, else `.fairfight` here."""
    return Path(os.environ.get("FAIRFIGHT_CACHE", ".fairfight"))


def task_of(study: Study) -> Any:
    """Give the study's task with its settings.

    Raises:
        PluginError: the task lacks a part of its contract, or is one of another contest.
        StudyError: a setting that the task does not have (the nearest name is given), or of another type.
    """
    task = registry.load("tasks", study.task.name)
    parts = ("contest", "collection", "unlabelled")
    check_parts(task, f"The task '{study.task.name}'", parts, "`DetectTask` in fairfight/contests/detect.py")
    if task.contest != "detect":
        raise PluginError(
            f"The task '{study.task.name}' is for the contest '{task.contest}', but `fairfight run` plays 'detect'. "
            "Choose another: `fairfight list tasks` shows them."
        )
    return made(task, study.task.settings, "task.settings")


def collect(study: Study) -> tuple[Collection, tuple[str, ...]]:
    """Give the admitted examples, and the texts that dictionaries are trained on (no test text among them)."""
    task = task_of(study)
    collection = admit(task.collection())
    development = [example.text for example in collection.examples if example.set == DEVELOPMENT]
    test = {example.text for example in collection.examples if example.set != DEVELOPMENT}
    extra = [text for text in task.unlabelled() if text not in test]
    return collection, tuple(dict.fromkeys([*development, *extra]))


def set_up(
    study: Study,
    model: Model,
    collection: Collection,
    corpus: tuple[str, ...],
    progress: Progress | None,
) -> Setup:
    """Harvest every text at every site, or find that it was done."""
    cache = cache_folder()
    texts = tuple(dict.fromkeys([*(example.text for example in collection.examples), *corpus]))
    sites = study.activations.sites
    needs = {site: [needs_of(recipe_of(study, name), site) for name in study.dictionaries] for site in sites}
    targets = [need.target for site in sites for need in needs[site] if need.target]
    random_sites = [site for site in sites if any(need.random_weights for need in needs[site])]

    def stores(model: Model, sites: Sequence[str], progress: Progress | None) -> dict[str, Path]:
        found = harvest(
            model,
            texts,
            sites,
            cache / "activations",
            max_tokens=study.activations.max_tokens,
            dtype=study.activations.dtype,
            compute_dtype=study.activations.compute_dtype,
            progress=progress,
        )
        return {site: store.folder for site, store in found.items()}

    own = stores(model, [*sites, *targets], progress)
    if not random_sites:
        return Setup(study, collection, corpus, own, cache)
    random_model = load_model(RANDOM + model.name, allow_remote_code=study.model.allow_remote_code)
    return Setup(study, collection, corpus, own, cache, stores(random_model, random_sites, None))


def prepare(context: Context, job: Job) -> Card:
    """Train a dictionary and pool its codes, or find that it was done; give its card."""
    folder = context.folder(job)
    activations = context.read_by(job)
    if not (folder / "card.json").is_file():
        _train(context, job, folder)
    loaded = load(folder)
    poolings = context.study.activations.poolings
    if not is_pooled(folder, poolings, is_signed=loaded.dictionary.is_signed):
        pool_codes(loaded.dictionary, activations, context.example_rows(job.site), poolings, folder)
    return loaded.card


def _train(context: Context, job: Job, folder: Path) -> None:
    trained = train(
        recipe_of(context.study, job.dictionary),
        _tokens(context, job),
        job.seed,
        model=RANDOM * context.needs(job).random_weights + context.study.model.name,
    )
    save(trained.dictionary, trained.card, folder)


_HELD: dict[str, TokenSource] = {}
"""The last site's training tokens: jobs come site by site, and reading them again would cost more than keeping them."""


def _tokens(context: Context, job: Job) -> TokenSource:
    activations, needs = context.read_by(job), context.needs(job)
    if needs.labels:
        train = context.split(job.seed).train
        rows = activations.rows([example.text for example in train])
        return TokenSource.from_activations(activations, rows, attributes=_attributes(train))
    target = context.activations[needs.target] if needs.target else None
    key = activations.key + (target.key if target else "")
    if key not in _HELD:
        _HELD.clear()
        _HELD[key] = TokenSource.from_activations(activations, context.corpus_rows(job.site), target=target)
    return replace(_HELD[key], has_random_weights=needs.random_weights)


def _attributes(examples: Sequence[Example]) -> dict[str, list[str]]:
    """Give label and tags of each example, a tag that it lacks as "none"."""
    tags = sorted({tag for example in examples for tag in example.tags})
    labels = [str(example.label) for example in examples]
    return {**{tag: [example.tags.get(tag, "none") for example in examples] for tag in tags}, "label": labels}


def forget_tokens() -> None:
    """Let go of the training tokens that this process keeps between jobs."""
    _HELD.clear()
