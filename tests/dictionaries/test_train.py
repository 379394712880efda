import pytest
import torch

from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.fit import Plan
from fairfight.dictionaries.kinds.topk import TopK
from fairfight.dictionaries.quality import fvu, measure
from fairfight.errors import NonFiniteError, StudyError


def test_a_topk_autoencoder_finds_most_planted_atoms(planted, source):
    recipe = TopK(latents=64, k=3, steps=500, batch=256, learning_rate=5e-3)
    cosines = planted @ recipe.train(source, 0).dictionary.atoms.T
    assert (cosines.max(dim=1).values > 0.9).float().mean() > 0.8


@pytest.mark.parametrize("kind", ["topk", "relu"])
def test_more_steps_leave_less_variance_unexplained(kind, recipes, dense_source):
    make = type(recipes[kind])
    settings = {"k": 6} if kind == "topk" else {"l1": 0.3}
    fits = [make(latents=96, steps=steps, batch=256, **settings).train(dense_source, 0) for steps in (10, 60, 400)]
    unexplained = [measure(fit.dictionary, dense_source).fvu for fit in fits]
    assert unexplained[0] > 1.2 * unexplained[1] > 1.4 * unexplained[2]


@pytest.mark.parametrize("kind", ["topk", "relu", "random", "kmeans"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_other_atoms(kind, recipes, source):
    first, second, other = (recipes[kind].train(source, seed).dictionary for seed in (4, 4, 5))
    for name, tensor in first.tensors().items():
        assert torch.equal(tensor, second.tensors()[name]), name
    assert not torch.equal(first.atoms, other.atoms)


@pytest.mark.parametrize("kind", ["topk", "relu"])
def test_atoms_keep_unit_norm(kind, made):
    norms = made[kind].dictionary.atoms.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


@pytest.mark.parametrize("kind", ["topk", "relu"])
def test_the_input_scale_is_folded_in_so_tokens_eight_times_as_long_have_codes_eight_times_as_large(
    kind, recipes, made, source
):
    """Eight is a power of two, so that scaling rounds nothing."""
    one = made[kind].dictionary
    eight = recipes[kind].train(TokenSource.from_tensor(8 * source.values, key=source.key), 0).dictionary
    torch.testing.assert_close(eight.encode(8 * source.values), 8 * one.encode(source.values), rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(eight.atoms, one.atoms, rtol=1e-3, atol=1e-3)


def test_the_auxiliary_loss_revives_latents_that_a_high_learning_rate_killed(dense_source):
    settings = {"latents": 192, "k": 4, "steps": 300, "batch": 256, "learning_rate": 2e-2, "dead_after_tokens": 2560}
    without, revived = (TopK(**settings, aux_weight=weight).train(dense_source, 0).dictionary for weight in (0, 1 / 4))
    died = measure(without, dense_source).dead_share
    assert died > 0.1
    assert measure(revived, dense_source).dead_share < died / 2


def test_the_learning_rate_rises_stays_and_falls_to_nothing():
    plan = Plan(steps=100, batch=1)
    rates = [plan.pace(step) for step in range(101)]
    assert rates[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert rates[5:81] == pytest.approx([1.0] * 76)
    assert rates[90] == pytest.approx(0.5)
    assert rates[100] == 0


@pytest.mark.parametrize(("setting", "value"), [("steps", 0), ("batch", -1), ("learning_rate", 0.0)])
def test_an_impossible_schedule_is_refused_by_the_settings_name(setting, value):
    with pytest.raises(StudyError, match=f"{setting} = {value}"):
        TopK(**{setting: value})


def test_an_infinite_token_ends_training_with_an_error_that_names_the_step(source):
    values = source.values.clone()
    values[0, 0] = torch.inf
    with pytest.raises(NonFiniteError, match="step 0"):
        TopK(latents=8, k=2, steps=5, batch=6000).train(TokenSource.from_tensor(values), 0)


def test_an_autoencoder_beats_random_directions_of_the_same_sparsity(made, source):
    unexplained = {
        kind: fvu(source.values, fit.dictionary.decode(fit.dictionary.encode(source.values)))
        for kind, fit in made.items()
    }
    assert unexplained["topk"] < unexplained["random"] < 1
