"""How atoms lie to each other: the largest cosine of each to another, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fairfight.dictionaries.quality.firing import Histogram
from fairfight.errors import EmptyBatchError

BLOCK = 4096
"""Atoms a side of a block of cosines: 64 MiB, however many atoms there are."""
COSINE_EDGES = np.linspace(-1, 1, 101)


class Directions(NamedTuple):
    """Atoms at unit length; a zero atom has no direction and is left out."""

    values: Float[Tensor, "atom d_model"]
    is_kept: Bool[np.ndarray, " latent"]


def directions(atoms: Float[Tensor, "latent d_model"]) -> Directions:
    """Give the atoms at unit length, zero atoms left out."""
    largest = atoms.abs().amax(dim=1)
    kept = largest > 0
    # Divided by the largest entry first: the square of a tiny one would be zero in float32.
    scaled = (atoms[kept] / largest[kept, None]).float()
    return Directions(torch.nn.functional.normalize(scaled, dim=1), kept.numpy())


def largest_cosines(
    atoms: Float[Tensor, "atom d_model"],
    *,
    is_absolute: bool,
    advances: Callable[[int], None] = lambda _blocks: None,
    block: int = BLOCK,
) -> Float[np.ndarray, " atom"]:
    """Give max_{j != i} d_i . d_j for each unit atom d_i, or of its magnitude.

    The magnitude is asked for where codes are signed: there an atom and its opposite are the same direction.

    Raises:
        EmptyBatchError: fewer than two atoms.
    """
    if len(atoms) < 2:
        raise EmptyBatchError(
            f"{len(atoms)} atom has no other to be compared with; at least two were expected. Choose another dictionary."
        )
    best = torch.full((len(atoms),), -1.0)
    for rows, columns in _upper_blocks(len(atoms), block):
        cosines = _product(atoms[rows], atoms[columns], is_absolute=is_absolute)
        if rows == columns:
            cosines.fill_diagonal_(-1.0)
        best[rows] = torch.maximum(best[rows], cosines.amax(dim=1))
        best[columns] = torch.maximum(best[columns], cosines.amax(dim=0))
        advances(1)
    return best.numpy()


class Best(NamedTuple):
    """The largest cosine of each atom to any atom of the other dictionary."""

    first: Float[np.ndarray, " atom"]
    second: Float[np.ndarray, " atom"]


def best_cosines(
    first: Float[Tensor, "atom d_model"],
    second: Float[Tensor, "other_atom d_model"],
    *,
    is_absolute: bool,
    advances: Callable[[int], None] = lambda _blocks: None,
    block: int = BLOCK,
) -> Best:
    """Give max_j a_i . b_j for each unit atom a_i, and max_i a_i . b_j for each b_j."""
    of_first, of_second = torch.full((len(first),), -1.0), torch.full((len(second),), -1.0)
    for rows in _slices(len(first), block):
        for columns in _slices(len(second), block):
            cosines = _product(first[rows], second[columns], is_absolute=is_absolute)
            of_first[rows] = torch.maximum(of_first[rows], cosines.amax(dim=1))
            of_second[columns] = torch.maximum(of_second[columns], cosines.amax(dim=0))
            advances(1)
    return Best(of_first.numpy(), of_second.numpy())


def cosine_histogram(cosines: Float[np.ndarray, " atom"]) -> Histogram:
    """Give how many atoms have which largest cosine, in hundredths of the way from -1 to 1."""
    counts, _ = np.histogram(cosines, COSINE_EDGES)
    return Histogram(tuple(COSINE_EDGES.round(2).tolist()), tuple(counts.tolist()))


def blocks_within(atoms: int, block: int = BLOCK) -> int:
    """Give how many blocks `largest_cosines` takes."""
    side = -(-atoms // block)
    return side * (side + 1) // 2


def blocks_between(first: int, second: int, block: int = BLOCK) -> int:
    """Give how many blocks `best_cosines` takes."""
    return -(-first // block) * -(-second // block)


def _product(
    first: Float[Tensor, "atom d_model"], second: Float[Tensor, "other_atom d_model"], *, is_absolute: bool
) -> Float[Tensor, "atom other_atom"]:
    cosines = (first @ second.T).clamp_(-1, 1)
    return cosines.abs_() if is_absolute else cosines


def _upper_blocks(atoms: int, block: int) -> Iterator[tuple[slice, slice]]:
    slices = list(_slices(atoms, block))
    for place, rows in enumerate(slices):
        for columns in slices[place:]:
            yield rows, columns


def _slices(atoms: int, block: int) -> Iterator[slice]:
    for start in range(0, atoms, block):
        yield slice(start, min(start + block, atoms))
