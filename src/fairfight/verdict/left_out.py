"""The deciding difference with one part left out at a time: what a single test set or seed makes, no other bears out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fairfight.verdict.board import MACRO, Board, Metric
from fairfight.verdict.roster import Entry


def differences_without(board: Board, challenger: Entry, defender: Entry, metric: Metric) -> dict[str, float]:
    """Give challenger minus defender, mean over test sets, without each test set, split seed and dictionary seed.

    By the name of what is left out. A dictionary seed is one of the challenger's; the defender keeps all of its own. Where
    there is only one of something, it cannot be left out.
    """
    return dict(_differences(board, challenger, defender, metric))


def _differences(board: Board, challenger: Entry, defender: Entry, metric: Metric) -> Iterator[tuple[str, float]]:
    ours, theirs = (board.played(entry.name, metric) for entry in (challenger, defender))
    sets = [name for name in ours if name != MACRO]
    by_set = {name: float(ours[name].values.mean() - theirs[name].values.mean()) for name in sets}
    if len(sets) > 1:
        for name in sets:
            yield name, float(np.mean([by_set[other] for other in sets if other != name]))
    own, other = ours[MACRO].values, theirs[MACRO].values
    if len(board.roster.seeds) > 1:
        for row, seed in enumerate(board.roster.seeds):
            rest = (np.delete(values, row, axis=0).mean() for values in (own, other))
            yield f"split seed {seed}", float(next(rest) - next(rest))
    if len(challenger.dictionary_seeds) > 1:
        for column, seed in enumerate(challenger.dictionary_seeds):
            yield f"dictionary seed {seed}", float(np.delete(own, column, axis=1).mean() - other.mean())
