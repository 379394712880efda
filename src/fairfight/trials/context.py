"""What every trial of a study reads, opened once a process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from fairfight import registry
from fairfight.activations.shards import Activations, open_activations
from fairfight.contests.examples import Collection
from fairfight.contests.split import Split, split
from fairfight.contests.views import Subject
from fairfight.dictionaries.contract import TRAINING_VERSION
from fairfight.dictionaries.from_files import FromFiles
from fairfight.dictionaries.pooled import PooledCodes, open_pooled
from fairfight.dictionaries.tokens import Needs, needs_of
from fairfight.dictionaries.train import settings_of
from fairfight.models.load import RANDOM
from fairfight.records import content_hash
from fairfight.study import Study
from fairfight.trials.plugins import dictionary_seeds, recipe_of


class Job(NamedTuple):
    """One dictionary to train and pool: its name in the study, its site, its seed."""

    dictionary: str
    site: str
    seed: int
    """Of the dictionary; of the split, where the dictionary is trained on the labels of its training examples."""


def split_of(study: Study, collection: Collection, seed: int) -> Split:
    """Give the division of the study's examples for one seed."""
    shares = study.trials
    return split(collection, seed, validation_share=shares.validation_share, left_out_families=shares.left_out_families)


@dataclass(frozen=True)
class Setup:
    """A study ready to be played: what was loaded and harvested, as plain data that a new process can open."""

    study: Study
    collection: Collection
    corpus: tuple[str, ...]
    """Texts that dictionaries are trained on: development and unlabelled ones, never a test text."""
    stores: Mapping[str, Path]
    """Activation store by site: the study's sites, and those that a transcoder of the study predicts."""
    cache: Path
    random_stores: Mapping[str, Path] = field(default_factory=dict)
    """Activation store by site of the model with random weights, where a dictionary needs it."""

    @property
    def inputs(self) -> str:
        """Hash of everything that a trial reads besides the study: data, activations, dictionaries, others' code."""
        methods = self.study.trials.methods or tuple(registry.places("methods"))
        return content_hash(
            {
                "collection": self.collection.hash,
                "activations": {site: folder.name for site, folder in self.stores.items()}
                | {RANDOM + site: folder.name for site, folder in self.random_stores.items()},
                "corpus": self.corpus_hash,
                "dictionaries": {
                    name: self.makes(name) | self.reads(name, tuple(self.stores), dictionary_seeds(self.study, name))
                    for name in self.study.dictionaries
                },
                "methods": {name: registry.fingerprint("methods", name) for name in methods},
            }
        )

    @cached_property
    def corpus_hash(self) -> str:
        """Content hash of the texts that dictionaries are trained on."""
        return content_hash(list(self.corpus))

    def makes(self, dictionary: str) -> dict[str, Any]:
        """Give all that decides, with seed, site and texts, what a dictionary of the study becomes."""
        section = self.study.dictionaries[dictionary]
        return {
            "kind": section.kind,
            "recipe": settings_of(recipe_of(self.study, dictionary)),
            "code": registry.fingerprint("kinds", section.kind) or TRAINING_VERSION,
        }

    def reads(self, dictionary: str, sites: Iterable[str], seeds: Iterable[int]) -> dict[str, Any]:
        """Give the hashes of the files that a dictionary is read from; nothing for one that is made of tokens alone."""
        recipe = recipe_of(self.study, dictionary)
        if not isinstance(recipe, FromFiles):
            return {}
        return {"files": [[recipe.files_hash(site, seed) for seed in seeds] for site in sites]}


class Context:
    """An opened setup."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.study = setup.study
        self.activations: dict[str, Activations] = {
            s: open_activations(f, verify=False) for s, f in setup.stores.items()
        }
        self._random_activations = {s: open_activations(f, verify=False) for s, f in setup.random_stores.items()}
        self._splits: dict[int, Split] = {}

    def split(self, seed: int) -> Split:
        """Give the division of one seed."""
        if seed not in self._splits:
            self._splits[seed] = split_of(self.study, self.setup.collection, seed)
        return self._splits[seed]

    def needs(self, job: Job) -> Needs:
        """Give what a dictionary's recipe asks for besides the tokens of its site."""
        return needs_of(recipe_of(self.study, job.dictionary), job.site)

    def read_by(self, job: Job) -> Activations:
        """Give the activations that a dictionary is trained on and then encodes.

        Rows are the same in the store of the random model: their order hangs on texts and tokenizer alone.
        """
        return (self._random_activations if self.needs(job).random_weights else self.activations)[job.site]

    def corpus_rows(self, site: str) -> Int[np.ndarray, " example"]:
        """Give the rows of the dictionary-training texts at a site."""
        return np.unique(self.activations[site].rows(self.setup.corpus))

    def example_rows(self, site: str) -> Int[np.ndarray, " example"]:
        """Give the rows of the labelled texts at a site."""
        return np.unique(self.activations[site].rows([example.text for example in self.setup.collection.examples]))

    def folder(self, job: Job) -> Path:
        """Give the folder of a dictionary: named by the hash of all that shapes it."""
        content = {
            **self.setup.makes(job.dictionary),
            **self.setup.reads(job.dictionary, [job.site], [job.seed]),
            "seed": job.seed,
            "activations": self.read_by(job).key,
            "corpus": self.setup.corpus_hash,
            "examples": self.setup.collection.hash,
        }
        if self.needs(job).labels:
            content["train"] = [example.id for example in self.split(job.seed).train]
        if target := self.needs(job).target:
            content["target"] = self.activations[target].key
        return self.setup.cache / "dictionaries" / f"{content['kind']}-{content_hash(content)[:24]}"

    def subject(self, dictionary: str | None, seed: int | None, split_seed: int) -> Subject:
        """Give what a trial looks at: the study's sites alone; dictionaries that are not prepared yet are left out.

        `seed` is the dictionary's; one that is trained on labels is that of the split, whatever `seed` says.
        """
        pooled: dict[str, PooledCodes] = {}
        sites = self.study.activations.sites
        for site in sites:
            if dictionary is None:
                continue
            job = Job(dictionary, site, seed or 0)
            job = job._replace(seed=split_seed) if self.needs(job).labels else job
            if (folder := self.folder(job)).is_dir():
                pooled[site] = _opened(folder)
        return Subject(
            model_name=self.study.model.name,
            allow_remote_code=self.study.model.allow_remote_code,
            activations={site: self.activations[site] for site in sites},
            cache=self.setup.cache / "pooled",
            dictionaries=pooled,
            max_tokens=self.study.activations.max_tokens,
        )


@cache
def _opened(folder: Path) -> PooledCodes:
    return open_pooled(folder)


def jobs(study: Study, seeds: range, sites: Mapping[str, tuple[str, ...]]) -> list[Job]:
    """Give the dictionaries to prepare: for each of the study, at its sites, with each seed that makes a difference.

    With seed 0 those to tune on, else those of the scored trials.
    """
    return [
        Job(name, site, seed)
        for name in study.dictionaries
        for site in sites.get(name, ())
        for seed in _seeds(study, name, site, seeds)
    ]


def _seeds(study: Study, dictionary: str, site: str, seeds: range) -> range:
    """Give those of the seeds that make a difference; what reads labels is made anew for every split."""
    if needs_of(recipe_of(study, dictionary), site).labels:
        return range(1) if 0 in seeds else range(1, study.trials.seeds + 1)
    own = dictionary_seeds(study, dictionary)
    return range(max(own.start, seeds.start), min(own.stop, seeds.stop))
