"""The quality of dictionaries as tables and as one HTML page, out of the plain record that `fairfight quality` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from rich.table import Table
from rich.text import Text

from fairfight.records import flattened
from fairfight.report.figures import DASHES, LINE_COLOURS, dressed
from fairfight.report.page import embedded, templates
from fairfight.report.tables import Rows
from fairfight.report.wording import number, percent, settings_of

Record = Mapping[str, Any]

_GREY = "#6f6f6f"
_THRESHOLD = {"color": "#9aa0a6", "dash": "dot", "width": 1}
_TOO_SMALL = 0.005
"""Below it three decimals say too little."""


def render_quality(record: Record) -> str:
    """Give the page of a quality record as one HTML text, about 5 MB, of which Plotly's script is nearly all.

    All text of the record is escaped. The same record gives the same bytes.
    """
    return (
        templates()
        .get_template("quality.html.j2")
        .render(
            record=record,
            title=", ".join(own["name"] for own in record["dictionaries"]),
            plotly=Markup(get_plotlyjs()),
            numbers=quality_rows(record),
            losses=loss_rows(record),
            loss_undefined=_undefined_loss(record),
            pairs=stability_rows(record),
            drawings={name: embedded(figure, name) for name, figure in _figures(record).items()},
            unseen=_unseen(record),
            has_signed=any(own["is_signed"] for own in record["dictionaries"]),
            dictionaries=[{**own, "settings": _about(own)} for own in record["dictionaries"]],
            fields=flattened({name: record[name] for name in ("model", "texts", "settings", "key", "fairfight")}),
        )
    )


def _about(own: Record) -> str:
    """Give a dictionary's settings, or where nobody says them how it was read."""
    if own["recipe"] or "library" not in own:
        return settings_of(own["recipe"])
    return "; ".join([f"read from {own['library']}", *own["notes"]])


def quality_rows(record: Record) -> Rows:
    """Give one row a measure, one column a dictionary."""
    owns, settings = record["dictionaries"], record["settings"]
    percents = sorted(owns[0]["l0"]["percentiles"], key=int)
    measures = {
        "FVU": lambda own: estimate(own["reconstruction"]["fvu"]),
        "variance explained (1 - FVU)": lambda own: estimate(own["reconstruction"]["variance_explained"]),
        "ratio of mean squared norms": lambda own: estimate(own["reconstruction"]["norm_ratio"]),
        "cosine": lambda own: estimate(own["reconstruction"]["cosine"]),
        "L0, mean": lambda own: estimate(own["l0"]["mean"], decimals=1),
        f"L0, percentiles {' / '.join(percents)}": lambda own: " / ".join(
            str(own["l0"]["percentiles"][at]) for at in percents
        ),
        "latents": lambda own: f"{own['latents']:,}",
        "dead": lambda own: _counted(own["firing"]["dead"]),
        f"dense (> {percent(settings['dense_share'])} of tokens)": lambda own: _counted(own["firing"]["dense"]),
        "active codes that dense latents hold": lambda own: percent(own["firing"]["dense"]["share_of_active"]),
        "largest cosine to another atom, median / max": lambda own: _largest(own["atoms"]),
        f"atoms with another above {settings['similar_cosine']:g}": lambda own: _similar(own["atoms"]),
        "loss recovered, mean ablation": lambda own: _recovered(own["loss"], "mean_ablated"),
        "loss recovered, zero ablation": lambda own: _recovered(own["loss"], "zero_ablated"),
    }
    columns = ("measure", *(own["name"] for own in owns))
    return Rows(columns, tuple((name, *(of(own) for own in owns)) for name, of in measures.items()))


def loss_rows(record: Record) -> Rows:
    """Give cross-entropy and divergence in nats: clean, with each dictionary spliced in, ablated. Empty if undefined."""
    columns = ("forward pass", "cross-entropy", "divergence from clean")
    owns = [own for own in record["dictionaries"] if "undefined" not in own["loss"]]
    if not owns:
        return Rows(columns, ())
    loss = owns[0]["loss"]
    cells = [("clean", estimate(loss["cross_entropy"]["clean"]), "0")]
    cells += [(f"spliced: {own['name']}", *_pass(own["loss"], "spliced")) for own in owns]
    cells += [(name.replace("_", "-"), *_pass(loss, name)) for name in ("mean_ablated", "zero_ablated")]
    return Rows(columns, tuple(cells))


