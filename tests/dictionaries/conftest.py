"""A small world with planted atoms, and every kind trained on it once."""

import pytest
import torch

from fairfight import registry
from fairfight.dictionaries.contract import TokenSource

SMALL = {
    "topk": {"latents": 48, "k": 4, "steps": 60, "batch": 256},
    "relu": {"latents": 48, "l1": 1.0, "steps": 60, "batch": 256},
    "kmeans": {"latents": 20, "batch": 256},
    "pca": {},
    "random": {"latents": 48, "k": 4},
    "neurons": {},
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def planted_atoms(latents=32, d_model=24):
    chance = torch.Generator().manual_seed(11)
    return torch.nn.functional.normalize(torch.randn(latents, d_model, generator=chance), dim=1)


def planted_tokens(tokens=6000, active_share=0.06, noise=0.02):
    """Sparse positive codes times planted atoms, a constant offset, and a little noise."""
    chance = torch.Generator().manual_seed(12)
    atoms = planted_atoms()
    is_active = torch.rand(tokens, len(atoms), generator=chance) < active_share
    codes = is_active * (1 + torch.rand(tokens, len(atoms), generator=chance))
    offset = torch.linspace(-1, 1, atoms.shape[1])
    return codes @ atoms + offset + noise * torch.randn(tokens, atoms.shape[1], generator=chance)


@pytest.fixture(scope="session")
def source():
    return TokenSource.from_tensor(planted_tokens(), site="resid_post.4", key="planted")


@pytest.fixture(scope="session")
def trained(source):
    """The fit of each kind by name, at a small size."""
    return {kind: registry.load("kinds", kind)(**settings).train(source, 0) for kind, settings in SMALL.items()}
