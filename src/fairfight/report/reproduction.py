"""A claim's numbers beside those that came out, as a terminal table."""

from __future__ import annotations

from rich.table import Table

from fairfight.report.tables import Rows, drawn
from fairfight.verdict.reproduced import Reproduction


def reproduction_table(found: Reproduction) -> Table:
    """Give a row a number, with the gap and whether it is within the claim's tolerance."""
    cells = tuple(
        (
            own.against,
            own.what,
            f"{own.claimed:.5f}",
            f"{own.found:.5f}",
            f"{own.gap:.1e}",
            "DIFFERS" if own in found.apart else "agrees",
        )
        for own in found.numbers
    )
    rows = Rows(("against", "number", "claimed", "came out", "apart by", ""), cells)
    return drawn(rows, title=f"From {found.basis}", caption=f"Tolerance {found.tolerance:g}.")
