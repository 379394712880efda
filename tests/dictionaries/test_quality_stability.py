"""Stability: permutations are perfect, the matching is the best there is, random directions are what theory says."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from fairfight.dictionaries.quality.stability import compare, match, of_alive, random_directions
from fairfight.errors import EmptyBatchError


def test_the_same_atoms_in_another_order_are_all_found_again():
    atoms = random_directions(30, 8, "a")
    pair = compare(atoms, atoms.flip(0), is_absolute=False)
    for cosines in pair:
        assert match(cosines, threshold=0.99) == (30, pytest.approx(1), 1.0)


def test_opposite_atoms_are_found_again_where_codes_are_signed_only():
    atoms = random_directions(6, 40, "a")
    assert match(compare(atoms, -atoms, is_absolute=True).assigned, threshold=0.99).matched_share == 1
    assert match(compare(atoms, -atoms, is_absolute=False).assigned, threshold=0.99).matched_share == 0


def test_one_sided_matches_may_share_an_atom_and_assigned_ones_may_not():
    """Both atoms of the first are (1, 0); one to one, the second of them has only (0, 1) left, at cosine 0."""
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    second = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    pair = compare(first, second, is_absolute=False)
    assert pair.first.tolist() == [1, 1]
    assert pair.second.tolist() == [1, 0]
    assert sorted(pair.assigned.tolist()) == [0, 1]
    assert match(pair.assigned, threshold=0.7) == (2, 0.5, 0.5)


@given(some.integers(0, 10**6))
def test_no_other_one_to_one_matching_has_a_larger_sum(seed):
    first, second = random_directions(5, 3, "first", seed), random_directions(5, 3, "second", seed)
    cosines = (first @ second.T).numpy()
    best = max(cosines[np.arange(5), order].sum() for order in map(list, permutations(range(5))))
    assert compare(first, second, is_absolute=False).assigned.sum() == pytest.approx(best, abs=1e-5)


@given(some.integers(1, 9), some.integers(1, 9), some.integers(0, 10**6))
def test_turning_the_pair_round_turns_the_sides(rows, columns, seed):
    first, second = random_directions(rows, 4, "first", seed), random_directions(columns, 4, "second", seed)
    there, back = compare(first, second, is_absolute=False), compare(second, first, is_absolute=False)
    assert there.first == pytest.approx(back.second, abs=1e-6)
    assert there.second == pytest.approx(back.first, abs=1e-6)
    assert len(there.assigned) == min(rows, columns)


def test_no_matching_is_made_above_the_stated_size():
    atoms = random_directions(5, 3, "a")
    assert compare(atoms, atoms[:4], is_absolute=False, assigned_atoms=4).assigned is None
    assert compare(atoms, atoms[:4], is_absolute=False, assigned_atoms=5).assigned is not None


def test_random_directions_match_as_theory_says():
    """In d dimensions a cosine has variance 1/d; the largest of n is near sqrt(2 ln n / d), somewhat below."""
    pair = compare(random_directions(500, 200, "a"), random_directions(500, 200, "b"), is_absolute=False)
    assert 0.8 < match(pair.first, threshold=0.7).mean_cosine / np.sqrt(2 * np.log(500) / 200) < 1


def test_random_directions_are_unit_vectors_and_the_same_for_the_same_name():
    assert torch.equal(random_directions(7, 3, "x", 1), random_directions(7, 3, "x", 1))
    assert not torch.equal(random_directions(7, 3, "x", 1), random_directions(7, 3, "x", 2))
    assert random_directions(7, 3, "x").norm(dim=1) == pytest.approx(torch.ones(7))


def test_a_match_agrees_with_a_hand_calculation():
    """(0.9 + 0.7 + 0.2) / 3 = 0.6; only 0.9 exceeds 0.7."""
    assert match(np.array([0.9, 0.7, 0.2]), threshold=0.7) == (3, pytest.approx(0.6), pytest.approx(1 / 3))
    with pytest.raises(EmptyBatchError, match="no atom"):
        match(np.zeros(0), threshold=0.7)


def test_alive_ones_are_chosen_among_atoms_that_have_a_direction():
    """Latent 1 has a zero atom and so no cosine; latents 0 and 3 are alive."""
    is_kept, is_alive = np.array([True, False, True, True]), np.array([True, True, False, True])
    assert of_alive(np.array([0.1, 0.2, 0.3]), is_kept, is_alive).tolist() == [0.1, 0.3]
