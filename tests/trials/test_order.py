"""Few configurations of many: any beginning is even, and methods share the luck of what is tried."""

import itertools
import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fairfight.trials.order import even_order

sizes = st.dictionaries(st.sampled_from(["site", "pooling", "penalty", "k", "is_standardised"]), st.integers(1, 4))


def space(**counts):
    return {name: tuple(range(count)) for name, count in counts.items()}


def first(count, **counts):
    return list(itertools.islice(even_order(space(**counts)), count))


@given(sizes)
def test_every_configuration_comes_once_in_the_order_of_its_settings(counts):
    found = list(even_order(space(**counts)))
    assert all(list(settings) == list(counts) for settings in found)
    assert len({tuple(settings.values()) for settings in found}) == len(found) == math.prod(counts.values())


@given(sizes, st.data())
def test_any_beginning_visits_each_place_equally_often(counts, data):
    found = list(even_order(space(**counts)))
    part = found[: data.draw(st.integers(1, len(found)))]
    visits = Counter((settings.get("site"), settings.get("pooling")) for settings in part)
    places = counts.get("site", 1) * counts.get("pooling", 1)
    assert max(visits.values()) - (min(visits.values()) if len(visits) == places else 0) <= 1


def test_eight_of_many_hold_each_value_and_no_two_settings_go_together():
    found = first(8, site=4, pooling=2, penalty=8, is_standardised=2)
    for name, count in {"site": 4, "pooling": 2, "penalty": 8, "is_standardised": 2}.items():
        assert set(Counter(settings[name] for settings in found).values()) == {8 // count}
    for one, two in itertools.combinations(("site", "pooling", "is_standardised"), 2):
        cells = Counter((settings[one], settings[two]) for settings in found)
        assert max(cells.values()) - min(cells.values()) <= 1


def test_methods_with_the_same_settings_try_the_same_and_all_share_the_order_of_places():
    probe, sparse = first(9, site=3, pooling=3, penalty=8), first(9, site=3, pooling=3, k=6)
    assert [(s["site"], s["pooling"]) for s in probe] == [(s["site"], s["pooling"]) for s in sparse]
    assert first(9, penalty=8, pooling=3, site=3) == probe


def test_a_space_without_places_and_one_without_choices():
    assert sorted(s["rank"] for s in first(9, rank=3)) == [0, 1, 2]
    assert list(even_order({})) == [{}]
