"""Train a recipe, and write its card."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from fairfight.dictionaries.contract import Card, Dictionary, Recipe, TokenSource
from fairfight.dictionaries.quality import measure


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
    dictionary, tokens_seen, flops = recipe.train(tokens, seed)
    card = Card(
        kind=dictionary.kind,
        recipe=_plain(recipe),
        seed=seed,
        site=tokens.site,
        model=model,
        activations_key=tokens.key,
        tokens_seen=tokens_seen,
        training_flops=flops,
        harvest_flops=tokens.harvest_flops,
        **measure(dictionary, tokens)._asdict(),
    )
    return Trained(dictionary, card)


def _plain(recipe: Recipe) -> dict[str, Any]:
    """Give the settings as JSON would give them back: lists for tuples."""
    settings = dataclasses.asdict(recipe)  # pyright: ignore[reportArgumentType]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
