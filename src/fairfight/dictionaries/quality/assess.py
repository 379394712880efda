"""Measure dictionaries on texts: load, harvest, walk, compare; what was measured before is read from the cache."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.activations.harvest import harvest
from fairfight.activations.shards import Activations
from fairfight.dictionaries.check import Expected, check_loaded, check_read
from fairfight.dictionaries.contract import Dictionary, TokenSource
from fairfight.dictionaries.formats import NOTHING_GIVEN, Foreign, Given, Origin, format_of, load_any, located
from fairfight.dictionaries.formats import load as load_own
from fairfight.dictionaries.from_files import named
from fairfight.dictionaries.quality import record
from fairfight.dictionaries.quality.firing import is_dead
from fairfight.dictionaries.quality.intervals import Undefined
from fairfight.dictionaries.quality.loss import LossSums, loss_sums
from fairfight.dictionaries.quality.record import Settings, Side
from fairfight.dictionaries.quality.stability import compare, random_directions
from fairfight.dictionaries.quality.structure import (
    Directions,
    blocks_between,
    blocks_within,
    directions,
    largest_cosines,
)
from fairfight.dictionaries.quality.walk import Walk, held_tokens, mean_token, walk
from fairfight.errors import InputError, ModelError, SiteError, WidthMismatchError
from fairfight.ledger import read_json, write_json
from fairfight.models.language import with_head
from fairfight.models.load import Model
from fairfight.models.load import load as load_model
from fairfight.models.sites import locate, resolve
from fairfight.models.splice import Edit
from fairfight.records import content_hash
from fairfight.texts import read_texts

MEASURING_VERSION = 1
"""Raise it when a number would come out another: cached records are measured anew."""
_CHECKED_TOKENS = 32_768
"""Of how many tokens, at most, the ones are drawn on which dictionaries of others are checked."""
_FEW_TEXTS = 20
_SINK_RATIO = 5
"""First tokens that hold so many times the variance of an average token, and over half of all, are named."""


class Watcher(Protocol):
    """Who wants to know how it goes on."""

    def starts(self, stage: str, total: int) -> None:
        """A stage begins."""

    def advances(self, done: int) -> None:
        """So many steps of the stage are done."""


@dataclass(frozen=True, eq=False)
class _Subject:
    """A dictionary that is measured, and what came with it."""

    name: str
    folder: Path
    read: Foreign
    sha256: str

    @property
    def dictionary(self) -> Dictionary:
        """The dictionary itself."""
        return self.read.dictionary


@dataclass(frozen=True, eq=False)
class _Scene:
    """What all dictionaries are measured on."""

    model: Model
    site: str
    file: Path
    texts: list[str]
    activations: Activations
    settings: Settings

    @property
    def distinct(self) -> list[str]:
        """The texts without repetitions, in the order of the store's rows."""
        row_of = dict(zip(self.texts, self.activations.rows(self.texts), strict=True))
        return sorted(row_of, key=row_of.__getitem__)


def assess(
    folders: Sequence[Path],
    *,
    model: str,
    texts: Path,
    site: str,
    cache: Path,
    watcher: Watcher,
    settings: Settings,
    given: Given = NOTHING_GIVEN,
) -> dict[str, Any]:
    """Give the record (see `record`) of the dictionaries in `folders` on the texts of a file.

    A folder is whatever `formats.load_any` takes; what its files leave open stands in `given`. One that is not ours, whose
    checksums would tell, is checked on the texts' tokens before it is measured (`check.check_loaded`). An empty `site`
    means the one that the dictionaries' files name. Activations and finished records are kept in `cache`,
    so the same question asked twice is answered from there.

    Raises:
        InputError: a folder is no dictionary, one is not what was published, the texts cannot be read, or no file names
            the site.
        DictionaryError: a dictionary is damaged, or holds NaN.
        SiteError: the model has no such site.
        WidthMismatchError: a dictionary has another width than the site.
    """
    subjects = _subjects(folders, given)
    chosen = site or _common_site(subjects)
    lines = read_texts(texts)
    loaded = load_model(model)
    _check_places(subjects, loaded, chosen)
    scene = _Scene(
        loaded,
        str(resolve(loaded, chosen)),
        texts,
        lines,
        _harvested(loaded, lines, chosen, cache, settings, watcher),
        settings,
    )
    _check_published(subjects, scene.activations)
    key = _key(subjects, scene)
    kept = cache / "quality" / f"{key[:24]}.json"
    if not kept.is_file():
        write_json(kept, _measured(subjects, scene, watcher))
    return _record(
        subjects, scene, key, read_json(kept)
    )  # read back, so that the first answer is the later ones to the bit


