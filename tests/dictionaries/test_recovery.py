"""A world whose features are known: what is trained on it has to find them."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.fit import Job, Plan, fit, scaling_of
from fairfight.dictionaries.kinds.batch_topk import BatchTopK
from fairfight.dictionaries.kinds.random import Random
from fairfight.dictionaries.mixing import Mixing
from fairfight.dictionaries.rules import TopKRule
from fairfight.dictionaries.trainer import Revival, unit_rows
from fairfight.seeds import torch_stream

WIDTH, FEATURES, ACTIVE, TOKENS = 48, 96, 4, 60_000


@pytest.fixture(scope="module")
def world() -> tuple[torch.Tensor, TokenSource]:
    stream = torch.Generator().manual_seed(3)
    features = unit_rows(torch.randn(FEATURES, WIDTH, generator=stream))
    speaks = torch.rand(TOKENS, FEATURES, generator=stream) < ACTIVE / FEATURES
    loudness = 1 + torch.rand(TOKENS, FEATURES, generator=stream)
    noise = 0.01 * torch.randn(TOKENS, WIDTH, generator=stream)
    return features, TokenSource.from_tensor((speaks * loudness) @ features + noise, key="world")


def cosines(atoms: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Give for each feature the largest cosine to an atom."""
    return (features @ unit_rows(atoms).T).max(dim=1).values


def test_topk_finds_the_features(world: tuple[torch.Tensor, TokenSource]) -> None:
    features, tokens = world
    job = Job("topk", TopKRule(ACTIVE), 2 * FEATURES, 3e-3, torch_stream("topk"), revival=Revival(after_tokens=20_000))
    source = Mixing.of_tensor(tokens.values, tokens.key)
    state = fit([job], source, scaling_of(tokens.values), Plan(steps=800, batch=512))[0]
    found = cosines(state.W_dec, features)
    assert (found > 0.9).double().mean() >= 0.9
    assert found.mean() >= 0.9
    matched = linear_sum_assignment(-(features @ state.W_dec.T).numpy())
    assert (features @ state.W_dec.T).numpy()[matched].mean() >= 0.9


def test_batch_topk_finds_the_features(world: tuple[torch.Tensor, TokenSource]) -> None:
    features, tokens = world
    recipe = BatchTopK(latents=2 * FEATURES, k=ACTIVE, steps=800, batch=512, dead_after_tokens=20_000)
    assert cosines(recipe.train(tokens, 0).dictionary.atoms, features).mean() >= 0.9


def test_random_directions_do_not(world: tuple[torch.Tensor, TokenSource]) -> None:
    features, tokens = world
    found = cosines(Random(latents=2 * FEATURES, k=ACTIVE).train(tokens, 0).dictionary.atoms, features)
    assert found.mean() < 0.6
    assert (found > 0.9).double().mean() < 0.05
