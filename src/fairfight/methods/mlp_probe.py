"""A network with one hidden layer on pooled activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float

from fairfight.contests.examples import Examples, Labelled
from fairfight.contests.views import Views
from fairfight.methods._descent import Descent, descend
from fairfight.methods._looks import PooledLook
from fairfight.numerics.columns import column_scales
from fairfight.shapes import ExampleScores

_BATCH = 128


@dataclass(frozen=True, eq=False)
class MLPDetector:
    """A fitted network, the standardisation folded into its first layer."""

    look: PooledLook
    first: Float[np.ndarray, "feature hidden"]
    first_bias: Float[np.ndarray, " hidden"]
    second: Float[np.ndarray, " hidden"]
    second_bias: float

    def score(self, examples: Examples, views: Views) -> ExampleScores:
        """Give the logit; costs 2 operations a weight and example."""
        x = self.look.matrix(examples, views)
        views.meter.charge_fit(2 * len(x) * (self.first.size + self.second.size), fits=0)
        return np.maximum(x @ self.first + self.first_bias, 0.0) @ self.second + self.second_bias


@dataclass(frozen=True)
class MLPProbe:
    """One hidden layer of ReLUs: what a linear probe may miss."""

    family: ClassVar[str] = "probing"
    needs_dictionary: ClassVar[bool] = False

    site: str
    """Where activations are read."""
    pooling: str
    """How the tokens of a text become one vector."""
    hidden: int = 64
    """Width of the hidden layer."""
    weight_decay: float = 0.1
    """Of AdamW, on both weight matrices."""
    learning_rate: float = 3e-3
    """Of AdamW, at the start; it falls to zero."""
    steps: int = 400
    """Batches of 128 texts."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from."""
        return {"site": sites, "pooling": poolings, "hidden": (32, 128), "weight_decay": (0.01, 0.1, 1.0, 10.0)}

    @property
    def strength(self) -> float:
        """The share of the weights that decays in training."""
        return self.weight_decay * self.learning_rate * self.steps

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> MLPDetector:
        """Give the fitted network; `chance` draws its first weights and orders the batches."""
        look = PooledLook("activations", self.site, self.pooling)
        x = look.matrix(train.examples, views)
        centre, scales = x.mean(axis=0), column_scales(x)
        inputs = torch.from_numpy(((x - centre) / scales).astype(np.float32))
        # He et al. (2015): the variance of a ReLU layer's weights is 2 / inputs; the second layer starts at zero.
        drawn = chance.normal(scale=np.sqrt(2 / x.shape[1]), size=(x.shape[1], self.hidden)).astype(np.float32)
        first = torch.from_numpy(drawn).requires_grad_()
        first_bias = torch.zeros(self.hidden, requires_grad=True)
        second = torch.zeros(self.hidden, 1, requires_grad=True)
        second_bias = torch.zeros(1, requires_grad=True)

        def logits(chosen: np.ndarray) -> torch.Tensor:
            return (torch.relu(inputs[chosen] @ first + first_bias) @ second + second_bias).squeeze(1)

        descent = Descent(self.steps, _BATCH, self.learning_rate, self.weight_decay)
        with views.meter.counting_torch():
            descend([first, first_bias, second, second_bias], logits, train.labels, descent, chance)
        weights = first.detach().double().numpy() / scales[:, None]
        bias = first_bias.detach().double().numpy() - centre @ weights
        return MLPDetector(look, weights, bias, second.detach().double().numpy()[:, 0], second_bias.item())

    def notes(self, detector: MLPDetector) -> Mapping[str, Any]:
        """Give the steps taken."""
        return {"n_iter": self.steps}
