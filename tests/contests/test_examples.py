"""What a fair contest refuses."""

from dataclasses import replace

import numpy as np
import pytest

from fairfight.contests.examples import Collection, Example, admit, permute_labels
from fairfight.errors import DataError, EmptyClassError, LabelError, LeakError


def collection(*extra):
    base = [
        Example(f"{name}{i}", f"{name} text {i} of class {i % 2}", i % 2, f"{name}{i}", name)
        for name in ("development", "test")
        for i in range(8)
    ]
    return Collection((*base, *extra), ("test",))


def test_a_sound_collection_is_admitted():
    assert admit(collection()) == collection()


@pytest.mark.parametrize("label", [2, -1, 0.5, True, "1"])
def test_a_label_that_is_not_0_or_1_is_refused(label):
    with pytest.raises(LabelError, match="labels are 0 or 1"):
        admit(collection(Example("x", "more", label, "x", "test")))


def test_an_empty_class_is_refused_and_the_set_named():
    only = tuple(e for e in collection().examples if e.set != "test" or e.label == 0)
    with pytest.raises(EmptyClassError, match="'test' has 4 examples and no positive one"):
        admit(Collection(only, ("test",)))


def test_a_duplicate_text_across_splits_is_refused_whatever_its_spaces_and_capitals():
    with pytest.raises(LeakError, match="Duplicate text across splits"):
        admit(collection(Example("x", "Development  TEXT 0 of class 0", 0, "x", "test")))


def test_a_duplicate_text_that_a_split_could_part_is_refused():
    twice = Example("x", "development  TEXT 0 of class 0", 0, "x", "development")
    with pytest.raises(LeakError, match=r"'x' and 'development0' are the same text .* one cluster"):
        admit(collection(twice))
    admit(collection(replace(twice, cluster="development0")))
    admit(collection(replace(twice, text="test text 0 of class 0", set="test")))


def test_one_text_with_two_labels_is_refused():
    with pytest.raises(LeakError, match="different labels"):
        admit(collection(Example("x", "test text 0 of class 0", 1, "x", "test")))


def test_a_cluster_that_straddles_splits_is_refused():
    with pytest.raises(LeakError, match=r"'cluster development0' straddles splits"):
        admit(collection(Example("x", "fresh", 0, "development0", "test")))


def test_a_group_that_straddles_splits_is_refused():
    twin = replace(collection().examples[0], id="twin", text="fresh", cluster="fresh", set="test", group="development1")
    with pytest.raises(LeakError, match="'group development1' straddles"):
        admit(collection(twin))


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (Example("test0", "fresh", 0, "x", "test"), "ids occur more than once"),
        (Example("x", "  \n", 0, "x", "test"), "empty text"),
        (Example("x", "fresh", 0, "x", "tset"), "in the set 'tset'"),
    ],
)
def test_other_damage_is_named(extra, words):
    with pytest.raises(DataError, match=words):
        admit(collection(extra))


def test_permuted_labels_keep_clusters_whole_and_class_counts():
    many = Collection(
        tuple(
            Example(f"{s}{c}{v}", f"{s} {c} {v}", c % 2, f"{s}{c}", s)
            for s in ("development", "test")
            for c in range(40)
            for v in range(3)
        ),
        ("test",),
    )
    moved = permute_labels(many, np.random.default_rng(0))
    for side in ("development", "test"):
        before, after = ([(e.cluster, e.label) for e in c.examples if e.set == side] for c in (many, moved))
        assert len({cluster for cluster, _ in after}) == len(set(after)), "a cluster has one label"
        assert sum(label for _, label in before) == sum(label for _, label in after)
        assert before != after