def stability_rows(record: Record) -> Rows:
    """Give one row a pair of dictionaries, and one for random directions; empty for a single dictionary."""
    threshold = f"{record['settings']['matched_cosine']:g}"
    columns = (
        "pair",
        "mean max cosine",
        f"above {threshold}",
        f"above {threshold}, alive",
        "one to one",
        f"one to one, above {threshold}",
    )
    stability = record["stability"]
    if "undefined" in stability:
        return Rows(columns, ())
    cells = [(f"{own['first']} and {own['second']}", *_pair(own)) for own in stability["pairs"]]
    return Rows(columns, (*cells, ("random directions", *_pair(stability["random"]))))


def terminal_tables(record: Record) -> list[Table]:
    """Give the tables of a record for a terminal; those without a row are left out."""
    tables = (
        ("Quality", quality_rows(record)),
        ("Loss (nats)", loss_rows(record)),
        ("Stability across dictionaries", stability_rows(record)),
    )
    return [_drawn(rows, title) for title, rows in tables if rows.cells]


def summary(record: Record) -> str:
    """Give in a sentence what was measured on what."""
    texts = record["texts"]
    return (
        f"{texts['tokens']:,} tokens of {texts['distinct']:,} texts at {record['site']} of {record['model']['name']}; in brackets "
        f"{percent(record['settings']['level'])} intervals, texts resampled. A latent that fires on fewer than {_unseen(record)} tokens "
        "cannot be told from a dead one here."
    )


def estimate(own: Record, *, decimals: int = 3) -> str:
    """Give an estimate with its interval: 0.080 [0.078, 0.082]; or why there is none."""
    if "undefined" in own:
        return f"undefined: {own['undefined']}"
    value = _short(own["value"], decimals)
    if own["low"] is None:
        return f"{value} (no interval)"
    return f"{value} [{_short(own['low'], decimals)}, {_short(own['high'], decimals)}]"


def frequency_figure(record: Record) -> go.Figure:
    """Give how many latents fire how often, on a logarithmic axis; dead latents are in no bin."""
    figure = go.Figure()
    owns = record["dictionaries"]
    for own, style in zip(owns, _styles(), strict=False):
        histogram = own["firing"]["log10_frequency"]
        _add_steps(figure, own["name"], histogram["edges"], histogram["counts"], style, fills=len(owns) == 1)
    lowest = min(own["firing"]["log10_frequency"]["edges"][0] for own in owns)
    ticks = list(range(int(lowest), 1))
    for share in (record["settings"]["dense_share"], owns[0]["firing"]["dead"]["unseen_below"]):
        if share > 0:
            figure.add_vline(x=math.log10(share), line=_THRESHOLD)
    figure.update_xaxes(
        title_text="share of tokens on which a latent fires",
        tickvals=ticks,
        ticktext=[f"10<sup>{tick}</sup>" if tick else "1" for tick in ticks],
        range=[lowest - 0.1, 0.05],
    )
    figure.update_yaxes(title_text="latents", rangemode="tozero")
    return _finished(figure, len(owns))


def l0_figure(record: Record) -> go.Figure:
    """Give the share of tokens with at most so many active latents."""
    figure = go.Figure()
    owns = record["dictionaries"]
    for own, (colour, dash) in zip(owns, _styles(), strict=False):
        counted = own["l0"]["tokens_by_l0"]
        total, running = sum(counted["tokens"]), 0
        x, y = [counted["active"][0]], [0.0]
        for active, tokens in zip(counted["active"], counted["tokens"], strict=True):
            running += tokens
            x.append(active)
            y.append(running / total)
        hover = f"{escape(own['name'])}<br>%{{y:.1%}} of tokens have at most %{{x}}<extra></extra>"
        line = {"color": colour, "dash": dash, "width": 2, "shape": "hv"}
        figure.add_scatter(x=x, y=y, name=escape(own["name"]), mode="lines", line=line, hovertemplate=hover)
    highest = max(own["l0"]["tokens_by_l0"]["active"][-1] for own in owns)
    figure.update_xaxes(title_text="active latents", range=[0, max(1, highest) * 1.08])
    figure.update_yaxes(title_text="share of tokens", range=[-0.02, 1.04], tickformat=".0%")
    return _finished(figure, len(owns))


