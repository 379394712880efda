"""A dictionary that was read or fed wrongly is refused with the mistake that explains it.

The world is `conftest.source`: planted atoms, so that a dictionary trained on it reconstructs well and any mistake shows.
"""

import dataclasses
from contextlib import contextmanager

import pytest
import torch

from fairfight.dictionaries.check import Expected, Measured, Tolerance, check_loaded, measure
from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.formats import Foreign, NormalisedSae, Origin, Published
from fairfight.dictionaries.formats import _parameters as algebra
from fairfight.dictionaries.kinds.jumprelu import JumpReLUDictionary
from fairfight.dictionaries.kinds.relu import ReLUDictionary
from fairfight.dictionaries.kinds.topk import TopK, TopKDictionary
from fairfight.dictionaries.quality import fvu, l0
from fairfight.dictionaries.train import train
from fairfight.dictionaries.weights import SaeWeights
from fairfight.errors import EmptyBatchError, InputError, NonFiniteError, WidthMismatchError


@contextmanager
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(source):
    with one_thread():
        return train(TopK(latents=64, k=4, steps=600, batch=256), source, 0, model="a-model")


@pytest.fixture
def topk(trained):
    return trained.dictionary


@pytest.fixture
def expected(trained):
    return Expected.of_card(trained.card)


def changed(dictionary, **weights):
    return dataclasses.replace(dictionary, weights=dictionary.weights._replace(**weights))


def test_a_sound_dictionary_passes_and_says_what_was_measured(topk, source, expected):
    found = check_loaded(topk, source, expected)
    assert found.tokens == 4096
    everything = measure(topk, source.values)
    codes = topk.encode(source.values)
    assert everything.l0 == pytest.approx(l0(codes))
    assert everything.fvu == pytest.approx(fvu(source.values, topk.decode(codes)), rel=1e-6)
    assert found.fvu == pytest.approx(everything.fvu, abs=0.02)


