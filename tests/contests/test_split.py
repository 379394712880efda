"""How a seed divides the development examples."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fairfight.contests.examples import DEVELOPMENT, Collection, Example
from fairfight.contests.split import split

FAMILIES = ("", "role", "story", "poem", "plea")


def twins(pairs=30):
    rows = [
        Example(
            f"{p}{s}{f}",
            f"{p} {s} {f}",
            s,
            f"{p}-{s}",
            DEVELOPMENT if p < pairs - 6 else "test",
            {"jailbreak": f} if f else {},
            f"{p}",
        )
        for p in range(pairs)
        for s in (0, 1)
        for f in FAMILIES
    ]
    return Collection(tuple(rows), ("test",))


@given(st.integers(0, 1000), st.sampled_from([0.2, 0.34, 0.5]), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_groups_never_straddle_and_left_out_families_stay_in_validation(seed, share, families):
    parts = split(twins(), seed, validation_share=share, left_out_families=families)
    train, held = ({e.side_key for e in part} for part in (parts.train, [*parts.validation, *parts.calibration]))
    assert not train & held
    assert len(parts.left_out) == families
    assert {e.tags.get("jailbreak") for e in parts.validation} == set(parts.left_out)
    assert not {e.tags.get("jailbreak") for e in (*parts.train, *parts.calibration)} & set(parts.left_out)


def test_tests_are_the_same_for_every_seed_and_the_rest_is_not():
    one, other = (split(twins(), seed, validation_share=0.34, left_out_families=2) for seed in (1, 2))
    assert one.tests == other.tests
    assert one.train != other.train


def test_without_families_validation_is_in_distribution():
    plain = Collection(
        tuple(Example(e.id, e.text, e.label, e.cluster, e.set, {}, e.group) for e in twins().examples), ("test",)
    )
    parts = split(plain, 0, validation_share=0.34, left_out_families=2)
    assert parts.left_out == ()
    assert parts.validation == parts.calibration
