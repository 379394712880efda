"""L2-regularised logistic regression on pooled activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fairfight.methods._linear import RidgeProbe
from fairfight.methods._looks import Source


@dataclass(frozen=True)
class LogisticProbe(RidgeProbe):
    """Logistic regression on pooled activations: the baseline that a sparse probe must beat.

    It sees the same examples and has the same search budget, and no dictionary.
    """

    family: ClassVar[str] = "probing"
    needs_dictionary: ClassVar[bool] = False
    source: ClassVar[Source] = "activations"
