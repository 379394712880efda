"""L2-regularised logistic regression against scikit-learn, and where scikit-learn has nothing to say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from fairfight.errors import EmptyClassError, InputError, LabelError, NonFiniteError
from fairfight.numerics.logistic import fit_logistic


def data(examples=120, features=8, seed=0, shift=1.0):
    chance = np.random.default_rng(seed)
    y = np.arange(examples) % 2
    x = chance.normal(size=(examples, features)) + 5.0
    x[:, 0] += shift * y
    return x, y


def gradient(x, y, fit, penalty):
    excess = 1 / (1 + np.exp(-(x @ fit.weights + fit.intercept))) - y
    return np.append(x.T @ excess / len(y) + penalty * fit.weights, excess.mean())


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("shape", [(120, 8), (40, 300)])
def test_it_agrees_with_scikit_learn(penalty, shape):
    x, y = data(*shape)
    ours = fit_logistic(x, y, penalty)
    theirs = LogisticRegression(C=1 / (len(y) * penalty), solver="newton-cg", tol=1e-10, max_iter=5000).fit(
        x - x.mean(axis=0), y
    )
    np.testing.assert_allclose(ours.weights, theirs.coef_[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("penalty", [1e-3, 1.0])
def test_scores_agree_with_scikit_learns_intercept_and_all(penalty):
    x, y = data(shift=0.7)
    y[:30] = 0
    ours = fit_logistic(x, y, penalty)
    theirs = LogisticRegression(C=1 / (len(y) * penalty), solver="newton-cholesky", tol=1e-12).fit(x, y)
    np.testing.assert_allclose(x @ ours.weights + ours.intercept, theirs.decision_function(x), atol=1e-6)


@pytest.mark.parametrize("penalty", [1e-6, 1e-2, 10.0])
def test_silent_features_that_make_it_wide_change_nothing(penalty):
    x, y = data(40, 8)
    tall, wide = fit_logistic(x, y, penalty), fit_logistic(np.hstack([x, np.zeros((40, 92))]), y, penalty)
    np.testing.assert_allclose(wide.weights[:8], tall.weights, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(wide.weights[8:], 0, atol=1e-12)
    assert wide.intercept == pytest.approx(tall.intercept, rel=1e-5)


def test_swapping_the_classes_turns_the_weights_round():
    x, y = data()
    once, swapped = fit_logistic(x, y, 0.01), fit_logistic(x, 1 - y, 0.01)
    np.testing.assert_allclose(swapped.weights, -once.weights, atol=1e-8)
    assert swapped.intercept == pytest.approx(-once.intercept, abs=1e-7)


@pytest.mark.parametrize("shape", [(120, 8), (30, 90)])
def test_moving_the_origin_moves_the_intercept_only(shape):
    x, y = data(*shape)
    before = x.copy()
    here, there = fit_logistic(x, y, 0.01), fit_logistic(x + 100.0, y, 0.01)
    np.testing.assert_allclose(there.weights, here.weights, atol=1e-7)
    assert there.intercept == pytest.approx(here.intercept - 100 * here.weights.sum(), rel=1e-5)
    np.testing.assert_array_equal(x, before)


@given(st.integers(0, 10_000), st.sampled_from([1e-5, 1e-2, 10.0]), st.sampled_from([(30, 5), (12, 40)]))
def test_the_gradient_vanishes_at_the_solution(seed, penalty, shape):
    x, y = data(*shape, seed=seed)
    assert np.abs(gradient(x, y, fit_logistic(x, y, penalty), penalty)).max() < 1e-7


def test_separable_data_converge_at_a_tiny_penalty():
    x, y = data(shift=50.0)
    fit = fit_logistic(x, y, 1e-6)
    assert np.abs(gradient(x, y, fit, 1e-6)).max() < 1e-8
    assert ((x @ fit.weights + fit.intercept > 0) == (y == 1)).all()


def test_a_wide_design_is_separated_at_a_tiny_penalty():
    x, y = data(40, 300)
    fit = fit_logistic(x, np.random.default_rng(0).permutation(y), 1e-6)
    sides = np.random.default_rng(0).permutation(y)
    assert ((x @ fit.weights + fit.intercept > 0) == (sides == 1)).all()
    assert np.abs(gradient(x, sides, fit, 1e-6)).max() < 1e-8


def test_one_separating_feature_gets_the_weight_that_its_equation_asks_for():
    """By symmetry x = ±1 has no intercept, and its weight w solves penalty * w = 1 / (1 + exp(w))."""
    y = np.arange(10) % 2
    weight = fit_logistic(2.0 * y[:, None] - 1, y, 1e-6).weights[0]
    assert 1e-6 * weight == pytest.approx(1 / (1 + np.exp(weight)), rel=1e-4)
    assert weight == pytest.approx(11.38, abs=0.02)


def test_duplicating_every_row_changes_nothing():
    x, y = data()
    once, twice = fit_logistic(x, y, 0.1), fit_logistic(np.vstack([x, x]), np.concatenate([y, y]), 0.1)
    np.testing.assert_allclose(once.weights, twice.weights, atol=1e-8)


def test_the_intercept_is_not_penalised():
    x, y = data()
    y[:90] = 1
    strong = fit_logistic(x, y, 1e6)
    assert np.abs(strong.weights).max() < 1e-5
    assert 1 / (1 + np.exp(-(x @ strong.weights + strong.intercept).mean())) == pytest.approx(y.mean(), abs=1e-3)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda x, y: (np.where(x == x[0, 0], np.nan, x), y), NonFiniteError),
        (lambda x, y: (x, np.zeros_like(y)), EmptyClassError),
        (lambda x, y: (x, y + 1), LabelError),
        (lambda x, y: (x[:-1], y), InputError),
    ],
)
def test_what_cannot_be_fitted_is_refused_by_name(spoil, error):
    with pytest.raises(error):
        fit_logistic(*spoil(*data()), 1.0)


def test_the_place_of_what_is_not_finite_is_named():
    x, y = data()
    x[7, 3] = np.inf
    with pytest.raises(NonFiniteError, match=r"x\[7, 3\] is inf"):
        fit_logistic(x, y, 1.0)


@pytest.mark.parametrize("penalty", [0.0, -1.0, np.nan, np.inf])
def test_a_penalty_that_is_not_positive_and_finite_is_refused(penalty):
    with pytest.raises(InputError, match="positive"):
        fit_logistic(*data(), penalty)
