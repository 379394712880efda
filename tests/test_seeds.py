"""Named streams: same name, same bits; and no name runs into another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairfight.seeds import seed_of, stream, torch_stream


def test_the_same_name_gives_the_same_bits():
    assert (stream("a", 1).random(5) == stream("a", 1).random(5)).all()
    assert torch_stream("a").initial_seed() == torch_stream("a").initial_seed()


@given(
    st.lists(st.text(alphabet="ab1", min_size=1), min_size=1, max_size=3),
    st.lists(st.text(alphabet="ab1", min_size=1), min_size=1, max_size=3),
)
def test_different_names_give_different_seeds(one, other):
    assert (seed_of(*one) == seed_of(*other)) == (one == other)


def test_a_name_with_the_parting_character_is_refused():
    with pytest.raises(ValueError, match="parts names"):
        seed_of("a\x1fb", "c")


def test_a_seed_fits_torch():
    assert 0 <= seed_of("x") < 2**63