def cosine_figure(record: Record) -> go.Figure | None:
    """Give the largest cosine of each atom to another of the same dictionary; None where no dictionary has one."""
    owns = [own for own in record["dictionaries"] if "undefined" not in own["atoms"]]
    if not owns:
        return None
    figure = go.Figure()
    for own, style in zip(owns, _styles(), strict=False):
        histogram = own["atoms"]["histogram"]
        _add_steps(figure, own["name"], histogram["edges"], histogram["counts"], style, fills=len(owns) == 1)
    figure.add_vline(x=record["settings"]["similar_cosine"], line=_THRESHOLD)
    histograms = [own["atoms"]["histogram"] for own in owns]
    figure.update_xaxes(title_text="largest cosine to another atom", range=_range(histograms))
    figure.update_yaxes(title_text="atoms", rangemode="tozero")
    return _finished(figure, len(owns))


def stability_figure(record: Record) -> go.Figure | None:
    """Give the largest cosine of each atom to any of another dictionary, beside random directions; None for one."""
    stability = record["stability"]
    if "undefined" in stability:
        return None
    figure = go.Figure()
    for place, own in enumerate(stability["pairs"]):
        histogram = own["histogram"]
        name = f"{own['first']} and {own['second']}"
        _add_steps(
            figure,
            name,
            histogram["edges"],
            _shares(histogram),
            (LINE_COLOURS[0], "solid"),
            legend="pairs of dictionaries",
            shows=place == 0,
        )
    reference = stability["random"]["histogram"]
    _add_steps(figure, "random directions", reference["edges"], _shares(reference), (_GREY, "dash"))
    figure.add_vline(x=record["settings"]["matched_cosine"], line=_THRESHOLD)
    figure.update_xaxes(
        title_text="largest cosine to an atom of the other",
        range=_range([*(own["histogram"] for own in stability["pairs"]), reference]),
    )
    figure.update_yaxes(title_text="share of atoms", tickformat=".0%", rangemode="tozero")
    return _finished(figure, 2)


def loss_figure(record: Record) -> go.Figure | None:
    """Give cross-entropy clean, spliced and ablated, with intervals; None where it is undefined."""
    owns = [own for own in record["dictionaries"] if "undefined" not in own["loss"]]
    if not owns:
        return None
    entropies = [("clean", owns[0]["loss"]["cross_entropy"]["clean"])]
    entropies += [(f"spliced: {own['name']}", own["loss"]["cross_entropy"]["spliced"]) for own in owns]
    entropies += [(f"{name}-ablated", owns[0]["loss"]["cross_entropy"][f"{name}_ablated"]) for name in ("mean", "zero")]
    values = [own["value"] for _, own in entropies]
    names = [escape(name) for name, _ in entropies]
    figure = go.Figure()
    figure.add_scatter(
        x=values,
        y=names,
        mode="markers",
        marker={"color": LINE_COLOURS[0], "size": 9},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [
                (own["high"] if own["high"] is not None else own["value"]) - own["value"] for _, own in entropies
            ],
            "arrayminus": [
                own["value"] - (own["low"] if own["low"] is not None else own["value"]) for _, own in entropies
            ],
            "thickness": 1.2,
            "width": 0,
        },
        hovertemplate="%{y}<br>%{x:.3f} nats<extra></extra>",
    )
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], automargin=True, dtick=1)
    figure.update_yaxes(range=[-0.7, len(names) - 0.3])
    figure.update_xaxes(title_text="cross-entropy of the next token (nats)")
    return dressed(figure, height=90 + 26 * len(names))