def test_the_mean_of_ratios_is_another_number_than_the_ratio_of_sums():
    """Worked by hand: errors 1 and 1, distances from the mean 1 and 4 times: sums 2 / 8, the mean of ratios 1 / 4."""
    x = torch.tensor([[-2.0, 0.0], [2.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    still = SaeWeights(torch.zeros(1, 2), torch.zeros(1), torch.zeros(1, 2), torch.tensor([0.0, 1.0]))
    found = measure(ReLUDictionary(still), x)
    # x_hat = (0, 1) everywhere: errors 5, 5, 1, 1; the mean of x is 0, distances 4, 4, 0, 0.
    assert found.fvu == pytest.approx(12 / 8)
    assert found.mean_token_fvu == pytest.approx((5 / 4 + 5 / 4) / 2)


def test_every_kind_passes_its_own_card(kind, made, source):
    if kind in ("random", "kmeans"):
        pytest.skip("controls need not reconstruct")
    assert check_loaded(made[kind].dictionary, source, Expected.of_card(made[kind].card)).l0 > 0


def test_another_site_is_refused_by_name(topk, source, expected):
    with pytest.raises(InputError, match=r"trained on mlp_out.4 of a-model, but the tokens are of resid_post.4"):
        check_loaded(topk, source, expected._replace(site="mlp_out.4"))


def test_another_width_is_refused_with_both_widths(topk, expected):
    with pytest.raises(WidthMismatchError, match=r"width 23, but the dictionary takes 24.*resid_post.4 of a-model"):
        check_loaded(topk, TokenSource.from_tensor(torch.randn(9, 23)), expected)


@pytest.mark.parametrize(
    ("said", "passes"), [("standard", False), ("AutoEncoder", False), ("JumpReLU", False), ("BatchTopKSAE", True)]
)
def test_another_architecture_than_said_is_refused(topk, source, expected, said, passes):
    said = expected._replace(architecture=said)
    if passes:
        assert check_loaded(topk, source, said).l0 <= 4
    else:
        refused(topk, source, said, "chooses its codes by topk")


def test_nan_in_the_weights_is_refused(topk, source, expected):
    broken = changed(topk, b_dec=torch.full((24,), torch.nan))
    with pytest.raises(NonFiniteError, match="'b_dec'"):
        check_loaded(broken, source, expected)


def test_weights_that_overflow_are_refused(topk, source, expected):
    loud = changed(topk, W_dec=torch.full((64, 24), 3e38))
    with pytest.raises(NonFiniteError, match="as NaN or infinity"):
        check_loaded(loud, source, expected)


def test_a_kind_that_is_a_topk_under_another_name_is_diagnosed_too(topk, source, expected):
    class Relative(TopKDictionary):
        kind = "relative"

    broken = Relative(topk.weights._replace(b_dec=topk.weights.b_dec + 9), topk.k)
    refused(broken, source, expected, "FVU is")


def test_tokens_that_do_not_differ_explain_nothing(topk, expected):
    with pytest.raises(EmptyBatchError, match="nothing can be explained"):
        check_loaded(topk, TokenSource.from_tensor(torch.ones(5, 24)), expected)


# Mistakes, each made on purpose.


def refused(dictionary, tokens, expected, message):
    with pytest.raises(InputError, match=message):
        check_loaded(dictionary, tokens, expected)


def test_an_unfolded_input_scale_is_found(topk, source, expected):
    """Trained on tokens brought to the root of d_model (SAELens's expected_average_only_in), and not folded."""
    far = TokenSource.from_tensor(7 * source.values, site="resid_post.4", key="far")
    factor = 24**0.5 / far.values.norm(dim=1).mean().item()
    forgotten = topk_of(algebra.scaled(algebra.parameters_of(topk), 1 / (7 * factor)), topk)
    refused(forgotten, far, expected, rf"Most probably its input was multiplied by {str(factor)[:4]}")


def topk_of(parameters, like):
    return algebra.build("topk", parameters, k=like.k)


def test_a_b_dec_that_is_wrongly_subtracted_is_found(source, made):
    """ReLU with an offset in the tokens: without the fold, pre-activations are off by b_dec W_enc."""
    relu, card = made["relu"]
    parameters = algebra.parameters_of(relu)
    shift = parameters.encoder_rows @ parameters.b_dec
    meant_without = ReLUDictionary(relu.weights._replace(b_enc=relu.weights.b_enc - shift))
    tight = Tolerance(l0=0.1, fvu=0.02)
    said = Expected.of_card(card)
    with pytest.raises(InputError, match="b_dec is subtracted from its input, and should not be"):
        check_loaded(meant_without, source, said, tolerance=tight)
    meant_with = ReLUDictionary(relu.weights._replace(b_enc=relu.weights.b_enc + shift))
    with pytest.raises(InputError, match="b_dec is not subtracted from its input, and should be"):
        check_loaded(meant_with, source, said, tolerance=tight)


def test_beginnings_of_text_are_found(topk, source, expected):
    """A few tokens a hundred times as long, as the first token of a text is in many models."""
    massive = source.values.clone()
    massive[::150] *= 100
    tokens = TokenSource.from_tensor(massive, site="resid_post.4", key="with beginnings")
    refused(topk, tokens, expected, "beginnings of text are among the tokens")


def test_a_topk_read_as_relu_is_found(topk, source, expected):
    refused(ReLUDictionary(topk.weights), source, expected._replace(architecture=None), "top-k or threshold was lost")


def test_a_lost_threshold_is_found(topk, source, expected):
    lost = JumpReLUDictionary(topk.weights, torch.zeros(64))
    refused(lost, source, expected._replace(architecture="jumprelu"), "top-k or threshold was lost")


def test_norms_of_atoms_that_were_not_folded_are_found(topk, source, expected):
    """Codes were meant in norms of atoms; read without, the wrong latents are chosen."""
    norms = torch.logspace(-1.5, 1.5, 64)[torch.randperm(64, generator=torch.Generator().manual_seed(0))]
    given = topk.weights
    weights = SaeWeights(
        given.encoder_rows / norms[:, None], given.b_enc / norms, given.W_dec * norms[:, None], given.b_dec
    )
    refused(TopKDictionary(weights, topk.k), source, expected, "norms of atoms were not folded")


def test_a_normalisation_too_many_or_too_few_is_found(topk, source, expected):
    refused(NormalisedSae(topk, ("layer_norm",)), source, expected, "layer_norm of the input is one too many")
    loudness = torch.logspace(-1, 1, len(source.values))[:, None]
    values = source.values / source.values.norm(dim=1, keepdim=True) * 24**0.5
    quiet_and_loud = TokenSource.from_tensor(values * loudness, site="resid_post.4", key="loud")
    normalised = NormalisedSae(topk, ("constant_norm_rescale",))
    found = measure(normalised, quiet_and_loud.values)
    said = Expected(l0=found.l0, fvu=found.fvu)
    check_loaded(normalised, quiet_and_loud, said)
    refused(topk, quiet_and_loud, said, "constant_norm_rescale of the input was left out")


def test_transposed_weights_are_found():
    """Only a square dictionary can be transposed without an error of shapes."""
    chance = torch.Generator().manual_seed(3)
    atoms = torch.linalg.qr(torch.randn(16, 16, generator=chance))[0]
    codes = (torch.randn(3000, 16, generator=chance) - 1).relu()
    tokens = TokenSource.from_tensor(codes @ atoms, site="resid_post.1", key="square")
    sound = ReLUDictionary(SaeWeights(atoms, torch.zeros(16), atoms, torch.zeros(16)))
    said = Expected("resid_post.1", "relu", l0=l0(sound.encode(tokens.values)), fvu=0.0)
    assert check_loaded(sound, tokens, said, tolerance=Tolerance(l0=1.0)).fvu < 1e-6
    encoder = changed(sound, encoder_rows=atoms.T.contiguous())
    refused(encoder, tokens, said, "its encoder is transposed")
    refused(changed(sound, W_dec=atoms.T.contiguous()), tokens, said, "its decoder is transposed")


def test_the_other_formula_of_explained_variance_is_recognised(topk, source):
    """Half of the tokens lie near the mean: their ratios are large, and count for nothing in the sums."""
    values = source.values.clone()
    values[:3000] = values.mean(dim=0) + 0.5 * (values[:3000] - values.mean(dim=0))
    tokens = TokenSource.from_tensor(values, site="resid_post.4", key="quiet half")
    found, close = measure(topk, values), Tolerance(fvu=0.01, tokens=6000)
    assert found.mean_token_fvu - found.fvu > 0.02
    said = Expected("resid_post.4", "topk", l0=found.l0, fvu=found.mean_token_fvu)
    with pytest.raises(InputError, match="of the other formula"):
        check_loaded(topk, tokens, said, tolerance=close)
    said = said._replace(fvu=None, mean_token_fvu=found.mean_token_fvu)
    assert isinstance(check_loaded(topk, tokens, said, tolerance=close), Measured)


def test_what_no_mistake_explains_is_put_down_to_site_or_model(topk, expected):
    other = torch.randn(3000, 24, generator=torch.Generator().manual_seed(5))
    tokens = TokenSource.from_tensor(other, site="resid_post.4", key="another model")
    refused(topk, tokens, expected, r"No usual mistake explains it.*another site or model than resid_post.4 of a-model")


def test_without_published_numbers_it_has_to_beat_the_mean(topk, source):
    origin = Origin("SAELens", "topk", "a-model", "blocks.4.hook_resid_post", "resid_post.4")
    said = Expected.of(Foreign(topk, origin))
    assert check_loaded(topk, source, said).fvu < 1
    refused(changed(topk, W_dec=-topk.weights.W_dec), source, said, "no better than the mean")
    silent = changed(topk, b_enc=torch.full((64,), -1e6))
    refused(silent, source, said, "no latent speaks")


def test_published_numbers_of_a_foreign_dictionary_are_compared(topk, source):
    origin = Origin("x", "topk", "m", "resid_post.4", "resid_post.4", None, Published(l0=40.0))
    refused(topk, source, Expected.of(Foreign(topk, origin)), r"L0 is 3.80\d, but 40 ± 30% was published")


def test_tolerances_are_settings(topk, source, expected):
    strict = Tolerance(fvu=1e-9, tokens=500)
    with pytest.raises(InputError, match="On 500 tokens FVU is"):
        check_loaded(topk, source, expected._replace(fvu=expected.fvu + 1e-3), tolerance=strict)
