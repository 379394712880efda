"""What every method must pass."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from fairfight.conformance.small_world import POOLINGS, SITE, global_chance, small, world
from fairfight.contests.detect import DetectMethod, play
from fairfight.contests.examples import Examples, labelled, unlabelled
from fairfight.contests.views import Views
from fairfight.meter import Meter
from fairfight.seeds import stream
from fairfight.trials.plan import method_class


def keeps_the_contract(name: str, folder: Path) -> None:
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


def gives_the_same_bits_twice(name: str, folder: Path) -> None:
    """The same seed gives the same scores to the bit."""
    made, here = small("methods", name, folder), world()
    first, second = (play(made, here.split, here.subject, stream("conformance"), is_sealed=False) for _ in range(2))
    assert first.scored == second.scored, f"{name} scores differ between two plays of one seed"
    assert first.cost == second.cost, f"{name} costs differ between two plays of one seed"


def scores_each_text_by_itself(name: str, folder: Path) -> None:
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


def leaves_its_inputs_alone(name: str, folder: Path) -> None:
    """Fitting changes no label, and no global state of chance."""
    made, here = small("methods", name, folder), world()
    train = labelled(here.split.train)
    before, chance = train.labels.copy(), global_chance()
    made.fit(train, Views(here.subject, Meter()), stream("conformance"))
    assert (train.labels == before).all(), f"{name}.fit changes the labels"
    assert global_chance() == chance, f"{name}.fit draws from a global generator: draw from the one it was given"


def pays(name: str, folder: Path) -> None:
    """A play costs labels, and fitting or model passes: nothing is free."""
    made, here = small("methods", name, folder), world()
    cost = play(made, here.split, here.subject, stream("conformance"), is_sealed=True).cost
    assert cost.labels == len(here.split.train), f"{name} was charged {cost.labels} labels"
    assert cost.fit_flops > 0, f"{name} charges nothing for fitting: call views.meter.charge_fit or counting_torch"
    reads_activations = "site" in {field.name for field in dataclasses.fields(made)}
    assert not reads_activations or cost.forward_flops > 0, f"{name} read activations without a model pass"
