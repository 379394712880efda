"""What each method is charged for a fit, against a count by hand on a problem small enough to count."""

import math
from collections import Counter

import numpy as np
import pytest

from fairfight import registry
from fairfight.conformance.small_world import world
from fairfight.contests.examples import labelled
from fairfight.contests.views import Views
from fairfight.meter import Meter
from fairfight.methods import _lora
from fairfight.methods.format_floor import COUNTED
from fairfight.numerics import lasso, logistic
from fairfight.seeds import stream

N, P, TOKENS = 100, 24, 3
"""Training texts, coordinates (which are also the latents), tokens a text."""


@pytest.fixture(scope="module")
def small(plant):
    chance = np.random.default_rng(1)
    labels = np.concatenate([chance.permutation(np.arange(N) % 2) for _ in range(2)])
    shift = np.linspace(0, 1, P)
    return plant([chance.normal(size=(TOKENS, P)) + label * shift for label in labels], labels)


@pytest.fixture
def work(monkeypatch):
    """Count what the iterative solvers do: factors, products with a Hessian, penalised problems by active features."""
    done = Counter()
    factor, times, step = logistic.cho_factor, logistic._State.hessian_times, lasso._step

    def counting(name, function):
        def counted(*args, **named):
            done[name] += 1
            return function(*args, **named)

        return counted

    def counted_step(part, *rest):
        done["active", part.shape[1]] += 1
        return step(part, *rest)

    monkeypatch.setattr(logistic, "cho_factor", counting("factors", factor))
    monkeypatch.setattr(logistic._State, "hessian_times", counting("products", times))
    monkeypatch.setattr(lasso, "_step", counted_step)
    return done


def newton(work, steps, features):
    """n p² / 2 multiply-adds and p³/3 a factor, 2p² its use; 4np + 2p² a corrected product; 4np a step; a last gradient."""
    p = features + 1
    factor = N * p**2 + p**3 / 3 + 2 * p**2
    return work["factors"] * factor + work["products"] * (4 * N * p + 2 * p**2) + steps * 4 * N * p + 2 * N * p


def ridge(features):
    return lambda notes, work, detector: newton(work, notes["n_iter"], features)


def l1(notes, work, detector):
    """A penalised problem: a gradient over all, the Gram matrix of its a features, 6na around it; then Newton on k."""
    path = sum(
        times * (2 * N * P + N * name[1] ** 2 + 6 * N * name[1])
        for name, times in work.items()
        if isinstance(name, tuple)
    )
    return path + newton(work, notes["n_iter"], len(detector.columns))


def bag_of_words(notes, work, detector):
    """X is read twice a gradient; a direction from h pairs costs 8h a word (two loops of inner product and addition)."""
    held, steps = N * 3, notes["n_iter"]  # "Planted text 7." holds three words.
    directions = sum(8 * min(step, 10) * notes["vocabulary"] for step in range(steps))
    return 4 * held * (steps + 1) + directions


