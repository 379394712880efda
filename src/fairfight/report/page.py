"""One HTML file with everything in it: verdicts in words, figures, mistakes, every trial. Nothing is fetched to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from fairfight.records import Failed, Trial, flattened
from fairfight.report import figures, wording
from fairfight.report.criteria import sheet_rows
from fairfight.report.mistakes import Family, families
from fairfight.report.standings import Curve, Standing, curves
from fairfight.report.tables import (
    BUDGET_CAPTION,
    COST_CAPTION,
    GAIN_CAPTION,
    budget_rows,
    cost_rows,
    gain_rows,
    score_rows,
)
from fairfight.verdict.answer import Verdict
from fairfight.verdict.board import MACRO
from fairfight.verdict.cost import charged_trial, spent
from fairfight.verdict.criteria.sheet import Sheet
from fairfight.verdict.decide import questions_of
from fairfight.verdict.gains import gains
from fairfight.verdict.roster import Roster

_PLOTLY_SETTINGS = {"responsive": True, "displayModeBar": False, "displaylogo": False}


def render(roster: Roster, found: Sequence[Standing], verdicts: Sequence[Verdict], sheet: Sheet | None = None) -> str:
    """Give the report of a run as one HTML text, about 5 MB, of which Plotly's script is nearly all.

    Questions of the study that have no verdict among `verdicts` are named as not judged. All text from the ledger is
    escaped. The same arguments give the same bytes.
    """
    marked = list(dict.fromkeys(name for verdict in verdicts for name in (verdict.challenger, verdict.defender)))
    template = templates().get_template("report.html.j2")
    return template.render(
        study=roster.run.get("study", {}),
        hash=roster.hash,
        division=roster.division,
        verdicts=verdicts,
        unjudged=_unjudged(roster, verdicts),
        sheet=sheet,
        criteria=sheet_rows(sheet) if sheet else None,
        plotly=Markup(get_plotlyjs()),
        scores=score_rows(roster, found),
        gains=gain_rows(gains(roster)),
        gain_caption=GAIN_CAPTION,
        costs=cost_rows(found, spent(roster)),
        cost_caption=COST_CAPTION,
        drawings=_drawings(roster, found, marked),
        uncosted=[own.name for own in found if own.flops is None],
        marked=[f"{name} ({wording.SIDE_MARKS[roster.contenders[name].side]})" for name in marked],
        curves=_curve_divs(curves(roster)),
        mistakes=_mistakes(roster, verdicts),
        trials=[_trial_cells(roster, trial) for trial in _in_order(roster.trials)],
        failed=len(roster.failed),
        cards=[_card_cells(card, roster.run["study"]) for card in roster.run.get("dictionaries", ())],
        facts=_facts(roster),
        fields=flattened(roster.run.get("study", {})),
    )


def templates() -> Environment:
    """Give the page templates: everything that is put into one is escaped."""
    made = Environment(
        loader=PackageLoader("fairfight.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": wording.number,
        "difference": wording.difference,
        "percent": wording.percent,
        "flops": wording.flops,
    }
    made.globals |= {
        "wording": wording,
        "colours": figures.COLOURS,
        "budget_rows": budget_rows,
        "budget_caption": BUDGET_CAPTION,
    }
    return made


def _unjudged(roster: Roster, verdicts: Sequence[Verdict]) -> list[str]:
    judged = {verdict.question.name for verdict in verdicts}
    return [question.name for question in questions_of(roster) if question.name not in judged]


def _drawings(roster: Roster, found: Sequence[Standing], marked: Sequence[str]) -> dict[str, Any]:
    if not found:
        return {}
    left = min(0.5, *(own.sets[name].low for own in found for name in roster.test_sets)) - 0.02
    return {
        "sets": {
            name: embedded(figures.dot_plot(found, name, left=left), f"set-{place}")
            for place, name in enumerate(_panels(roster))
        },
        "shift": embedded(figures.shift_scatter(found, roster.test_sets, marked), "shift")
        if len(roster.test_sets) > 1
        else "",
        "cost": embedded(figures.cost_scatter(found, marked), "cost"),
    }


def _panels(roster: Roster) -> tuple[str, ...]:
    return (*roster.test_sets, MACRO) if len(roster.test_sets) > 1 else roster.test_sets


def _curve_divs(found: Sequence[Curve]) -> list[tuple[str, Markup]]:
    values = [value for own in found for line in (own.train, *own.sets.values()) for value in line]
    bottom = min([0.5, *values]) - 0.02
    return [
        (own.contender.name, embedded(figures.curve_panel(own, bottom=bottom), f"k-{i}")) for i, own in enumerate(found)
    ]


def embedded(figure: go.Figure, name: str) -> Markup:
    """Give a figure as a part of a page that holds Plotly's script once."""
    # A given id, because Plotly's own is drawn by chance and would make every page differ.
    return Markup(
        figure.to_html(full_html=False, include_plotlyjs=False, config=_PLOTLY_SETTINGS, div_id=f"figure-{name}")
    )


