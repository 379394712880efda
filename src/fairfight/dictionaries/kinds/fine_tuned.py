"""A sparse autoencoder that was trained elsewhere, trained on: the answer to "it was never meant for this domain"."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from fairfight import registry
from fairfight.dictionaries.contract import Card, Fit, TokenSource, TrainingFlops
from fairfight.dictionaries.fit import Job, Plan
from fairfight.dictionaries.formats import Foreign, parameters_of, save
from fairfight.dictionaries.from_files import FromFiles
from fairfight.dictionaries.kinds.relu import ReLUDictionary
from fairfight.dictionaries.kinds.topk import TopKDictionary
from fairfight.dictionaries.resample import resampled
from fairfight.dictionaries.sae import Course, RevivingRecipe, SaeRecipe, Sample, train_alone
from fairfight.dictionaries.settings import check_positive
from fairfight.dictionaries.trainer import SaeState
from fairfight.dictionaries.weights import SaeWeights
from fairfight.errors import InputError
from fairfight.seeds import torch_stream

_PRICES = {
    "topk": (),
    "relu": ("l1",),
    "gated": ("l1",),
    "jumprelu": ("l0",),
    "batch_topk": ("k",),
    "matryoshka": ("k", "shares"),
}
"""The kinds that can be trained on, and what decides how sparse they are, which weights do not tell."""


@dataclass(frozen=True)
class FineTuned(FromFiles):
    """What lies in a path, trained on with the tokens of this study or training: same kind, same number of latents.

    Its card adds up: tokens and operations are those of the training that it began with, and its own.
    """

    steps: int = 400
    batch: int = 2048
    """Tokens a step."""
    learning_rate: float = 5e-4
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of its kind, such as `l1`, in the place of those on its card; needed where it has no card."""
    resample: bool = False
    """First point latents that are silent on the tokens at what is left over there, see `fairfight.dictionaries.resample`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "batch", "learning_rate"):
            check_positive(name, getattr(self, name))

    @classmethod
    def small(cls, folder: Path) -> FineTuned:
        """Give a recipe that trains in a blink on tokens of the conformance checks' width."""
        axes = torch.cat([torch.eye(24), -torch.eye(24)])
        exact = ReLUDictionary(SaeWeights(axes, torch.zeros(48), axes, torch.zeros(24)))
        flops = TrainingFlops(0, 0)
        card = Card(
            "relu", {"l1": 0.1}, 0, "resid_post.1", "a model", "", 0, flops, 0, fvu=0.0, l0=24.0, dead_share=0.0
        )
        save(exact, card, folder / "start")
        return cls(path=str(folder / "start"), steps=10, batch=64)

    @property
    def is_seeded(self) -> bool:
        """Whether seeds differ: in what they begin with, or in what is resampled."""
        return super().is_seeded or self.resample

    def plan(self) -> Plan:
        """Give how long to train."""
        return Plan(self.steps, self.batch)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the dictionary, trained on.

        Raises:
            InputError, DictionaryError, WidthMismatchError: as `FromFiles.checked`, or as `course`.
            NonFiniteError: the loss or a weight became NaN or infinite.
        """
        self.checked(tokens, seed)
        return train_alone(self, tokens, seed)

    def course(self, seed: int, sample: Sample, name: str) -> Course:
        """Give what is to be trained.

        Raises:
            InputError, DictionaryError, WidthMismatchError: as `FromFiles.opened`; or it is of a kind that cannot be trained
                on, or it is not known what it was trained for.
        """
        foreign = self.opened(sample.site, seed, sample.tokens.shape[1])
        recipe = self._recipe(foreign)
        state = _state_of(foreign, recipe)
        if self.resample:
            stream = torch_stream("resampled latents", seed)
            # Among the k largest a faint one would never be; where every positive one speaks, a loud one would disturb.
            share = 1.0 if isinstance(recipe, RevivingRecipe) else 0.2
            state = resampled(state, foreign.dictionary, sample.tokens, stream, encoder_share=share).state
        has_unit_atoms = bool(((state.W_dec.norm(dim=1) - 1).abs() < 0.01).all())
        job = Job(
            name,
            recipe.rule(),
            recipe.latents,
            self.learning_rate,
            torch_stream("fine-tuned dictionary", seed),
            revival=recipe.revival(),
            unit_norm=has_unit_atoms,
            start=state,
        )

        def fitted(end: SaeState) -> Fit:
            return _added(foreign.card, recipe.fitted(end), sample.harvest_flops)

        return Course(job, fitted)

    def _recipe(self, foreign: Foreign) -> SaeRecipe:
        """Give the recipe of the dictionary's own kind that goes on where it stopped."""
        dictionary, kind = foreign.dictionary, foreign.dictionary.kind
        if kind not in _PRICES:
            raise InputError(
                f"A {kind} dictionary cannot be trained on; these kinds can: {', '.join(_PRICES)}. Choose another path."
            )
        made = registry.load("kinds", kind)
        names = {own.name for own in fields(made)}
        known = {name: value for name, value in (foreign.card.recipe if foreign.card else {}).items() if name in names}
        known |= self.settings
        if isinstance(dictionary, TopKDictionary):
            known["k"] = dictionary.k
        if unknown := known.keys() - names:
            raise InputError(
                f"A {kind} has no setting '{min(unknown)}'; it has {', '.join(sorted(names))}. Change settings."
            )
        if missing := [name for name in _PRICES[kind] if name not in known]:
            raise InputError(
                f"{self.path} is a {kind} autoencoder, and its files do not say with which {' and '.join(missing)} it was "
                f"trained, which decides how sparse it stays. Give settings = {{ {missing[0]} = ... }}."
            )
        return made(
            **known
            | {name: getattr(self, name) for name in ("steps", "batch", "learning_rate")}
            | {"latents": dictionary.latents}
        )


def _state_of(foreign: Foreign, recipe: SaeRecipe) -> SaeState:
    given = parameters_of(foreign.dictionary)
    assert given is not None, "all kinds that can be trained on have parameters"
    vectors = {name: given.vectors[name] for name in recipe.rule().vectors(recipe.latents)}
    state = SaeState.start(given.encoder_rows, given.W_dec, given.b_dec, vectors)
    if "threshold" in given.vectors.keys() - vectors.keys():
        # One for all latents, which a batch's smallest code moves on.
        state.scalars = {"threshold": given.vectors["threshold"].mean().item()}
    return state


def _added(card: Card | None, own: Fit, harvest_flops: int) -> Fit:
    """Give the fit with what the training that it began with took added; None where nobody says."""
    tokens, before = (card.tokens_seen, card.training_flops) if card else (None, None)
    if tokens is None or before is None or own.flops is None or own.tokens_seen is None:
        return own._replace(tokens_seen=None, flops=None, harvest_flops=None)
    flops = TrainingFlops(before.executed + own.flops.executed, before.dense + own.flops.dense)
    harvest = (card.harvest_flops or 0) + harvest_flops if card else None
    return own._replace(tokens_seen=tokens + own.tokens_seen, flops=flops, harvest_flops=harvest)
