"""What a person says of a table: which column holds what, and which methods are whose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

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
        """Give the side whose pattern a method matches first, or `otherwise`."""
        for side, patterns in self.patterns.items():
            if any(fnmatchcase(method, pattern) for pattern in patterns):
                return side
        return otherwise
