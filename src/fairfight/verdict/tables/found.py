"""What a reader gives back."""

from __future__ import annotations

from typing import NamedTuple

from fairfight.verdict.tables.flaw import Flaw
from fairfight.verdict.tables.score_table import ScoreTable


class Found(NamedTuple):
    """The tables of a path, and what was left out of them, or of any table."""

    tables: list[ScoreTable]
    flaws: list[Flaw]
