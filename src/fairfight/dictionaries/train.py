"""Train a recipe, and write its card."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import torch

from fairfight import registry
from fairfight.dictionaries.contract import Card, Dictionary, Fit, Recipe, TokenSource
from fairfight.dictionaries.quality import measure


class Trained(NamedTuple):
    """A dictionary with its card."""

    dictionary: Dictionary
    card: Card


def train(recipe: Recipe, tokens: TokenSource, seed: int, *, model: str = "") -> Trained:
    """Give the dictionary that `recipe` makes of `tokens`, with its card.

    Raises:
        NonFiniteError: the loss or a weight became NaN or infinite.
    """
    fit = recipe.train(tokens, seed)
    return carded(recipe, fit, seed, tokens=tokens, model=model, harvest_flops=tokens.harvest_flops)


def carded(
    recipe: Any,
    fit: Fit,
    seed: int,
    *,
    tokens: TokenSource,
    model: str,
    harvest_flops: int | None,
    dtype: torch.dtype = torch.float32,
) -> Trained:
    """Give what a recipe made of `tokens`, rounded to `dtype`, with its card.

    The card's quality is that of the rounded dictionary, on training tokens (see `quality.measure`).
    """
    dictionary = rounded(fit.dictionary, dtype)
    if fit.harvest_flops is not None or fit.flops is None:
        harvest_flops = fit.harvest_flops
    card = Card(
        kind=dictionary.kind,
        recipe=settings_of(recipe),
        seed=seed,
        site=tokens.site,
        model=model,
        activations_key=tokens.key,
        tokens_seen=fit.tokens_seen,
        training_flops=fit.flops,
        harvest_flops=harvest_flops,
        **measure(dictionary, tokens)._asdict(),
    )
    return Trained(dictionary, card)


def rounded(dictionary: Dictionary, dtype: torch.dtype) -> Dictionary:
    """Give the dictionary with weights that `dtype` can hold; it still computes in float32."""
    if dtype == torch.float32:
        return dictionary
    tensors = {name: value.to(dtype) for name, value in dictionary.tensors().items()}
    return registry.load("kinds", dictionary.kind).restore(dictionary.cfg(), tensors)


def settings_of(recipe: Any) -> dict[str, Any]:
    """Give a recipe's settings as JSON would give them back: lists for tuples."""
    settings = dataclasses.asdict(recipe)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
