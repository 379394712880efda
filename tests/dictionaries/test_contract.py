import json

import pytest
import torch

from fairfight import registry
from fairfight.dictionaries.contract import Card, Recipe, TrainingFlops, take_tensors
from fairfight.dictionaries.train import train
from fairfight.errors import DamagedFileError, WidthMismatchError


def test_the_registry_finds_every_kind_and_its_class_is_a_recipe(kind):
    made = registry.load("kinds", kind)()
    assert isinstance(made, Recipe)
    with pytest.raises(AttributeError):
        made.latents = 3


def test_a_matrix_of_another_width_is_refused_with_both_widths(kind, made):
    dictionary = made[kind].dictionary
    with pytest.raises(WidthMismatchError, match=f"width 25, but this {kind} dictionary takes a matrix of width 24"):
        dictionary.encode(torch.zeros(2, 25))
    with pytest.raises(WidthMismatchError, match="Codes have shape"):
        dictionary.decode(torch.zeros(dictionary.latents))


def test_encoding_takes_half_precision_and_changes_no_input_and_keeps_no_gradient(kind, made, source):
    x = source.values[:8].clone().requires_grad_()
    codes = made[kind].dictionary.encode(x)
    assert not codes.requires_grad
    assert torch.equal(x, source.values[:8])
    assert made[kind].dictionary.encode(x.half()).dtype == torch.float32


def test_no_token_has_no_codes_and_a_strided_view_the_same_codes(kind, made, source):
    dictionary = made[kind].dictionary
    assert dictionary.decode(dictionary.encode(torch.zeros(0, 24))).shape == (0, 24)
    view = source.values[:64].T.contiguous().T
    torch.testing.assert_close(dictionary.encode(view), dictionary.encode(source.values[:64]))


@pytest.mark.parametrize("kind", ["topk", "relu", "pca", "random", "neurons"])
def test_an_atom_is_what_a_code_of_one_adds(kind, made):
    dictionary = made[kind].dictionary
    silence = dictionary.decode(torch.zeros(dictionary.latents, dictionary.latents))
    added = dictionary.decode(torch.eye(dictionary.latents)) - silence
    torch.testing.assert_close(added, dictionary.atoms, atol=1e-5, rtol=0)


def test_a_card_says_what_was_done_and_survives_json(recipes, source):
    recipe = recipes["topk"]
    _, card = train(recipe, source, 3, model="a-model")
    assert (card.kind, card.seed, card.site, card.model) == ("topk", 3, "resid_post.4", "a-model")
    assert card.tokens_seen == 60 * 256
    assert card.recipe["k"] == 4
    assert card.recipe["dead_after_tokens"] == recipe.dead_after_tokens
    assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card


def test_a_card_with_an_unknown_entry_is_refused():
    card = Card("pca", {}, 0, "", "", "", 1, TrainingFlops(1, 1), 0, 0.0, 1.0, 0.0)
    with pytest.raises(DamagedFileError, match="loss"):
        Card.from_json({**card.to_json(), "loss": 1})


def test_missing_and_misshapen_tensors_are_refused():
    with pytest.raises(DamagedFileError, match="holds nothing under 'b_dec'"):
        take_tensors({}, {"b_dec": (3,)})
    with pytest.raises(DamagedFileError, match=r"shape \(2,\)"):
        take_tensors({"b_dec": torch.zeros(2)}, {"b_dec": (3,)})


def test_training_flops_of_a_topk_autoencoder_agree_with_a_hand_count(made):
    """Five products of 2 * 256 * 24 * 48 a step; sparse, one of them and four over 4 latents of 48; 60 steps."""
    product = 2 * 256 * 24 * 48
    assert made["topk"].card.training_flops == TrainingFlops(60 * (product + 4 * product * 4 // 48), 60 * 5 * product)
