"""Small worlds with something planted: token activations in a real store, behind them the coordinates as a dictionary."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fairfight import registry
from fairfight.activations.shards import MANIFEST, open_activations, text_sha256, write_manifest, write_shard
from fairfight.contests.examples import DEVELOPMENT, Example, Examples, Labelled, labelled, unlabelled
from fairfight.contests.split import Split
from fairfight.contests.views import Subject, Views
from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.pooled import PooledCodes, pool_codes
from fairfight.meter import Meter
from fairfight.models.load import DEFAULT
from fairfight.numerics.ranking import auroc
from fairfight.seeds import stream

SITE = "resid_post.1"
POOLINGS = ("mean", "max_min")


def made(name, **settings):
    """Give a method; where it reads a site, that is the planted one, mean-pooled."""
    method = registry.load("methods", name)
    places = {"site": SITE, "pooling": "mean"}
    fields = method.__dataclass_fields__
    return method(**{**{key: place for key, place in places.items() if key in fields}, **settings})


@dataclass(frozen=True)
class Planted:
    """A contest whose first half of texts is for training, the second for testing."""

    subject: Subject
    examples: tuple[Example, ...]

    @property
    def train(self) -> Labelled:
        return labelled(self.examples[: len(self.examples) // 2])

    @property
    def test(self) -> Labelled:
        return labelled(self.examples[len(self.examples) // 2 :])

    @property
    def split(self) -> Split:
        train, test = (list(part) for part in np.split(np.array(self.examples, dtype=object), 2))
        return Split(train, test, test, {"test": test}, ())

    @property
    def everything(self) -> Examples:
        return unlabelled(self.examples)

    def views(self) -> Views:
        return Views(self.subject, Meter())

    def fit(self, method):
        return method.fit(self.train, self.views(), stream("planted"))

    def test_auroc(self, method) -> float:
        return auroc(self.fit(method).score(self.test.examples, self.views()), self.test.labels)

    def relabelled(self, labels: Sequence[int]) -> "Planted":
        relabel = (replace(example, label=label) for example, label in zip(self.examples, labels, strict=True))
        return replace(self, examples=tuple(relabel))


@pytest.fixture(scope="session")
def plant(tmp_path_factory):
    """Make a world out of each text's tokens and its label."""

    def make(tokens: Sequence[np.ndarray], labels: Sequence[int]) -> Planted:
        folder = tmp_path_factory.mktemp("planted")
        examples = _examples(labels)
        store = _store(tokens, [example.text for example in examples], folder / "activations")
        dictionary = registry.load("kinds", "neurons")().train(
            TokenSource.from_tensor(torch.zeros(1, store.d_model)), 0
        )
        pool_codes(dictionary.dictionary, store, np.arange(len(tokens)), POOLINGS, folder / "dictionary")
        codes = PooledCodes(folder / "dictionary", "neurons", store.d_model, True, 0, 0, 0)
        return Planted(Subject(DEFAULT, False, {SITE: store}, folder / "pooled", {SITE: codes}, 32), examples)

    return make


def _examples(labels: Sequence[int]) -> tuple[Example, ...]:
    texts = [f"Planted text {number}." for number in range(len(labels))]
    return tuple(Example(text, text, int(label), text, DEVELOPMENT) for text, label in zip(texts, labels, strict=True))


def _store(tokens: Sequence[np.ndarray], texts: Sequence[str], folder: Path):
    values = torch.from_numpy(np.concatenate(tokens).astype(np.float32))
    counts = [len(part) for part in tokens]
    head = {
        "key": "planted",
        "model": DEFAULT,
        "site": SITE,
        "d_model": values.shape[1],
        "flops": {"per_token": 1.0, "per_squared_token": 0.0},
        "truncated": 0,
        "token_counts": counts,
        "lengths": [count + 2 for count in counts],
        "texts_sha": [text_sha256(text) for text in texts],
    }
    write_manifest(folder / MANIFEST, head, [write_shard(folder, values, number=0, rows=range(len(texts)))])
    return open_activations(folder)


@pytest.fixture(scope="session")
def method():
    """Make a method by its name and settings."""
    return made


def halves(examples: int) -> np.ndarray:
    """Labels in random order, as many of each in both halves."""
    chance = np.random.default_rng(5)
    return np.concatenate([chance.permutation(np.arange(examples // 2) % 2) for _ in range(2)])


DIRECTION = np.random.default_rng(3).normal(size=16) * (np.arange(16) >= 4)
DIRECTION /= np.linalg.norm(DIRECTION)


def shifted_tokens(labels, spread) -> list[np.ndarray]:
    """Noise of this spread a coordinate, the same for all tokens of a text and a little a token; positives are shifted."""
    chance = np.random.default_rng(4)
    return [
        spread * chance.normal(size=16)
        + 2.0 * label * DIRECTION
        + 0.3 * chance.normal(size=(chance.integers(2, 8), 16))
        for label in labels
    ]


@pytest.fixture(scope="session")
def direction():
    """The direction that the positives of `shifted` are moved along, by twice its length."""
    return DIRECTION


@pytest.fixture(scope="session")
def shifted(plant):
    """Positives lie two units along a direction, noise of spread 0.7 in every coordinate."""
    labels = halves(320)
    return plant(shifted_tokens(labels, 0.7), labels)


@pytest.fixture(scope="session")
def latents(plant):
    """Latent 5 falls and latent 11 rises with the label; latent 2 is loud and says nothing."""
    labels, chance = halves(320), np.random.default_rng(6)
    spread = np.where(np.arange(16) == 2, 60.0, 1.0)
    shift = np.zeros(16)
    shift[[5, 11]] = -3.0, 1.8
    return plant([spread * chance.normal(size=16) + shift * label + np.zeros((3, 1)) for label in labels], labels)


@pytest.fixture(scope="session")
def one_token(plant):
    """Positives hold one token among thirty that stands out in coordinate 3."""
    labels, chance = halves(320), np.random.default_rng(7)
    tokens = [chance.normal(size=(30, 16)) for _ in labels]
    for part, label in zip(tokens, labels, strict=True):
        part[chance.integers(30), 3] += 6.0 * label
    return plant(tokens, labels)


@pytest.fixture(scope="session")
def crossed(plant):
    """The label is whether coordinates 0 and 1 have different signs: no direction tells."""
    chance = np.random.default_rng(8)
    corners = chance.permuted(np.tile(np.arange(4), (2, 40)), axis=1).ravel()
    labels = (corners // 2) ^ (corners % 2)
    tokens = [
        np.concatenate([[2.0 * (c // 2) - 1, 2.0 * (c % 2) - 1], np.zeros(4)]) + 0.25 * chance.normal(size=(3, 6))
        for c in corners
    ]
    return plant(tokens, labels)
