"""Looks: which matrix a method reads for a set of examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from fairfight.contests.examples import Examples
from fairfight.contests.views import Views
from fairfight.shapes import DesignMatrix

Source = Literal["activations", "codes", "reconstruction"]


class Look(Protocol):
    """A way to turn examples into a design matrix, each row depending on its own example only."""

    def matrix(self, examples: Examples, views: Views) -> DesignMatrix:
        """Give the matrix of the examples, in their order."""
        ...


@dataclass(frozen=True)
class PooledLook:
    """Pooled activations, dictionary codes or reconstructions at a site."""

    source: Source
    site: str
    pooling: str

    def matrix(self, examples: Examples, views: Views) -> DesignMatrix:
        """Give the pooled matrix; charges the views for the model pass and the dictionary."""
        if self.source == "activations":
            return views.pooled(examples, self.site, self.pooling)
        if self.source == "codes":
            return views.codes(examples, self.site, self.pooling)
        return views.reconstruction(examples, self.site, self.pooling)
