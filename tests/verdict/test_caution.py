"""A reader is warned of whatever keeps a fight from being fair."""

import pytest

from fairfight.study import Question
from fairfight.verdict.decide import judge

QUESTION = Question(name="main", replicates=200)


def skills(planted, *more, dictionary_seeds=(0, 1, 2)):
    """A contestant, a baseline, a rival, and more."""
    return [
        planted.skill("probe[sae]", "dictionary", 2.5, 2.5, dictionary_seeds=dictionary_seeds),
        planted.skill("probe", "baseline", 2.0, 2.0),
        planted.skill("probe[kmeans]", "rival", 1.0, 1.0, dictionary_seeds=dictionary_seeds),
        *(planted.skill(f"probe[{name}]", "control", 0.5, 0.5) for name in more),
    ]


@pytest.fixture
def warned(planted, tmp_path):
    """Give the warnings of a planted world whose run.json says more."""

    def warn(world, question=QUESTION, **more):
        ledger = planted.build(tmp_path, world)
        ledger.write_run({**ledger.run(), **more})
        return " ".join(judge(ledger, question).warnings)

    return warn


def test_a_fair_field_draws_no_warning_of_an_unfair_one(planted, warned):
    counts = {"probe[sae]": 8, "probe": 8, "probe[kmeans]": 8}
    world = planted.World(skills=skills(planted, "random", "frozen", "shuffled", "pca", "neurons"))
    found = warned(world, configurations=counts, missing_families=[])
    assert not any(word in found for word in ("control", "unequally", "families", "dictionary seed"))


def test_missing_families_are_named(planted, warned):
    found = warned(planted.World(skills=skills(planted)), missing_families=["finetuning", "floor"])
    assert "lacks baselines of these families: finetuning, floor" in found


def test_missing_controls_are_named_for_the_side_that_needs_them(planted, warned):
    world = planted.World(skills=skills(planted, "pca"))
    assert "No control dictionary of these kinds was played: random, frozen, shuffled, neurons." in warned(world)
    assert "kinds was played: random, frozen, neurons." in warned(world, reads={"probe": "codes"})
    rival = QUESTION.model_copy(update={"challenger": "rival"})
    assert "No control" not in warned(world, rival)


@pytest.mark.parametrize(("seeds", "words"), [((0, 1), "Only 2 dictionary seed(s)"), ((0, 1, 2), "")])
def test_few_dictionary_seeds_are_said(planted, warned, seeds, words):
    found = warned(planted.World(skills=skills(planted, dictionary_seeds=seeds)))
    assert words in found
    assert ("dictionary seed(s)" in found) == bool(words)


def test_sides_tuned_unequally_are_said_with_both_totals(planted, warned):
    world, counts = planted.World(skills=skills(planted)), {"probe[sae]": 80, "probe": 80, "probe[kmeans]": 40}
    assert "unequally" not in warned(world, configurations=counts)
    found = warned(world, QUESTION.model_copy(update={"defender": "rival"}), configurations=counts)
    assert "the dictionary side tried 80 configurations in all, the rival side 40" in found
