"""The threshold is set on calibration negatives alone, and is drawn anew in every replicate."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from fairfight.verdict.board import Board
from fairfight.verdict.roster import SetIndex, read_roster
from fairfight.verdict.tpr import achieved_rates, flagged_share, operating_point, thresholds


def test_the_threshold_flags_at_most_the_asked_share_and_one_step_lower_flags_more():
    chance = np.random.default_rng(3)
    scores = np.round(chance.normal(size=200), 1)
    at = thresholds(scores, np.ones((1, 200)), 0.05)[0]
    assert (scores > at).mean() <= 0.05
    assert (scores > scores[scores < at].max()).mean() > 0.05


def test_the_threshold_gives_the_tpr_that_scikit_learns_curve_has_there():
    chance = np.random.default_rng(4)
    negatives, positives = chance.normal(size=300), chance.normal(1.5, size=200)
    at = thresholds(negatives, np.ones((1, 300)), 0.05)[0]
    labels = np.repeat([0, 1], [300, 200])
    fpr, tpr, _ = roc_curve(labels, np.concatenate([negatives, positives]), drop_intermediate=False)
    assert (positives > at).mean() == pytest.approx(tpr[fpr <= 0.05 + 1e-12].max())


def test_weighted_thresholds_and_shares_equal_those_of_the_repeated_examples():
    chance = np.random.default_rng(5)
    clusters = np.repeat(np.arange(20), 3)
    calibration, scores = np.round(chance.normal(size=60), 1), chance.normal(0.5, size=60)
    weights = chance.multinomial(20, np.full(20, 0.05), size=40).astype(np.float64)
    at = thresholds(calibration, weights[:, clusters], 0.1)
    index = SetIndex(tuple(map(str, range(60))), np.ones(60, dtype=np.int64), clusters)
    shares = flagged_share(scores, index, weights, at, label=1)
    for row, threshold, share in zip(weights.astype(int), at, shares, strict=True):
        repeated = np.repeat(np.arange(60), row[clusters])
        assert threshold == thresholds(calibration[repeated], np.ones((1, len(repeated))), 0.1)[0]
        assert share == pytest.approx((scores[repeated] > threshold).mean(), abs=1e-12)


def test_negatives_that_all_tie_are_not_flagged():
    assert thresholds(np.zeros(50), np.ones((1, 50)), 0.05)[0] == 0.0


def test_one_percent_needs_five_hundred_negatives_in_a_hundred_clusters(planted, tmp_path):
    few = operating_point(read_roster(planted.build(tmp_path / "few")))
    assert (few.fpr, few.negatives, few.clusters) == (0.05, 30, 15)
    assert "needs 500 in 100" in few.reason
    skills = planted.STANDARD[:1]
    many = planted.World(skills=skills, clusters=200, variants=5, seeds=1)
    point = operating_point(read_roster(planted.build(tmp_path / "many", many)))
    assert (point.fpr, point.negatives, point.clusters) == (0.01, 500, 100)


def test_the_rate_that_is_compared_is_the_achieved_rate_of_the_sample(planted, tmp_path):
    roster = read_roster(planted.build(tmp_path))
    found = Board.of(roster, replicates=200).alone("logistic_probe", "tpr")["in_distribution"].estimate()
    rates = achieved_rates(roster, roster.entries["logistic_probe"], 0.05)
    assert found.value == pytest.approx(rates["in_distribution"].tpr, abs=1e-12)
    assert found.error > 0
    assert 0 <= rates["in_distribution"].fpr < 0.3
