"""L2-regularised logistic regression on all latents of a dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fairfight.methods._linear import RidgeProbe
from fairfight.methods._looks import Source


@dataclass(frozen=True)
class LatentProbe(RidgeProbe):
    """A dense probe on the pooled codes: every latent may carry weight; standardised, rare ones are not penalised harder."""

    family: ClassVar[str] = "dictionary"
    needs_dictionary: ClassVar[bool] = True
    source: ClassVar[Source] = "codes"
