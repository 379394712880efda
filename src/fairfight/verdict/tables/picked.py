"""Methods that were scored under many settings, of which somebody has to choose one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

MANY = 3
"""Settings from which on a choice among them is said to flatter."""


@dataclass(frozen=True)
class Picked:
    """A method at the one setting that is best over all of its tasks."""

    method: str
    settings: tuple[str, ...]
    scores: Float[np.ndarray, "setting task"]

    @property
    def best(self) -> int:
        """The setting with the best mean; the first of several."""
        return int(np.argmax(self.scores.mean(axis=1)))

    @property
    def gain(self) -> float:
        """What that choice adds over a setting taken blindly."""
        return float(self.scores[self.best].mean() - self.scores.mean())

    @property
    def gain_by_task(self) -> float:
        """What choosing anew for every task would add on top."""
        return float(self.scores.max(axis=0).mean() - self.scores[self.best].mean())


def many(picks: Sequence[Picked]) -> list[Picked]:
    """Give the methods with so many settings that the choice matters."""
    return [own for own in picks if len(own.settings) >= MANY]
