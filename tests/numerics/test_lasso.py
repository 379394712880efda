"""The L1 path against its optimality conditions and against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fairfight.numerics.lasso import l1_path, penalty_sweep, select_by_l1


def planted(examples=200, features=40, informative=(3, 17, 29), seed=1):
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(examples, features))
    y = (x[:, list(informative)].sum(axis=1) + 0.3 * chance.normal(size=examples) > 0).astype(int)
    return x, y


def objective(x, y, weights, intercept, penalty):
    margins = x @ weights + intercept
    return (np.logaddexp(0, margins) - y * margins).mean() + penalty * np.abs(weights).sum()


def test_every_fit_of_the_path_meets_the_optimality_conditions():
    x, y = planted()
    for fit in l1_path(x, y, penalty_sweep(x, y)[:25]):
        slope = x.T @ (1 / (1 + np.exp(-(x @ fit.weights + fit.intercept))) - y) / len(y)
        active = fit.weights != 0
        np.testing.assert_allclose(slope[active], -fit.penalty * np.sign(fit.weights[active]), atol=1e-5)
        assert (np.abs(slope[~active]) <= fit.penalty + 1e-5).all()


def test_its_objective_is_no_worse_than_scikit_learns():
    x, y = planted()
    for fit in list(l1_path(x, y, penalty_sweep(x, y)[:15]))[4::5]:
        theirs = LogisticRegression(
            l1_ratio=1.0, C=1 / (len(y) * fit.penalty), solver="saga", tol=1e-8, max_iter=20_000
        ).fit(x, y)
        best = objective(x, y, theirs.coef_[0], theirs.intercept_[0], fit.penalty)
        assert objective(x, y, fit.weights, fit.intercept, fit.penalty) <= best + 1e-7


def test_no_feature_has_a_weight_above_the_first_penalty():
    x, y = planted()
    (first,) = l1_path(x, y, [penalty_sweep(x, y)[0] / 0.9])
    assert np.count_nonzero(first.weights) <= 1


@pytest.mark.parametrize("k", [1, 2, 3, 10])
def test_it_chooses_k_features_and_the_planted_ones_first(k):
    chosen = select_by_l1(*planted(), k)
    assert len(chosen.columns) == k
    assert set(chosen.columns[:3].tolist()) <= {3, 17, 29} if k <= 3 else {3, 17, 29} <= set(chosen.columns.tolist())
    assert chosen.survivors >= k


def test_fewer_survivors_than_asked_for_are_all_given():
    x, y = planted(features=3, informative=(0,))
    assert len(select_by_l1(x, y, 50).columns) <= 3
