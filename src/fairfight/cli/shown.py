"""What the commands show of what they found, as tables and lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from fairfight.cli.console import out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairfight.dictionaries.shipped import Shipped
    from fairfight.registration import Registered
    from fairfight.report.standings import Standing
    from fairfight.trials.train_all import Made
    from fairfight.verdict.answer import Verdict
    from fairfight.verdict.criteria.sheet import Sheet
    from fairfight.verdict.roster import Roster
    from fairfight.verdict.tables.judge import TableVerdict
    from fairfight.verdict.tables.lint import Flaw


def show_run(roster: Roster, found: list[Standing], verdicts: list[Verdict]) -> None:
    """Show who scored what, what variants gained, and the verdicts with their reasons."""
    from fairfight.report.tables import budget_tables, cost_table, gain_table, score_table, verdict_table
    from fairfight.report.wording import division, headline, notes
    from fairfight.verdict.cost import spent
    from fairfight.verdict.gains import gains

    out.print(score_table(roster, found))
    out.print(cost_table(found, spent(roster)))
    if gained := gains(roster):
        out.print(gain_table(gained))
    if verdicts:
        out.print(verdict_table(verdicts))
        for table in budget_tables(verdicts):
            out.print(table)
    else:
        out.print("The study asks no question, so there is no verdict. Add one under \\[\\[questions]].")
    for place, verdict in enumerate(verdicts):
        out.print(f"[bold]{escape(verdict.question.name)}[/]: {escape(headline(verdict))}", highlight=False)
        for note in notes(verdict, shows_gaps=place == 0):
            out.print(Padding(f"• {escape(note)}", (0, 0, 0, 2)), highlight=False)
    out.print(escape(division(roster.division)), highlight=False)
    truncated = roster.run.get("truncated", {})
    if any(truncated.values()):
        out.print(
            f"{max(truncated.values())} texts were longer than the window (activations.max_tokens, or the model's own) "
            "and were cut there."
        )


def show_sheet(sheet: Sheet | None) -> None:
    """Show the criteria of a run's main question, where it has one."""
    from fairfight.report.criteria import sheet_table

    if sheet is not None:
        out.print(sheet_table(sheet))


def show_registered(found: Registered) -> None:
    """Show where a registration stands, what it fixes, and what is to be kept of it."""
    own = found.entry
    said = "Registered" if found.is_new else f"Registered already, since {own.time}; nothing was changed"
    rows = {
        "study": f"{own.name}, hash {own.hash}",
        "questions": f"{len(own.study.get('questions', []))}, hash {own.questions}",
        "examples and splits": f"hash {own.examples}",
        "time": own.time,
        "earlier, same task and model": f"{own.earlier_runs} runs, {own.earlier_registrations} registrations",
        "line": f"{own.number} of {found.file}, hash {own.sha256}",
    }
    out.print(f"{said}.", highlight=False)
    for name, value in rows.items():
        out.print(f"  {name}: {escape(value)}", highlight=False, soft_wrap=True)
    if found.is_late:
        out.print("A run of this study had begun before; it stays open.")
    out.print("Publish the hash of the line: whoever has it can tell whether the log was written anew.")


def show_published(verdicts: Sequence[TableVerdict], flaws: Sequence[Flaw]) -> None:
    """Show the verdicts on tables of scores with their reasons, and the flaws of files that gave no table."""
    from fairfight.report.published import headline, notes, published_table

    if verdicts:
        out.print(published_table(verdicts))
    for verdict in verdicts:
        out.print(f"[bold]{escape(verdict.table)}[/]: {escape(headline(verdict))}", highlight=False)
        for note in notes(verdict):
            out.print(Padding(f"• {escape(note)}", (0, 0, 0, 2)), highlight=False)
    for flaw in flaws:
        out.print(f"[red]Left out, {escape(flaw.name)}[/]: {escape(flaw.found)}", highlight=False)


def show_quality(measured: dict[str, Any]) -> None:
    """Show a dictionary's measures and what to be careful about."""
    from fairfight.report.quality import summary, terminal_tables

    for table in terminal_tables(measured):
        out.print(table)
    out.print(escape(summary(measured)), highlight=False)
    for caution in measured["cautions"]:
        out.print(Padding(f"• {escape(caution)}", (0, 0, 0, 2)), highlight=False)


def show_trained(made: Sequence[Made]) -> None:
    """Show a row for each dictionary that a training file names."""
    from fairfight.report.wording import flops

    table = Table("dictionary", "kind", "site", "FVU", "L0", "dead", "tokens", "FLOPs", box=None, header_style="bold")
    for own in made:
        card = own.card
        numbers = (f"{card.fvu:.3f}", f"{card.l0:.1f}", f"{100 * card.dead_share:.1f} %", f"{card.tokens_seen or 0:,}")
        spent = card.training_flops and card.training_flops.executed
        table.add_row(own.place.label, card.kind, card.site, *numbers, flops(spent))
    out.print(table)


def show_plugins(rows: Sequence[dict[str, str]]) -> None:
    """Show a row for each plug-in."""
    table = Table("shelf", "name", "family", "from", "what it is", box=None, header_style="bold")
    for row in rows:
        table.add_row(*(escape(row[key]) for key in ("shelf", "name", "family", "origin", "about")))
    out.print(table)


def show_shipped(found: Sequence[Shipped]) -> None:
    """Show a row for each recipe among the shipped dictionaries, its seeds together."""
    from fairfight.report.wording import number, percent, spread

    table = Table(
        "name", "kind", "site", "latents", "seeds", "FVU", "L0", "dead", "tokens", box=None, header_style="bold"
    )
    for own in found:
        fvu, l0, dead = (spread([getattr(c, name) for c in own.cards], how) for name, how in
                         (("fvu", number), ("l0", "{:.1f}".format), ("dead_share", percent)))  # fmt: skip
        card = own.cards[0]
        cells = (
            own.name,
            card.kind,
            card.site,
            str(own.latents),
            str(len(own.cards)),
            fvu,
            l0,
            dead,
            f"{card.tokens_seen:,}",
        )
        table.add_row(*map(escape, cells))
    out.print(table)
    out.print(f"All of {found[0].cards[0].model}; ranges are over seeds." if found else "None.", highlight=False)
    if few := [own.name for own in found if own.has_few_seeds]:
        out.print(f"Too few seeds to be judged: {escape(', '.join(few))}.", highlight=False)
