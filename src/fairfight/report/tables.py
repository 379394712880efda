"""Verdicts and scores as rows; rows as a terminal table or as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from fairfight.report.standings import Standing, front_of
from fairfight.report.wording import METRICS, adjustment, bracketed, difference, flops, number, percent, place
from fairfight.verdict.answer import Compared, SetVerdict, Verdict
from fairfight.verdict.board import MACRO
from fairfight.verdict.budget import AtShare, Budgeted
from fairfight.verdict.cost import DICTIONARY_SHARE, SHARES, Spent
from fairfight.verdict.gains import Gain
from fairfight.verdict.roster import Entry, Roster

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys instead of showing it: control characters but tab and newline, overrides of the direction of
writing; and halves of surrogate pairs, which no terminal can be given."""
_STYLE = {"wins": "bold green", "loses": "bold red", "ties": "bold yellow", "undecided": "bold"}


@dataclass(frozen=True)
class Rows:
    """A table before it is drawn."""

    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]


def verdict_rows(verdicts: Sequence[Verdict]) -> Rows:
    """Give one row a question, metric and test set; the deciding metric first."""
    columns = ("question", "metric", "test set", "verdict", "challenger", "defender", "difference")
    cells = []
    for verdict in verdicts:
        for compared in _deciding_first(verdict):
            for name, own in _with_macro(compared):
                cells.append((verdict.question.name, METRICS[compared.metric], name, *_cells(compared, own)))
    return Rows(columns, tuple(cells))


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Give the verdicts as a terminal table; what was compared and how stands below it."""
    rows = verdict_rows(verdicts)
    return drawn(rows, title="Verdict", caption=_caption(verdicts))


def score_rows(roster: Roster, found: Sequence[Standing]) -> Rows:
    """Give one row a contender: AUROC on validation, on each test set with its interval, the mean, and the cost.

    Incomplete contenders stand last, with what they lack in place of scores.
    """
    columns = ("method", "side", "validation", *roster.test_sets, MACRO, "FLOPs")
    blank = ("",) * (len(roster.test_sets) + 2)
    incomplete = (
        (name, roster.contenders[name].side, f"incomplete: {why}", *blank) for name, why in roster.incomplete.items()
    )
    return Rows(columns, (*(_score_cells(own, roster.test_sets) for own in found), *incomplete))


def score_table(roster: Roster, found: Sequence[Standing]) -> Table:
    """Give all contenders and test sets of a run as a terminal table."""
    caption = (
        f"AUROC, mean over {len(roster.seeds)} split seeds and each dictionary's seeds, with a 95 % interval (clusters "
        "and seeds crossed). FLOPs: mean of a trial, a tenth of the dictionary's training included, and all of it on the task."
    )
    caption = " ".join([caption, *limits(roster.run)])
    return drawn(score_rows(roster, found), title="Scores", caption=caption)


def gain_rows(found: Sequence[Gain]) -> Rows:
    """Give one row a method and variant: what it gained over its base, how much of the gap that is, and the cost."""
    columns = (
        "method",
        "dictionary",
        "base",
        "before",
        "after",
        "gain",
        "gap",
        "closed",
        "FLOPs",
    )
    return Rows(columns, tuple(_gain_cells(own) for own in found))


def gain_table(found: Sequence[Gain]) -> Table:
    """Give the gains as a terminal table."""
    return drawn(gain_rows(found), title="Gains over the dictionary it was made from", caption=GAIN_CAPTION)


GAIN_CAPTION = (
    "AUROC, mean over test sets; differences are paired, with 95 % intervals. Gap: logistic_probe on activations less the "
    "method on the base; closed is the gain's share of it, where the gap is clearly above zero. FLOPs: the variant's own "
    "training, all of it."
)


def _gain_cells(own: Gain) -> tuple[str, ...]:
    before, after = own.gain.macro.defender_score, own.gain.macro.challenger_score
    closed = "no clear gap"
    if own.share is not None:
        closed = f"{100 * own.share.score:.0f} % [{100 * own.share.low:.0f}, {100 * own.share.high:.0f}]"
    gap = difference(own.gap.macro) if own.gap else "not played"
    method = own.gain.challenger.partition("[")[0]
    gained = difference(own.gain.macro)
    return (
        method, own.dictionary, own.base, number(before), number(after), gained, gap, closed, flops(own.training_flops)
    )  # fmt: skip


def cost_rows(found: Sequence[Standing], costs: Mapping[str, Spent]) -> Rows:
    """Give one row a complete contender: what it spent, what that makes at each share, and who does better for less.

    Judges have a column where anybody asked one.
    """
    has_judges = any(costs[own.name].judge_calls for own in found)
    columns = ("method", "trial", "tuning", "training", *(f"at {percent(share)}" for share in SHARES), "executed", "labels", "tokens",
               *(["judge calls (tokens)"] if has_judges else []), "seconds", "peak", "front")  # fmt: skip
    placed = {own.name: place(own) for own in front_of(found)}
    cells = (_cost_cells(costs[own.name], placed.get(own.name, ""), has_judges=has_judges) for own in found)
    return Rows(columns, tuple(cells))


def cost_table(found: Sequence[Standing], costs: Mapping[str, Spent]) -> Table:
    """Give what every contender spent as a terminal table."""
    return drawn(cost_rows(found, costs), title="Costs", caption=COST_CAPTION)


COST_CAPTION = (
    "FLOPs, dense-equivalent. Trial: model passes, encoding, fitting and scoring, mean of a scored trial, as are labels, "
    "tokens, judge calls and seconds; tuning: all its trials together, their number in brackets; training: of the dictionary in use, in "
    "brackets what of it was on the task's own texts. At 0, 10 and 100 %: trial, tuning and that share of the training, what "
    "was on the task always in full. Executed: at 10 %, without products of codes known to be zero. Peak: memory of the "
    "process. Front: nobody cheaper scores higher (AUROC, mean over test sets, against a trial with a tenth of the training)."
)


def _cost_cells(own: Spent, front: str, *, has_judges: bool) -> tuple[str, ...]:
    training = flops(None if own.training is None else sum(own.training))
    if own.training and own.training.on_task:
        training += f" ({flops(own.training.on_task)})"
    return (
        own.name,
        flops(own.trial_flops),
        f"{flops(own.tuning_flops)} ({own.tuning_trials})",
        training,
        *(flops(own.charged(share)) for share in SHARES),
        flops(own.executed(DICTIONARY_SHARE)),
        f"{own.labels:,.0f}",
        f"{own.tokens:,.0f}",
        *([f"{own.judge_calls:,.0f} ({own.judge_tokens:,.0f})"] if has_judges else []),
        f"{own.seconds:.1f}",
        f"{own.peak_bytes / 2**20:,.0f} MB",
        front,
    )


def budget_rows(budget: Budgeted) -> Rows:
    """Give one row a share: who would stand for each side, and the word between them."""
    columns = ("training charged", "challenger", "defender", "verdict", "over the budget")
    return Rows(columns, tuple(_share_cells(own) for own in budget.shares))


def budget_tables(verdicts: Sequence[Verdict]) -> list[Table]:
    """Give a terminal table for each verdict of a study with a budget."""
    return [
        drawn(
            budget_rows(own.budget),
            title=f"{own.question.name}, within {flops(own.budget.flops)} FLOPs",
            caption=BUDGET_CAPTION,
        )
        for own in verdicts
        if own.budget
    ]


BUDGET_CAPTION = (
    "Charged: a trial, its tuning, and this share of the dictionary's training; training on the task's own texts in full "
    "unless said. Words are on the mean over test sets."
)


def _share_cells(own: AtShare) -> tuple[str, ...]:
    share = percent(own.share)
    if own.on_task_share != 1:
        share += f", on the task {percent(own.on_task_share)}"
    names = (name or "nobody" for name in (own.challenger, own.defender))
    return share, *names, own.word or "none", str(len(own.over))


def visible(text: str) -> str:
    """Give a text with each control character as its code point in brackets: `[U+001B]`."""
    return _STEERING.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def markdown(rows: Rows) -> str:
    """Give rows as a Markdown table; what a cell holds is text, never markup."""
    lines = [rows.columns, tuple("---" for _ in rows.columns), *rows.cells]
    return "\n".join("| " + " | ".join(map(escaped, line)) + " |" for line in lines)


def escaped(text: str) -> str:
    """Give a text on one line that Markdown shows as it is, in a table too: no HTML, no end of a cell."""
    for mark, code in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;")):
        text = text.replace(mark, code)
    return " ".join(visible(text).splitlines())


def markdown_scores(roster: Roster, found: Sequence[Standing]) -> str:
    """Give every contender's AUROC as Markdown: a summary with intervals, then a table a test set with every seed.

    A cell is the mean over dictionary seeds. Contenders that lack a seed stand below the tables with what they lack.
    """
    parts = [markdown(score_rows(roster, found)), *map(escaped, limits(roster.run))]
    parts += [f"**{escaped(name)}**\n\n{markdown(seed_rows(roster, name))}" for name in roster.test_sets]
    if roster.incomplete:
        parts.append(
            escaped("Incomplete: " + "; ".join(f"{name}: {why}" for name, why in roster.incomplete.items()) + ".")
        )
    return "\n\n".join(parts) + "\n"


def scores_json(roster: Roster, found: Sequence[Standing]) -> list[dict[str, Any]]:
    """Give what `markdown_scores` shows as plain data: an entry a contender, with what it lacks where it is incomplete."""
    incomplete = [
        {"method": name, "side": roster.contenders[name].side, "lacking": why}
        for name, why in roster.incomplete.items()
    ]
    return [*(_score_json(roster, own) for own in found), *incomplete]


def _score_json(roster: Roster, own: Standing) -> dict[str, Any]:
    head: dict[str, Any] = {"method": own.name, "side": own.contender.side}
    sets = {name: found._asdict() for name, found in own.sets.items()}
    for name in roster.test_sets:
        sets[name]["by_seed"] = dict(
            zip(map(str, roster.seeds), _seed_means(roster, roster.entries[own.name], name), strict=True)
        )
    return {**head, "validation": own.validation, "test_sets": sets, "flops": own.flops}


def limits(run: Mapping[str, Any]) -> list[str]:
    """Give a sentence for each method whose effort or settings the study bounds, so that no table hides it."""
    bounded = run["study"].get("methods", {})
    return [
        f"{name} was bounded by the study: {', '.join(f'{key} = {value}' for key, value in sorted(own.items()))}."
        for name, own in sorted(bounded.items())
        if own
    ]


def seed_rows(roster: Roster, test_set: str) -> Rows:
    """Give one row a complete contender: its AUROC on a test set by split seed, and their mean."""
    columns = ("method", "side", *(f"seed {seed}" for seed in roster.seeds), "mean")
    by_seed = {name: _seed_means(roster, entry, test_set) for name, entry in roster.entries.items()}
    order = sorted(by_seed, key=lambda name: (-np.mean(by_seed[name]), name))
    cells = [
        (name, roster.entries[name].contender.side, *map(number, by_seed[name]), number(float(np.mean(by_seed[name]))))
        for name in order
    ]
    return Rows(columns, tuple(cells))


def _seed_means(roster: Roster, entry: Entry, test_set: str) -> list[float]:
    seats = [[entry.plays[seed, own] for own in entry.dictionary_seeds] for seed in roster.seeds]
    return [float(np.mean([play.outcome.test_auroc[test_set] for play in plays])) for plays in seats]


def _deciding_first(verdict: Verdict) -> list[Compared]:
    both = [verdict.auroc, *([verdict.tpr] if verdict.tpr else [])]
    return sorted(both, key=lambda compared: compared.metric != verdict.question.metric)


def _with_macro(compared: Compared) -> Iterable[tuple[str, SetVerdict]]:
    return [*compared.sets.items(), (MACRO, compared.macro)] if len(compared.sets) > 1 else compared.sets.items()


def _cells(compared: Compared, own: SetVerdict) -> tuple[str, ...]:
    challenger = f"{compared.challenger} {number(own.challenger_score)}"
    return own.word, challenger, f"{compared.defender} {number(own.defender_score)}", difference(own)


def _score_cells(own: Standing, test_sets: Sequence[str]) -> tuple[str, ...]:
    scores = (bracketed(own.sets[name]) for name in (*test_sets, MACRO))
    return own.name, own.contender.side, number(own.validation), *scores, flops(own.flops)


def _caption(verdicts: Sequence[Verdict]) -> str:
    lines = []
    for verdict in verdicts:
        question = verdict.question
        lines.append(
            f"{question.name}: margin {question.margin:g}, {verdict.seeds} split seeds, {verdict.dictionary_seeds} dictionary "
            f"seeds. {adjustment(verdict)}"
        )
        if point := verdict.operating_point:
            lines.append(f"TPR at {100 * point.fpr:g} % false positives on calibration: {point.reason}.")
    return " ".join(dict.fromkeys(lines))


def drawn(rows: Rows, *, title: str, caption: str) -> Table:
    """Give rows as a terminal table; words of a verdict carry their colour."""
    table = Table(
        title=Text(visible(title), style="table.title"), caption=Text(visible(caption)), caption_justify="left"
    )
    for column in rows.columns:
        table.add_column(column, overflow="fold")
    for cells in rows.cells:
        # Text, not markup: "probe[sae]" would read as a tag.
        table.add_row(*(Text(visible(cell), style=_STYLE.get(cell, "")) for cell in cells))
    return table
