"""What baselines and dictionaries are known to reach on a task: who falls below has a broken probe, not a better rival."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairfight.verdict.board import MACRO, Board
from fairfight.verdict.roster import Roster

FOLDER = Path(__file__).parent.parent / "data" / "references"
ERRORS = 3.0
"""Standard errors, of run and reference together, by which a baseline has to fall short before it is called broken."""
TOLERANCE = 0.01
"""AUROC beyond that, for another machine and other libraries."""


@dataclass(frozen=True)
class Shortfall:
    """A contender below its reference."""

    name: str
    reached: float
    reference: float
    unit: str

    def __str__(self) -> str:
        """Give it as a phrase."""
        return f"{self.name} ({self.unit} {self.reached:.3f}, reference {self.reference:.3f})"


@dataclass(frozen=True)
class Referenced:
    """A run against the references of its task and model."""

    is_known: bool
    """Whether there are any, for this task as it is shipped and this model."""
    baselines: tuple[Shortfall, ...] = ()
    dictionaries: tuple[Shortfall, ...] = ()


def referenced(board: Board) -> Referenced:
    """Give who falls below the reference: baselines by AUROC on the mean over test sets, contestant dictionaries by FVU.

    A task of somebody's own, or with settings changed, has no reference here.
    """
    roster, found = board.roster, _references(board.roster)
    if found is None:
        return Referenced(is_known=False)
    return Referenced(True, tuple(_weak_baselines(board, found)), tuple(_weak_dictionaries(roster, found)))


def _references(roster: Roster) -> Mapping[str, Any] | None:
    study = roster.run.get("study", {})
    task, model = study.get("task", {}), study.get("model", {})
    file = FOLDER / f"{Path(str(task.get('name', ''))).name}.json"
    if not file.is_file() or task.get("settings"):
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    return found if found["model"] == model.get("name") else None


def _weak_baselines(board: Board, found: Mapping[str, Any]):
    for entry in board.roster.on_side("baseline"):
        reference = found["baselines"].get(entry.contender.method)
        if reference is None:
            continue
        own = board.alone(entry.name, "auroc")[MACRO].estimate()
        reach = ERRORS * (own.error**2 + reference["error"] ** 2) ** 0.5 + TOLERANCE
        if own.value + reach < reference["auroc"]:
            yield Shortfall(entry.name, own.value, reference["auroc"], "AUROC")


def _weak_dictionaries(roster: Roster, found: Mapping[str, Any]):
    limit = found["dictionaries"]
    for card in roster.run.get("dictionaries", ()):
        fvu = card.get("fvu")
        if (
            card.get("role") == "contestant"
            and card.get("kind") in limit["kinds"]
            and fvu is not None
            and fvu > limit["fvu"]
        ):
            label = f"{card['name']} (seed {card.get('seed')}, {card.get('site')})"
            yield Shortfall(label, fvu, limit["fvu"], "FVU")