def _subjects(folders: Sequence[Path], given: Given) -> list[_Subject]:
    read = [_read(folder, given) for folder in folders]
    for folder, own in zip(folders, read, strict=True):
        if own.dictionary.is_transcoder:
            raise InputError(
                f"{folder} holds a transcoder, which reads one site and gives another; here a dictionary is measured on the "
                "site that it gives back. Its card holds FVU, L0 and dead share against its own output."
            )
    plain = [
        f"{own.dictionary.kind}, seed {own.card.seed}" if own.card else f"{own.dictionary.kind} of {own.origin.library}"
        for own in read
    ]
    names = [f"{name}, {place + 1}" if plain.count(name) > 1 else name for place, name in enumerate(plain)]
    return [
        _Subject(name, folder, own, _sha256(own.dictionary))
        for name, folder, own in zip(names, folders, read, strict=True)
    ]


def _read(folder: Path, given: Given) -> Foreign:
    """Give a dictionary; of ours even where its card names no model or site, which others have to name."""
    with named(folder):
        path = located(folder)
        if format_of(path) != "own":
            return load_any(path, given=given)
        dictionary, card = load_own(path)
        origin = Origin("fairfight", dictionary.architecture, card.model, card.site, card.site or None)
        return Foreign(dictionary, origin, card=card)


