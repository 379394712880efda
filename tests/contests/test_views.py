"""Views charge what a method looks at, once: counted by hand here, from the token counts of the texts."""

import pytest

from fairfight.conformance.small_world import SITE, world
from fairfight.contests.examples import Examples, unlabelled
from fairfight.contests.views import Views
from fairfight.dictionaries.formats import load
from fairfight.meter import Meter

D_MODEL, LATENTS = 384, 96


@pytest.fixture
def parts() -> tuple[Examples, Examples]:
    """Two sets of texts with none in common."""
    here = world().split
    return unlabelled(here.validation), unlabelled(here.calibration)


@pytest.fixture
def views() -> Views:
    return Views(world().subject, Meter())


def tokens(*sets: Examples) -> int:
    store = world().subject.activations[SITE]
    return sum(int(store.token_counts[store.rows(examples.texts)].sum()) for examples in sets)


def passes(*sets: Examples) -> int:
    """What the model passes over these texts take, text by text."""
    store = world().subject.activations[SITE]
    return sum(int(store.flops(store.lengths[store.rows(examples.texts)]).sum()) for examples in sets)


def test_model_passes_are_charged_once_a_text_however_it_is_looked_at(views, parts):
    first, second = parts
    views.pooled(first, SITE, "mean")
    views.pooled(first, SITE, "max_min")
    views.tokens(first, SITE)
    views.codes(first, SITE, "mean")
    assert (views.meter.forward_flops, views.meter.tokens) == (passes(first), tokens(first))
    views.pooled(second, SITE, "mean")
    assert (views.meter.forward_flops, views.meter.tokens) == (passes(first, second), tokens(first, second))


def test_encoding_and_decoding_are_charged_once_a_text_each(views, parts):
    """A product with the encoder and one with the decoder: 2 * d_model * latents operations a token each."""
    first, second = parts
    product = 2 * D_MODEL * LATENTS
    views.codes(first, SITE, "mean")
    views.codes(first, SITE, "max_min")
    assert views.meter.encode_flops == product * tokens(first)
    views.reconstruction(first, SITE, "mean")
    views.reconstruction(first, SITE, "max_min")
    assert views.meter.encode_flops == 2 * product * tokens(first)
    views.reconstruction(second, SITE, "mean")
    assert views.meter.encode_flops == 2 * product * tokens(first, second)


def test_a_text_among_others_is_charged_only_if_it_is_new(views, parts):
    first, _ = parts
    half = Examples(first.ids[: len(first) // 2], first.texts[: len(first) // 2])
    views.codes(half, SITE, "mean")
    views.codes(first, SITE, "mean")
    assert views.meter.forward_flops == passes(first)
    assert views.meter.encode_flops == 2 * D_MODEL * LATENTS * tokens(first)


def test_training_a_dictionary_is_charged_once_with_the_passes_that_gave_its_tokens(views, parts):
    here = world().subject
    views.codes(parts[0], SITE, "mean")
    views.codes(parts[1], SITE, "mean")
    store, card = here.activations[SITE], load(here.dictionaries[SITE].folder).card
    assert card.harvest_flops == int(store.flops(store.lengths).sum())
    assert views.meter.dictionary_flops == card.training_flops.dense + card.harvest_flops
