"""What a person says of a table: which column holds what, and which methods are whose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from fairfight.errors import TableError
from fairfight.verdict.tables.score_table import Side


@dataclass(frozen=True)
class Layout:
    """Which column holds what, and which methods are whose."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """By meaning; several columns joined by `+`."""
    patterns: Mapping[Side, Sequence[str]] = field(default_factory=dict)
    """Methods of a side, by shell patterns."""
    metric: str = "auroc"

    def side_of(self, method: str, otherwise: Side = "baseline") -> Side:
        """Give the side whose pattern a method matches, else `otherwise`: what the table or its reader knows.

        Raises:
            TableError: it matches patterns of two sides.
        """
        return self.matched(method) or otherwise

    def matched(self, method: str) -> Side | None:
        """Give the side whose pattern a method matches, None where no pattern speaks of it.

        Raises:
            TableError: it matches patterns of two sides.
        """
        found: dict[Side, str] = {
            side: pattern
            for side, patterns in self.patterns.items()
            for pattern in patterns
            if fnmatchcase(method, pattern)
        }
        if len(found) > 1:
            said = " and ".join(f"'{pattern}' of the {side} side" for side, pattern in found.items())
            raise TableError(f"{method} matches {said}, but a method has one side. Narrow one of the patterns.")
        return next(iter(found), None)
