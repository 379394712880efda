"""The L1 path against its optimality conditions and against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fairfight.errors import EmptyClassError, NonFiniteError, NotConvergedError
from fairfight.numerics import lasso
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


def test_a_wide_design_of_like_features_meets_the_optimality_conditions():
    x, y = planted(examples=80, features=400)
    x = x + 2.0 * x[:, [3]]  # every feature resembles feature 3, which the strong rule must not be misled by
    for fit in list(l1_path(x, y, penalty_sweep(x, y)[:20])):
        slope = x.T @ (1 / (1 + np.exp(-(x @ fit.weights + fit.intercept))) - y) / len(y)
        assert np.abs(slope).max() <= fit.penalty * (1 + 1e-4)
        assert (slope @ fit.weights) == pytest.approx(-fit.penalty * np.abs(fit.weights).sum(), rel=1e-3)


def test_features_left_out_by_mistake_are_let_back_in():
    x, y = planted()
    penalty = penalty_sweep(x, y)[5]
    (right,) = l1_path(x, y, [penalty])
    none = np.zeros(x.shape[1])
    weights, *_ = lasso._solve(np.asfortranarray(x), y.astype(float), penalty, none, 0.0, none > 0)
    np.testing.assert_allclose(weights, right.weights, atol=1e-3)
    assert (weights != 0).sum() >= 3


def test_where_a_fit_starts_from_does_not_matter():
    x, y = planted()
    penalties = penalty_sweep(x, y)[:20]
    *_, along = l1_path(x, y, penalties)
    (alone,) = l1_path(x, y, penalties[-1:])
    np.testing.assert_allclose(alone.weights, along.weights, atol=1e-3)
    assert (alone.weights != 0).tolist() == (along.weights != 0).tolist()


def test_the_sweep_falls_from_the_first_feature_to_a_thousandth_of_it():
    x, y = planted()
    penalties = penalty_sweep(x, y)
    np.testing.assert_allclose(penalties[1:] / penalties[:-1], 0.9)
    largest = np.abs(x.T @ (y - y.mean())).max() / len(y)
    assert penalties[0] == pytest.approx(0.9 * largest)
    assert penalties[-1] <= 1e-3 * largest < penalties[-2]
    silent, first = l1_path(x, y, [1.0001 * largest, penalties[0]])
    assert not silent.weights.any()
    assert silent.intercept == pytest.approx(np.log(y.mean() / (1 - y.mean())))
    assert first.weights.any()


def test_the_penalty_of_a_selection_is_the_first_that_lets_k_through():
    x, y = planted()
    chosen = select_by_l1(x, y, 6)
    counts = [np.count_nonzero(fit.weights) for fit in l1_path(x, y, penalty_sweep(x, y)[: chosen.fits])]
    assert max(counts[:-1]) < 6 <= counts[-1] == chosen.survivors
    assert chosen.penalty == penalty_sweep(x, y)[chosen.fits - 1]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda x, y: (x, np.ones_like(y)), EmptyClassError),
        (lambda x, y: (np.where(x == x.max(), np.nan, x), y), NonFiniteError),
    ],
)
def test_what_cannot_be_selected_from_is_refused_by_name(spoil, error):
    with pytest.raises(error):
        select_by_l1(*spoil(*planted()), 2)


def test_a_fit_that_misses_its_conditions_is_no_fit(monkeypatch):
    monkeypatch.setattr(lasso, "_MAX_ROUNDS", 1)
    x, y = planted()
    with pytest.raises(NotConvergedError, match="optimality conditions are missed"):
        list(l1_path(x, y, penalty_sweep(x, y)))


def test_no_step_raises_the_objective():
    chance = np.random.default_rng(0)
    y = np.arange(160) % 2
    x = chance.normal(size=(160, 16)) + np.outer(y, 2.5 * (np.arange(16) < 2))
    for fit in l1_path(x, y, penalty_sweep(x, y)[:40]):
        weights, intercept = fit.weights.copy(), fit.intercept
    for _ in range(5):
        before = objective(x, y, weights, intercept, fit.penalty / 2)
        weights, intercept = lasso._step(x, y, fit.penalty / 2, weights.copy(), intercept)
        assert objective(x, y, weights, intercept, fit.penalty / 2) <= before + 1e-12
