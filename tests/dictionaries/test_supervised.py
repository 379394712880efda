"""Conditional means against group means and least squares done by NumPy, and in a world that is a sum of attributes."""

import numpy as np
import pytest
import torch

from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.kinds.supervised import Supervised
from fairfight.dictionaries.quality import fvu
from fairfight.dictionaries.tokens import Attribute
from fairfight.errors import StudyError

WIDTH = 10


def source(values: torch.Tensor, **attributes: Attribute) -> TokenSource:
    return TokenSource(values, attributes=attributes)


@pytest.fixture(scope="module")
def unbalanced() -> TokenSource:
    """Tokens with an offset, and two attributes that go together in part."""
    chance = torch.Generator().manual_seed(4)
    label = (torch.rand(20_000, generator=chance) < 0.3).long()
    topic = (torch.randint(3, (20_000,), generator=chance) + label) % 4
    directions = torch.randn(6, WIDTH, generator=chance)
    noise = torch.randn(20_000, WIDTH, generator=chance)
    values = 5 + directions[label] + directions[2 + topic] + noise
    return source(values, label=Attribute(("0", "1"), label), topic=Attribute(("a", "b", "c", "d"), topic))


def test_atoms_are_the_means_of_groups_less_the_mean(unbalanced):
    dictionary = Supervised().train(unbalanced, 0).dictionary
    x = unbalanced.values.double().numpy()
    assert dictionary.names == ("label=0", "label=1", "topic=a", "topic=b", "topic=c", "topic=d")
    for name, atom in zip(dictionary.names, dictionary.atoms.numpy(), strict=True):
        attribute, _, value = name.partition("=")
        values, of_token = unbalanced.attributes[attribute]
        group = x[of_token.numpy() == values.index(value)]
        np.testing.assert_allclose(atom, group.mean(axis=0) - x.mean(axis=0), atol=1e-6)


def test_codes_are_numpys_least_squares_of_smallest_norm(unbalanced):
    dictionary = Supervised().train(unbalanced, 0).dictionary
    x = unbalanced.values[:50]
    centred = (x - unbalanced.values.mean(dim=0)).double().numpy()
    expected = np.linalg.lstsq(dictionary.atoms.double().numpy().T, centred.T, rcond=1e-4)[0].T
    np.testing.assert_allclose(dictionary.encode(x).numpy(), expected, atol=1e-4)


def test_a_world_that_is_a_sum_of_independent_attributes_comes_back_exactly():
    """Every pair of values once: then a conditional mean is its own attribute's direction, less their mean."""
    directions = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(5))
    label, topic = torch.arange(2).repeat_interleave(3), torch.arange(3).repeat(2)
    values = 7 + directions[label] + directions[2 + topic]
    tokens = source(values, label=Attribute(("0", "1"), label), topic=Attribute(("a", "b", "c"), topic))
    dictionary = Supervised().train(tokens, 0).dictionary
    expected = torch.cat([part - part.mean(dim=0) for part in (directions[:2], directions[2:])])
    torch.testing.assert_close(dictionary.atoms, expected, rtol=0, atol=1e-5)
    assert fvu(values, dictionary.decode(dictionary.encode(values))) < 1e-10


def test_an_attribute_with_one_value_has_no_atom(unbalanced):
    same = Attribute(("always",), torch.zeros(20_000, dtype=torch.long))
    tokens = source(unbalanced.values, **unbalanced.attributes, same=same)
    assert Supervised().train(tokens, 0).dictionary.names == Supervised().train(unbalanced, 0).dictionary.names
    with pytest.raises(StudyError, match="1 attributes, none with two values"):
        Supervised().train(source(unbalanced.values, same=same), 0)


def test_values_of_texts_are_spread_over_their_tokens():
    values, of_token = Attribute.of_texts(["b", "a", "b"], np.array([2, 1, 3]))
    assert values == ("a", "b")
    assert of_token.tolist() == [1, 1, 0, 1, 1, 1]
