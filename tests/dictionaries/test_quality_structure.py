"""How atoms lie to each other: hand calculations, and block by block the same as at once."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from fairfight.dictionaries.quality import structure
from fairfight.dictionaries.quality.structure import (
    best_cosines,
    blocks_between,
    blocks_within,
    cosine_histogram,
    directions,
    largest_cosines,
)
from fairfight.errors import EmptyBatchError


def random_atoms(atoms, d_model=5, seed=0):
    return directions(torch.randn(atoms, d_model, generator=torch.Generator().manual_seed(seed))).values


def test_largest_cosines_agree_with_a_hand_calculation():
    """Angles 0, 60, 90 and 180 degrees: the neighbours are 60, 30, 30 and 90 degrees away."""
    angles = torch.tensor([0.0, 60.0, 90.0, 180.0]).deg2rad()
    atoms = torch.stack([angles.cos(), angles.sin()], dim=1)
    found = largest_cosines(atoms, is_absolute=False)
    assert found == pytest.approx([0.5, math.sqrt(0.75), math.sqrt(0.75), 0.0], abs=1e-6)


def test_for_signed_codes_an_opposite_atom_is_the_same_direction():
    """(1, 0) and (-1, 0) are opposite; (0, 1) is at right angles to both."""
    atoms = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert largest_cosines(atoms, is_absolute=False).tolist() == [0, 0, 0]
    assert largest_cosines(atoms, is_absolute=True).tolist() == [1, 1, 0]


@given(some.integers(2, 23), some.integers(1, 25), some.booleans())
def test_blocks_give_what_all_cosines_at_once_give(atoms, block, is_absolute):
    own = random_atoms(atoms)
    cosines = (own @ own.T).numpy()
    cosines = np.abs(cosines) if is_absolute else cosines
    np.fill_diagonal(cosines, -1)
    done = []
    found = largest_cosines(own, is_absolute=is_absolute, block=block, advances=done.append)
    assert found == pytest.approx(cosines.max(axis=1), abs=1e-6)
    assert sum(done) == blocks_within(atoms, block)


@given(some.integers(1, 13), some.integers(1, 17), some.integers(1, 8), some.booleans())
def test_blocks_between_two_dictionaries_give_what_all_cosines_at_once_give(first, second, block, is_absolute):
    a, b = random_atoms(first), random_atoms(second, seed=1)
    cosines = (a @ b.T).abs() if is_absolute else a @ b.T
    done = []
    found = best_cosines(a, b, is_absolute=is_absolute, block=block, advances=done.append)
    assert found.first == pytest.approx(cosines.amax(dim=1).numpy(), abs=1e-6)
    assert found.second == pytest.approx(cosines.amax(dim=0).numpy(), abs=1e-6)
    assert sum(done) == blocks_between(first, second, block)


def test_no_more_than_a_block_of_cosines_is_held(monkeypatch):
    seen, real = [], structure._product
    monkeypatch.setattr(structure, "_product", lambda a, b, **own: seen.append((len(a), len(b))) or real(a, b, **own))
    largest_cosines(random_atoms(50), is_absolute=False, block=8)
    assert max(rows * columns for rows, columns in seen) == 64


def test_zero_atoms_have_no_direction_and_tiny_ones_do():
    found = directions(torch.tensor([[0.0, 0.0], [3e-30, 4e-30], [6.0, 8.0]]))
    assert found.is_kept.tolist() == [False, True, True]
    assert found.values == pytest.approx(torch.tensor([[0.6, 0.8], [0.6, 0.8]]))


def test_one_atom_has_no_other():
    with pytest.raises(EmptyBatchError, match="at least two"):
        largest_cosines(torch.ones(1, 3), is_absolute=False)


def test_the_histogram_holds_every_atom():
    own = cosine_histogram(np.array([-1.0, 0.0, 0.015, 0.999, 1.0]))
    assert sum(own.counts) == 5
    assert own.counts[0] == 1
    assert own.counts[50] == 2
    assert own.counts[-1] == 2
