"""What a dictionary gained over the one that it was made from, and how much of the way to the dense probe that was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairfight.records import plain
from fairfight.verdict.answer import Compared
from fairfight.verdict.board import MACRO, Board, Interval
from fairfight.verdict.decide import DENSE_PROBE, compared
from fairfight.verdict.roster import Roster
from fairfight.verdict.statistics import words


@dataclass(frozen=True)
class Gain:
    """One method on a dictionary and on the one that it was made from, AUROC."""

    dictionary: str
    base: str
    gain: Compared
    """The method on the dictionary against the method on its base."""
    gap: Compared | None
    """The dense probe against the method on the base; nothing where the dense probe is not complete."""
    share: Interval | None
    """Gain over gap, on the mean over test sets; nothing where the gap is not clearly above zero."""
    training_flops: float | None
    """Of the training that made one of the other, dense-equivalent, mean over seeds and sites; None where a card is silent."""
    tokens_seen: float | None
    """In that training."""

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return plain(self)


def gains(roster: Roster, *, level: float = 0.95, margin: float = 0.01) -> list[Gain]:
    """Give the gain of each dictionary that the study calls a variant of another, under each method that played both.

    Differences are paired, intervals cross clusters and seeds as the verdict's do. The share is a ratio of two paired
    differences, its error by the delta method; it is left out where the gap's own interval reaches zero, because a
    share of nothing means nothing.
    """
    board = Board.of(roster)
    return [_gain(board, own, base, margin, level) for own, base in _pairs(roster)]


def _pairs(roster: Roster) -> list[tuple[str, str]]:
    """Give the names of contenders to compare, in the roster's order."""
    sections = roster.run.get("study", {}).get("dictionaries", {})
    found = []
    for name, entry in sorted(roster.entries.items()):
        of = sections.get(entry.contender.dictionary, {}).get("variant_of")
        base = next((o for o in roster.entries.values() if of and _is_base(o.contender, entry.contender, of)), None)
        if base is not None:
            found.append((name, base.name))
    return found


def _is_base(other: Any, own: Any, of: str) -> bool:
    return other.method == own.method and other.dictionary == of


def _gain(board: Board, own: str, base: str, margin: float, level: float) -> Gain:
    roster = board.roster
    gap = share = None
    if DENSE_PROBE in roster.entries:
        gap = compared(board, (DENSE_PROBE, base), "auroc", margin, level)
        share = _share(board, own, base, level) if gap.macro.low > 0 else None
    dictionary, before = roster.contenders[own].dictionary or "", roster.contenders[base].dictionary or ""
    return Gain(
        dictionary=dictionary,
        base=before,
        gain=compared(board, (own, base), "auroc", margin, level),
        gap=gap,
        share=share,
        training_flops=_added(roster, dictionary, before, lambda card: (card["training_flops"] or {}).get("dense")),
        tokens_seen=_added(roster, dictionary, before, lambda card: card["tokens_seen"]),
    )


def _share(board: Board, own: str, base: str, level: float) -> Interval:
    """Give gain over gap on the mean over test sets: the error of gain - ratio x gap, over the gap."""
    after, before, dense = (board.played(name, "auroc")[MACRO] for name in (own, base, DENSE_PROBE))
    gain, gap = after - before, dense - before
    distance = float(gap.values.mean())
    ratio = float(gain.values.mean()) / distance
    around = board.crossed(gain - gap.times(ratio), MACRO).estimate()
    low, high = words.interval(around._replace(value=0.0), level)
    return Interval(ratio, ratio + low / distance, ratio + high / distance)


def _added(roster: Roster, name: str, base: str, cost: Callable[[Mapping[str, Any]], float | None]) -> float | None:
    """Give what a dictionary's cards say beyond its base's: a card counts what the training that it began with took."""
    means = []
    for own in (name, base):
        costs = [cost(card) for card in roster.run.get("dictionaries", ()) if card.get("name") == own]
        known = [found for found in costs if found is not None]
        if not known or len(known) < len(costs):
            return None
        means.append(float(np.mean(known)))
    return means[0] - means[1]
