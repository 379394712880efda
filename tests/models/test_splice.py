"""Splicing: the identity changes no bit, zeros are a zero ablation, and only the chosen positions are touched."""

import pytest
import torch
from torch import nn

from fairfight.errors import SiteError
from fairfight.models.capture import read_sites
from fairfight.models.splice import spliced

FAMILIES = ("gpt2", "gpt_neox", "llama", "gemma2", "qwen2")
SITES = ("resid_pre.1", "attn_out.1", "mlp_out.1", "resid_post.1")
LAST_PRODUCTS = ("c_proj", "dense_4h_to_h", "down_proj")
"""What the last product of an MLP is called in these families."""


def run(model, tokens):
    with torch.inference_mode():
        return model.module(input_ids=tokens[0], attention_mask=tokens[1]).last_hidden_state


def is_text(tokens):
    return tokens[1].bool()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("site", SITES)
def test_the_identity_changes_nothing_to_the_bit(tiny, tokens, family, site):
    model = tiny(family)
    clean = run(model, tokens)
    with spliced(model, site, lambda x: x, is_text(tokens)):
        assert torch.equal(run(model, tokens), clean)


@pytest.mark.parametrize("family", FAMILIES)
def test_zeros_are_the_same_as_a_sublayer_whose_last_product_gives_zero(tiny, tokens, family):
    model, ablated = tiny(family), tiny(family)
    for name, product in ablated.module.named_modules():
        if ".1.mlp." in f".{name}" and name.endswith(LAST_PRODUCTS):
            nn.init.zeros_(product.weight)
            if getattr(product, "bias", None) is not None:
                nn.init.zeros_(product.bias)
    expected = run(ablated, tokens)
    assert not torch.equal(run(model, tokens), expected), "nothing was ablated"
    with spliced(model, "mlp_out.1", torch.zeros_like, torch.ones_like(tokens[0], dtype=torch.bool)):
        assert torch.equal(run(model, tokens), expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("site", SITES)
def test_only_the_chosen_positions_are_replaced(tiny, tokens, family, site):
    model, chosen = tiny(family), is_text(tokens)
    chosen[:, 0] = False  # as BOS is
    before = read_sites(model, *tokens, [site])[site]
    given = []

    def edit(x):
        given.append(x.clone())
        return x + 1

    with spliced(model, site, edit, chosen):
        after = read_sites(model, *tokens, [site])[site]
    assert torch.equal(given[0], before[chosen])
    assert torch.equal(after[chosen], before[chosen] + 1)
    assert torch.equal(after[~chosen], before[~chosen])


@pytest.mark.parametrize("family", FAMILIES)
def test_what_stands_before_the_first_edit_is_not_moved_and_what_stands_behind_is(tiny, tokens, family):
    model, chosen = tiny(family), torch.zeros_like(tokens[0], dtype=torch.bool)
    chosen[0, 3] = True
    clean = run(model, tokens)
    with spliced(model, "resid_post.0", lambda x: 2 * x + torch.linspace(-1, 1, x.shape[1]), chosen):
        edited = run(model, tokens)
    assert torch.equal(edited[0, :3], clean[0, :3])
    assert torch.equal(edited[1], clean[1])
    assert (edited[0, 3:] != clean[0, 3:]).any(dim=1).all()


def test_the_rest_of_what_a_module_gives_is_passed_on(tiny, tokens):
    model = tiny("gpt2")
    attention = model.module.h[1].attn
    seen = []
    attention.register_forward_hook(lambda _module, _args, output: seen.append(output))
    run(model, tokens)
    with spliced(model, "attn_out.1", torch.zeros_like, is_text(tokens)):
        attention.register_forward_hook(lambda _module, _args, output: seen.append(output))
        run(model, tokens)
    plain, replaced = seen[0], seen[-1]
    assert isinstance(plain, tuple), "this family's attention no longer gives a tuple; choose another"
    assert isinstance(replaced, tuple)
    assert len(plain) == len(replaced)
    assert not replaced[0][is_text(tokens)].any()


def test_a_tensor_that_is_no_tuple_is_replaced_too(tiny, tokens):
    model = tiny("llama")
    seen = []
    with spliced(model, "mlp_out.1", torch.zeros_like, is_text(tokens)):
        model.module.layers[1].mlp.register_forward_hook(lambda _module, _args, output: seen.append(output))
        run(model, tokens)
    assert isinstance(seen[0], torch.Tensor)
    assert not seen[0][is_text(tokens)].any()


def test_hooks_are_gone_afterwards_and_after_an_error(tiny, tokens):
    model = tiny("gpt2")

    def fails(x):
        raise RuntimeError("no edit")

    for site in SITES:
        with pytest.raises(RuntimeError, match="no edit"), spliced(model, site, fails, is_text(tokens)):
            run(model, tokens)
    with pytest.raises(SiteError, match=r"no 'resid_post\.9'"), spliced(model, "resid_post.9", fails, is_text(tokens)):
        run(model, tokens)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.module.modules())
