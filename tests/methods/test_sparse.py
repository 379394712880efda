"""Sparse methods on a world where latents 5 (falling) and 11 (rising) tell the classes, and latent 2 is only loud."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, issparse
from sklearn.linear_model import LogisticRegression

from fairfight.dictionaries import pooled
from fairfight.methods.best_latent import auroc_by_column
from fairfight.numerics.ranking import auroc

SITE = "resid_post.1"
K_SPARSE = ["k_sparse_mean_difference", "k_sparse_l1"]


def codes(world, examples, pooling="mean"):
    return world.views().codes(examples, SITE, pooling)


@pytest.mark.parametrize("criterion", ["auroc", "standardised_mean_difference"])
def test_the_best_latent_is_the_planted_one_with_its_sign(latents, method, criterion):
    detector = latents.fit(method("best_latent", criterion=criterion))
    assert detector.latents == (5,)
    assert detector.weights.tolist() == [-1.0]
    assert latents.test_auroc(method("best_latent", criterion=criterion)) >= 0.95


def test_the_raw_mean_difference_is_drawn_to_the_loudest_latent(latents, method):
    assert latents.fit(method("best_latent", criterion="mean_difference")).latents == (2,)
    assert latents.fit(method("k_sparse_mean_difference", k=1, is_standardised=False)).latents == (2,)


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 3), st.booleans()), min_size=2, max_size=30))
def test_the_auroc_of_all_columns_is_that_of_each(rows):
    labels = np.array([row[2] for row in rows], dtype=np.int64)
    labels[:2] = 0, 1
    columns = np.array([row[:2] for row in rows], dtype=np.float32)
    expected = [auroc(column, labels) for column in columns.T]
    np.testing.assert_allclose(auroc_by_column(columns, labels), expected, atol=1e-12)
    np.testing.assert_array_equal(auroc_by_column(csr_array(columns), labels), auroc_by_column(columns, labels))


@pytest.mark.parametrize("name", K_SPARSE)
def test_two_latents_are_the_planted_two_the_clearer_first(latents, method, name):
    probe = method(name, k=2, is_standardised=True)
    detector = latents.fit(probe)
    assert detector.latents == (5, 11)
    assert detector.weights[0] < 0 < detector.weights[1]
    assert latents.test_auroc(probe) > latents.test_auroc(method("best_latent")) >= 0.95


@pytest.mark.parametrize(
    ("name", "k"), [(name, k) for name in K_SPARSE for k in (1, 3, 16)] + [("k_sparse_mean_difference", 50)]
)
def test_exactly_k_latents_are_used_or_all_there_are(latents, method, name, k):
    probe = method(name, k=k)
    detector = latents.fit(probe)
    assert len(set(detector.latents)) == len(detector.latents) == len(detector.weights) == min(k, 16)
    notes = probe.notes(detector)
    assert notes["latents"] == list(detector.latents)
    np.testing.assert_allclose(notes["weights"], detector.weights, rtol=1e-5)


@pytest.mark.parametrize("name", K_SPARSE)
def test_a_score_hangs_on_the_chosen_latents_alone(latents, method, name):
    detector = latents.fit(method(name, k=3))
    x = codes(latents, latents.test.examples).astype(np.float64)
    expected = detector.intercept + sum(
        weight * x[:, latent] for latent, weight in zip(detector.latents, detector.weights, strict=True)
    )
    np.testing.assert_allclose(detector.score(latents.test.examples, latents.views()), expected, rtol=1e-9)


def test_maxima_and_minima_of_a_latent_are_two_columns_of_one_latent(latents, method):
    detector = latents.fit(method("k_sparse_mean_difference", k=4, is_standardised=True, pooling="max_min"))
    assert set(detector.columns.tolist()) == {5, 5 + 16, 11, 11 + 16}
    assert [column % 16 for column in detector.columns.tolist()] == list(detector.latents)
    assert codes(latents, latents.train.examples, "max_min").shape[1] == 32


@pytest.mark.parametrize("name", K_SPARSE)
def test_the_refit_is_free_of_the_penalty_that_chose(shifted, method, name):
    detector = shifted.fit(method(name, k=2))
    x = codes(shifted, shifted.train.examples)[:, detector.columns].astype(np.float64)
    theirs = LogisticRegression(C=np.inf, solver="newton-cg", tol=1e-10).fit(x, shifted.train.labels)
    np.testing.assert_allclose(detector.weights, theirs.coef_[0], rtol=1e-3)
    assert detector.intercept == pytest.approx(theirs.intercept_[0], abs=1e-3)


def test_a_latent_that_says_the_same_again_is_passed_over_by_l1_only(plant, method):
    labels, chance = np.arange(400) % 2, np.random.default_rng(0)
    first = chance.normal(size=400) + 2.5 * labels
    second = chance.normal(size=400) + 1.2 * labels
    x = np.column_stack([first, first + 0.01 * chance.normal(size=400), second])
    world = plant(list(x[:, None, :]), labels)
    assert set(world.fit(method("k_sparse_mean_difference", k=2, is_standardised=True)).latents) == {0, 1}
    assert 2 in world.fit(method("k_sparse_l1", k=2)).latents


@pytest.fixture(scope="module")
def silent_mostly(plant):
    """Sixteen of 160 coordinates' codes are not zero in a text; 5 falls and 11 rises with the label, wherever they speak."""
    labels, chance = np.arange(200) % 2, np.random.default_rng(9)
    x = chance.normal(size=(200, 160)) * (chance.random((200, 160)) < 0.08)
    x[:, 5] -= (labels == 1) * (chance.random(200) < 0.6)
    x[:, 11] += (labels == 1) * (chance.random(200) < 0.5)
    return plant(list(x[:, None, :]), labels)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("best_latent", {"criterion": c}) for c in ("auroc", "mean_difference", "standardised_mean_difference")]
    + [(name, {"k": 5, "is_standardised": is_standardised}) for name in K_SPARSE for is_standardised in (True, False)]
    + [("latent_probe", {})],
)
@pytest.mark.parametrize("pooling", ["mean", "max_min"])
def test_compressed_rows_give_the_scores_and_costs_of_dense_codes(
    silent_mostly, method, monkeypatch, name, settings, pooling
):
    probe, found = method(name, pooling=pooling, **settings), []
    for most_compressed in (1.0, 0.0):
        monkeypatch.setattr(pooled, "MOST_COMPRESSED", most_compressed)
        views = silent_mostly.views()
        assert issparse(views.sparse_codes(silent_mostly.test.examples, SITE, pooling)) == bool(most_compressed)
        detector = probe.fit(silent_mostly.train, views, np.random.default_rng(0))
        found.append((detector.score(silent_mostly.test.examples, views), views.meter.cost()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@settings(max_examples=8)
@given(st.integers(0, 15))
def test_any_planted_latent_is_found_wherever_it_stands(plant, method, latent):
    labels, chance = np.arange(80) % 2, np.random.default_rng(latent)
    x = chance.normal(size=(80, 16))
    x[:, latent] += 4.0 * labels
    world = plant(list(x[:, None, :]), labels)
    for found in (method("best_latent"), method("k_sparse_mean_difference", k=1), method("k_sparse_l1", k=1)):
        assert world.fit(found).latents == (latent,)
