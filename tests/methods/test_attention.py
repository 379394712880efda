"""The attention probe: what it finds that mean pooling dilutes, and its score by hand."""

import numpy as np
import pytest

from fairfight.contests.examples import Examples
from fairfight.methods.attention_probe import AttentionDetector

SITE = "resid_post.1"


@pytest.fixture(scope="module")
def detector(one_token, method):
    return one_token.fit(method("attention_probe", learning_rate=1e-2, steps=250))


def test_one_telling_token_among_thirty_is_attended_to(one_token, method, detector):
    diluted = one_token.test_auroc(method("logistic_probe"))
    attended = one_token.test_auroc(method("attention_probe", learning_rate=1e-2, steps=250))
    assert attended >= 0.95 > 0.85 > diluted
    assert np.argmax(np.abs(detector.query)) == 3
    assert min(detector.query[3], detector.value[3]) > 0


def test_a_score_is_the_softmax_weighted_mean_of_token_values(one_token, detector):
    chosen = one_token.test.examples
    batch = one_token.views().tokens(chosen, SITE)
    expected = []
    for tokens in np.split(batch.values.double().numpy(), batch.offsets[1:-1]):
        weights = np.exp(tokens @ detector.query)
        expected.append((weights / weights.sum()) @ (tokens @ detector.value) + detector.intercept)
    np.testing.assert_allclose(detector.score(chosen, one_token.views()), expected, rtol=1e-9)


def test_large_attention_does_not_overflow(one_token):
    sharp = AttentionDetector(SITE, 1e4 * np.eye(16)[3], np.eye(16)[3], 0.0)
    batch = one_token.views().tokens(one_token.test.examples, SITE)
    largest = [part[:, 3].max() for part in np.split(batch.values.numpy(), batch.offsets[1:-1])]
    np.testing.assert_allclose(sharp.score(one_token.test.examples, one_token.views()), largest, rtol=1e-3)


def test_texts_of_other_lengths_beside_it_change_no_score(shifted, method):
    detector = shifted.fit(method("attention_probe", steps=50))
    whole = detector.score(shifted.everything, shifted.views())
    for row in (0, 100, 319):
        alone = Examples((shifted.everything.ids[row],), (shifted.everything.texts[row],))
        assert detector.score(alone, shifted.views())[0] == whole[row]


def test_decay_draws_the_probe_towards_mean_pooling(one_token, method, detector):
    decayed = one_token.fit(method("attention_probe", learning_rate=1e-2, weight_decay=100.0, steps=250))
    assert np.linalg.norm(decayed.query) < np.linalg.norm(detector.query) / 2
