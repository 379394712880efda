"""AUROC against scikit-learn, and its laws."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fairfight.errors import EmptyClassError
from fairfight.numerics.ranking import auroc

scored = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=60)


@given(scored)
def test_it_agrees_with_scikit_learn_ties_included(rows):
    scores, labels = np.array([r[0] for r in rows], dtype=float), np.array([int(r[1]) for r in rows])
    assume(0 < labels.sum() < len(labels))
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@given(scored)
def test_swapping_the_classes_mirrors_it_and_a_rising_map_leaves_it(rows):
    scores, labels = np.array([r[0] for r in rows], dtype=float), np.array([int(r[1]) for r in rows])
    assume(0 < labels.sum() < len(labels))
    assert auroc(scores, 1 - labels) == pytest.approx(1 - auroc(scores, labels), abs=1e-12)
    assert auroc(np.exp(scores) * 3, labels) == auroc(scores, labels)


def test_constant_scores_give_one_half():
    assert auroc(np.zeros(10), np.arange(10) % 2) == 0.5


def test_one_class_alone_has_no_auroc():
    with pytest.raises(EmptyClassError, match="both classes"):
        auroc(np.arange(4.0), np.ones(4, dtype=int))


@given(scored)
def test_it_counts_the_pairs_that_stand_right_ties_one_half(rows):
    positives, negatives = ([score for score, label in rows if label is side] for side in (True, False))
    assume(positives and negatives)
    right = sum((p > n) + (p == n) / 2 for p in positives for n in negatives)
    scores, labels = np.array([score for score, _ in rows]), np.array([int(label) for _, label in rows])
    assert auroc(scores, labels) == pytest.approx(right / (len(positives) * len(negatives)), abs=1e-12)


@given(scored, st.randoms(use_true_random=False))
def test_the_order_of_the_examples_does_not_matter(rows, chance):
    assume(len({label for _, label in rows}) == 2)
    shuffled = chance.sample(rows, len(rows))
    first, second = (
        auroc(np.array([score for score, _ in some]), np.array([int(label) for _, label in some]))
        for some in (rows, shuffled)
    )
    assert first == second


def test_scores_beyond_float32_still_rank():
    assert auroc(np.array([1.0, 1.0 + 1e-12, -np.inf, np.inf]), np.array([0, 1, 0, 1])) == 1.0
