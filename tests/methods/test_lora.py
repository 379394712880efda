"""LoRA on the embedded model: the budget it keeps, the base model it leaves alone, and that it learns."""

import sys

import numpy as np
import pytest
import torch

from fairfight.conformance.small_world import world
from fairfight.contests.examples import labelled, unlabelled
from fairfight.contests.views import Views
from fairfight.errors import PluginError
from fairfight.meter import Meter
from fairfight.methods import _lora
from fairfight.methods.lora_classifier import LoraClassifier
from fairfight.models.load import load
from fairfight.numerics.ranking import auroc
from fairfight.seeds import stream


def fitted(**settings):
    views = Views(world().subject, Meter())
    train = labelled(world().split.train)
    return LoraClassifier(**settings).fit(train, views, stream("test")), train, views


@pytest.fixture(scope="module")
def texts():
    return _lora.tokenise(load(), [" ".join(["word"] * n) for n in (1, 2, 3, 5, 8, 13, 21, 34)], 32)


def test_it_learns_its_training_texts():
    detector, train, views = fitted(rank=4, learning_rate=3e-3, epochs=2, max_tokens_a_fit=4000)
    assert auroc(detector.score(train.examples, views), train.labels) >= 0.9


@pytest.mark.parametrize("epochs", [1, 2])
def test_it_keeps_its_token_budget_over_all_epochs(epochs):
    detector, _, views = fitted(rank=2, epochs=epochs, max_tokens_a_fit=300)
    assert 0 < detector.tokens <= 300
    assert views.meter.cost().fit_flops > 0


def test_each_epoch_passes_over_the_same_whole_texts():
    once, train, views = fitted(rank=2, epochs=1, max_tokens_a_fit=150)
    thrice, _, _ = fitted(rank=2, epochs=3, max_tokens_a_fit=450)
    assert thrice.texts == once.texts > 2
    assert thrice.tokens == 3 * once.tokens
    longest = max(len(text.ids) for text in _lora.tokenise(load(), train.examples.texts, views.max_tokens))
    assert 150 - 2 * longest < once.tokens <= 150, "another text of either class would not have fitted"


@pytest.mark.parametrize("tokens", [1, 60])
def test_a_step_in_parts_is_the_same_step(monkeypatch, tokens):
    settings = {"rank": 2, "learning_rate": 3e-3, "max_tokens_a_fit": 1500}
    monkeypatch.setattr(_lora, "PASS_TOKENS", 10**6)
    whole, train, views = fitted(**settings)
    expected = whole.score(train.examples, views)
    monkeypatch.setattr(_lora, "PASS_TOKENS", tokens)
    parts, _, views = fitted(**settings)
    assert np.abs(expected).max() > 0.01, "training moved nothing, so parts could not have differed"
    np.testing.assert_allclose(parts.score(train.examples, views), expected, atol=1e-4)


def test_all_texts_are_trained_on_where_the_budget_allows():
    detector, train, views = fitted(rank=2, max_tokens_a_fit=10**6)
    texts = _lora.tokenise(load(), train.examples.texts, views.max_tokens)
    assert detector.texts == len(train)
    assert detector.tokens == sum(len(text.ids) for text in texts)


def test_a_budget_below_any_text_leaves_one_of_each_class():
    detector, _, _ = fitted(rank=2, max_tokens_a_fit=1)
    assert detector.texts == 2


def test_training_moves_adapters_and_head_only(texts):
    module = load().module
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adapted, head = _lora.with_adapters(module, 2), torch.nn.Linear(384, 1)
    labels, chance = np.arange(len(texts)) % 2, stream("frozen")
    drawn = {name: tensor.detach().clone() for name, tensor in adapted.named_parameters() if tensor.requires_grad}
    _lora.train(adapted, head, texts, labels, _lora.Schedule(1e-2, 3), chance)
    moved = {
        name for name, tensor in adapted.named_parameters() if name in drawn and not torch.equal(tensor, drawn[name])
    }
    # The head reads the last hidden state, so nothing flows through the pooler.
    assert moved == {name for name in drawn if "pooler" not in name}
    assert all("lora_" in name for name in moved)
    left = adapted.unload().state_dict()
    assert left.keys() == before.keys()
    assert all(torch.equal(before[name], left[name]) for name in before)


def test_one_fit_leaves_nothing_behind_for_the_next():
    train, examples = labelled(world().split.train), unlabelled(world().split.calibration)
    views = Views(world().subject, Meter())
    # Three steps: in the first, the head is still zero and no gradient reaches the adapters.
    method = LoraClassifier(rank=2, learning_rate=3e-3, epochs=3, max_tokens_a_fit=300)
    first, second = (method.fit(train, views, stream("test")).score(examples, views) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.ptp(first) > 0


def test_without_peft_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(PluginError, match=r"pip install 'fairfight\[lora\]'"):
        fitted(rank=2, max_tokens_a_fit=100)


def test_the_base_model_stays_as_it_was():
    before = {name: tensor.clone() for name, tensor in load().module.state_dict().items()}
    fitted(rank=2, learning_rate=3e-3, epochs=2, max_tokens_a_fit=3000)
    after = load().module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_merged_adapters_change_the_weights():
    detector, _, _ = fitted(rank=2, learning_rate=3e-3, epochs=2, max_tokens_a_fit=3000)
    before, after = load().module.state_dict(), detector.module.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed
    assert all(name.endswith("weight") for name in changed)


def test_long_texts_are_cut(texts):
    assert max(len(text.ids) for text in texts) == 32
    assert not texts[0].is_content[0]
    assert sum(texts[0].is_content) == 1


def test_batches_hold_every_text_once_within_the_padded_budget(texts):
    batches = list(_lora.batches_by_length(texts, range(len(texts)), 40))
    assert sorted(row for batch in batches for row in batch) == list(range(len(texts)))
    for batch in batches:
        assert len(batch) == 1 or max(len(texts[row].ids) for row in batch) * len(batch) <= 40


def test_a_subset_keeps_both_classes_in_proportion(texts):
    many, labels = texts * 20, np.array([0, 0, 0, 1] * 40)
    rows = _lora.subset_within(many, labels, 600, stream("subset"))
    assert sum(len(many[row].ids) for row in rows) <= 600
    tokens = [sum(len(many[row].ids) for row in rows if labels[row] == label) for label in (0, 1)]
    whole = [sum(len(text.ids) for text, own in zip(many, labels, strict=True) if own == label) for label in (0, 1)]
    assert tokens[1] / sum(tokens) == pytest.approx(whole[1] / sum(whole), abs=0.1)
    assert rows == sorted(set(rows))


def test_padding_changes_no_score(texts):
    model = load()
    head = torch.nn.Linear(model.d_model, 1)
    with torch.inference_mode():
        together = _lora.read(model.module, head, _lora.padded(texts))
        alone = torch.cat([_lora.read(model.module, head, _lora.padded([text])) for text in texts])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_the_learning_rate_rises_and_falls_to_nothing():
    rates = [_lora._rate(step, 20) for step in range(20)]
    assert max(rates) == rates[1] == 1.0
    assert rates[-1] == pytest.approx(1 / 18)
    assert (np.diff(rates[2:]) < 0).all()
