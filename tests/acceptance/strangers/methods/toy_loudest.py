"""A toy dictionary method: the loudest latents of the positive class vote."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class ToyLoudest:
    """The sum of the latents that speak loudest for the positive class."""

    family: ClassVar[str] = "dictionary"
    needs_dictionary: ClassVar[bool] = True
    site: str = "resid_post.2"
    pooling: str = "mean"
    latents: int = 4

    @classmethod
    def space(cls, sites, poolings):
        return {"site": sites, "pooling": poolings, "latents": (1, 4, 16)}

    @property
    def strength(self):
        return 1 / self.latents

    def fit(self, train, views, chance):
        codes = views.codes(train.examples, self.site, self.pooling)
        views.meter.charge_fit(2 * codes.size)
        gain = codes[train.labels == 1].mean(0) - codes[train.labels == 0].mean(0)
        return Fitted(self, np.argsort(-gain, kind="stable")[: self.latents])

    def notes(self, detector):
        return {"latents": detector.chosen.tolist()}


@dataclass(frozen=True)
class Fitted:
    method: ToyLoudest
    chosen: np.ndarray

    def score(self, examples, views):
        return views.codes(examples, self.method.site, self.method.pooling)[:, self.chosen].sum(axis=1)
