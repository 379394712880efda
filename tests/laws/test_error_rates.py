"""How often the verdict errs on studies whose answer is known; `make bench-verdict` is the long form.

Bounds are those of the claim widened by three Monte Carlo standard errors of 200 studies: a share of 5 % is seen as at most
9.6 %, coverage of 93.5 % as at least 88.3 %.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fairfight.verdict.simulate import World, draw_study
from fairfight.verdict.statistics.words import interval, word_of

STUDIES = 200


def _designs():
    spec = importlib.util.spec_from_file_location(
        "bench_verdict", Path(__file__).parents[2] / "benchmarks" / "verdict.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.DESIGNS


DESIGNS = _designs()
SHORT = (
    "independent, one seed",
    "clustered",
    "few seeds",
    "two dictionary seeds",
    "saturated, one seed",
    "winner picked, one baseline",
)


def _within(share, studies, low, high):
    reach = [3 * np.sqrt(bound * (1 - bound) / studies) for bound in (low, high)]
    return low - reach[0] <= share <= high + reach[1]


@pytest.mark.parametrize("name", SHORT)
def test_a_study_without_a_difference_seldom_says_otherwise_and_intervals_hold_the_truth(name):
    world = DESIGNS[name].even()
    assert world.difference == pytest.approx(0.0, abs=1e-12)
    chance = np.random.default_rng([1, *name.encode()])
    found = [interval(draw_study(world, chance).estimate(), 0.95) for _ in range(STUDIES)]
    words = [word_of(low, high, 0.0) for low, high in found]
    assert _within(words.count("wins") / STUDIES, STUDIES, 0.0, 0.05)
    assert _within(words.count("loses") / STUDIES, STUDIES, 0.0, 0.05)
    assert _within(sum(low <= 0 <= high for low, high in found) / STUDIES, STUDIES, 0.935, 0.99)


def test_intervals_hold_a_true_difference_too():
    world, chance = World(advantage=0.3, contestants=1, clusters=120), np.random.default_rng(2)
    found = [interval(draw_study(world, chance).estimate(), 0.95) for _ in range(STUDIES)]
    assert world.difference > 0.03
    assert _within(sum(low <= world.difference <= high for low, high in found) / STUDIES, STUDIES, 0.935, 0.99)


def test_the_errors_that_studies_report_are_those_that_studies_make():
    world, chance = World(clusters=120).even(), np.random.default_rng(3)
    found = [draw_study(world, chance).estimate() for _ in range(STUDIES)]
    seen, said = np.std([own.value for own in found], ddof=1), np.sqrt(np.mean([own.error**2 for own in found]))
    assert said == pytest.approx(seen, rel=0.15)


def test_the_closed_form_of_the_truth_is_what_many_studies_average_to():
    world = World(advantage=0.5, clusters=400, cluster_deviation=0.7, seed_deviation=0.3, dictionary_deviation=0.2)
    chance = np.random.default_rng(4)
    values = [draw_study(world, chance).estimate().value for _ in range(100)]
    assert np.mean(values) == pytest.approx(world.difference, abs=3 * np.std(values) / 10)
