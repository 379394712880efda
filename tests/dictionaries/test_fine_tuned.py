"""A dictionary that was trained on one world learns another, keeps its kind, and its card adds up."""

import shutil
from pathlib import Path

import pytest
import torch

from fairfight import registry
from fairfight.dictionaries.contract import Dictionary, TokenSource
from fairfight.dictionaries.formats import load, save
from fairfight.dictionaries.kinds.fine_tuned import FineTuned
from fairfight.dictionaries.kinds.topk import TopK
from fairfight.dictionaries.quality import measure
from fairfight.dictionaries.resample import resampled
from fairfight.dictionaries.sae import sample_of
from fairfight.dictionaries.train import train
from fairfight.dictionaries.trainer import SaeState
from fairfight.errors import InputError, StudyError

KINDS = ("topk", "relu", "gated", "jumprelu", "batch_topk", "matryoshka")


def world(seed: int, offset: float = 0.0) -> TokenSource:
    """Two of 24 planted atoms a token, in 16 dimensions."""
    chance = torch.Generator().manual_seed(seed)
    atoms = torch.nn.functional.normalize(torch.randn(24, 16, generator=chance), dim=1)
    codes = (torch.rand(4000, 24, generator=chance) < 1 / 12) * (1 + torch.rand(4000, 24, generator=chance))
    values = 3 * codes @ atoms + offset + 0.05 * torch.randn(4000, 16, generator=chance)
    return TokenSource(values, "resid_post.1", f"world {seed}", harvest_flops=1000)


def started(folder: Path, kind: str = "topk", **settings: object) -> tuple[Path, Dictionary]:
    own = registry.load("kinds", kind)(latents=48, steps=150, batch=256, **settings)
    found = train(own, world(1), 0, model="m")
    save(found.dictionary, found.card, folder / "start")
    return folder / "start", found.dictionary


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_the_new_world_and_keeps_its_kind(kind, tmp_path):
    settings = {"k": 3} if kind in ("topk", "batch_topk", "matryoshka") else {}
    path, before = started(tmp_path, kind, **settings)
    other = world(2, offset=1.0)
    recipe = FineTuned(path=str(path), steps=150, batch=256, learning_rate=4e-3, fvu_tolerance=9.0, l0_tolerance=99.0)
    tuned = train(recipe, other, 0, model="m")
    assert measure(tuned.dictionary, other).fvu < 0.8 * measure(before, other).fvu
    assert (tuned.dictionary.kind, tuned.dictionary.latents) == (kind, 48)
    assert tuned.card.tokens_seen == 300 * 256
    assert tuned.card.training_flops.dense > 1.9 * load(path).card.training_flops.dense
    assert tuned.card.harvest_flops == 2000


def test_no_step_changes_next_to_nothing(tmp_path):
    path, before = started(tmp_path, k=3)
    tuned = FineTuned(path=str(path), steps=1, batch=64, learning_rate=1e-12).train(world(1), 0).dictionary
    x = world(1).values
    torch.testing.assert_close(tuned.encode(x), before.encode(x), atol=1e-4, rtol=1e-4)


def test_silent_latents_are_pointed_at_what_is_left_over():
    x = torch.zeros(6, 3)
    x[:, 0] = 1.0
    x[3] = torch.tensor([1.0, 0.0, 2.0])
    atoms = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    state = SaeState.start(atoms, atoms, torch.zeros(3), {"b_enc": torch.tensor([0.0, -5.0])})
    dictionary = registry.load("kinds", "relu")(latents=2).dictionary(state)
    found = resampled(state, dictionary, x, torch.Generator().manual_seed(0))
    assert found.latents == 1
    torch.testing.assert_close(found.state.W_dec, torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))
    torch.testing.assert_close(found.state.W_enc, torch.tensor([[1.0, 0, 0], [0, 0, 0.2]]))
    assert found.state.vectors["b_enc"].tolist() == [0.0, 0.0]


def test_resampling_revives_what_a_new_world_leaves_silent(tmp_path):
    path, _ = started(tmp_path, k=3, aux_weight=0.0)
    moved = path.parent / "elsewhere"
    shutil.copytree(path, moved)
    other = world(3, offset=2.0)
    plain, revived, again = (
        FineTuned(path=str(at), steps=100, batch=256, learning_rate=4e-3, fvu_tolerance=9.0, resample=resample)
        .train(other, 0)
        .dictionary
        for at, resample in ((path, False), (path, True), (moved, True))
    )
    assert measure(plain, other).dead_share > 0.1
    assert measure(revived, other).dead_share < 0.7 * measure(plain, other).dead_share
    assert all(torch.equal(value, again.tensors()[name]) for name, value in revived.tensors().items())


def test_what_decides_sparsity_has_to_be_known(tmp_path):
    path, _ = started(tmp_path, "relu")
    (path / "card.json").unlink()
    given = {"path": str(path), "model": "m", "site": "resid_post.1"}
    sample = sample_of(world(1))
    with pytest.raises(InputError, match=r"do not say with which l1 .* settings = \{ l1 = \.\.\. \}"):
        FineTuned(**given).course(0, sample, "a")
    with pytest.raises(InputError, match="A relu has no setting 'k'"):
        FineTuned(**given, settings={"l1": 1.0, "k": 3}).course(0, sample, "a")
    assert FineTuned(**given, settings={"l1": 1.0}).course(0, sample, "a").job.start is not None


def test_what_cannot_be_trained_on_is_refused(tmp_path):
    found = train(registry.load("kinds", "pca")(), world(1), 0, model="m")
    save(found.dictionary, found.card, tmp_path / "pca")
    with pytest.raises(InputError, match="A pca dictionary cannot be trained on"):
        FineTuned(path=str(tmp_path / "pca")).course(0, sample_of(world(1)), "a")
    with pytest.raises(StudyError, match="has no path"):
        FineTuned()


def test_seeds_make_a_difference_where_they_do(tmp_path):
    assert not FineTuned(path="a").is_seeded
    assert FineTuned(path="a", resample=True).is_seeded
    assert FineTuned(path="a/{seed}").is_seeded
    assert TopK.is_seeded
