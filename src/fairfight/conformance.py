"""What every plug-in must pass, a stranger's too.

A check is a function of a plug-in's name (and a small world to play in) that raises AssertionError with a sentence.
`tests/conformance` runs every check on every plug-in that the registry finds; set `FAIRFIGHT_PLUGINS` to a folder of
yours and `python -m pytest tests/conformance` covers it, with no edit anywhere.

A plug-in whose defaults are too large or incomplete for a quick check gives a smaller one through an optional
classmethod `small(cls, folder: Path)`.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import pickle
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file

from fairfight import registry
from fairfight.activations.harvest import harvest
from fairfight.contests.detect import DetectMethod, play
from fairfight.contests.examples import DEVELOPMENT, Collection, Example, Examples, admit, labelled, unlabelled
from fairfight.contests.split import Split, split
from fairfight.contests.views import Subject, Views
from fairfight.dictionaries.contract import Card, Dictionary, TokenSource
from fairfight.dictionaries.formats import format_of, load_any, save
from fairfight.dictionaries.formats import load as load_dictionary
from fairfight.dictionaries.pooled import open_pooled, pool_codes
from fairfight.dictionaries.tokens import Attribute
from fairfight.dictionaries.train import Trained, train
from fairfight.errors import FairfightError, WidthMismatchError
from fairfight.meter import Meter
from fairfight.models.load import DEFAULT, load
from fairfight.seeds import stream
from fairfight.trials.plan import method_class

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


# Tasks.


def task_is_admitted_and_repeats_itself(name: str, folder: Path) -> None:
    """The collection passes the contest's checks, and is the same when asked for twice."""
    task = small("tasks", name, folder)
    first, second = admit(task.collection()), task.collection()
    assert first.hash == second.hash, f"{name}.collection() differs between two calls: draw from fairfight.seeds.stream"


def task_gives_no_test_text_to_dictionaries(name: str, folder: Path) -> None:
    """The unlabelled texts are not test texts."""
    task = small("tasks", name, folder)
    tests = {example.text for example in task.collection().examples if example.set != DEVELOPMENT}
    leaked = [text for text in task.unlabelled() if text in tests]
    assert not leaked, f"{name}.unlabelled() gives {len(leaked)} test texts, first {leaked[0][:50]!r}"


def task_splits_without_leaks(name: str, folder: Path) -> None:
    """No cluster stands on both sides of a split, for several seeds."""
    collection = small("tasks", name, folder).collection()
    for seed in range(3):
        parts = split(collection, seed, validation_share=0.34, left_out_families=2)
        train = {example.side_key for example in parts.train} | {example.cluster for example in parts.train}
        for other in (parts.validation, parts.calibration, *parts.tests.values()):
            shared = train & ({example.side_key for example in other} | {example.cluster for example in other})
            assert not shared, f"seed {seed}: {sorted(shared)[:3]} stand in training and elsewhere"


# Methods.


def method_keeps_the_contract(name: str, folder: Path) -> None:
    """The class has its parts, its settings are frozen, its space names fields only."""
    plugin = method_class(name)
    # Looked for in the class itself: a dataclass that it inherits from knows nothing of the settings that it adds.
    options = vars(plugin).get("__dataclass_params__")
    assert options, f"{name} is no dataclass: put @dataclass(frozen=True) above its class"
    assert options.frozen, f"{name} is a dataclass that is not frozen: put @dataclass(frozen=True) above its class"
    made = small("methods", name, folder)
    assert isinstance(made, DetectMethod), f"{name} lacks a part of DetectMethod"
    fields = {field.name for field in dataclasses.fields(plugin)}
    unknown = set(plugin.space((SITE,), POOLINGS)) - fields
    assert not unknown, f"{name}.space names {sorted(unknown)}, which are no fields"
    assert np.isfinite(made.strength), f"{name}.strength must be a finite number"


def method_gives_the_same_bits_twice(name: str, folder: Path) -> None:
    """The same seed gives the same scores to the bit."""
    made, here = small("methods", name, folder), world()
    first, second = (play(made, here.split, here.subject, stream("conformance"), is_sealed=False) for _ in range(2))
    assert first.scored == second.scored, f"{name} scores differ between two plays of one seed"
    assert first.cost == second.cost, f"{name} costs differ between two plays of one seed"


def method_scores_each_text_by_itself(name: str, folder: Path) -> None:
    """A score hangs neither on the order of the texts nor on the others in the batch."""
    made, here = small("methods", name, folder), world()
    views = Views(here.subject, Meter())
    detector = made.fit(labelled(here.split.train), views, stream("conformance"))
    examples = unlabelled(here.split.calibration)
    whole = detector.score(examples, views)
    some = np.arange(len(examples))[::-3]
    part = detector.score(Examples(tuple(examples.ids[i] for i in some), tuple(examples.texts[i] for i in some)), views)
    spread = float(np.abs(whole).max()) or 1.0
    assert np.abs(whole[some] - part).max() <= 1e-4 * spread, f"{name} scores a text differently in other company"


