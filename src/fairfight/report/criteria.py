"""Criteria sheets and the docket, as terminal tables and as pages of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from fairfight.report.tables import Rows, drawn, escaped, markdown, visible
from fairfight.verdict.claims import Claim, Result
from fairfight.verdict.criteria.case import CRITERIA, Call, Finding
from fairfight.verdict.criteria.sheet import Sheet

STYLES = {
    "met": "bold green", "not met": "bold red", "not shown": "bold yellow", "a person's call": "bold magenta", "not applicable": "dim",
    "YES": "bold green", "NO": "bold red", "NOT SHOWN": "bold yellow",
}  # fmt: skip


class Judged(NamedTuple):
    """A claim of the docket with its sheet."""

    claim: Claim
    sheet: Sheet


def sheet_rows(sheet: Sheet) -> Rows:
    """Give a row a criterion: what it says, the evidence, and what would overturn it."""
    cells = [(CRITERIA[own.criterion], own.status, evidence(own), own.overturn) for own in sheet.findings]
    particular = sheet.in_particular
    cells.append(("(this kind of dictionary is needed)", particular.status, particular.evidence, particular.overturn))
    return Rows(("criterion", "finding", "evidence", "what would change it"), tuple(cells))


def sheet_table(sheet: Sheet) -> Table:
    """Give a sheet as a terminal table, its word on top."""
    return _styled(sheet_rows(sheet), title=f"Would it resolve YES? {sheet.overall}")


def docket_rows(judged: Sequence[Judged]) -> Rows:
    """Give one row a claim: the word, the criteria that decide it, and what is claimed by whom."""
    cells = [
        (own.claim.name, own.sheet.overall, why(own.sheet), own.claim.title, f"{own.claim.who}, {own.claim.when}")
        for own in judged
    ]
    return Rows(("claim", "word", "because", "what is claimed", "who"), tuple(cells))


def docket_table(judged: Sequence[Judged]) -> Table:
    """Give the docket as a terminal table of one line a claim: its name, the word, and why."""
    table = Table("claim", "word", "because", box=None, header_style="bold")
    table.columns[2].no_wrap, table.columns[2].overflow = True, "ellipsis"
    for name, word, because, *_ in docket_rows(judged).cells:
        table.add_row(Text(name, no_wrap=True), Text(word, style=STYLES[word], no_wrap=True), Text(visible(because)))
    return table


def why(sheet: Sheet) -> str:
    """Give the criteria that keep a claim from YES, with their status; a call with its name."""
    return "; ".join(f"{own.criterion} {own.status}{f' ({own.call.by})' if own.call else ''}" for own in sheet.deciding)


def evidence(own: Finding) -> str:
    """Give a finding's evidence, the call on it first."""
    return f"{called(own.call)} {own.evidence}" if own.call else own.evidence


def called(call: Call) -> str:
    """Give a call as a sentence that shows whose it is."""
    private = " (in private; the key result is public)" if call.private else ""
    return f"Called '{call.word}' by {call.by}, {call.on}{private}: {call.because}."


def page(judged: Judged) -> str:
    """Give a claim's page as Markdown: what is claimed, the sheet, the numbers with their sources, what came later."""
    claim, sheet = judged
    return "\n\n".join(_page_parts(claim, sheet)) + "\n"


def docket_page(judged: Sequence[Judged]) -> str:
    """Give the docket's first page as Markdown: a row a claim, linked to its page."""
    rows = docket_rows(judged)
    linked = tuple((f"[{name}]({name}.md)", *rest) for name, *rest in rows.cells)
    counts = {word: sum(own.sheet.overall == word for own in judged) for word in ("YES", "NO", "NOT SHOWN")}
    said = ", ".join(f"{count} {word}" for word, count in counts.items())
    return f"# Docket\n\n{len(judged)} claims: {said}. Written by `fairfight judge --pages`.\n\n{markdown(Rows(rows.columns, linked))}\n"


def _page_parts(claim: Claim, sheet: Sheet) -> Iterator[str]:
    yield f"# {escaped(claim.title)}"
    yield escaped(f"{claim.who}, {claim.when}. {claim.says}")
    yield f"**Would it resolve YES? {sheet.overall}.**" + (
        f" Because: {escaped(why(sheet))}." if sheet.deciding else ""
    )
    yield markdown(sheet_rows(sheet))
    if claim.results:
        yield "## Numbers"
        yield markdown(
            Rows(
                ("against", "role", "measure", "claimed", "theirs", "interval", "source"),
                tuple(map(_cells, claim.results)),
            )
        )
    yield "## Sources"
    yield "\n".join(
        f"- **{escaped(key)}** ({own.status}): {escaped(own.what)}{f'; {escaped(own.identifier)}' if own.identifier else ''}"
        for key, own in claim.sources.items()
    )
    if claim.history:
        yield "## Later"
        yield "\n".join(f"- {escaped(line)}" for line in claim.history)


def _cells(own: Result) -> tuple[str, ...]:
    role = f"{own.role} ({own.kind})" if own.kind else own.role
    scores = tuple("" if score is None else f"{score:g}" for score in (own.challenger, own.defender))
    interval = "" if own.low is None else f"[{own.low:+g}, {own.high:+g}]"
    if own.n is not None:
        interval = f"n = {own.n}"
    if own.stated:
        interval = f"stated: {own.stated}"
    return own.against, role, own.measure, *scores, interval, own.source


def _styled(rows: Rows, *, title: str) -> Table:
    table = drawn(Rows(rows.columns, ()), title=title, caption="")
    for cells in rows.cells:
        table.add_row(*(Text(visible(cell), style=STYLES.get(cell, "")) for cell in cells))
    return table
