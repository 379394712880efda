from __future__ import annotations

import pytest
import torch

from fairfight.errors import SiteError
from fairfight.models.capture import FlopsPolynomial, forward_flops, read_sites
from fairfight.models.sites import SUBLAYERS, layer_list

POST_NORM = ("bert", "electra", "roberta", "xlm-roberta")
PRE_NORM = tuple(family for family in SUBLAYERS if family not in POST_NORM)


def text_only(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return values[mask.bool()]


def assert_same(found: torch.Tensor, expected: torch.Tensor, mask: torch.Tensor) -> None:
    torch.testing.assert_close(text_only(found, mask), text_only(expected, mask), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", SUBLAYERS)
def test_the_residual_stream_is_what_transformers_calls_hidden_states(family: str, tiny, tokens) -> None:
    ids, mask = tokens
    model = tiny(family)
    with torch.inference_mode():
        states = model.module(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    found = read_sites(model, ids, mask, [f"{kind}.{n}" for kind in ("resid_pre", "resid_post") for n in range(3)])
    for layer in range(3):
        assert_same(found[f"resid_pre.{layer}"], states[layer], mask)
        if layer < 2:  # the last hidden state has gone through the final norm where there is one
            assert_same(found[f"resid_post.{layer}"], states[layer + 1], mask)


@pytest.mark.parametrize("family", PRE_NORM)
def test_attention_and_mlp_add_up_to_the_residual_stream(family: str, tiny, tokens) -> None:
    ids, mask = tokens
    found = read_sites(tiny(family), ids, mask, ["resid_pre.1", "attn_out.1", "mlp_out.1", "resid_post.1"])
    total = found["resid_pre.1"] + found["attn_out.1"] + found["mlp_out.1"]
    assert_same(total, found["resid_post.1"], mask)
    assert text_only(found["attn_out.1"], mask).norm() > 0.01
    assert text_only(found["mlp_out.1"], mask).norm() > 0.01


@pytest.mark.parametrize("family", POST_NORM)
def test_in_bert_each_sublayer_is_added_and_then_normalised(family: str, tiny, tokens) -> None:
    ids, mask = tokens
    model = tiny(family)
    found = read_sites(model, ids, mask, ["resid_pre.1", "attn_out.1", "mlp_out.1", "resid_post.1"])
    layer = model.module.encoder.layer[1]
    with torch.inference_mode():
        middle = layer.attention.output.LayerNorm(found["resid_pre.1"] + found["attn_out.1"])
        assert_same(layer.output.LayerNorm(middle + found["mlp_out.1"]), found["resid_post.1"], mask)


@pytest.mark.parametrize("family", SUBLAYERS)
def test_the_mlp_makes_its_output_of_what_is_read_at_its_input(family: str, tiny, tokens) -> None:
    model = tiny(family)
    found = read_sites(model, *tokens, ["mlp_in.1", "mlp_out.1"])
    layer = layer_list(model.module)[1][1]
    with torch.inference_mode():
        if family in POST_NORM:
            made = layer.output.dense(layer.intermediate(found["mlp_in.1"]))
        else:
            made = layer.mlp(found["mlp_in.1"])
            if hasattr(layer, "post_feedforward_layernorm"):
                made = layer.post_feedforward_layernorm(made)
    assert_same(made, found["mlp_out.1"], tokens[1])


def test_no_layer_below_the_deepest_site_is_run(tiny, tokens) -> None:
    model, ran = tiny("bert"), []
    for number, layer in enumerate(model.module.encoder.layer):
        layer.register_forward_pre_hook(lambda *_, number=number: ran.append(number))
    read_sites(model, *tokens, ["resid_post.1", "attn_out.0"])
    assert ran == [0, 1]
    ran.clear()
    read_sites(model, *tokens, ["resid_pre.1"])
    assert ran == [0, 1]  # layer 1 is entered, where its input is read, and left at once


def test_hooks_are_gone_after_reading_and_after_an_error(tiny, tokens) -> None:
    model = tiny("gpt2")
    read_sites(model, *tokens, ["resid_post.0", "mlp_out.1"])
    with pytest.raises(SiteError):
        read_sites(model, *tokens, ["resid_post.0", "resid_post.9"])
    with pytest.raises(IndexError):
        read_sites(model, tokens[0] + 1000, tokens[1], ["resid_post.0"])
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.module.modules())


def test_one_site_under_two_names_is_read_once(tiny, tokens) -> None:
    found = read_sites(tiny("gpt2"), *tokens, ["h.1", "resid_post.1", "blocks.1.hook_resid_post"])
    assert list(found) == ["resid_post.1"]


def bert_by_hand(layers: int, width: int, hidden: int) -> FlopsPolynomial:
    """Four [d, d] products and two [d, h] ones a token; scores and their mixture, 2Ld each, a token of L."""
    return FlopsPolynomial(layers * (4 * 2 * width * width + 2 * 2 * width * hidden), layers * 4 * width)


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_flops_of_bert_are_those_counted_by_hand(layer: int, attention: str, tiny) -> None:
    found = forward_flops(tiny("bert", attn_implementation=attention), [f"resid_post.{layer}"])
    assert found == bert_by_hand(layer + 1, 16, 24)


def test_flops_of_grouped_attention_are_those_counted_by_hand(tiny) -> None:
    # Llama, one key-value head of 8 for two query heads: q and o are [16, 16], k and v [16, 8], the MLP three [16, 24].
    per_layer = 2 * (2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 24)
    assert forward_flops(tiny("llama"), ["resid_post.1"]) == FlopsPolynomial(2 * per_layer, 2 * 4 * 16)


def test_the_last_mlp_is_not_charged_to_a_reader_of_attention(tiny) -> None:
    model = tiny("bert")
    mlp = 2 * 2 * 16 * 24
    whole, attention = (forward_flops(model, [site]) for site in ("resid_post.1", "attn_out.1"))
    assert whole.per_token - attention.per_token == mlp


def test_flops_of_many_lengths_are_given_at_once() -> None:
    assert FlopsPolynomial(3.0, 2.0)(torch.tensor([1, 10]).numpy()).tolist() == [5.0, 230.0]
    assert FlopsPolynomial(3.0, 2.0)(10) == 230.0
