"""Every method on a small real contest (repairing against buying, embedded model): what it finds and what it costs."""

import numpy as np
import pytest

from fairfight import registry
from fairfight.conformance.small_world import POOLINGS, SITE, world
from fairfight.contests.detect import play
from fairfight.contests.examples import labelled
from fairfight.contests.views import Views
from fairfight.errors import NotConvergedError
from fairfight.meter import Meter
from fairfight.numerics.ranking import auroc
from fairfight.seeds import stream


def made(name, **settings):
    method = registry.load("methods", name)
    first = {key: values[0] for key, values in method.space((SITE,), POOLINGS).items()}
    return method(**{**first, **settings})


def views():
    return Views(world().subject, Meter())


def fitted(method):
    own = views()
    train = labelled(world().split.train)
    return method.fit(train, own, stream("test")), train, own


def test_auroc(method):
    return play(method, world().split, world().subject, stream("test"), is_sealed=False).scored.test_auroc["test"]


test_auroc.__test__ = False


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("logistic_probe", {"penalty": 0.01}),
        ("mean_difference", {}),
        ("lda", {}),
        ("attention_probe", {"learning_rate": 1e-2, "steps": 150}),
        ("mlp_probe", {"hidden": 16, "steps": 150}),
        ("knn_probe", {"neighbours": 5}),
        ("latent_probe", {"penalty": 0.01}),
        ("reconstruction_probe", {"penalty": 0.01}),
        ("k_sparse_mean_difference", {"k": 10}),
        ("k_sparse_l1", {"k": 10}),
        ("tfidf_probe", {"penalty": 1e-3}),
    ],
)
def test_each_method_tells_repairing_from_buying(name, settings):
    assert test_auroc(made(name, **settings)) >= 0.9


def test_length_does_not_tell_what_words_tell():
    assert test_auroc(made("length_floor")) < test_auroc(made("tfidf_probe", penalty=1e-3))


@pytest.mark.parametrize("name", ["k_sparse_mean_difference", "k_sparse_l1"])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_k_sparse_probe_uses_k_latents(name, k):
    method = made(name, k=k)
    detector, _, _ = fitted(method)
    notes = method.notes(detector)
    assert len(notes["latents"]) == len(set(notes["latents"])) == k
    assert len(notes["weights"]) == k


def test_more_latents_than_there_are_means_all_of_them():
    detector, _, own = fitted(made("k_sparse_mean_difference", k=10_000, pooling="mean"))
    assert len(detector.columns) == own.atoms(SITE).latents


def test_the_best_latent_is_the_one_with_the_best_training_auroc():
    detector, train, own = fitted(made("best_latent", criterion="auroc", pooling="mean"))
    codes = own.codes(train.examples, SITE, "mean")
    distances = [abs(auroc(column, train.labels) - 0.5) for column in codes.T]
    assert distances[int(detector.columns[0])] == pytest.approx(max(distances), abs=1e-12)
    assert auroc(detector.score(train.examples, own), train.labels) == pytest.approx(0.5 + max(distances), abs=1e-12)


def test_scale_does_not_choose_the_latent_when_differences_are_standardised():
    detector, train, own = fitted(made("best_latent", criterion="standardised_mean_difference", pooling="mean"))
    codes = own.codes(train.examples, SITE, "mean").astype(np.float64)
    gaps = np.abs(codes[train.labels == 1].mean(axis=0) - codes[train.labels == 0].mean(axis=0))
    spread = codes.std(axis=0)
    effect = np.where(spread > 1e-12, gaps / np.where(spread > 1e-12, spread, 1), 0)
    assert effect[int(detector.columns[0])] == pytest.approx(effect.max())


def test_a_stronger_penalty_shrinks_the_weights_and_counts_as_stronger():
    weak, strong = made("logistic_probe", penalty=1e-3), made("logistic_probe", penalty=10.0)
    assert np.linalg.norm(fitted(strong)[0].weights) < np.linalg.norm(fitted(weak)[0].weights)
    assert strong.strength > weak.strength


def test_standardising_is_folded_into_the_weights():
    detector, train, own = fitted(made("logistic_probe", is_standardised=True, penalty=0.1))
    x = own.pooled(train.examples, SITE, POOLINGS[0])
    np.testing.assert_allclose(
        detector.score(train.examples, own), x @ detector.weights + detector.intercept, rtol=1e-9
    )


def test_the_attention_probe_without_training_is_mean_pooling():
    method = made("attention_probe", learning_rate=1e-12, steps=1)
    detector, _, _ = fitted(method)
    assert np.abs(detector.query).max() < 1e-9


def test_texts_give_the_bag_of_words_nothing_to_charge_the_model_for():
    _, _, own = fitted(made("tfidf_probe"))
    assert own.meter.cost().forward_flops == 0
    assert own.meter.cost().fit_flops > 0


def test_a_dictionary_method_is_charged_for_the_dictionary():
    _, _, own = fitted(made("latent_probe", penalty=1.0))
    cost = own.meter.cost()
    assert cost.encode_flops > 0
    assert cost.forward_flops > 0
    plain = fitted(made("logistic_probe"))[2].meter.cost()
    assert plain.encode_flops == plain.dictionary_flops == 0


@pytest.mark.filterwarnings("ignore:lbfgs failed")
def test_a_text_regression_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr("fairfight.methods.tfidf_probe._MAX_ITERATIONS", 1)
    with pytest.raises(NotConvergedError, match="Raise the penalty"):
        fitted(made("tfidf_probe", penalty=1e-6))
