"""Probes on a world where a direction was planted: that it is found, and nothing where nothing was planted."""

import numpy as np
import pytest

from fairfight.contests.detect import play
from fairfight.errors import EmptyClassError, LabelError, NonFiniteError
from fairfight.records import Contender, Cost, Scored, Trial, TrialSpec
from fairfight.seeds import stream
from fairfight.trials.tune import select

PROBES = [
    ("logistic_probe", {}),
    ("mean_difference", {}),
    ("lda", {}),
    ("knn_probe", {}),
    ("mlp_probe", {"hidden": 16, "learning_rate": 1e-2, "steps": 150}),
    ("attention_probe", {"learning_rate": 1e-2, "steps": 150}),
    ("latent_probe", {}),
    ("reconstruction_probe", {}),
    ("best_latent", {}),
    ("k_sparse_mean_difference", {"k": 5}),
    ("k_sparse_l1", {"k": 5}),
]
NAMES = [name for name, _ in PROBES]
CHECKED = [name for name in NAMES if name not in {"knn_probe", "mlp_probe", "attention_probe", "best_latent"}]


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize(
    ("name", "settings"), [row for row in PROBES if row[0] != "best_latent"], ids=NAMES[:8] + NAMES[9:]
)
def test_a_planted_direction_is_found(shifted, method, name, settings):
    # With the direction known, the AUROC would be 0.98: two units along it, noise of 0.7.
    assert shifted.test_auroc(method(name, **settings)) >= 0.88


@pytest.mark.parametrize(("name", "settings"), PROBES, ids=NAMES)
def test_nothing_is_found_where_labels_are_chance(shifted, method, name, settings):
    chance = np.random.default_rng(1)
    blind = shifted.relabelled([int(label) for label in chance.permutation(np.arange(320) % 2)])
    # Four standard errors of an AUROC of 0.5 on 80 positives and 80 negatives: sqrt(161 / (12 * 80 * 80)) each.
    assert abs(blind.test_auroc(method(name, **settings)) - 0.5) <= 4 * 0.0458


@pytest.mark.parametrize(
    ("name", "settings"),
    [("logistic_probe", {}), ("mean_difference", {"is_standardised": False}), ("lda", {"shrinkage": 0.3})],
)
def test_weights_point_along_the_planted_direction(shifted, method, direction, name, settings):
    assert cosine(shifted.fit(method(name, **settings)).weights, direction) >= 0.9


def test_lda_discounts_a_direction_in_which_the_classes_are_spread(plant, shifted, method):
    labels = [example.label for example in shifted.examples]
    chance, skew = np.random.default_rng(2), np.ones(16) / 4
    tokens = [
        0.3 * chance.normal(size=(1, 16)) + 3.0 * chance.normal() * skew + label * (np.arange(16) < 2)
        for label in labels
    ]
    tilted = plant(tokens, labels)
    plain = tilted.test_auroc(method("mean_difference"))
    assert tilted.test_auroc(method("lda", shrinkage=0.003)) >= 0.95 > 0.85 > plain


@pytest.mark.parametrize("is_standardised", [True, False])
@pytest.mark.parametrize("name", ["latent_probe", "reconstruction_probe"])
def test_a_dictionary_of_coordinates_changes_nothing(shifted, method, name, is_standardised):
    settings = {"is_standardised": is_standardised, "penalty": 0.1}
    dense, through = shifted.fit(method("logistic_probe", **settings)), shifted.fit(method(name, **settings))
    np.testing.assert_allclose(through.weights, dense.weights, rtol=1e-6, atol=1e-9)
    assert through.intercept == pytest.approx(dense.intercept, rel=1e-6)


@pytest.mark.parametrize("name", ["logistic_probe", "mean_difference"])
def test_the_unit_of_a_coordinate_matters_only_without_standardising(plant, shifted, method, name):
    labels = [example.label for example in shifted.examples]
    batch = shifted.views().tokens(shifted.everything, "resid_post.1")
    unit = np.where(np.arange(16) % 2, 1000.0, 1.0)
    rescaled = plant([part * unit for part in np.split(batch.values.numpy(), batch.offsets[1:-1])], labels)

    def scores(world, is_standardised):
        return world.fit(method(name, is_standardised=is_standardised)).score(world.everything, world.views())

    np.testing.assert_allclose(scores(rescaled, True), scores(shifted, True), rtol=1e-4, atol=1e-4)
    assert not np.allclose(scores(rescaled, False), scores(shifted, False), rtol=0.01)