def _sha256(dictionary: Dictionary) -> str:
    digest = hashlib.sha256(json.dumps(dictionary.cfg(), sort_keys=True, default=str).encode())
    for name, tensor in sorted(dictionary.tensors().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _common_site(subjects: Sequence[_Subject]) -> str:
    sites = {own.read.origin.site for own in subjects}
    if len(sites) == 1 and (found := sites.pop()):
        return found
    said = ", ".join(f"{own.folder}: {own.read.origin.site or 'no site that is read here'}" for own in subjects)
    raise SiteError(f"The files do not name one site ({said}). Say by --site where the dictionaries are measured.")


def _check_places(subjects: Sequence[_Subject], model: Model, site: str) -> None:
    width = locate(model, site).width
    for own in subjects:
        if own.dictionary.d_model != width:
            origin = own.read.origin
            raise WidthMismatchError(
                f"Activations of {model.name} at {site} have width {width}, but the dictionary {own.folder} takes "
                f"{own.dictionary.d_model}. Choose the model and site that it was trained on (its files say "
                f"{origin.model or 'no model'}, {origin.hook_name or 'no site'})."
            )
        if own.read.card is None:
            with named(own.folder):
                expected = Expected.of(own.read)
                check_read(own.dictionary, expected, site=str(resolve(model, site)), d_model=width)


def _check_published(subjects: Sequence[_Subject], activations: Activations) -> None:
    """Check on a sample of the tokens that dictionaries of others do what was published."""
    foreign = [own for own in subjects if own.read.card is None]
    if not foreign:
        return
    rows, memory_bytes = np.arange(len(activations.token_counts)), 4 * activations.d_model * _CHECKED_TOKENS
    tokens = TokenSource.from_activations(activations, rows, memory_bytes=memory_bytes)
    for own in foreign:
        with named(own.folder):
            check_loaded(own.dictionary, tokens, Expected.of(own.read))


def _harvested(
    model: Model, texts: Sequence[str], site: str, cache: Path, settings: Settings, watcher: Watcher
) -> Activations:
    done_before: list[int] = []

    def progress(done: int, total: int) -> None:
        if not done_before:
            watcher.starts("activations", total)
            done_before.append(0)
        watcher.advances(done - done_before[-1])
        done_before.append(done)

    found = harvest(model, texts, [site], cache / "activations", max_tokens=settings.max_tokens, progress=progress)
    return next(iter(found.values()))


def _key(subjects: Sequence[_Subject], scene: _Scene) -> str:
    return content_hash(
        {
            "version": [record.SCHEMA, MEASURING_VERSION],
            "activations": scene.activations.key,
            "dictionaries": [own.sha256 for own in subjects],
            "names": [own.name for own in subjects],
            "settings": dataclasses.asdict(scene.settings),
        }
    )


def _measured(subjects: Sequence[_Subject], scene: _Scene, watcher: Watcher) -> dict[str, Any]:
    """Give what depends on the key alone."""
    activations, settings = scene.activations, scene.settings
    mean = mean_token(activations)
    watcher.starts("reconstruction", activations.token_count * len(subjects))
    walks = [walk(own.dictionary, activations, mean, watcher.advances) for own in subjects]
    reconstructions = [record.reconstruction_of(own, activations.key, settings) for own in walks]
    found = [directions(own.dictionary.atoms) for own in subjects]
    atoms = _atoms(subjects, found, settings, watcher)
    losses = _losses(subjects, scene, mean, watcher)
    deviation = walks[0].sums["squared_deviation"].sum()
    return {
        "first_token_variance_share": float(walks[0].sums["first_squared_deviation"].sum() / deviation),
        "dictionaries": [
            {
                **reconstructions[place],
                "firing": record.firing_of(walks[place], settings),
                "atoms": atoms[place],
                "loss": losses.to_json()
                if isinstance(losses, Undefined)
                else record.loss_of(losses, own.name, activations.key, settings),
            }
            for place, own in enumerate(subjects)
        ],
        "stability": _stability(subjects, found, walks, settings, watcher),
    }


def _atoms(
    subjects: Sequence[_Subject], found: Sequence[Directions], settings: Settings, watcher: Watcher
) -> list[dict[str, Any]]:
    watcher.starts("atoms", sum(blocks_within(len(own.values)) for own in found))
    records = []
    for subject, own in zip(subjects, found, strict=True):
        is_absolute = subject.dictionary.is_signed
        if len(own.values) < 2:
            cosines = Undefined("fewer than two atoms have a direction")
        else:
            cosines = largest_cosines(own.values, is_absolute=is_absolute, advances=watcher.advances)
        records.append(record.atoms_of(own, cosines, settings, is_absolute=is_absolute))
    return records


def _losses(
    subjects: Sequence[_Subject], scene: _Scene, mean: Float[Tensor, " d_model"], watcher: Watcher
) -> LossSums | Undefined:
    if not scene.model.is_causal:
        return Undefined("not a causal model")
    try:
        language = with_head(scene.model)
    except ModelError as error:
        return Undefined(str(error))
    edits: dict[str, Edit] = {"mean": lambda x: mean.to(x.dtype).expand_as(x), "zero": torch.zeros_like}
    edits |= {own.name: _rebuilding(own.dictionary) for own in subjects}
    texts = scene.distinct
    watcher.starts("loss", len(texts))
    max_tokens = scene.settings.max_tokens
    return loss_sums(scene.model, language, texts, scene.site, edits, max_tokens=max_tokens, advances=watcher.advances)


def _rebuilding(dictionary: Dictionary) -> Callable[[Tensor], Tensor]:
    held = held_tokens(dictionary)
    return lambda x: torch.cat([dictionary.rebuild(part, dictionary.encode_sparse(part)) for part in x.split(held)])


def _stability(
    subjects: Sequence[_Subject],
    found: Sequence[Directions],
    walks: Sequence[Walk],
    settings: Settings,
    watcher: Watcher,
) -> dict[str, Any]:
    if len(subjects) < 2:
        return Undefined("one dictionary was given; give those of several seeds").to_json()
    if not all(len(own.values) for own in found):
        return Undefined("a dictionary has no atom that is not zero").to_json()
    sides = [
        Side(own.name, atoms.is_kept, ~is_dead(seen.firing))
        for own, atoms, seen in zip(subjects, found, walks, strict=True)
    ]
    is_absolute = all(own.dictionary.is_signed for own in subjects)
    pairs = list(combinations(range(len(subjects)), 2))
    sizes = [(len(found[first].values), len(found[second].values)) for first, second in [*pairs, pairs[0]]]
    watcher.starts("stability", sum(blocks_between(*size) + 1 for size in sizes))
    compared = [
        compare(found[first].values, found[second].values, is_absolute=is_absolute, advances=watcher.advances)
        for first, second in pairs
    ]
    width = subjects[0].dictionary.d_model
    drawn = [random_directions(size, width, "pair", place) for place, size in enumerate(sizes[-1])]
    reference = compare(drawn[0], drawn[1], is_absolute=is_absolute, advances=watcher.advances)
    return {
        "is_absolute": is_absolute,
        "pairs": [
            record.pair_of(own, [sides[place] for place in places], settings)
            for own, places in zip(compared, pairs, strict=True)
        ],
        "random": record.pair_of(reference, (), settings),
    }


def _record(subjects: Sequence[_Subject], scene: _Scene, key: str, measured: dict[str, Any]) -> dict[str, Any]:
    """Give the whole record: what was measured, and what it was measured on."""
    activations, model = scene.activations, scene.model
    return {
        "schema": record.SCHEMA,
        "key": key,
        "fairfight": version("fairfight"),
        "model": {
            "name": model.name,
            "revision": model.revision,
            "weights_sha256": model.weights_sha256,
            "is_causal": model.is_causal,
        },
        "site": scene.site,
        "texts": {
            "file": str(scene.file),
            "read": len(scene.texts),
            "distinct": len(activations.token_counts),
            "tokens": activations.token_count,
            "truncated": activations.truncated,
            "first_token_variance_share": measured["first_token_variance_share"],
        },
        "settings": dataclasses.asdict(scene.settings),
        "cautions": _cautions(subjects, scene, measured),
        "dictionaries": [
            {**_about(own), **numbers} for own, numbers in zip(subjects, measured["dictionaries"], strict=True)
        ],
        "stability": measured["stability"],
    }


def _about(own: _Subject) -> dict[str, Any]:
    return {
        "name": own.name,
        "folder": str(own.folder),
        "kind": own.dictionary.kind,
        "library": own.read.origin.library,
        "notes": list(own.read.notes),
        "seed": own.read.card.seed if own.read.card else None,
        "recipe": dict(own.read.card.recipe) if own.read.card else {},
        "latents": own.dictionary.latents,
        "d_model": own.dictionary.d_model,
        "is_signed": own.dictionary.is_signed,
        "sha256": own.sha256,
    }


def _cautions(subjects: Sequence[_Subject], scene: _Scene, measured: dict[str, Any]) -> list[str]:
    """Give what a reader should know before leaning on the numbers."""
    found = []
    for own in subjects:
        origin, card = own.read.origin, own.read.card
        if origin.model and origin.model != scene.model.name:
            found.append(f"{own.name} was trained on {origin.model}, and is measured on {scene.model.name}.")
        if origin.site and origin.site != scene.site:
            found.append(f"{own.name} was trained at {origin.site}, and is measured at {scene.site}.")
        if card and card.activations_key == scene.activations.key:
            found.append(f"{own.name} was trained on tokens of these very texts; on others it does worse.")
    cards = [own.read.card for own in subjects if own.read.card]
    if len(subjects) > 1 and len(cards) < len(subjects):
        found.append("Not every dictionary came with its recipe, so whether they are seeds of one is not known.")
    elif len({content_hash([card.kind, dict(card.recipe)]) for card in cards}) > 1:
        found.append("The dictionaries differ in recipe, so they are no seeds of one: stability compares recipes.")
    if len({own.sha256 for own in subjects}) < len(subjects):
        found.append("Some dictionaries are the same to the bit, so they say nothing about another seed.")
    texts = len(scene.activations.token_counts)
    if texts < _FEW_TEXTS:
        found.append(f"There are {texts} distinct texts; with fewer than {_FEW_TEXTS} intervals are too narrow.")
    if scene.activations.truncated:
        found.append(
            f"{scene.activations.truncated} texts were cut at the window ({scene.settings.max_tokens} tokens, or the model's own)."
        )
    share = measured["first_token_variance_share"]
    if share > max(0.5, _SINK_RATIO * texts / scene.activations.token_count):
        found.append(
            f"The first token of each text holds {100 * share:.0f} % of the variance (an attention sink), so FVU says "
            "mostly how well that one is rebuilt."
        )
    return found
