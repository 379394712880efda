"""The spliced loss: against one forward pass a text, written without our hooks and batches."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from fairfight.dictionaries.quality import loss
from fairfight.dictionaries.quality.intervals import Undefined
from fairfight.dictionaries.quality.loss import CLEAN, loss_sums, recovered
from fairfight.errors import NonFiniteError
from fairfight.models.language import with_head
from fairfight.models.load import load
from tiny_language import D_MODEL, letters, save_tiny_language

SITE = "resid_post.1"
EDITS = {"same": lambda x: x, "zero": torch.zeros_like, "half": lambda x: x / 2}
TEXTS = letters()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(str(save_tiny_language(tmp_path_factory.mktemp("tiny_language"))))


@pytest.fixture(scope="module")
def language(model):
    return with_head(model)


@pytest.fixture(scope="module")
def sums(model, language):
    return loss_sums(model, language, TEXTS, SITE, EDITS, max_tokens=64)


def by_hand(model, language, text, edit):
    """Give log-probabilities of one text, with the layer's own output edited behind BOS, and its tokens."""
    ids = model.tokenizer(text, return_tensors="pt").input_ids
    assert ids[0, 0] == 2
    layer = model.module.h[1]

    def hook(_module, _args, output):
        states = output[0] if isinstance(output, tuple) else output
        changed = torch.cat([states[:, :1], edit(states[0, 1:])[None]], dim=1)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = layer.register_forward_hook(hook)
    with torch.inference_mode():
        logits = language(input_ids=ids).logits[0]
    handle.remove()
    return logits[1:-1].log_softmax(dim=-1), ids[0, 2:]  # BOS predicts too, but no edit can change that


@pytest.mark.parametrize("name", EDITS)
def test_loss_and_divergence_are_those_of_one_pass_a_text(model, language, sums, name):
    for row, text in enumerate(TEXTS):
        edited, following = by_hand(model, language, text, EDITS[name])
        clean, _ = by_hand(model, language, text, lambda x: x)
        assert sums.predictions[row] == len(following) == len(text.split()) - 1
        if not len(following):
            continue
        entropy = functional.nll_loss(edited, following, reduction="sum")
        divergence = functional.kl_div(edited, clean, log_target=True, reduction="sum")
        assert sums.cross_entropy[name][row] == pytest.approx(float(entropy), rel=1e-4)
        assert sums.divergence[name][row] == pytest.approx(float(divergence), rel=1e-3, abs=1e-4)


def test_the_identity_loses_nothing_to_the_bit(sums):
    assert np.array_equal(sums.cross_entropy["same"], sums.cross_entropy[CLEAN])
    assert not sums.divergence["same"].any()


def test_batches_do_not_matter(model, language, sums, monkeypatch):
    monkeypatch.setattr(loss, "LOGIT_BYTES", 1)
    told = []
    alone = loss_sums(model, language, TEXTS, SITE, EDITS, max_tokens=64, advances=told.append)
    assert told == [1] * len(TEXTS)
    assert alone.cross_entropy["half"] == pytest.approx(sums.cross_entropy["half"], rel=1e-4)
    assert alone.divergence["half"] == pytest.approx(sums.divergence["half"], rel=1e-3, abs=1e-4)


def test_texts_are_cut_at_the_window(model, language):
    cut = loss_sums(model, language, TEXTS, SITE, {}, max_tokens=5)
    assert cut.predictions.tolist() == [min(len(text.split()), 4) - 1 for text in TEXTS]


def test_only_content_is_edited(model, language):
    seen = []
    loss_sums(model, language, TEXTS[:9], SITE, {"edit": lambda x: seen.append(x) or x}, max_tokens=64)
    assert sum(map(len, seen)) == sum(len(text.split()) for text in TEXTS[:9])
    assert {own.shape[1] for own in seen} == {D_MODEL}


def test_loss_recovered_agrees_with_a_hand_calculation():
    """Ablation costs 5 - 1 = 4 nats and the splice gives 5 - 2 = 3 of them back."""
    entropies = {name: np.array([value]) for name, value in {CLEAN: 1.0, "ours": 2.0, "mean": 5.0, "zero": 1.0}.items()}
    assert recovered(entropies, "ours", "mean", level=0.95).value == 0.75
    assert isinstance(recovered(entropies, "ours", "zero", level=0.95), Undefined)


def test_a_loss_that_is_not_finite_is_an_error(model, language):
    with pytest.raises(NonFiniteError, match="'broken' at resid_post"):
        loss_sums(model, language, TEXTS[:9], SITE, {"broken": lambda x: x * torch.nan}, max_tokens=64)
