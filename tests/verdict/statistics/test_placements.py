"""AUROC and its error from placements: against scikit-learn, the definition, and DeLong's published form."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from fairfight.errors import EmptyClassError, InputError
from fairfight.verdict.statistics.delong import delong
from fairfight.verdict.statistics.placements import placed


def _scores(seed, positives=40, negatives=60, ties=False):
    chance = np.random.default_rng(seed)
    labels = np.r_[np.ones(positives, dtype=int), np.zeros(negatives, dtype=int)]
    shared = chance.normal(size=len(labels)) + labels
    rows = [shared + chance.normal(size=len(labels)) * own for own in (0.5, 1.0)]
    return [np.round(row, 1) if ties else row for row in rows], labels


def _covariance(first, second, labels):
    """Give DeLong's covariance matrix from its definition: the kernel of every pair, its row and column means."""
    kernels = []
    for scores in (first, second):
        x, y = scores[labels == 1][:, None], scores[labels == 0][None, :]
        kernels.append((x > y) + 0.5 * (x == y))
    of_positives = np.stack([kernel.mean(axis=1) for kernel in kernels])
    of_negatives = np.stack([kernel.mean(axis=0) for kernel in kernels])
    return np.cov(of_positives) / of_positives.shape[1] + np.cov(of_negatives) / of_negatives.shape[1]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_delong_is_its_definition(seed, ties):
    (first, second), labels = _scores(seed, ties=ties)
    contrast = np.array([1.0, -1.0])
    difference = roc_auc_score(labels, first) - roc_auc_score(labels, second)
    error = np.sqrt(contrast @ _covariance(first, second, labels) @ contrast)
    found = delong(first, second, labels)
    assert found == pytest.approx((difference, error, 2 * norm.sf(abs(difference) / error)), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_clusters_of_one_example_give_delongs_variance(seed):
    (first, second), labels = _scores(seed)
    ours, theirs = (placed(scores, labels, np.arange(100), 100) for scores in (first, second))
    assert ours.auroc == pytest.approx(roc_auc_score(labels, first), abs=1e-12)
    assert ((ours.spread - theirs.spread) ** 2).sum() == pytest.approx(
        delong(first, second, labels).error ** 2, rel=1e-9
    )


def test_copies_of_an_example_in_its_cluster_add_no_certainty():
    (scores, _), labels = _scores(1)
    once = placed(scores, labels, np.arange(100), 100)
    thrice = placed(np.repeat(scores, 3), np.repeat(labels, 3), np.repeat(np.arange(100), 3), 100)
    assert thrice.auroc == pytest.approx(once.auroc)
    np.testing.assert_allclose(thrice.spread, once.spread, atol=1e-12)


def test_delong_refuses_examples_that_share_clusters():
    (first, second), labels = _scores(2)
    with pytest.raises(InputError, match="100 examples in 50 clusters"):
        delong(first, second, labels, clusters=np.arange(100) // 2)


def test_delong_refuses_scores_that_are_nearly_perfect():
    (first, _), labels = _scores(3)
    with pytest.raises(InputError, match="misplaced"):
        delong(first, first + 10 * labels, labels)


def test_a_class_that_is_missing_leaves_auroc_undefined():
    with pytest.raises(EmptyClassError, match="0 positives and 3 negatives"):
        placed(np.arange(3.0), np.zeros(3, dtype=int), np.arange(3), 3)
