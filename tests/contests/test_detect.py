"""The contest keeps from a detector whatever could tell it a label."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from fairfight.conformance.small_world import world
from fairfight.contests.detect import play
from fairfight.contests.split import Split
from fairfight.errors import NonFiniteError, PluginError
from fairfight.meter import Meter
from fairfight.seeds import stream


class ByOrder:
    """Takes the second half for the positives."""

    def score(self, examples, views):
        return np.linspace(0.0, 1.0, len(examples))


class ById:
    """Takes for positive what calls itself so."""

    def score(self, examples, views):
        return np.array([float("positive" in name) for name in examples.ids])


class ByText:
    """Gives every text a number of its own."""

    def score(self, examples, views):
        return np.array([float(len(text)) + sum(map(ord, text)) / 1e6 for text in examples.texts])


@dataclass(frozen=True)
class Gives:
    """A method whose detector was made before."""

    family: ClassVar[str] = "floor"
    needs_dictionary: ClassVar[bool] = False
    detector: object

    def fit(self, train, views, chance):
        return self.detector

    def notes(self, detector):
        return {}


def sorted_by_label() -> Split:
    """A split with all examples in each part, the negatives first, under names that tell the label."""
    here = world().split
    examples = [*here.train, *here.validation, *here.calibration, *here.tests["test"]]
    rows = sorted(examples, key=lambda example: example.label)
    told = [replace(e, id=f"{'positive' if e.label else 'negative'} {n}") for n, e in enumerate(rows)]
    return here._replace(train=told, validation=told, calibration=told, tests={"test": told})


@pytest.mark.parametrize("cheat", [ByOrder(), ById()])
def test_neither_the_order_of_a_task_nor_its_ids_tell_labels(cheat):
    scored = play(Gives(cheat), sorted_by_label(), world().subject, stream("cheat"), is_sealed=False).scored
    for name, area in {"validation": scored.validation_auroc, **scored.test_auroc}.items():
        assert 0.35 < area < 0.65, f"{name}: {area}"


def test_scores_come_back_in_the_order_of_the_examples():
    here = world()
    scored = play(Gives(ByText()), here.split, here.subject, stream("order"), is_sealed=False).scored
    for name, part in here.split.tests.items():
        expected = ByText().score(type("Texts", (), {"texts": [example.text for example in part]}), None)
        np.testing.assert_allclose(scored.scores[name], expected.astype(np.float32), rtol=1e-7)


@pytest.mark.parametrize(("scores", "error"), [([0.0], PluginError), (None, NonFiniteError)])
def test_what_a_play_spent_stands_on_the_meter_although_it_fails(scores, error):
    class Broken:
        def score(self, examples, views):
            return np.full(len(examples), np.nan) if scores is None else scores

    here, meter = world(), Meter()
    with pytest.raises(error):
        play(Gives(Broken()), here.split, here.subject, stream("fails"), is_sealed=True, meter=meter)
    assert meter.cost().labels == len(here.split.train)
