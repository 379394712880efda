"""What is wrong with a table before anybody wins in it. Each check was found in the wild."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from fairfight.verdict.tables.flaw import Flaw
from fairfight.verdict.tables.pairs import Grid
from fairfight.verdict.tables.picked import Picked, many
from fairfight.verdict.tables.quiver import quiver
from fairfight.verdict.tables.score_table import ScoreTable, Side

SAME = 0.01
"""Two sets of scores whose means differ by no more than this on every task are one; a real shift costs several times that."""
LEAST_TASKS = 4
_LAYER = re.compile(r"layer[ _=]*(\d+)", re.IGNORECASE)


def lint(grid: Grid) -> list[Flaw]:
    """Give what is wrong with a table by itself, its reader's findings first."""
    checks = (
        duplicates,
        missing_conditions,
        missing_seeds,
        missing_tasks,
        no_validation,
        ties,
        layer_mismatch,
        one_task,
    )
    return [*grid.table.flaws, *(flaw for check in checks for flaw in check(grid))]


def duplicates(grid: Grid) -> Iterator[Flaw]:
    """Two rows for one play: a mean over them would count one twice, and a join would multiply them."""
    table = grid.table
    place = (grid.unit * len(table.seeds) + table.seed) * len(table.methods) + table.method
    _, first, counts = np.unique(place, return_index=True, return_counts=True)
    if (counts == 1).all():
        return
    row = first[np.argmax(counts)]
    method, task = table.methods[table.method[row]].name, table.tasks[table.task[row]]
    yield Flaw(
        "duplicates",
        f"{int((counts > 1).sum())} plays have several rows, such as {method} on {task} ({int(counts.max())} rows). A column "
        "that tells them apart is missing from the map, or the table was joined without one.",
        is_fatal=True,
    )


def missing_conditions(grid: Grid) -> Iterator[Flaw]:
    """Conditions that only one side was scored under: a mean over all of them compares other tasks."""
    table = grid.table
    sides = np.array([method.side for method in table.methods])[table.method]
    by_side = {side: set(table.condition[sides == side].tolist()) for side in set(sides)}
    if not {"dictionary", "baseline"} <= by_side.keys():
        return
    for side, other in (("dictionary", "baseline"), ("baseline", "dictionary")):
        if lacking := by_side[other] - by_side[side]:
            named = ", ".join(sorted(table.conditions[place] for place in lacking)[:6])
            yield Flaw(
                "conditions missing on one side",
                f"the {side} side was not scored under {len(lacking)} of {len(table.conditions)} conditions ({named}); "
                "only those that both played are compared.",
                is_fatal=False,
            )


def missing_seeds(grid: Grid) -> Iterator[Flaw]:
    """Methods that lack seeds."""
    table = grid.table
    counts = np.array([len(np.unique(table.seed[table.method == place])) for place in range(len(table.methods))])
    if counts.min() < counts.max():
        fewest = min(table.methods[place].name for place in np.flatnonzero(counts == counts.min()))
        yield Flaw(
            "seeds missing",
            f"{fewest} has {counts.min()} seeds and others {counts.max()}; two methods are compared under the seeds that both have, "
            "and what one of them did not play under each of these is left out.",
            is_fatal=False,
        )


def missing_tasks(grid: Grid) -> Iterator[Flaw]:
    """Methods that lack tasks that others of their side have: a mean over all that each played compares other tasks."""
    table = grid.table
    plays = np.unique(table.method.astype(np.int64) * len(table.tasks) + table.task)
    method, task = np.divmod(plays, len(table.tasks))
    played = np.bincount(method, minlength=len(table.methods))
    for side in get_args(Side):
        places = sorted(table.on_side(side), key=lambda place: table.methods[place].name)
        there = len(np.unique(task[np.isin(method, places)]))
        worst = min(places, key=lambda place: played[place], default=None)
        if worst is not None and played[worst] < there:
            lacking = sum(bool(played[place] < there) for place in places)
            yield Flaw(
                "tasks missing",
                f"{lacking} of {len(places)} methods of the {side} side lack tasks that others of it have, most of all "
                f"{table.methods[worst].name} ({played[worst]} of {there} tasks); methods are compared on tasks that they share.",
                is_fatal=False,
            )


def no_validation(grid: Grid) -> Iterator[Flaw]:
    """Without validation scores the best of many was picked on what it is scored by."""
    if (
        grid.table.validation is None
        and max(len(grid.table.on_side("dictionary")), len(grid.table.on_side("baseline"))) > 1
    ):
        empty = f"{grid.table.without_validation} of {len(grid.table)} validation cells are empty, so none is used: "
        yield Flaw(
            "no validation scores",
            f"{empty if grid.table.without_validation else ''}there are {len(grid.table.on_side('dictionary'))} dictionary methods and {len(grid.table.on_side('baseline'))} baselines, and "
            "nothing but the scores themselves to choose by: the best of a side is flattered by that choice.",
            is_fatal=False,
        )


