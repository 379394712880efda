"""Train a recipe and write its card; and the trainer that the kinds of sparse autoencoder share.

A kind brings an `Objective`: the loss and its gradients on one batch. All else (start, scaling, Adam, schedule, unit
atoms) is here.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Card, Dictionary, Recipe, TokenSource, TrainingFlops
from fairfight.dictionaries.quality import measure
from fairfight.dictionaries.settings import check_positive
from fairfight.dictionaries.weights import SaeWeights
from fairfight.errors import NonFiniteError

_CALIBRATION_TOKENS = 65_536


class Trained(NamedTuple):
    """A dictionary with its card."""

    dictionary: Dictionary
    card: Card


def train(recipe: Recipe, tokens: TokenSource, seed: int, *, model: str = "") -> Trained:
    """Give the dictionary that `recipe` makes of `tokens`, with its card.

    The card's quality is measured on training tokens (see `quality.measure`).

    Raises:
        NonFiniteError: the loss or a weight became NaN or infinite.
    """
    dictionary, tokens_seen, flops, harvest_flops = recipe.train(tokens, seed)
    if flops is not None and harvest_flops is None:
        harvest_flops = tokens.harvest_flops
    card = Card(
        kind=dictionary.kind,
        recipe=_plain(recipe),
        seed=seed,
        site=tokens.site,
        model=model,
        activations_key=tokens.key,
        tokens_seen=tokens_seen,
        training_flops=flops,
        harvest_flops=harvest_flops,
        **measure(dictionary, tokens)._asdict(),
    )
    return Trained(dictionary, card)


def _plain(recipe: Recipe) -> dict[str, Any]:
    """Give the settings as JSON would give them back: lists for tuples."""
    settings = dataclasses.asdict(recipe)  # pyright: ignore[reportArgumentType]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: linear warm-up over the first twentieth, linear decay to zero over the last fifth."""

    steps: int
    batch: int
    learning_rate: float

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "learning_rate"):
            check_positive(name, getattr(self, name))

    def rate(self, step: int) -> float:
        """Give the learning rate of a step, counted from zero."""
        warm_up = max(1, self.steps // 20)
        decay = max(1, self.steps // 5)
        return self.learning_rate * min(1.0, (step + 1) / warm_up, (self.steps - step) / decay)


class Objective(Protocol):
    """What a kind of sparse autoencoder minimises."""

    def gradients(self, weights: SaeWeights, x: Float[Tensor, "token d_model"]) -> tuple[float, SaeWeights]:
        """Give the loss of a batch and its gradient, in the shape of the weights."""
        ...

    def flops(self) -> TrainingFlops:
        """Give what all calls of `gradients` so far took."""
        ...


def train_sae(
    tokens: TokenSource, objective: Objective, latents: int, *, schedule: Schedule, stream: torch.Generator
) -> SaeWeights:
    """Give the weights that minimise `objective` on `tokens`.

    Atoms are random unit vectors at first, the encoder is their transpose and `b_dec` the mean token. The input is
    scaled so that its mean squared norm is d_model, which makes learning rates and penalties comparable between sites;
    the scale is folded into the weights at the end, so that they take tokens as they are. Atoms stay at unit norm: the
    part of their gradient along them is taken out before Adam, and their norm is restored after it.

    Raises:
        NonFiniteError: the loss or a weight became NaN or infinite.

    Source: Gao et al. (2024), appendix A.1; Bricken et al. (2023) for the unit norm.
    """
    calibration = tokens.sample(_CALIBRATION_TOKENS, stream)
    scale = math.sqrt(tokens.d_model / max(calibration.square().sum(dim=1).mean().item(), 1e-30))
    weights = _start(calibration.mean(dim=0) * scale, latents, stream)
    optimiser = torch.optim.Adam([weight.requires_grad_() for weight in weights], fused=True)
    with torch.no_grad():
        for step, batch in enumerate(tokens.batches(schedule.batch, schedule.steps, stream)):
            loss, gradients = objective.gradients(weights, batch * scale)
            _check_finite(math.isfinite(loss), step)
            _remove_parallel(gradients.W_dec, weights.W_dec)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            optimiser.param_groups[0]["lr"] = schedule.rate(step)
            optimiser.step()
            weights.W_dec.copy_(_unit(weights.W_dec))
    _check_finite(all(bool(weight.isfinite().all()) for weight in weights), schedule.steps)
    rows, b_enc, W_dec, b_dec = (weight.detach() for weight in weights)
    # Atoms keep their unit norm because ReLU and top-k commute with a positive factor: codes are divided instead.
    return SaeWeights(rows, b_enc / scale, W_dec, b_dec / scale)


def _start(mean: Float[Tensor, " d_model"], latents: int, stream: torch.Generator) -> SaeWeights:
    atoms = _unit(torch.randn(latents, len(mean), generator=stream))
    return SaeWeights(atoms.clone(), torch.zeros(latents), atoms, mean.clone())


def _unit(rows: Float[Tensor, "latent d_model"]) -> Float[Tensor, "latent d_model"]:
    return torch.nn.functional.normalize(rows, dim=1)


def _remove_parallel(gradient: Float[Tensor, "latent d_model"], atoms: Float[Tensor, "latent d_model"]) -> None:
    """Take out of each gradient row its part along the unit atom, in place."""
    along = (gradient * atoms).sum(dim=1, keepdim=True)
    gradient.addcmul_(along, atoms, value=-1.0)


def _check_finite(is_finite: bool, step: int) -> None:
    if not is_finite:
        raise NonFiniteError(
            f"Training left the finite numbers at step {step}; a finite loss was expected. "
            "Lower the recipe's learning_rate, and look for outliers among the activations."
        )
