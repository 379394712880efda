from __future__ import annotations

import dataclasses

import pytest

from fairfight.errors import SiteError
from fairfight.models.sites import KINDS, SUBLAYERS, canonical, locate


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("resid_post.4", "resid_post.4"),
        ("resid_pre.0", "resid_pre.0"),
        ("mlp_out.2", "mlp_out.2"),
        ("attn_out.12", "attn_out.12"),
        ("blocks.4.hook_resid_post", "resid_post.4"),
        ("blocks.4.hook_normalized_resid_post", "resid_post.4"),
        ("blocks.0.hook_resid_pre", "resid_pre.0"),
        ("blocks.11.hook_mlp_out", "mlp_out.11"),
        ("blocks.3.hook_attn_out", "attn_out.3"),
        ("encoder.layer.4", "resid_post.4"),
        ("encoder.layer.4.output", "resid_post.4"),
        ("bert.encoder.layer.4.output.dense", "mlp_out.4"),
        ("encoder.layer.4.attention.output.dense", "attn_out.4"),
        ("h.3", "resid_post.3"),
        ("transformer.h.3.attn", "attn_out.3"),
        ("gpt_neox.layers.3.attention", "attn_out.3"),
        ("model.layers.4.mlp", "mlp_out.4"),
        ("model.layers.4.self_attn", "attn_out.4"),
        ("model.layers.10", "resid_post.10"),
    ],
)
def test_every_name_of_a_site_becomes_the_canonical_one(name: str, site: str) -> None:
    assert str(canonical(name)) == site


@pytest.mark.parametrize("kind", KINDS)
def test_a_canonical_name_stands_for_itself(kind: str) -> None:
    assert str(canonical(f"{kind}.7")) == f"{kind}.7"


def test_a_name_that_is_no_site_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SiteError, match=r"Did you mean 'resid_post\.4'"):
        canonical("residpost.4")


@pytest.mark.parametrize(
    "name",
    ["blocks.4.hook_resid_mid", "blocks.4.hook_mlp_in", "layers.2.input_layernorm", "resid_post.-1", "resid_post", ""],
)
def test_places_that_are_no_site_are_refused(name: str) -> None:
    with pytest.raises(SiteError, match="A site is"):
        canonical(name)


def test_berts_attention_module_is_refused_because_its_output_is_already_normalised() -> None:
    with pytest.raises(SiteError, match=r"attn_out\.4"):
        canonical("encoder.layer.4.attention")


@pytest.mark.parametrize("family", SUBLAYERS)
def test_a_layer_that_is_not_there_is_refused_with_the_number_of_layers(family: str, tiny) -> None:
    with pytest.raises(SiteError, match="has 3 layers, numbered 0 to 2"):
        locate(tiny(family), "resid_post.3")


def test_sublayers_of_an_unknown_family_are_refused_and_its_residual_stream_is_not(tiny) -> None:
    model = tiny("llama")
    config = type(model.module.config)(**model.module.config.to_dict())
    config.model_type = "llama_of_tomorrow"
    module = type(model.module)(config)
    stranger = dataclasses.replace(model, module=module)
    assert locate(stranger, "resid_post.1").path == "layers.1"
    with pytest.raises(SiteError, match="llama_of_tomorrow"):
        locate(stranger, "mlp_out.1")


@pytest.mark.parametrize("family", ["bert", "electra", "roberta", "xlm-roberta"])
def test_transformer_lens_sum_before_the_norm_is_refused_where_the_norm_comes_after(family: str, tiny) -> None:
    with pytest.raises(SiteError, match=r"blocks\.1\.hook_normalized_resid_post"):
        locate(tiny(family), "blocks.1.hook_resid_post")
    named = locate(tiny(family), "blocks.1.hook_normalized_resid_post")
    assert named.path == locate(tiny(family), "resid_post.1").path


def test_transformer_lens_sum_before_the_norm_is_refused_in_berts_kin_that_no_table_lists(tiny) -> None:
    model = tiny("roberta")
    config = type(model.module.config)(**model.module.config.to_dict())
    config.model_type = "roberta_of_tomorrow"
    stranger = dataclasses.replace(model, module=type(model.module)(config))
    with pytest.raises(SiteError, match=r"blocks\.1\.hook_normalized_resid_post"):
        locate(stranger, "blocks.1.hook_resid_post")


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "gemma2", "olmo2"])
def test_transformer_lens_residual_stream_is_ours_where_the_norm_comes_first(family: str, tiny) -> None:
    assert locate(tiny(family), "blocks.1.hook_resid_post").path == locate(tiny(family), "resid_post.1").path


def test_a_site_is_located_by_path_width_and_side(tiny) -> None:
    place = locate(tiny("bert"), "resid_pre.2")
    assert (place.path, place.takes_input, place.width) == ("encoder.layer.2", True, 16)
    assert locate(tiny("gemma2"), "mlp_out.1").path == "layers.1.post_feedforward_layernorm"