def ties(grid: Grid) -> Iterator[Flaw]:
    """Validation scores that tie, so that the order of rows chooses."""
    table = grid.table
    baselines = table.on_side("baseline")
    if table.validation is None or len(baselines) < 2:
        return
    found = quiver(grid, baselines)
    if found.tied:
        low, high = found.full_range
        first, last = found.mean, float(np.nanmean(found.last))
        yield Flaw(
            "ties on validation",
            f"choosing the baseline task by task meets {found.tied} ties: {first:.5f} if the first row wins them, {last:.5f} if the "
            f"last does, {low:.5f} to {high:.5f} over all ways to break them.",
            is_fatal=False,
        )


def layer_mismatch(grid: Grid) -> Iterator[Flaw]:
    """Baselines whose layer by validation is none of those that the dictionaries were scored at.

    Read from conditions that name a layer, such as `layer 12`; nothing is said where a condition names none.
    """
    table = grid.table
    layers = [_LAYER.search(condition) for condition in table.conditions]
    if table.validation is None or len(layers) < 2 or not all(layers):
        return
    sides = np.array([method.side for method in table.methods])[table.method]
    compared = sorted(set(table.condition[sides == "dictionary"].tolist()))
    baselines = sorted(table.on_side("baseline"), key=lambda place: table.methods[place].name)
    for place in baselines if compared else ():
        validation = _by_condition(grid, place)
        there = [own for own in compared if not np.isnan(validation[own])]
        best = int(np.nanargmax(validation))
        if there and best not in compared and validation[best] > (most := max(validation[own] for own in there)):
            yield Flaw(
                "baseline at another layer than the one selected",
                f"validation selects {table.conditions[best]} for {table.methods[place].name} ({validation[best]:.4f}), but it is "
                f"compared at {', '.join(table.conditions[own] for own in there[:6])} alone, where the dictionaries were scored "
                f"({most:.4f}).",
                is_fatal=False,
            )


def _by_condition(grid: Grid, method: int) -> Float[np.ndarray, " condition"]:
    """Give a method's mean validation score a condition, over the tasks played under all that it played at all."""
    seen = grid.validation(method).mean(axis=1).reshape(len(grid.table.tasks), len(grid.table.conditions))
    played = ~np.isnan(seen).all(axis=0)
    whole = ~np.isnan(seen[:, played]).any(axis=1)
    found = np.full(seen.shape[1], np.nan)
    if whole.any():
        found[played] = seen[whole][:, played].mean(axis=0)
    return found


def picked_on_scores(picks: Sequence[Picked], table: str) -> Iterator[Flaw]:
    """Methods that stand at the best of many settings, picked by the scores that they are judged by."""
    chosen = many(picks)
    if not chosen:
        return
    most = max(chosen, key=lambda own: own.gain)
    blind, by_task = (
        float(np.mean(values)) for values in ([own.gain for own in chosen], [own.gain_by_task for own in chosen])
    )
    yield Flaw(
        "best of many settings picked on the scored set",
        f"{len(chosen)} of {len(picks)} entries of {table} stand at the best of {min(len(own.settings) for own in chosen)} to "
        f"{max(len(own.settings) for own in chosen)} settings, picked by the scores themselves: that adds {blind:+.3f} to a setting "
        f"taken blindly, on average (most for {most.method}, {most.gain:+.3f}). Picking anew for every task would add {by_task:+.3f} "
        "more, and is not done.",
        is_fatal=False,
    )


def one_task(grid: Grid) -> Iterator[Flaw]:
    """Too few tasks to say anything of tasks."""
    if grid.table.clusters < LEAST_TASKS:
        yield Flaw(
            "few tasks",
            f"there are {len(grid.table.tasks)} tasks in {grid.table.clusters} independent groups: what holds for them "
            "need not hold for others.",
            is_fatal=False,
        )


def in_distribution_scores(shifted: ScoreTable, standard: ScoreTable) -> Iterator[Flaw]:
    """Scores that call themselves out-of-distribution and are those of the standard table."""
    theirs = {(own.method, own.task): own.score for own in _plays(standard)}
    gaps: dict[str, list[float]] = {}
    for own in _plays(shifted):
        if (own.method, own.task) in theirs:
            gaps.setdefault(own.task, []).append(own.score - theirs[own.method, own.task])
    largest = max((abs(float(np.mean(found))) for found in gaps.values()), default=np.inf)
    if len(gaps) >= LEAST_TASKS and largest <= SAME:
        yield Flaw(
            "in-distribution scores under another name",
            f"on each of its {len(gaps)} tasks the mean score of {shifted.name} equals that of the same methods in {standard.name} to "
            f"within {largest:.4f}: it is not out of distribution, and no comparison is built on it.",
            is_fatal=True,
        )


class _Play(NamedTuple):
    method: str
    task: str
    score: float


def _plays(table: ScoreTable) -> Iterator[_Play]:
    for method, task, score in zip(table.method, table.task, table.score, strict=True):
        yield _Play(table.methods[method].name, table.tasks[task], float(score))
