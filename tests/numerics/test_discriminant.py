"""Discriminants against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from fairfight.errors import EmptyClassError, InputError, LabelError, NonFiniteError
from fairfight.numerics.discriminant import fit_lda, fit_mean_difference, mean_difference


def data(seed=0):
    chance = np.random.default_rng(seed)
    y = np.arange(90) % 2
    x = chance.normal(size=(90, 6)) @ chance.normal(size=(6, 6))
    return x + np.outer(y, [1.0, 0, 0, 2.0, 0, 0]), y


@pytest.mark.parametrize("shrinkage", [0.01, 0.3, 1.0])
def test_lda_points_where_scikit_learn_points(shrinkage):
    x, y = data()
    ours = fit_lda(x, y, shrinkage).weights
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x, y).coef_[0]
    cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert cosine == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("shape", [(90, 6), (30, 120)])
@pytest.mark.parametrize("shrinkage", [0.05, 0.5])
def test_lda_scores_balanced_classes_as_scikit_learn_does(shape, shrinkage):
    chance = np.random.default_rng(4)
    y = np.arange(shape[0]) % 2
    x = 3.0 + chance.normal(size=shape) @ chance.normal(size=(shape[1], shape[1]))
    x[:, 0] += 2.0 * y
    ours = fit_lda(x, y, shrinkage)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x, y)
    np.testing.assert_allclose(x @ ours.weights + ours.intercept, theirs.decision_function(x), rtol=1e-6, atol=1e-8)


def test_classes_without_any_spread_leave_the_mean_difference():
    y = np.arange(8) % 2
    x = np.outer(y, [3.0, -1.0]) + 5.0
    found = fit_lda(x, y, 0.5)
    assert found.weights[0] == pytest.approx(-3 * found.weights[1])
    assert ((x @ found.weights + found.intercept > 0) == (y == 1)).all()


@pytest.mark.parametrize("fit", [fit_mean_difference, mean_difference, lambda x, y: fit_lda(x, y, 0.2)])
@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda x, y: (np.where(x == x[0, 0], np.nan, x), y), NonFiniteError),
        (lambda x, y: (x, np.zeros_like(y)), EmptyClassError),
        (lambda x, y: (x, y + 1), LabelError),
        (lambda x, y: (x[:-1], y), InputError),
    ],
)
def test_what_has_no_two_means_is_refused_by_name(fit, spoil, error):
    with pytest.raises(error):
        fit(*spoil(*data()))


def test_full_shrinkage_leaves_the_mean_difference():
    x, y = data()
    direction = mean_difference(x, y)
    np.testing.assert_allclose(direction, x[y == 1].mean(axis=0) - x[y == 0].mean(axis=0))
    shrunk = fit_lda(x, y, 1.0).weights
    np.testing.assert_allclose(shrunk / np.linalg.norm(shrunk), direction / np.linalg.norm(direction), atol=1e-12)


@pytest.mark.parametrize("fit", [fit_mean_difference, lambda x, y: fit_lda(x, y, 0.2)])
def test_the_class_means_score_alike_with_opposite_signs(fit):
    x, y = data()
    found = fit(x, y)
    scores = [x[y == label].mean(axis=0) @ found.weights + found.intercept for label in (0, 1)]
    assert scores[1] > 0
    assert scores[0] == pytest.approx(-scores[1])


@pytest.mark.parametrize("shrinkage", [0.0, -0.1, 1.5])
def test_an_impossible_shrinkage_is_refused(shrinkage):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        fit_lda(*data(), shrinkage)
