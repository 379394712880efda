"""What every kind of dictionary must pass."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import torch

from fairfight import registry
from fairfight.conformance.small_world import global_chance, small
from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.formats import load as load_dictionary
from fairfight.dictionaries.formats import save
from fairfight.dictionaries.tokens import Attribute
from fairfight.dictionaries.train import Trained, train
from fairfight.errors import WidthMismatchError


def makes_a_dictionary(name: str, folder: Path) -> None:
    """Shapes, signs and costs are what the dictionary says."""
    dictionary, x = _trained(name, folder, seed=0).dictionary, _tokens().values[:64]
    codes = dictionary.encode(x)
    kinds = registry.places("kinds")
    assert dictionary.kind in kinds, f"{name} makes a dictionary of kind '{dictionary.kind}', which no file restores"
    assert codes.shape == (64, dictionary.latents), f"{name} gives codes of shape {tuple(codes.shape)}"
    assert dictionary.decode(codes).shape == (64, dictionary.d_out), f"{name} does not decode to d_out"
    assert dictionary.rebuild(x, codes).shape == (64, dictionary.d_out), f"{name} does not rebuild to d_out"
    assert dictionary.is_transcoder or dictionary.d_out == x.shape[1], f"{name} gives tokens of another width"
    assert dictionary.atoms.shape == (dictionary.latents, dictionary.d_out), f"{name} has atoms of another shape"
    assert dictionary.is_signed or (codes >= 0).all(), f"{name} gives negative codes and says is_signed = False"
    is_identity = codes.shape == x.shape and torch.equal(codes, x)
    assert dictionary.encode_flops_per_token > 0 or is_identity, f"{name} encodes for nothing"
    assert torch.isfinite(codes).all(), f"{name} gives codes that are not finite"


def encodes_the_same_without_zeros(name: str, folder: Path) -> None:
    """Sparse codes are the codes to the bit: no zero, latents ascending; and they decode alike, but for rounding."""
    dictionary, x = _trained(name, folder, seed=0).dictionary, _tokens().values[:64]
    codes, sparse = dictionary.encode(x), dictionary.encode_sparse(x)
    assert torch.equal(sparse.dense(), codes), f"{name}.encode_sparse gives other codes than encode"
    assert sparse.values.all(), f"{name}.encode_sparse keeps codes that are zero"
    is_new_token = torch.zeros(len(sparse.latents) + 1, dtype=torch.bool).index_fill_(0, sparse.offsets, value=True)
    falls = (sparse.latents.diff() <= 0) & ~is_new_token[1:-1]
    assert not falls.any(), f"{name}.encode_sparse gives latents of a token that do not ascend"
    x_hat = dictionary.decode(codes)
    apart = (dictionary.decode(sparse) - x_hat).norm() / x_hat.norm()
    assert apart < 1e-5, f"{name} decodes sparse codes to other tokens than dense ones"


def refuses_another_width(name: str, folder: Path) -> None:
    """A token of another width is an error of ours."""
    dictionary = _trained(name, folder, seed=0).dictionary
    try:
        dictionary.encode(torch.zeros(2, dictionary.d_model + 1))
    except WidthMismatchError:
        return
    raise AssertionError(f"{name} encodes tokens of another width")


def comes_back_from_its_folder(name: str, folder: Path) -> None:
    """Saved and loaded, it gives the same codes to the bit."""
    dictionary, card = _trained(name, folder, seed=0)
    save(dictionary, card, folder / "saved")
    again = load_dictionary(folder / "saved")
    x = _tokens().values[:64]
    assert again.card == card, f"{name} has another card after a round trip"
    assert torch.equal(again.dictionary.encode(x), dictionary.encode(x)), f"{name} gives other codes after a round trip"


def gives_the_same_bits_twice(name: str, folder: Path) -> None:
    """The same seed gives the same dictionary; another seed another one, unless it says that seeds make no difference.

    And training draws from no generator that others draw from too.
    """
    x = _tokens().values[:64]
    first = _trained(name, folder, seed=0).dictionary.encode(x)
    before = global_chance()
    second, other = (_trained(name, folder, seed=seed).dictionary.encode(x) for seed in (0, 1))
    assert global_chance() == before, f"{name}.train draws from a global generator: draw from fairfight.seeds"
    assert torch.equal(first, second), f"{name} differs between two trainings with one seed"
    is_seeded = small("kinds", name, folder).is_seeded
    assert torch.equal(first, other) != is_seeded, f"{name} says is_seeded = {is_seeded}, and seeds say otherwise"


@cache
def _tokens() -> TokenSource:
    """Give tokens with everything that a recipe may need besides."""
    chance = torch.Generator().manual_seed(7)
    planted = torch.nn.functional.normalize(torch.randn(40, 24, generator=chance), dim=1)
    codes = torch.relu(torch.randn(3000, 40, generator=chance) - 1.2)
    tokens = TokenSource.from_tensor(codes @ planted + 0.05 * torch.randn(3000, 24, generator=chance))
    speaks = Attribute(("no", "yes"), (codes[:, 0] > 0).long())
    loudest = Attribute(tuple(map(str, range(5))), codes[:, 1:6].argmax(dim=1))
    others = torch.randn(40, 24, generator=chance)
    return dataclasses.replace(
        tokens, has_random_weights=True, attributes={"label": speaks, "loudest": loudest}, target=codes @ others
    )


def _trained(name: str, folder: Path, *, seed: int) -> Trained:
    return train(small("kinds", name, folder), _tokens(), seed)
