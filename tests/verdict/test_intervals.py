"""Intervals cover what they claim, and draws are shared as they must be."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from fairfight.errors import EmptyClassError, InputError
from fairfight.verdict.concordance import cluster_pairs, weighted_aurocs
from fairfight.verdict.draws import Draws, cluster_counts, draw, seed_shares, stream
from fairfight.verdict.intervals import auroc_interval, interval
from fairfight.verdict.roster import read_roster

VARIANTS, CLUSTERS = 4, 80


def _world(chance, skill):
    """Give scores whose AUROC is Phi(skill / sqrt(2)): nine tenths of the variance lies between clusters."""
    clusters = np.repeat(np.arange(CLUSTERS), VARIANTS)
    effect = chance.normal(size=CLUSTERS)[clusters] * np.sqrt(0.9)
    labels = clusters % 2
    return skill * labels + effect + chance.normal(size=len(clusters)) * np.sqrt(0.1), labels, clusters, effect


def test_the_interval_of_one_score_covers_the_planted_auroc():
    chance, truth = np.random.default_rng(11), norm.cdf(1.0 / np.sqrt(2))
    hits = 0
    for _ in range(100):
        scores, labels, clusters, _ = _world(chance, 1.0)
        found = auroc_interval(scores, labels, [str(c) for c in clusters], chance=chance, replicates=200)
        hits += found.low <= truth <= found.high
    assert 88 <= hits <= 99


def test_the_interval_of_a_paired_difference_covers_the_planted_difference():
    chance = np.random.default_rng(12)
    truth, hits = norm.cdf(1.4 / np.sqrt(2)) - norm.cdf(1.0 / np.sqrt(2)), 0
    for _ in range(100):
        first, labels, clusters, effect = _world(chance, 1.4)
        own = np.repeat(chance.normal(size=CLUSTERS), VARIANTS)
        second = labels + (effect + own * np.sqrt(0.9)) / np.sqrt(2) + chance.normal(size=len(labels)) * np.sqrt(0.1)
        weights = cluster_counts(np.arange(CLUSTERS) % 2, np.ones((1, CLUSTERS), dtype=bool), 200, chance)
        ours, theirs = (weighted_aurocs(cluster_pairs(s, labels, clusters), weights) for s in (first, second))
        found = interval(ours - theirs, 0.95)
        hits += found.low <= truth <= found.high
    assert 88 <= hits <= 99


def test_taking_variants_for_independent_texts_would_make_the_interval_too_narrow():
    scores, labels, clusters, _ = _world(np.random.default_rng(13), 1.0)
    together = auroc_interval(scores, labels, [str(c) for c in clusters], chance=stream("a"), replicates=400)
    apart = auroc_interval(scores, labels, [str(c) for c in range(len(scores))], chance=stream("a"), replicates=400)
    assert (together.high - together.low) > 1.5 * (apart.high - apart.low)


def test_the_estimate_is_scikit_learns_auroc_averaged_over_seeds():
    chance = np.random.default_rng(14)
    rows, labels, clusters = zip(*[_world(chance, 1.0)[:3] for _ in range(3)], strict=True)
    found = auroc_interval(np.stack(rows), labels[0], [str(c) for c in clusters[0]], chance=chance, replicates=200)
    assert found.score == pytest.approx(np.mean([roc_auc_score(labels[0], row) for row in rows]), abs=1e-12)
    assert found.low < found.score < found.high


def test_lengths_that_differ_are_refused():
    with pytest.raises(InputError, match="3 scores, 2 labels and 3 clusters"):
        auroc_interval(np.arange(3.0), [0, 1], ["a", "b", "c"], chance=stream("x"))


def test_each_replicate_holds_as_many_clusters_of_a_stratum_as_the_sample():
    strata = np.array([0] * 7 + [1] * 12 + [-1] * 3)
    counts = cluster_counts(strata, np.ones((1, 22), dtype=bool), 50, stream("strata"))
    assert (counts[:, strata == 0].sum(axis=1) == 7).all()
    assert (counts[:, strata == 1].sum(axis=1) == 12).all()
    assert (counts[:, strata == -1] == 0).all()
    assert (counts[0, strata >= 0] == 1).all()


def test_no_replicate_leaves_a_needed_group_empty():
    needed = np.zeros((1, 10), dtype=bool)
    needed[0, :2] = True
    counts = cluster_counts(np.zeros(10, dtype=int), needed, 500, stream("needed"))
    assert (counts[:, :2].sum(axis=1) > 0).all()


def test_a_group_that_nobody_can_draw_is_an_error():
    needed = np.array([[False, True]])
    with pytest.raises(EmptyClassError, match="clusters of one class"):
        cluster_counts(np.array([0, -1]), needed, 20, stream("lost"))


def test_seed_shares_sum_to_one_and_start_with_the_sample():
    shares = seed_shares(5, 100, stream("seeds"))
    assert shares.sum(axis=1) == pytest.approx(np.ones(101))
    assert (shares[0] == 0.2).all()


def test_the_same_names_give_the_same_draws_and_other_names_give_others(planted, tmp_path):
    roster = read_roster(planted.build(tmp_path))
    one, same, other = (draw(roster, roster.test_sets, 50, ("hash", name)) for name in ("q", "q", "r"))
    assert (one.clusters == same.clusters).all()
    assert not (one.clusters == other.clusters).all()


def test_contenders_with_the_same_dictionary_seeds_share_their_draw():
    draws = Draws(("h", "q"), np.ones((51, 3)), np.ones((51, 1)))
    assert (draws.dictionary_seeds((0, 1, 2)) == draws.dictionary_seeds((0, 1, 2))).all()
    assert (draws.dictionary_seeds((None,)) == 1).all()
