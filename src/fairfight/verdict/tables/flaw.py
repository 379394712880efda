"""One thing that is wrong with a table of scores."""

from __future__ import annotations

from typing import NamedTuple


class Flaw(NamedTuple):
    """One thing found, and what it does to a verdict."""

    name: str
    found: str
    is_fatal: bool
    """Whether no verdict can be built on the table."""
