"""A probe that attends: one learned query weighs the tokens, one linear value reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairfight.activations.shards import TokenBatch
from fairfight.contests.examples import Examples, Labelled
from fairfight.contests.views import Views
from fairfight.methods._descent import Descent, descend
from fairfight.methods._linear import weighted_rows
from fairfight.shapes import ExampleScores

_BATCH = 128
_SCORED_AT_ONCE = 256
"""Examples whose tokens are in memory together while scoring."""


@dataclass(frozen=True, eq=False)
class AttentionDetector:
    """A fitted attention probe, the tokens' standardisation folded in."""

    site: str
    query: Float[np.ndarray, " d_model"]
    value: Float[np.ndarray, " d_model"]
    intercept: float

    def score(self, examples: Examples, views: Views) -> ExampleScores:
        """Give each text's attention-weighted mean of token values; costs 4 operations a coordinate and token."""
        parts = [self._scores(batch, views) for batch in _token_batches(examples, self.site, views)]
        return np.concatenate(parts) + self.intercept

    def _scores(self, batch: TokenBatch, views: Views) -> ExampleScores:
        tokens = batch.values.numpy().astype(np.float64)
        views.meter.charge_fit(4 * tokens.size, fits=0)
        attention, values = weighted_rows(tokens, self.query), weighted_rows(tokens, self.value)
        starts, counts = batch.offsets[:-1], np.diff(batch.offsets)
        weights = np.exp(attention - np.repeat(np.maximum.reduceat(attention, starts), counts))
        return np.add.reduceat(weights * values, starts) / np.add.reduceat(weights, starts)


@dataclass(frozen=True)
class AttentionProbe:
    """Softmax attention over the tokens of a text, trained with the classifier: the dense probe with its own pooling."""

    family: ClassVar[str] = "probing"
    needs_dictionary: ClassVar[bool] = False

    site: str
    """Where activations are read."""
    learning_rate: float = 3e-3
    """Of AdamW, at the start; it falls to zero."""
    weight_decay: float = 0.1
    """Of AdamW, on query and value."""
    steps: int = 400
    """Batches of 128 texts."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from; pooling is what this probe learns."""
        return {"site": sites, "learning_rate": (1e-3, 3e-3, 1e-2), "weight_decay": (0.01, 0.1, 1.0, 10.0)}

    @property
    def strength(self) -> float:
        """The share of the weights that decays in training."""
        return self.weight_decay * self.learning_rate * self.steps

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> AttentionDetector:
        """Give the fitted probe; `chance` orders the batches, all parameters start at zero (mean pooling)."""
        batch = views.tokens(train.examples, self.site)
        centre, scale = _moments(batch.values)
        # Columns: query and value, on standardised tokens.
        both = torch.zeros(len(centre), 2, requires_grad=True)
        intercept = torch.zeros(1, requires_grad=True)

        def logits(chosen: Int[np.ndarray, " example"]) -> Float[Tensor, " example"]:
            tokens, owner = _tokens_of(batch, chosen)
            folded = both / scale[:, None]
            return _attended(tokens @ folded - centre @ folded, owner, len(chosen)) + intercept

        descent = Descent(self.steps, _BATCH, self.learning_rate, self.weight_decay)
        with views.meter.counting_torch():
            descend([both, intercept], logits, train.labels, descent, chance)
        query, value = (both.detach() / scale[:, None]).double().numpy().T
        shift = float(centre.double().numpy() @ value)
        return AttentionDetector(
            self.site, np.ascontiguousarray(query), np.ascontiguousarray(value), intercept.item() - shift
        )

    def notes(self, detector: AttentionDetector) -> Mapping[str, Any]:
        """Give the steps taken."""
        return {"n_iter": self.steps}


def _moments(values: Float[Tensor, "token d_model"]) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
    variance, centre = torch.var_mean(values, dim=0, correction=0)
    scale = variance.sqrt()
    return centre, torch.where(scale > 1e-6, scale, 1.0)


def _tokens_of(
    batch: TokenBatch, chosen: Int[np.ndarray, " example"]
) -> tuple[Float[Tensor, "token d_model"], Int[Tensor, " token"]]:
    """Give the tokens of the chosen examples, and for each the place of its example among them."""
    offsets = np.asarray(batch.offsets)
    starts, counts = offsets[chosen], offsets[chosen + 1] - offsets[chosen]
    ends = np.cumsum(counts)
    rows = np.arange(ends[-1]) + np.repeat(starts - (ends - counts), counts)
    owner = np.repeat(np.arange(len(chosen)), counts)
    return batch.values.index_select(0, torch.from_numpy(rows)), torch.from_numpy(owner)


def _attended(
    heads: Float[Tensor, "token head"], owner: Int[Tensor, " token"], examples: int
) -> Float[Tensor, " example"]:
    attention, values = heads.unbind(dim=1)
    largest = torch.zeros(examples).scatter_reduce(0, owner, attention.detach(), "amax", include_self=False)
    weights = (attention - largest[owner]).exp()
    zeros = torch.zeros(examples)
    return zeros.index_add(0, owner, weights * values) / zeros.index_add(0, owner, weights)


def _token_batches(examples: Examples, site: str, views: Views) -> Iterator[TokenBatch]:
    for start in range(0, len(examples), _SCORED_AT_ONCE):
        chosen = slice(start, start + _SCORED_AT_ONCE)
        yield views.tokens(Examples(examples.ids[chosen], examples.texts[chosen]), site)
