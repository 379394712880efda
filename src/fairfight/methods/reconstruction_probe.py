"""L2-regularised logistic regression on a dictionary's pooled reconstruction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fairfight.methods._linear import RidgeProbe
from fairfight.methods._looks import Source


@dataclass(frozen=True)
class ReconstructionProbe(RidgeProbe):
    """The dense probe behind the dictionary: what of the answer survives encoding and decoding."""

    family: ClassVar[str] = "dictionary"
    needs_dictionary: ClassVar[bool] = True
    source: ClassVar[Source] = "reconstruction"
