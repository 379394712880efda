"""The controls made of an autoencoder: what each leaves as it was, and what it takes away."""

import pytest
import torch

from fairfight.dictionaries.kinds.random_model import RandomModel
from fairfight.dictionaries.kinds.shuffled import Shuffled
from fairfight.dictionaries.kinds.topk import TopK
from fairfight.dictionaries.quality import fvu
from fairfight.errors import StudyError

SETTINGS = {"latents": 48, "k": 4, "steps": 60, "batch": 256}


def test_shuffled_atoms_keep_the_codes_to_the_bit_and_are_the_same_set(source):
    learned, shuffled = (kind(**SETTINGS).train(source, 3).dictionary for kind in (TopK, Shuffled))
    assert torch.equal(shuffled.encode(source.values), learned.encode(source.values))
    assert sorted(shuffled.atoms.tolist()) == sorted(learned.atoms.tolist())
    # A random order of 48 leaves one in its place on average, and more than six once in some 12,000 orders.
    assert int((shuffled.atoms == learned.atoms).all(dim=1).sum()) <= 6


def test_shuffled_atoms_reconstruct_worse_than_the_mean_token(source):
    learned, shuffled = (kind(**SETTINGS).train(source, 3).dictionary for kind in (TopK, Shuffled))
    by_kind = [fvu(source.values, own.decode(own.encode(source.values))) for own in (learned, shuffled)]
    assert by_kind[0] < 0.5
    assert by_kind[1] > 1.0


def test_an_autoencoder_of_the_random_model_takes_no_other_models_tokens(source):
    with pytest.raises(StudyError, match="tokens of a model with its own weights; those of one with random weights"):
        RandomModel(**SETTINGS).train(source, 0)
