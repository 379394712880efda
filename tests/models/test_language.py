"""The language-model head: the same logits as transformers gives, around the very trunk that hooks act on."""

import pytest
import torch
import transformers

from fairfight.errors import ModelError
from fairfight.models.language import with_head
from fairfight.models.splice import spliced

FAMILIES = ("gpt2", "gpt_neox", "llama", "gemma2", "qwen2")


@pytest.fixture
def saved(tmp_path, tiny):
    """Save a tiny language model of a family; give it beside the model that `load` would give."""
    from dataclasses import replace

    def make(family, *, with_its_head=True):
        model = tiny(family)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            whole = transformers.AutoModelForCausalLM.from_config(model.module.config)
        (whole if with_its_head else model.module).save_pretrained(tmp_path)
        trunk = transformers.AutoModel.from_pretrained(tmp_path)
        return whole.eval(), replace(model, name=f"tiny {family}", module=trunk.eval())

    return make


def logits(module, tokens):
    with torch.inference_mode():
        return module(input_ids=tokens[0], attention_mask=tokens[1]).logits[tokens[1].bool()]


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_transformers_and_a_splice_moves_them(saved, tokens, family):
    whole, model = saved(family)
    language = with_head(model)
    assert torch.equal(logits(language, tokens), logits(whole, tokens))
    with spliced(model, "resid_post.1", torch.zeros_like, tokens[1].bool()):
        assert not torch.equal(logits(language, tokens), logits(whole, tokens))
    assert torch.equal(logits(language, tokens), logits(whole, tokens))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_trunk_is_held_once(saved, family):
    _, model = saved(family)
    language = with_head(model)
    assert language.base_model is model.module
    is_tied = language.config.tie_word_embeddings
    assert (language.get_output_embeddings().weight is model.module.get_input_embeddings().weight) == is_tied


def test_a_folder_without_a_head_has_no_random_one(saved):
    _, model = saved("llama", with_its_head=False)
    with pytest.raises(ModelError, match=r"tiny llama has no language-model head: lm_head.weight"):
        with_head(model)


def test_an_encoder_predicts_no_next_token(tiny):
    with pytest.raises(ModelError, match="not a causal model"):
        with_head(tiny("bert"))