def _global_chance() -> tuple[str, str, str]:
    """Give the states of all generators that nobody may draw from."""
    import sklearn.utils  # noqa: F401  one of its parts draws from Python's generator when it is imported

    numpys = np.random.get_state(legacy=False)  # noqa: NPY002
    return str(torch.get_rng_state().tolist()), repr(numpys), repr(random.getstate())


def method_leaves_its_inputs_alone(name: str, folder: Path) -> None:
    """Fitting changes no label, and no global state of chance."""
    made, here = small("methods", name, folder), world()
    train = labelled(here.split.train)
    before, chance = train.labels.copy(), _global_chance()
    made.fit(train, Views(here.subject, Meter()), stream("conformance"))
    assert (train.labels == before).all(), f"{name}.fit changes the labels"
    assert _global_chance() == chance, f"{name}.fit draws from a global generator: draw from the one it was given"


def method_pays(name: str, folder: Path) -> None:
    """A play costs labels, and fitting or model passes: nothing is free."""
    made, here = small("methods", name, folder), world()
    cost = play(made, here.split, here.subject, stream("conformance"), is_sealed=True).cost
    assert cost.labels == len(here.split.train), f"{name} was charged {cost.labels} labels"
    assert cost.fit_flops > 0, f"{name} charges nothing for fitting: call views.meter.charge_fit or counting_torch"
    reads_activations = "site" in {field.name for field in dataclasses.fields(made)}
    assert not reads_activations or cost.forward_flops > 0, f"{name} read activations without a model pass"


# Dictionary kinds.


def kind_makes_a_dictionary(name: str, folder: Path) -> None:
    """Shapes, signs and costs are what the dictionary says."""
    dictionary, x = _trained(name, folder, seed=0).dictionary, _tokens().values[:64]
    codes = dictionary.encode(x)
    kinds = registry.places("kinds")
    assert dictionary.kind in kinds, f"{name} makes a dictionary of kind '{dictionary.kind}', which no file restores"
    assert codes.shape == (64, dictionary.latents), f"{name} gives codes of shape {tuple(codes.shape)}"
    assert dictionary.decode(codes).shape == (64, dictionary.d_out), f"{name} does not decode to d_out"
    assert dictionary.rebuild(x, codes).shape == (64, dictionary.d_out), f"{name} does not rebuild to d_out"
    assert dictionary.is_transcoder or dictionary.d_out == x.shape[1], f"{name} gives tokens of another width"
    assert dictionary.atoms.shape == (dictionary.latents, dictionary.d_out), f"{name} has atoms of another shape"
    assert dictionary.is_signed or (codes >= 0).all(), f"{name} gives negative codes and says is_signed = False"
    is_identity = codes.shape == x.shape and torch.equal(codes, x)
    assert dictionary.encode_flops_per_token > 0 or is_identity, f"{name} encodes for nothing"
    assert torch.isfinite(codes).all(), f"{name} gives codes that are not finite"


def kind_encodes_the_same_without_zeros(name: str, folder: Path) -> None:
    """Sparse codes are the codes to the bit: no zero, latents ascending; and they decode alike, but for rounding."""
    dictionary, x = _trained(name, folder, seed=0).dictionary, _tokens().values[:64]
    codes, sparse = dictionary.encode(x), dictionary.encode_sparse(x)
    assert torch.equal(sparse.dense(), codes), f"{name}.encode_sparse gives other codes than encode"
    assert sparse.values.all(), f"{name}.encode_sparse keeps codes that are zero"
    is_new_token = torch.zeros(len(sparse.latents) + 1, dtype=torch.bool).index_fill_(0, sparse.offsets, value=True)
    falls = (sparse.latents.diff() <= 0) & ~is_new_token[1:-1]
    assert not falls.any(), f"{name}.encode_sparse gives latents of a token that do not ascend"
    x_hat = dictionary.decode(codes)
    apart = (dictionary.decode(sparse) - x_hat).norm() / x_hat.norm()
    assert apart < 1e-5, f"{name} decodes sparse codes to other tokens than dense ones"


def kind_refuses_another_width(name: str, folder: Path) -> None:
    """A token of another width is an error of ours."""
    dictionary = _trained(name, folder, seed=0).dictionary
    try:
        dictionary.encode(torch.zeros(2, dictionary.d_model + 1))
    except WidthMismatchError:
        return
    raise AssertionError(f"{name} encodes tokens of another width")