def _mistakes(roster: Roster, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Give the families of mistakes of the first verdict's two contenders; empty without a threshold."""
    if not verdicts or verdicts[0].operating_point is None:
        return {}
    verdict, point = verdicts[0], verdicts[0].operating_point
    names = (verdict.challenger, verdict.defender)
    found: list[Family] = families(roster, names, point.fpr)
    return {"names": names, "fpr": point.fpr, "families": found}


def _in_order(trials: Sequence[Trial]) -> list[Trial]:
    def place(trial: Trial) -> tuple[Any, ...]:
        spec = trial.spec
        dictionary_seed = -1 if spec.dictionary_seed is None else spec.dictionary_seed
        return ("score", "tune", "curve").index(spec.purpose), spec.contender.name, spec.seed, dictionary_seed, spec.key

    return sorted(trials, key=place)


def _trial_cells(roster: Roster, trial: Trial) -> dict[str, str]:
    spec, outcome = trial.spec, trial.outcome
    cells = {
        "method": spec.contender.name,
        "purpose": spec.purpose,
        "seed": wording.seed_of(trial),
        "settings": wording.settings_of(spec.settings),
        "flops": wording.flops(charged_trial(roster, trial)),
        "seconds": f"{trial.machine.seconds:.1f}",
        "key": spec.key,
    }
    if isinstance(outcome, Failed):
        return {**cells, "validation": "", "tests": "", "failed": f"{outcome.error}: {outcome.message}"}
    tests = " ".join(f"{name} {wording.number(value)}" for name, value in outcome.test_auroc.items())
    return {**cells, "validation": wording.number(outcome.validation_auroc), "tests": tests, "failed": ""}


def _card_cells(card: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, str]:
    training = card.get("training_flops")
    found = str(card.get("kind", ""))
    # What is read from files, or trained on from there, is of the kind that it was; the study says how it came here.
    asked = study.get("dictionaries", {}).get(card.get("name"), {}).get("kind", found)
    spent = max(training.values(), default=0) if isinstance(training, Mapping) else training
    return {
        "name": str(card.get("name", card.get("kind", "?"))),
        "role": str(card.get("role", "")),
        "kind": found if asked == found else f"{found}, {asked}",
        "site": str(card.get("site", "")),
        "seed": str(card.get("seed", "")),
        "fvu": _if_known(card.get("fvu")),
        "l0": f"{card['l0']:.1f}" if "l0" in card else "",
        "dead": wording.percent(card["dead_share"]) if "dead_share" in card else "",
        "training": wording.flops(spent) if "training_flops" in card else "",
    }


def _if_known(value: float | None) -> str:
    return "" if value is None else wording.number(value)


def _facts(roster: Roster) -> list[tuple[str, str]]:
    run = roster.run
    facts = [
        ("study hash", roster.hash),
        ("inputs", str(run.get("inputs", ""))),
        ("split seeds scored", ", ".join(map(str, roster.seeds))),
        ("trials", f"{len(roster.trials)}, of which {len(roster.failed)} failed"),
        *((f"{name.replace('_', ' ')}", _one_line(run[name])) for name in _RUN_FACTS if run.get(name)),
    ]
    return [(name, value) for name, value in facts if value]


_RUN_FACTS = ("counts", "configurations_a_side", "missing_families", "tokens", "truncated", "versions")


def _one_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_one_line(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_one_line, value))
    return str(value)
