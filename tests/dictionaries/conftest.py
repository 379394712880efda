"""A small world with planted atoms, and every kind trained on it once."""

from contextlib import contextmanager

import pytest
import torch

from fairfight import registry
from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.train import train

SMALL = {
    "topk": {"latents": 48, "k": 4, "steps": 60, "batch": 256},
    "relu": {"latents": 48, "l1": 1.0, "steps": 60, "batch": 256},
    "kmeans": {"latents": 20, "batch": 256},
    "pca": {},
    "random": {"latents": 48, "k": 4},
    "neurons": {},
}


@contextmanager
def one_thread():
    """Keep torch to one thread: the same bits are promised on the same number, and small products want no more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(params=SMALL)
def kind(request):
    """Each kind's name in turn."""
    return request.param


@pytest.fixture(scope="session")
def recipes():
    """A small recipe of each kind by name."""
    return {kind: registry.load("kinds", kind)(**settings) for kind, settings in SMALL.items()}


@pytest.fixture(scope="session")
def planted():
    """The atoms that the world is made of."""
    chance = torch.Generator().manual_seed(11)
    return torch.nn.functional.normalize(torch.randn(32, 24, generator=chance), dim=1)


@pytest.fixture(scope="session")
def source(planted):
    """Sparse positive codes (two active of 32 on average) times planted atoms, an offset, and a little noise."""
    chance = torch.Generator().manual_seed(12)
    is_active = torch.rand(6000, 32, generator=chance) < 1 / 16
    codes = is_active * (1 + torch.rand(6000, 32, generator=chance))
    noise = 0.02 * torch.randn(6000, 24, generator=chance)
    values = codes @ planted + torch.linspace(-1, 1, 24) + noise
    return TokenSource.from_tensor(values, site="resid_post.4", key="planted")


@pytest.fixture(scope="session")
def dense_source():
    """Tokens more like a model's: a low-rank part, a sparse part with more atoms than the world is wide, an offset."""
    chance = torch.Generator().manual_seed(2)
    low_rank = torch.randn(4000, 10, generator=chance) @ torch.randn(10, 24, generator=chance)
    sparse = (torch.randn(4000, 60, generator=chance) - 1.5).relu() @ torch.randn(60, 24, generator=chance)
    return TokenSource.from_tensor(low_rank + 2 * sparse + 3)


@pytest.fixture(scope="session")
def made(recipes, source):
    """Each kind's dictionary and card by name."""
    with one_thread():
        return {kind: train(recipe, source, 0, model="a-model") for kind, recipe in recipes.items()}
