"""Whether another seed finds the same atoms: best matches, one-sided and one to one, beside random directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from fairfight import seeds
from fairfight.dictionaries.quality.structure import best_cosines
from fairfight.errors import EmptyBatchError

ASSIGNED_ATOMS = 4096
"""Up to so many atoms a side the one-to-one matching is made: its time grows with their cube."""


class Match(NamedTuple):
    """How well atoms are matched: the mean of their cosines, and the share above the threshold."""

    atoms: int
    mean_cosine: float
    matched_share: float


class Pair(NamedTuple):
    """The cosines by which two dictionaries match, an entry for each atom."""

    first: Float[np.ndarray, " atom"]
    """Each atom of the first: its largest cosine to any of the second. Several may share one."""
    second: Float[np.ndarray, " atom"]
    """Each atom of the second: its largest cosine to any of the first."""
    assigned: Float[np.ndarray, " pair"] | None
    """The pairs of the one-to-one matching with the largest sum; None above `ASSIGNED_ATOMS`."""


def match(cosines: Float[np.ndarray, " atom"], *, threshold: float) -> Match:
    """Give mean_i c_i and the share of atoms with c_i > `threshold`.

    Raises:
        EmptyBatchError: there is no atom.
    """
    if not len(cosines):
        raise EmptyBatchError("Found no atom to match, expected at least one. Choose a dictionary that is not dead.")
    return Match(len(cosines), float(np.mean(cosines, dtype=np.float64)), float((cosines > threshold).mean()))


def compare(
    first: Float[Tensor, "atom d_model"],
    second: Float[Tensor, "other_atom d_model"],
    *,
    is_absolute: bool,
    advances: Callable[[int], None] = lambda _blocks: None,
    assigned_atoms: int = ASSIGNED_ATOMS,
) -> Pair:
    """Give the cosines by which unit atoms match: the largest for each, and those of the best one-to-one matching.

    `advances` is told of blocks, and of the matching as one more.
    """
    best = best_cosines(first, second, is_absolute=is_absolute, advances=advances)
    assigned = None
    if max(len(first), len(second)) <= assigned_atoms:
        cosines = (first @ second.T).clamp_(-1, 1).numpy()
        cosines = np.abs(cosines) if is_absolute else cosines
        assigned = cosines[linear_sum_assignment(cosines, maximize=True)]
    advances(1)
    return Pair(best.first, best.second, assigned)


def random_directions(atoms: int, d_model: int, *names: str | int) -> Float[Tensor, "atom d_model"]:
    """Give unit vectors without a preferred direction, drawn by name."""
    drawn = torch.randn(atoms, d_model, generator=seeds.torch_stream("random directions", *names))
    return torch.nn.functional.normalize(drawn, dim=1)


def of_alive(
    cosines: Float[np.ndarray, " atom"], is_kept: Bool[np.ndarray, " latent"], is_alive: Bool[np.ndarray, " latent"]
) -> Float[np.ndarray, " atom"]:
    """Give the cosines of atoms whose latent is alive, out of those of the atoms that are kept."""
    return cosines[is_alive[is_kept]]