def test_what_no_direction_tells_a_hidden_layer_and_neighbours_tell(crossed, method):
    assert crossed.test_auroc(method("logistic_probe")) < 0.7
    assert crossed.test_auroc(method("mlp_probe", hidden=16, weight_decay=0.01, steps=200)) >= 0.95
    assert crossed.test_auroc(method("knn_probe", neighbours=5, metric="euclidean")) >= 0.95


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_one_neighbour_gives_a_training_text_its_own_side(shifted, method, metric):
    detector = shifted.fit(method("knn_probe", neighbours=1, metric=metric))
    scores = detector.score(shifted.train.examples, shifted.views())
    np.testing.assert_array_equal(scores, 2 * shifted.train.labels - 1)


def test_more_neighbours_than_training_texts_means_all_of_them(shifted, method):
    probe = method("knn_probe", neighbours=10_000)
    assert probe.notes(shifted.fit(probe)) == {"neighbours": 160}


def test_only_cosine_neighbours_overlook_how_long_a_vector_is(plant, crossed, method):
    labels = [example.label for example in crossed.examples]
    batch = crossed.views().tokens(crossed.everything, "resid_post.1")
    sizes = 10.0 ** np.random.default_rng(0).uniform(-1, 1, size=len(labels))
    parts = np.split(batch.values.numpy(), batch.offsets[1:-1])
    stretched = plant([size * part for size, part in zip(sizes, parts, strict=True)], labels)

    def scores(world, metric):
        return world.fit(method("knn_probe", neighbours=5, metric=metric)).score(world.test.examples, world.views())

    np.testing.assert_allclose(scores(stretched, "cosine"), scores(crossed, "cosine"), atol=1e-4)
    assert not np.allclose(scores(stretched, "euclidean"), scores(crossed, "euclidean"), atol=0.1)


@pytest.mark.parametrize(
    ("name", "weak", "strong"),
    [
        ("logistic_probe", {"penalty": 0.1}, {"penalty": 1.0}),
        ("latent_probe", {"penalty": 0.1}, {"penalty": 1.0}),
        ("reconstruction_probe", {"penalty": 0.1}, {"penalty": 1.0}),
        ("format_floor", {"penalty": 0.1}, {"penalty": 1.0}),
        ("length_floor", {"penalty": 0.1}, {"penalty": 1.0}),
        ("tfidf_probe", {"penalty": 1e-5}, {"penalty": 1e-4}),
        ("lda", {"shrinkage": 0.01}, {"shrinkage": 0.9}),
        ("knn_probe", {"neighbours": 5}, {"neighbours": 50}),
        ("mlp_probe", {"weight_decay": 0.01}, {"weight_decay": 1.0}),
        ("attention_probe", {"weight_decay": 0.01}, {"weight_decay": 1.0}),
        ("k_sparse_mean_difference", {"k": 50}, {"k": 2}),
        ("k_sparse_l1", {"k": 50}, {"k": 2}),
        ("lora_classifier", {"rank": 16}, {"rank": 4}),
    ],
)
def test_a_tie_on_validation_goes_to_the_stronger_settings(method, name, weak, strong):
    fields = method(name).__dataclass_fields__
    places = {key: place for key, place in (("site", "resid_post.1"), ("pooling", "mean")) if key in fields}
    contender = Contender(name, "probing", "baseline")

    def tied(settings, auroc=0.9):
        return Trial(
            TrialSpec("", "", contender, "tune", 0, None, places | settings), Scored(1.0, auroc, {}, {}), Cost()
        )

    for order in ([weak, strong], [strong, weak]):
        assert select(tied(settings) for settings in order) == {contender.name: places | strong}
    assert select([tied(weak, 0.91), tied(strong)]) == {contender.name: places | weak}, "only a tie is broken"


@pytest.mark.parametrize("name", CHECKED)
def test_training_texts_of_one_class_are_refused(shifted, method, name):
    with pytest.raises(EmptyClassError, match="0 of 160 labels are positive"):
        shifted.relabelled([0] * 320).fit(method(name))


@pytest.mark.parametrize("name", CHECKED)
def test_a_label_that_is_neither_0_nor_1_is_refused(shifted, method, name):
    with pytest.raises(LabelError, match="the label 2;"):
        shifted.relabelled([1 + example.label for example in shifted.examples]).fit(method(name))


@pytest.mark.parametrize("name", CHECKED)
def test_activations_that_are_not_finite_are_refused(plant, method, name):
    tokens = [np.full((2, 4), float(number)) for number in range(12)]
    tokens[3][1, 2] = np.nan
    with pytest.raises(NonFiniteError, match="finite numbers were expected"):
        plant(tokens, np.arange(12) % 2).fit(method(name))


@pytest.mark.parametrize("name", ["mlp_probe", "attention_probe"])
def test_a_diverged_probe_is_refused_before_it_is_scored(shifted, method, name):
    with pytest.raises(NonFiniteError, match="Its fit diverged"):
        play(method(name, learning_rate=1e30, steps=5), shifted.split, shifted.subject, stream("x"), is_sealed=False)
