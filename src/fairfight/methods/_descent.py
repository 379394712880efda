"""Gradient descent on the log-loss for the small networks among the probes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairfight.shapes import Labels

Logits = Callable[[Int[np.ndarray, " example"]], Float[Tensor, " example"]]


@dataclass(frozen=True)
class Descent:
    """How long and how fast: AdamW on shuffled batches, the learning rate falling linearly to zero."""

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float


def descend(
    parameters: Sequence[Tensor], logits: Logits, labels: Labels, descent: Descent, chance: np.random.Generator
) -> None:
    """Move `parameters`, in place, towards the minimum of the mean log-loss of `logits(examples)`.

    Weight decay applies to matrices, not to biases. The bits hang on `chance` and the parameters alone.
    """
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": descent.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=descent.learning_rate)
    targets = torch.from_numpy(np.asarray(labels, dtype=np.float32))
    waiting = np.empty(0, dtype=np.int64)
    for step in range(descent.steps):
        if len(waiting) < min(descent.batch, len(labels)):
            waiting = chance.permutation(len(labels))
        chosen, waiting = waiting[: descent.batch], waiting[descent.batch :]
        for group in optimiser.param_groups:
            group["lr"] = descent.learning_rate * (1 - step / descent.steps)
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits(chosen), targets[chosen]).backward()
        optimiser.step()