HIDDEN, STEPS = 8, 5
BY_HAND = {
    # Newton's method charges 6np a step where 4np are found here: much of a fit where there are few columns.
    "logistic_probe": ({"penalty": 0.1}, ridge(P), 0.1),
    "latent_probe": ({"penalty": 0.1}, ridge(P), 0.1),
    "reconstruction_probe": ({"penalty": 0.1}, ridge(P), 0.1),
    "length_floor": ({}, ridge(2), 0.2),
    "format_floor": ({}, ridge(len(COUNTED) + 9), 0.1),
    # Two sums over all entries: of each class for the direction, and again for the point half-way.
    "mean_difference": ({}, lambda notes, work, detector: 2 * N * P, 0.0),
    # The covariance is symmetric: np² operations. Cholesky's factor p³/3, its use 2p²; centring and class means 4np.
    "lda": ({}, lambda notes, work, detector: N * P**2 + P**3 / 3 + 2 * P**2 + 4 * N * P, 0.2),
    # A token times two columns: 4d forward, 4d for their gradient; once a step the same for the centre.
    "attention_probe": ({"steps": STEPS}, lambda notes, work, detector: STEPS * 8 * P * (N * TOKENS + 1), 0.0),
    # First layer forward and its weights' gradient, 2nph each; second forward, its weights' and its input's, 2nh each.
    "mlp_probe": (
        {"steps": STEPS, "hidden": HIDDEN},
        lambda notes, work, detector: STEPS * (4 * N * P * HIDDEN + 6 * N * HIDDEN),
        0.0,
    ),
    # Nothing is fitted: all the cost is in scoring, below.
    "knn_probe": ({}, lambda notes, work, detector: 0, 0.0),
    # Ranks of n codes, by sorting, for each latent.
    "best_latent": ({"criterion": "auroc"}, lambda notes, work, detector: P * N * math.log2(N), 1e-4),
    # Means over all codes, counted as 2 operations a code; then Newton on k columns.
    "k_sparse_mean_difference": (
        {"k": 5},
        lambda notes, work, detector: 2 * N * P + newton(work, notes["n_iter"], 5),
        0.1,
    ),
    "k_sparse_l1": ({"k": 5}, l1, 0.1),
    "tfidf_probe": ({"penalty": 1e-3, "grams": "words"}, bag_of_words, 0.0),
}


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_a_fit_is_charged_what_a_count_by_hand_gives(small, method, work, name):
    """The counts stand beside each method above, with the tolerance; n = 100 texts of p = 24 coordinates in 3 tokens.

    Standardising columns (some 5np, the same for all) is charged to nobody.
    """
    settings, by_hand, tolerance = BY_HAND[name]
    views, probe = small.views(), method(name, **settings)
    detector = probe.fit(small.train, views, stream("flops"))
    expected = by_hand(probe.notes(detector), work, detector)
    assert views.meter.cost().fit_flops == pytest.approx(expected, rel=tolerance, abs=1)


def test_every_method_is_counted_by_hand():
    assert BY_HAND.keys() | {"lora_classifier"} == set(registry.places("methods"))


def test_nearest_neighbours_cost_a_product_with_every_training_text(small, method):
    """2 operations a coordinate for each of N x N pairs."""
    views = small.views()
    detector = small.fit(method("knn_probe"))
    detector.score(small.test.examples, views)
    assert views.meter.cost().fit_flops == 2 * N * N * P


@pytest.mark.parametrize("rank", [2, 3])
def test_fine_tuning_is_charged_what_a_count_by_hand_gives(monkeypatch, rank):
    """Six layers of width d = 384, f = 1536 within; b texts padded to t tokens, adapters of rank r.

    Forward: 2bt(4d² + 2df) a layer for the frozen weights, 4bt²d for attention, 2btr(in + out) an adapter. Backward: the
    frozen weights' inputs as forward (but not those of the first query, key and value: words need no gradient), 10bt²d
    for attention, of which 2bt²d repeat the forward pass, and an adapter twice its forward (less the gradient towards
    the words). The pooler runs forward on b texts; the head costs 2bd forward and twice that backward.
    """
    batches, padded = [], _lora.padded
    monkeypatch.setattr(_lora, "padded", lambda texts: batches.append(padded(texts)) or batches[-1])
    views = Views(world().subject, Meter())
    settings = {"rank": rank, "max_tokens_a_fit": 1500}
    registry.load("methods", "lora_classifier")(**settings).fit(labelled(world().split.train), views, stream("flops"))
    d, f, layers = 384, 1536, 6
    expected = 0
    for b, t in (batch.ids.shape for batch in batches):
        frozen, adapters = 2 * b * t * (4 * d * d + 2 * d * f), 2 * b * t * rank * (4 * 2 * d + 2 * (d + f))
        to_words = 2 * b * t * (3 * d * d + 3 * rank * d)
        a_layer = 2 * frozen + 3 * adapters + (4 + 10) * b * t * t * d
        pooler, head = 2 * b * d * d + 2 * b * rank * 2 * d, 3 * 2 * b * d
        expected += layers * a_layer - to_words + pooler + head
    assert len(batches) > 1
    assert views.meter.cost().fit_flops == expected
