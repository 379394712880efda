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


@given(st.integers(0, 10_000), st.sampled_from([1e-5, 1e-2, 10.0]), st.sampled_from([(30, 5), (12, 40)]))
def test_the_gradient_vanishes_at_the_solution(seed, penalty, shape):
    x, y = data(*shape, seed=seed)
    assert np.abs(gradient(x, y, fit_logistic(x, y, penalty), penalty)).max() < 1e-7


def test_separable_data_converge_at_a_tiny_penalty():
    x, y = data(shift=50.0)
    fit = fit_logistic(x, y, 1e-6)
    assert np.abs(gradient(x, y, fit, 1e-6)).max() < 1e-8
    assert ((x @ fit.weights + fit.intercept > 0) == (y == 1)).all()


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


def test_a_penalty_of_zero_is_refused():
    with pytest.raises(InputError, match="positive"):
        fit_logistic(*data(), 0.0)
