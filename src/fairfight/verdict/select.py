"""Who fights for a side: the best on validation, and those that validation cannot tell from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairfight.errors import InputError
from fairfight.verdict.concordance import cluster_pairs, weighted_aurocs
from fairfight.verdict.draws import Draws
from fairfight.verdict.intervals import Replicates
from fairfight.verdict.roster import VALIDATION, Entry, Roster


class Chosen(NamedTuple):
    """A side's best contender."""

    best: Entry
    ties: tuple[str, ...]
    """Other contenders within one standard error of it on validation, best first."""


def choose(roster: Roster, side: str, draws: Draws | None) -> Chosen:
    """Give a side's contender with the highest mean validation AUROC over seeds and dictionary seeds, and its ties.

    A contender ties when its mean is at most one standard error below the best. The standard error is that of the
    paired difference in mean validation AUROC between the two, by a clustered bootstrap: clusters are base prompts,
    each replicate gives a cluster one weight that holds for every seed and both contenders, and seeds are not
    resampled. Without `draws` (no validation scores were kept) nobody can be said to tie. Equal means: the
    alphabetically first name is best, the other ties.

    Raises:
        InputError: no contender of that side is complete.
    """
    entries = sorted(roster.on_side(side), key=lambda entry: (-entry.validation_auroc, entry.name))
    if not entries:
        lacking = {name: why for name, why in roster.incomplete.items() if roster.contenders[name].side == side}
        found = "; ".join(f"{name}: {why}" for name, why in lacking.items()) or "nobody played on it"
        raise InputError(
            f"No contender on the side '{side}' has a scored trial on every seed ({found}). Mend what failed and run "
            "the study again, or ask a question about another side."
        )
    best, others = entries[0], entries[1:]
    if draws is None:
        return Chosen(best, ())
    own = mean_validation(roster, best, draws)
    ties = [entry.name for entry in others if _is_tied(best, entry, own - mean_validation(roster, entry, draws))]
    return Chosen(best, tuple(ties))


def mean_validation(roster: Roster, entry: Entry, draws: Draws) -> Replicates:
    """Give the mean validation AUROC over seeds and dictionary seeds under each draw of clusters."""
    values = []
    for (seed, _), play in entry.plays.items():
        index = roster.indices[seed, VALIDATION]
        pairs = cluster_pairs(play.scores[VALIDATION], index.labels, index.clusters)
        values.append(weighted_aurocs(pairs, draws.clusters))
    return np.mean(values, axis=0)


def _is_tied(best: Entry, other: Entry, differences: Replicates) -> bool:
    return best.validation_auroc - other.validation_auroc <= float(np.std(differences[1:], ddof=1))