def _figures(record: Record) -> dict[str, go.Figure]:
    figures = {
        "frequency": frequency_figure(record),
        "l0": l0_figure(record),
        "cosine": cosine_figure(record),
        "stability": stability_figure(record),
        "loss": loss_figure(record),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _styles() -> Any:
    return cycle(zip(LINE_COLOURS, DASHES, strict=True))


def _add_steps(
    figure: go.Figure,
    name: str,
    edges: Sequence[float],
    heights: Sequence[float],
    style: tuple[str, str],
    *,
    fills: bool = False,
    legend: str = "",
    shows: bool = True,
) -> None:
    colour, dash = style
    figure.add_scatter(
        x=list(edges),
        y=[*heights, heights[-1]],
        name=escape(legend or name),
        showlegend=shows,
        mode="lines",
        line={"color": colour, "dash": dash, "width": 2, "shape": "hv"},
        fill="tozeroy" if fills else "none",
        hovertemplate=f"{escape(name)}<br>from %{{x:.2f}}: %{{y}}<extra></extra>",
    )


def _finished(figure: go.Figure, lines: int) -> go.Figure:
    figure.update_layout(
        showlegend=lines > 1, legend={"orientation": "h", "y": -0.22, "yanchor": "top", "font": {"size": 11}}
    )
    return dressed(figure, height=340, keeps_legend=True)


def _range(histograms: Sequence[Record]) -> list[float]:
    """Give the axis from the lowest filled bin to one."""
    edges = histograms[0]["edges"]
    filled = [place for own in histograms for place, count in enumerate(own["counts"]) if count]
    return [max(-1.0, edges[min(filled)] - 0.04), 1.02]


def _shares(histogram: Record) -> list[float]:
    total = sum(histogram["counts"])
    return [count / total for count in histogram["counts"]]


def _unseen(record: Record) -> str:
    """Give the frequency below which a latent may be alive and silent on all tokens: 1 in 33,700."""
    return f"1 in {1 / record['dictionaries'][0]['firing']['dead']['unseen_below']:,.0f}"


def _undefined_loss(record: Record) -> str:
    return next((own["loss"]["undefined"] for own in record["dictionaries"] if "undefined" in own["loss"]), "")


def _short(value: float, decimals: int) -> str:
    if decimals == 3:
        return number(value) if value == 0 or abs(value) >= _TOO_SMALL else f"{value:.2g}"
    return f"{value:.{decimals}f}"


def _counted(own: Record) -> str:
    return f"{own['latents']:,} ({percent(own['share'])})"


def _largest(atoms: Record) -> str:
    if "undefined" in atoms:
        return f"undefined: {atoms['undefined']}"
    return f"{number(atoms['largest_cosine']['median'])} / {number(atoms['largest_cosine']['max'])}"


def _similar(atoms: Record) -> str:
    return f"undefined: {atoms['undefined']}" if "undefined" in atoms else percent(atoms["similar_share"])


def _recovered(loss: Record, ablation: str) -> str:
    return f"undefined: {loss['undefined']}" if "undefined" in loss else estimate(loss["recovered"][ablation])


def _pass(loss: Record, name: str) -> tuple[str, str]:
    return estimate(loss["cross_entropy"][name]), estimate(loss["divergence"][name])


def _pair(own: Record) -> tuple[str, ...]:
    there, back = own["first_to_second"], own["second_to_first"]
    alive = [_share(side["alive"]) for side in (there, back) if "alive" in side]
    one_to_one = own["assigned"]
    if "undefined" in one_to_one:
        assigned = (f"undefined: {one_to_one['undefined']}", "")
    else:
        assigned = (number(one_to_one["mean_cosine"]), percent(one_to_one["matched_share"]))
    return (
        f"{number(there['mean_cosine'])} / {number(back['mean_cosine'])}",
        f"{percent(there['matched_share'])} / {percent(back['matched_share'])}",
        " / ".join(alive) or "-",
        *assigned,
    )


def _share(side: Record) -> str:
    return f"undefined: {side['undefined']}" if "undefined" in side else percent(side["matched_share"])


def _drawn(rows: Rows, title: str) -> Table:
    table = Table(title=title)
    for column in rows.columns:
        table.add_column(Text(column), overflow="fold")
    for cells in rows.cells:
        table.add_row(*map(Text, cells))
    return table
