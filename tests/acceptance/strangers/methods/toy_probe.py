"""A toy baseline: nearest class mean on pooled activations."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class ToyProbe:
    """Nearest class mean on pooled activations."""

    family: ClassVar[str] = "probing"
    needs_dictionary: ClassVar[bool] = False
    site: str = "resid_post.2"
    pooling: str = "mean"
    shrink: float = 0.0

    @classmethod
    def space(cls, sites, poolings):
        return {"site": sites, "pooling": poolings, "shrink": (0.0, 0.1, 0.5)}

    @property
    def strength(self):
        return self.shrink

    def fit(self, train, views, chance):
        x = views.pooled(train.examples, self.site, self.pooling)
        views.meter.charge_fit(2 * x.size)
        return Fitted(self, x[train.labels == 1].mean(0) - x[train.labels == 0].mean(0))

    def notes(self, detector):
        return {}


@dataclass(frozen=True)
class Fitted:
    method: ToyProbe
    direction: np.ndarray

    def score(self, examples, views):
        return views.pooled(examples, self.method.site, self.method.pooling) @ self.direction
