"""Figures as Plotly objects: pure functions of standings and curves, told apart by shape as well as colour."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from fairfight.report.standings import Curve, Standing, front_of
from fairfight.report.wording import SIDES, bracketed, flops, number, place
from fairfight.verdict.board import MACRO

COLOURS = {"dictionary": "#b8420f", "baseline": "#1a5fa8", "rival": "#0a7d5a", "control": "#6f6f6f"}
"""Dark enough to read on white, and apart for the colour-blind."""
SYMBOLS = {"dictionary": "circle", "baseline": "square", "rival": "diamond", "control": "x-thin-open"}

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_INK, _GRID = "#1f2328", "#e5e7eb"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
LINE_COLOURS = ("#1a5fa8", "#b8420f", "#0a7d5a", "#7b3fa0", "#8a6d00", "#444444")
_ROW_PIXELS = 19


def dot_plot(found: Sequence[Standing], test_set: str, *, left: float) -> go.Figure:
    """Give the scores of every contender on one test set, with intervals; the axis starts at `left`."""
    figure = go.Figure()
    for side in SIDES:
        own = [standing for standing in found if standing.contender.side == side]
        scores = [standing.sets[test_set] for standing in own]
        figure.add_scatter(
            x=[score.score for score in scores],
            y=[escape(standing.name) for standing in own],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [score.high - score.score for score in scores],
                "arrayminus": [score.score - score.low for score in scores],
                "thickness": 1.2,
                "width": 0,
            },
            **_points(side, [f"{escape(s.name)}<br>{bracketed(s.sets[test_set])}" for s in own]),
        )
    order = [escape(standing.name) for standing in found][::-1]
    figure.update_yaxes(categoryorder="array", categoryarray=order, automargin=True, tickfont={"size": 11}, dtick=1)
    figure.update_yaxes(range=[-0.7, len(found) - 0.3])
    figure.update_xaxes(range=[left, 1.02], title_text="AUROC", dtick=0.1, tickformat=".1f")
    figure.add_vline(x=0.5, line={"color": "#9aa0a6", "dash": "dot", "width": 1})
    return dressed(figure, height=66 + _ROW_PIXELS * len(found))


def shift_scatter(found: Sequence[Standing], test_sets: Sequence[str], marked: Sequence[str]) -> go.Figure:
    """Give in-distribution against shifted AUROC, one point a contender; below the diagonal it does not carry over.

    The shifted AUROC is the mean over all test sets but the first. `marked` contenders carry a ring.
    """
    figure = go.Figure()
    lowest = min(min(own.sets[test_sets[0]].score, own.shifted(tuple(test_sets))) for own in found)
    edge = min(0.5, lowest) - 0.02
    figure.add_scatter(
        x=[edge, 1], y=[edge, 1], mode="lines", line={"color": "#9aa0a6", "dash": "dot"}, hoverinfo="skip"
    )
    for side in SIDES:
        own = [standing for standing in found if standing.contender.side == side]
        x = [standing.sets[test_sets[0]].score for standing in own]
        y = [standing.shifted(tuple(test_sets)) for standing in own]
        hover = [f"{escape(s.name)}<br>{number(a)} in, {number(b)} shifted" for s, a, b in zip(own, x, y, strict=True)]
        figure.add_scatter(x=x, y=y, **_points(side, hover))
        _ring(figure, [s.name for s in own], x, y, marked)
    figure.update_xaxes(title_text=f"AUROC on {escape(test_sets[0])}", range=[edge, 1.02])
    figure.update_yaxes(title_text="AUROC, mean of the shifted sets", range=[edge, 1.02])
    return dressed(figure, height=460)


def cost_scatter(found: Sequence[Standing], marked: Sequence[str]) -> go.Figure:
    """Give macro AUROC against the cost of a trial in FLOPs (log axis), with the front that nobody beats at less cost.

    `marked` contenders carry a ring, those on the front stand on its line and are filled dots in its colour; hovering over
    another says who dominates it. Those whose cost is unknown have no place here.
    """
    found = [own for own in found if own.flops]
    figure = go.Figure()
    placed = {own.name: own for own in front_of(found)}
    front = [own for own in sorted(found, key=lambda own: own.flops or 0.0) if placed[own.name].is_on_front]
    figure.add_scatter(
        x=[own.flops for own in front],
        y=[own.sets[MACRO].score for own in front],
        mode="lines+markers",
        name="front",
        line={"color": _INK, "width": 1.2, "shape": "hv"},
        marker={"symbol": "circle", "size": 14, "color": _INK, "opacity": 0.25},
        hoverinfo="skip",
    )
    for side in SIDES:
        own = [standing for standing in found if standing.contender.side == side]
        x, y = [standing.flops or 0.0 for standing in own], [standing.sets[MACRO].score for standing in own]
        hover = [
            f"{escape(s.name)}<br>{number(b)} at {flops(a)} FLOPs<br>{escape(place(placed[s.name]))}"
            for s, a, b in zip(own, x, y, strict=True)
        ]
        figure.add_scatter(x=x, y=y, **_points(side, hover))
        _ring(figure, [s.name for s in own], x, y, marked)
    figure.update_xaxes(type="log", title_text="FLOPs of a trial", exponentformat="power", tickfont={"size": 11})
    figure.update_yaxes(title_text="AUROC, mean over test sets")
    return dressed(figure, height=460)


def curve_panel(curve: Curve, *, bottom: float) -> go.Figure:
    """Give AUROC against the number of latents: in training and on each test set; the axis starts at `bottom`."""
    figure = go.Figure()
    lines = {"training": curve.train, **curve.sets}
    for number_of_line, (name, values) in enumerate(lines.items()):
        style = number_of_line % len(LINE_COLOURS)
        figure.add_scatter(
            x=list(curve.k),
            y=list(values),
            name=escape(name),
            mode="lines+markers",
            line={"color": LINE_COLOURS[style], "dash": DASHES[style], "width": 2},
            marker={"symbol": ("star", "circle", "square", "diamond", "cross", "triangle-up")[style], "size": 7},
            hovertemplate=f"{escape(name)}<br>k = %{{x}}: %{{y:.3f}}<extra></extra>",
        )
    figure.update_xaxes(
        type="log", title_text="latents (k)", tickvals=list(curve.k), ticktext=[str(k) for k in curve.k]
    )
    figure.update_yaxes(title_text="AUROC", range=[bottom, 1.02])
    figure.update_layout(
        showlegend=True, legend={"orientation": "h", "y": -0.22, "yanchor": "top", "font": {"size": 11}}
    )
    return dressed(figure, height=400, keeps_legend=True)


def _points(side: str, hover: list[str]) -> dict[str, Any]:
    line = {"width": 2.2 if side == "control" else 1, "color": COLOURS[side]}
    return {
        "mode": "markers",
        "name": side,
        "marker": {"symbol": SYMBOLS[side], "color": COLOURS[side], "size": 9, "line": line},
        "hovertext": hover,
        "hoverinfo": "text",
    }


def _ring(figure: go.Figure, names: list[str], x: list[float], y: list[float], marked: Sequence[str]) -> None:
    ringed = [place for place, name in enumerate(names) if name in marked]
    figure.add_scatter(
        x=[x[place] for place in ringed],
        y=[y[place] for place in ringed],
        mode="markers",
        marker={"symbol": "circle-open", "size": 19, "color": _INK, "line": {"width": 1.6}},
        hoverinfo="skip",
    )


def dressed(figure: go.Figure, *, height: int, keeps_legend: bool = False) -> go.Figure:
    """Give the figure with the margins, fonts and grid that all have."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 12, "b": 44},
        font={"family": _FONT, "size": 13, "color": _INK},
        plot_bgcolor="white",
        paper_bgcolor="white",
        hoverlabel={"font": {"family": _FONT}},
        dragmode=False,
        **({} if keeps_legend else {"showlegend": False}),
    )
    figure.update_xaxes(gridcolor=_GRID, zeroline=False, fixedrange=True, title_standoff=8)
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, fixedrange=True, title_standoff=8)
    return figure