def kind_comes_back_from_its_folder(name: str, folder: Path) -> None:
    """Saved and loaded, it gives the same codes to the bit."""
    dictionary, card = _trained(name, folder, seed=0)
    save(dictionary, card, folder / "saved")
    again = load_dictionary(folder / "saved")
    x = _tokens().values[:64]
    assert again.card == card, f"{name} has another card after a round trip"
    assert torch.equal(again.dictionary.encode(x), dictionary.encode(x)), f"{name} gives other codes after a round trip"


def kind_gives_the_same_bits_twice(name: str, folder: Path) -> None:
    """The same seed gives the same dictionary; another seed another one, unless it says that seeds make no difference.

    And training draws from no generator that others draw from too.
    """
    x = _tokens().values[:64]
    first = _trained(name, folder, seed=0).dictionary.encode(x)
    before = _global_chance()
    second, other = (_trained(name, folder, seed=seed).dictionary.encode(x) for seed in (0, 1))
    assert _global_chance() == before, f"{name}.train draws from a global generator: draw from fairfight.seeds"
    assert torch.equal(first, second), f"{name} differs between two trainings with one seed"
    is_seeded = small("kinds", name, folder).is_seeded
    assert torch.equal(first, other) != is_seeded, f"{name} says is_seeded = {is_seeded}, and seeds say otherwise"


# Formats. `small(folder)` of a format writes a small dictionary as its library does.


def format_recognises_its_own_and_no_other(name: str, folder: Path) -> None:
    """Its own dictionary is read by it, and those of all other formats are not."""
    for other in registry.places("formats"):
        found = format_of(_specimen(other, folder / other))
        assert (found == name) == (other == name), f"a dictionary of {other} is taken for one of {found}"


def format_reads_what_our_folder_can_keep(name: str, folder: Path) -> None:
    """It says where its dictionary is from, and what it reads gives the same codes to the bit when kept as ours."""
    dictionary, origin, *_ = load_any(_specimen(name, folder / "theirs"))
    assert all((origin.library, origin.architecture, origin.model, origin.hook_name)), f"{name} leaves its origin open"
    x = _any_tokens(dictionary)
    codes = dictionary.encode(x)
    assert torch.isfinite(codes).all() and codes.any(), f"{name} reads codes that are not finite, or all zero"  # noqa: PT018
    card = Card(dictionary.kind, {}, 0, origin.site or "", origin.model, "", None, None, None, 0.0, 0.0, 0.0)
    save(dictionary, card, folder / "ours")
    again = load_dictionary(folder / "ours").dictionary
    assert torch.equal(again.encode(x), codes), (
        f"{name} reads a dictionary that has other codes when it was kept as ours"
    )
    assert torch.equal(again.rebuild(x, codes), dictionary.rebuild(x, codes)), (
        f"{name}: kept as ours it decodes otherwise"
    )


