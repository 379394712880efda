"""Cluster pairs against scikit-learn and against a bootstrap that really repeats the examples."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fairfight.errors import EmptyClassError
from fairfight.verdict.concordance import cluster_pairs, weighted_aurocs


def _example_world(chance, *, is_mixed, is_coarse):
    clusters = np.repeat(np.arange(30), chance.integers(1, 5, size=30))
    labels = chance.integers(0, 2, size=len(clusters)) if is_mixed else clusters % 2
    scores = labels + chance.normal(size=len(clusters))
    return np.round(scores) if is_coarse else scores, labels.astype(np.int64), clusters


@pytest.mark.parametrize("is_mixed", [False, True])
@pytest.mark.parametrize("is_coarse", [False, True])
def test_every_replicate_equals_scikit_learn_on_the_repeated_examples(is_mixed, is_coarse):
    chance = np.random.default_rng(5)
    scores, labels, clusters = _example_world(chance, is_mixed=is_mixed, is_coarse=is_coarse)
    weights = np.vstack([np.ones(30), chance.multinomial(30, np.full(30, 1 / 30), size=60)]).astype(np.float64)
    fast = weighted_aurocs(cluster_pairs(scores, labels, clusters), weights)
    for row, value in zip(weights.astype(int), fast, strict=True):
        repeated = np.repeat(np.arange(len(scores)), row[clusters])
        assert value == pytest.approx(roc_auc_score(labels[repeated], scores[repeated]), abs=1e-12)


def test_examples_in_another_order_give_the_same_pairs():
    chance = np.random.default_rng(6)
    scores, labels, clusters = _example_world(chance, is_mixed=True, is_coarse=True)
    order = chance.permutation(len(scores))
    one, other = cluster_pairs(scores, labels, clusters), cluster_pairs(scores[order], labels[order], clusters[order])
    assert (one.wins == other.wins).all()
    assert (one.positives == other.positives).all()


def test_turning_every_score_round_turns_the_auroc_round():
    chance = np.random.default_rng(7)
    scores, labels, clusters = _example_world(chance, is_mixed=True, is_coarse=True)
    weights = np.ones((1, 30))
    forward = weighted_aurocs(cluster_pairs(scores, labels, clusters), weights)
    assert weighted_aurocs(cluster_pairs(-scores, labels, clusters), weights) == pytest.approx(1 - forward, abs=1e-12)


def test_a_missing_class_is_an_error_and_not_one_half():
    with pytest.raises(EmptyClassError, match="0 positives and 3 negatives"):
        cluster_pairs(np.arange(3.0), np.zeros(3, dtype=np.int64), np.arange(3))