def format_refuses_files_that_are_cut(name: str, folder: Path) -> None:
    """Half a file, and an empty one, are an error of ours that names it."""
    path = _specimen(name, folder)
    for file in _files_in(folder):
        whole = file.read_bytes()
        for kept in (len(whole) // 2, 0):
            file.write_bytes(whole[:kept])
            _check_refused(path, f"{name}: {file.name}, of which {kept} of {len(whole)} bytes are left")
        file.write_bytes(whole)


def format_refuses_renamed_tensors_and_nan(name: str, folder: Path) -> None:
    """A tensor under another name, and one that holds NaN, are an error of ours."""
    path = _specimen(name, folder)
    for file in [file for file in _files_in(folder) if file.suffix in _TENSORS]:
        whole, tensors = file.read_bytes(), _TENSORS[file.suffix].read(file)
        for own, value in tensors.items():
            others = {other: tensors[other] for other in tensors if other != own}
            _TENSORS[file.suffix].write(others | {f"{own}_": value}, file)
            _check_refused(path, f"{name}: {file.name}, in which '{own}' is called '{own}_'")
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                _TENSORS[file.suffix].write(others | {own: torch.full_like(value, torch.nan)}, file)
                _check_refused(path, f"{name}: {file.name}, in which '{own}' is NaN")
        file.write_bytes(whole)


def format_takes_no_entry_on_trust(name: str, folder: Path) -> None:
    """Of a JSON file each entry may be gone, a nonsense word or 10^9: it is refused, or it makes no difference to codes."""
    path = _specimen(name, folder)
    dictionary = load_any(path).dictionary
    x = _any_tokens(dictionary)
    codes = dictionary.encode(x)
    for file in [file for file in _files_in(folder) if file.suffix == ".json"]:
        whole = file.read_text()
        for entry, changed in _changed_entries(json.loads(whole)):
            file.write_text(json.dumps(changed))
            if isinstance(_refusal(path), FairfightError):
                continue
            found = load_any(path).dictionary.encode(x)
            assert torch.equal(found, codes), f"{name} reads other codes where {file.name} has {entry}"
        file.write_text(whole)


def format_opens_no_pickle_that_calls(name: str, folder: Path) -> None:
    """A pickle with code in it, in the place of any of its files, is an error of ours, and the code does not run."""
    path = _specimen(name, folder / "theirs")
    for file in _files_in(folder / "theirs"):
        whole = file.read_bytes()
        for write in (lambda bomb, to: to.write_bytes(pickle.dumps(bomb, protocol=2)), torch.save):
            write({"latent_bias": _Bomb(folder / "exploded")}, file)
            error = _refusal(path)
            assert not (folder / "exploded").exists(), f"{name} runs the code that a {file.name} holds ({error!r})"
            _check_refused(path, f"{name}: {file.name}, which is a pickle with code in it")
        file.write_bytes(whole)


Check = Callable[[str, Path], None]
CHECKS: dict[registry.Shelf, tuple[Check, ...]] = {
    "tasks": (task_is_admitted_and_repeats_itself, task_gives_no_test_text_to_dictionaries, task_splits_without_leaks),
    "methods": (
        method_keeps_the_contract,
        method_gives_the_same_bits_twice,
        method_scores_each_text_by_itself,
        method_leaves_its_inputs_alone,
        method_pays,
    ),
    "kinds": (
        kind_makes_a_dictionary,
        kind_encodes_the_same_without_zeros,
        kind_refuses_another_width,
        kind_comes_back_from_its_folder,
        kind_gives_the_same_bits_twice,
    ),
    "formats": (
        format_recognises_its_own_and_no_other,
        format_reads_what_our_folder_can_keep,
        format_refuses_files_that_are_cut,
        format_refuses_renamed_tensors_and_nan,
        format_takes_no_entry_on_trust,
        format_opens_no_pickle_that_calls,
    ),
}


@cache
def _tokens() -> TokenSource:
    """Give tokens with everything that a recipe may need besides."""
    chance = torch.Generator().manual_seed(7)
    planted = torch.nn.functional.normalize(torch.randn(40, 24, generator=chance), dim=1)
    codes = torch.relu(torch.randn(3000, 40, generator=chance) - 1.2)
    tokens = TokenSource.from_tensor(codes @ planted + 0.05 * torch.randn(3000, 24, generator=chance))
    speaks = Attribute(("no", "yes"), (codes[:, 0] > 0).long())
    loudest = Attribute(tuple(map(str, range(5))), codes[:, 1:6].argmax(dim=1))
    others = torch.randn(40, 24, generator=chance)
    return dataclasses.replace(
        tokens, has_random_weights=True, attributes={"label": speaks, "loudest": loudest}, target=codes @ others
    )


def _trained(name: str, folder: Path, *, seed: int) -> Trained:
    return train(small("kinds", name, folder), _tokens(), seed)


def _specimen(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return small("formats", name, folder)


def _files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _any_tokens(dictionary: Dictionary) -> Float[torch.Tensor, "token d_model"]:
    return torch.randn(32, dictionary.d_model, generator=torch.Generator().manual_seed(3))


def _refusal(path: Path) -> Exception | None:
    """Give the error, of ours or not, that a dictionary is refused with, or None where it is read."""
    try:
        load_any(path)
    except Exception as error:
        return error
    return None


def _check_refused(path: Path, what: str) -> None:
    error = _refusal(path)
    assert isinstance(error, FairfightError), f"{what}: is read, or is no error of ours ({error!r})"


def _changed_entries(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what a JSON object becomes by each change to one of its entries, or of the objects inside, and say which."""
    for name, value in content.items():
        others = {other: content[other] for other in content if other != name}
        yield f"no '{name}'", others
        for other in ("nonsense", 10**9):
            yield f"'{name}' = {other!r}", {**content, name: other}
        if isinstance(value, dict):
            yield from ((f"{entry} in '{name}'", {**content, name: inner}) for entry, inner in _changed_entries(value))


class _Tensors(NamedTuple):
    """How named tensors are read from a file and written to it."""

    read: Callable[[Path], dict[str, Any]]
    write: Callable[[dict[str, Any], Path], None]


_TENSORS = {
    ".safetensors": _Tensors(load_file, save_file),
    ".pt": _Tensors(lambda file: torch.load(file, weights_only=True), torch.save),
    ".npz": _Tensors(
        lambda file: {name: torch.from_numpy(value) for name, value in np.load(file).items()},
        lambda tensors, file: np.savez(file, **{name: value.numpy() for name, value in tensors.items()}),
    ),
}


class _Bomb:
    """What makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self._trace,)


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
