"""The kinds that scikit-learn fits: against its own transforms, and on tokens whose makings are known."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment, nnls
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.decomposition import FastICA, MiniBatchNMF, non_negative_factorization, sparse_encode
from sklearn.metrics.pairwise import cosine_similarity

from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.formats import load, save
from fairfight.dictionaries.kinds import nmf
from fairfight.dictionaries.kinds.ica import ICA, ICADictionary
from fairfight.dictionaries.kinds.nmf import NMF, NMFDictionary
from fairfight.dictionaries.kinds.sparse_coding import SparseCoding, SparseCodingDictionary
from fairfight.dictionaries.kinds.spherical_kmeans import SphericalKMeans
from fairfight.dictionaries.quality import fvu, l0, measure
from fairfight.dictionaries.train import train
from fairfight.errors import DataError, EmptyBatchError, StudyError

RECIPES = {
    "ica": ICA(fit_tokens=4000),
    "nmf": NMF(latents=40, steps=60, batch=256),
    "sparse_coding": SparseCoding(latents=48, k=4, steps=40, batch=128),
    "spherical_kmeans": SphericalKMeans(latents=48, batch=512),
}


@pytest.fixture(params=RECIPES)
def name(request):
    """Each of the kinds in turn."""
    return request.param


@pytest.fixture(scope="module")
def fitted(source):
    """Each kind's dictionary and card, trained on the first 5,000 tokens; the last 1,000 are held out."""
    return {name: train(recipe, TokenSource(source.values[:5000]), 0) for name, recipe in RECIPES.items()}


@pytest.fixture(scope="module")
def held_out(source):
    return source.values[5000:]


def unit(rows):
    return torch.nn.functional.normalize(rows, dim=1)


def chance(number):
    return torch.Generator().manual_seed(number)


def matched_cosines(planted, atoms, *, signed=True):
    """Give each planted row's cosine to the atom that it is matched with, no atom taken twice."""
    cosines = cosine_similarity(planted, atoms)
    rows, columns = linear_sum_assignment(cosines if signed else np.abs(cosines), maximize=True)
    return cosines[rows, columns]


# All four.


def test_training_is_the_same_bits_for_a_seed_and_draws_from_no_global_generator(name, source):
    tokens = TokenSource(source.values[:1500])
    numpy_state, torch_state = repr(np.random.get_state(legacy=False)), torch.get_rng_state()  # noqa: NPY002
    first, second, other = (RECIPES[name].train(tokens, seed).dictionary.atoms for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert RECIPES[name].is_seeded
    assert repr(np.random.get_state(legacy=False)) == numpy_state  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_codes_and_reconstructions_survive_the_folder_to_the_bit(name, fitted, held_out, tmp_path):
    dictionary, card = fitted[name]
    save(dictionary, card, tmp_path / "saved")
    again = load(tmp_path / "saved").dictionary
    codes = dictionary.encode(held_out)
    assert torch.equal(again.encode(held_out), codes)
    assert torch.equal(again.decode(codes), dictionary.decode(codes))
    assert again.cfg() == dictionary.cfg()
    assert again.cfg()["architecture"] == name


def test_training_warns_of_nothing(name, source):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RECIPES[name].train(TokenSource(source.values[:1500]), 0)


def test_a_token_has_the_same_codes_in_any_company(name, fitted, held_out):
    dictionary = fitted[name].dictionary
    alone = torch.cat([dictionary.encode(token) for token in held_out[:20].split(1)])
    torch.testing.assert_close(alone, dictionary.encode(held_out)[:20], rtol=1e-4, atol=1e-4)


def test_codes_of_many_tokens_are_those_of_their_chunks(name, fitted, source):
    dictionary = fitted[name].dictionary
    parts = torch.cat([dictionary.encode(part) for part in source.values.split(700)])
    torch.testing.assert_close(dictionary.encode(source.values), parts, rtol=1e-4, atol=1e-4)


def test_no_token_has_no_codes(name, fitted):
    dictionary = fitted[name].dictionary
    codes = dictionary.encode(torch.zeros(0, 24))
    assert codes.shape == (0, dictionary.latents)
    assert dictionary.decode(codes).shape == (0, 24)


def test_reconstructions_of_held_out_tokens_beat_the_mean_token(name, fitted, held_out):
    dictionary = fitted[name].dictionary
    assert fvu(held_out, dictionary.decode(dictionary.encode(held_out))) < 0.8


def test_training_and_coding_cost_something(name, fitted):
    dictionary, card = fitted[name]
    assert card.training_flops.dense >= card.training_flops.executed > 0
    assert card.tokens_seen > 0
    assert dictionary.encode_flops_per_token >= 2 * dictionary.atoms.numel()
    assert dictionary.decode_flops_per_token > 0


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (ICA, "latents"), (ICA, "fit_tokens"), (ICA, "iterations"), (ICA, "tolerance"),
        (NMF, "latents"), (NMF, "steps"), (NMF, "batch"), (NMF, "updates"), (NMF, "memory"), (NMF, "sweeps"),
        (SparseCoding, "latents"), (SparseCoding, "l1"), (SparseCoding, "steps"), (SparseCoding, "batch"),
        (SphericalKMeans, "latents"), (SphericalKMeans, "fit_tokens"), (SphericalKMeans, "passes"),
    ],
)  # fmt: skip
def test_a_setting_of_zero_is_refused(make, setting):
    with pytest.raises(StudyError, match=f"{setting} = 0, but it must be above zero"):
        make(**{setting: 0})


# ICA.


@pytest.fixture(scope="module")
def mixed():
    """Sources far from Gaussian (half Laplace, half uniform), all of unit variance, and tokens that mix them."""
    sources = torch.distributions.Laplace(0.0, 0.5**0.5).icdf(torch.rand(8000, 8, generator=chance(1)))
    sources[:, 4:] = (12**0.5) * (torch.rand(8000, 4, generator=chance(2)) - 0.5)
    return sources, sources @ torch.randn(8, 8, generator=chance(3)) + 5


@pytest.fixture(scope="module")
def unmixed(mixed):
    return ICA(tolerance=1e-6).train(TokenSource(mixed[1][:6000]), 0).dictionary


def test_ica_recovers_independent_sources_up_to_order_and_sign(mixed, unmixed):
    sources, tokens = mixed
    correlations = np.corrcoef(sources[6000:].T, unmixed.encode(tokens[6000:]).T)[:8, 8:]
    rows, columns = linear_sum_assignment(np.abs(correlations), maximize=True)
    assert np.abs(correlations[rows, columns]).min() > 0.99


@pytest.mark.parametrize("latents", [None, 5])
def test_ica_agrees_with_scikit_learns_transforms_on_held_out_tokens(mixed, latents):
    tokens = mixed[1]
    ours = ICA(latents=latents, tolerance=1e-6).train(TokenSource(tokens[:6000]), 0).dictionary
    theirs = FastICA(latents, whiten="unit-variance", whiten_solver="eigh", tol=1e-9, max_iter=1000, random_state=3)
    theirs.fit(tokens[:6000].double().numpy())
    expected = theirs.transform(tokens[6000:].double().numpy())
    codes = ours.encode(tokens[6000:])
    products = codes.numpy().T @ expected
    rows, columns = linear_sum_assignment(np.abs(products), maximize=True)
    signs = np.sign(products[rows, columns])
    np.testing.assert_allclose(codes.numpy(), expected[:, columns] * signs, atol=5e-3)
    np.testing.assert_allclose(ours.decode(codes).numpy(), theirs.inverse_transform(expected), atol=1e-4)


def test_settled_components_are_the_same_for_every_seed_in_order_and_sign(mixed, unmixed):
    again = ICA(tolerance=1e-6).train(TokenSource(mixed[1][:6000]), 1).dictionary
    torch.testing.assert_close(again.atoms, unmixed.atoms, atol=5e-3, rtol=0)


def test_ica_orders_components_by_the_variance_that_they_explain(mixed, unmixed):
    tokens = mixed[1][:6000]
    explained = unmixed.atoms.square().sum(dim=1)
    assert (explained.diff() <= 0).all()
    assert explained.sum().item() == pytest.approx(tokens.var(dim=0, correction=0).sum().item(), rel=1e-4)
    assert (unmixed.atoms.gather(1, unmixed.atoms.abs().argmax(dim=1, keepdim=True)) > 0).all()


def test_ica_codes_are_white_on_the_tokens_of_the_fit(mixed, unmixed):
    codes = unmixed.encode(mixed[1][:6000])
    np.testing.assert_allclose(np.cov(codes.T, ddof=0), np.eye(8), atol=1e-4)


def test_all_independent_components_reconstruct_exactly(mixed, unmixed):
    tokens = mixed[1][6000:]
    assert fvu(tokens, unmixed.decode(unmixed.encode(tokens))) < 1e-9


def test_ica_leaves_out_a_direction_that_layer_norm_has_emptied(mixed):
    tokens = torch.nn.functional.layer_norm(mixed[1], (8,))
    dictionary = ICA(iterations=20).train(TokenSource(tokens), 0).dictionary
    assert dictionary.latents == 7
    assert dictionary.encode(tokens).abs().max() < 100
    assert fvu(tokens, dictionary.decode(dictionary.encode(tokens))) < 1e-9
    with pytest.raises(DataError, match=r"vary along 7 directions .* but 8 are to be found"):
        ICA(latents=8).train(TokenSource(tokens), 0)


def test_ica_that_does_not_settle_says_so_in_its_cfg_and_is_whole_all_the_same(unmixed, tmp_path):
    tokens = torch.randn(2000, 8, generator=chance(4)) @ torch.randn(8, 8, generator=chance(5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dictionary, card = train(ICA(iterations=3), TokenSource(tokens), 0)
    save(dictionary, card, tmp_path / "saved")
    again = load(tmp_path / "saved").dictionary
    assert isinstance(again, ICADictionary)
    assert (again.cfg()["has_converged"], again.cfg()["iterations_run"]) == (False, 3)
    assert fvu(tokens, again.decode(again.encode(tokens))) < 1e-9
    assert unmixed.cfg()["has_converged"]
    assert 1 < unmixed.cfg()["iterations_run"] < 100


def test_ica_counts_its_products(mixed):
    """Of 1,000 tokens, 8 wide: covariance and whitening 2 * 1000 * 8 * 16, eigenvectors 9 * 512; an iteration
    4 * 1000 * 64 + 15 * 512."""
    fit = ICA(fit_tokens=1000, iterations=2).train(TokenSource(mixed[1]), 0)
    assert fit.flops.dense == 2 * 1000 * 8 * 16 + 9 * 512 + 2 * (4 * 1000 * 64 + 15 * 512)
    assert fit.tokens_seen == 3000


def test_more_independent_components_than_the_site_is_wide_are_refused(mixed):
    with pytest.raises(StudyError, match="latents = 9, but a site of width 8"):
        ICA(latents=9).train(TokenSource(mixed[1]), 0)


def test_ica_of_equal_tokens_is_refused():
    with pytest.raises(DataError, match="vary along 0 directions"):
        ICA().train(TokenSource(torch.ones(50, 4)), 0)


# NMF.


def split_signs(x):
    return np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1).astype(np.float64)


def parts_of(dictionary):
    halves = dictionary.tensors()
    return torch.cat([halves["W_dec_positive"], halves["W_dec_negative"]], dim=1).double().numpy()


@pytest.fixture(scope="module")
def few_parts(source):
    """Twelve parts of tokens 24 wide, no two of them alike: their codes are well determined."""
    return NMF(latents=12, steps=60).train(TokenSource(source.values[:5000]), 0).dictionary


def test_nmf_codes_are_scipys_non_negative_least_squares(few_parts, held_out):
    parts, targets = parts_of(few_parts), split_signs(held_out[:200].numpy())
    expected = np.stack([nnls(parts.T, target)[0] for target in targets])
    codes = few_parts.encode(held_out[:200]).numpy()
    np.testing.assert_allclose(codes, expected, atol=1e-3 * expected.max())
    assert ((codes == 0) == (expected == 0)).mean() > 0.99


def test_nmf_agrees_with_scikit_learns_transforms_on_held_out_tokens(few_parts, held_out):
    """`transform` takes multiplicative updates, which only creep towards zero: it is given many. scikit-learn's solver
    by coordinate descent is exact sooner."""
    parts, targets = parts_of(few_parts), split_signs(held_out[:200].numpy())
    count: Any = len(parts)  # its stub knows "auto" alone
    theirs = MiniBatchNMF(count, transform_max_iter=5000, tol=0.0, random_state=0).partial_fit(targets)
    theirs.components_ = parts
    expected = theirs.transform(targets)
    codes = few_parts.encode(held_out[:200])
    np.testing.assert_allclose(codes.numpy(), expected, atol=1e-2 * expected.max())
    by_descent, *_ = non_negative_factorization(
        targets, H=parts, n_components=count, init="custom", update_H=False, tol=1e-10, max_iter=5000
    )
    np.testing.assert_allclose(codes.numpy(), by_descent, atol=1e-3 * expected.max())
    rebuilt = theirs.inverse_transform(codes.double().numpy())
    np.testing.assert_allclose(few_parts.decode(codes).numpy(), rebuilt[:, :24] - rebuilt[:, 24:], atol=1e-5)


def test_nmf_codes_leave_little_more_error_than_scipys_where_parts_are_nearly_alike(fitted, held_out):
    parts, targets = parts_of(fitted["nmf"].dictionary), split_signs(held_out[:200].numpy())
    assert np.linalg.cond(parts) > 20
    least = sum(nnls(parts.T, target)[1] ** 2 for target in targets)
    found = np.square(targets - fitted["nmf"].dictionary.encode(held_out[:200]).double().numpy() @ parts).sum()
    assert least <= found < 1.04 * least


def test_nmf_codes_are_the_same_with_and_without_numba(fitted, held_out, monkeypatch):
    dictionary = fitted["nmf"].dictionary
    compiled = dictionary.encode(held_out)
    monkeypatch.setattr(nmf, "find_spec", lambda name: None)
    torch.testing.assert_close(dictionary.encode(held_out), compiled, atol=1e-5, rtol=1e-4)


def test_more_sweeps_bring_nmf_codes_nearer_to_the_optimum(fitted, held_out):
    dictionary = fitted["nmf"].dictionary
    parts = torch.from_numpy(parts_of(dictionary)).float()
    targets = torch.from_numpy(split_signs(held_out.numpy())).float()

    def squared_error(sweeps):
        return (targets - NMFDictionary(parts, sweeps).encode(held_out) @ parts).square().sum().item()

    errors = [squared_error(sweeps) for sweeps in (1, 2, 4, 8, 16)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1.001 * errors[-1]


def test_nmf_recovers_parts_that_were_only_ever_added():
    """Twelve parts, positive on some coordinates and negative on others, each with coordinates of its own."""
    parts = torch.zeros(12, 36)
    for part in range(12):
        parts[part, 3 * part : 3 * part + 3] = torch.tensor([1.0, -0.7, 0.4])
    amounts = torch.rand(4000, 12, generator=chance(6)) * (torch.rand(4000, 12, generator=chance(7)) < 0.3)
    tokens = amounts @ parts
    dictionary = NMF(latents=12, steps=300, batch=128).train(TokenSource(tokens), 0).dictionary
    assert matched_cosines(parts, dictionary.atoms).min() > 0.98
    codes = dictionary.encode(tokens)
    assert fvu(tokens, dictionary.decode(codes)) < 0.02
    cosines = cosine_similarity(parts, dictionary.atoms)
    correlations = np.corrcoef(amounts.T, codes.T)[:12, 12:][np.arange(12), cosines.argmax(axis=1)]
    assert correlations.min() > 0.98


def test_parts_are_of_unit_norm_and_nowhere_negative(fitted):
    parts = parts_of(fitted["nmf"].dictionary)
    assert (parts >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(parts, axis=1), 1, atol=1e-5)


def test_a_part_that_died_stays_silent():
    parts = torch.zeros(3, 8)
    parts[0, 1] = parts[1, 5] = 1.0
    dictionary = NMFDictionary(parts, sweeps=3)
    codes = dictionary.encode(torch.tensor([[0.0, -2.0, 0.0, 1.0], [0.0, 3.0, 0.0, 0.0]]))
    assert codes.tolist() == [[0, 2, 0], [3, 0, 0]]
    assert dictionary.decode(codes).tolist() == [[0, -2, 0, 0], [0, 3, 0, 0]]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"latents": 49, "batch": 64}, StudyError, "latents = 49, but a site of width 24 takes at most 48"),
        ({"latents": 40, "batch": 39}, StudyError, "batch = 39, but a step takes at least as many"),
        ({"memory": 1.5}, StudyError, "memory = 1.5, but it is a share"),
    ],
)
def test_impossible_settings_of_nmf_are_refused(settings, error, words, source):
    with pytest.raises(error, match=words):
        NMF(**settings).train(source, 0)


def test_nmf_of_fewer_tokens_than_parts_is_refused(source):
    with pytest.raises(DataError, match="30 tokens for 40 parts"):
        NMF(latents=40).train(TokenSource(source.values[:30]), 0)


# Sparse coding.


@pytest.mark.parametrize("k", [1, 4, 12])
def test_sparse_codes_are_scikit_learns_orthogonal_matching_pursuit(fitted, held_out, k):
    atoms, mean = (fitted["sparse_coding"].dictionary.tensors()[name] for name in ("W_dec", "b_dec"))
    dictionary = SparseCodingDictionary(atoms, mean, k)
    centred = (held_out - mean).double().numpy()
    expected = sparse_encode(centred, atoms.double().numpy(), algorithm="omp", n_nonzero_coefs=k)
    codes = dictionary.encode(held_out).numpy()
    # Where two atoms are within float32's rounding of each other, either may be chosen.
    agree = np.abs(codes - expected).max(axis=1) < 1e-3
    assert agree.mean() > 0.995
    np.testing.assert_allclose(codes[agree] != 0, expected[agree] != 0)
    rebuilt = expected @ atoms.double().numpy() + mean.double().numpy()
    np.testing.assert_allclose(dictionary.decode(torch.from_numpy(codes)).numpy()[agree], rebuilt[agree], atol=1e-3)


def test_sparse_codes_have_k_non_zeros_and_leave_nothing_along_the_atoms_that_they_take(fitted, held_out):
    dictionary = fitted["sparse_coding"].dictionary
    codes = dictionary.encode(held_out)
    assert l0(codes) == 4
    left = (held_out - dictionary.decode(codes)) @ dictionary.atoms.T
    assert left[codes != 0].abs().max() < 1e-4


def test_sparse_coding_recovers_planted_atoms_and_what_each_token_took_of_them(planted):
    is_active = torch.rand(6000, 32, generator=chance(8)) < 1 / 16
    amounts = is_active * (torch.rand(6000, 32, generator=chance(9)) + 0.5)
    amounts *= torch.randn(6000, 32, generator=chance(10)).sign()
    tokens = amounts @ planted + 3
    dictionary = SparseCoding(latents=32, k=3, l1=0.2, steps=300, batch=128).train(TokenSource(tokens), 0).dictionary
    cosines = np.abs(matched_cosines(planted, dictionary.atoms, signed=False))
    assert (cosines > 0.97).mean() > 0.9
    few = is_active.sum(dim=1) <= 2
    assert fvu(tokens[few], dictionary.decode(dictionary.encode(tokens[few]))) < 0.05


def test_a_token_that_few_atoms_give_exactly_has_no_more_codes():
    """As scikit-learn, which stops there with a warning."""
    atoms = unit(torch.randn(10, 8, generator=chance(11)))
    mean = torch.randn(8, generator=chance(12))
    dictionary = SparseCodingDictionary(atoms, mean, k=4)
    tokens = torch.stack([mean, mean - 2 * atoms[3], mean + 50 * atoms[3] + 20 * atoms[7]])
    expected = torch.zeros(3, 10)
    expected[1, 3], expected[2, 3], expected[2, 7] = -2, 50, 20
    codes = dictionary.encode(tokens)
    torch.testing.assert_close(codes, expected, atol=1e-4, rtol=1e-5)
    assert torch.count_nonzero(codes, dim=1).tolist() == [0, 1, 2]


def test_atoms_that_say_the_same_do_not_break_the_pursuit():
    atoms = unit(torch.randn(3, 8, generator=chance(13))).repeat(3, 1)
    tokens = torch.randn(50, 8, generator=chance(14))
    codes = SparseCodingDictionary(atoms, torch.zeros(8), k=6).encode(tokens)
    assert torch.isfinite(codes).all()
    assert torch.count_nonzero(codes, dim=1).max() == 3
    left = tokens - codes @ atoms
    assert (left @ atoms.T).abs().max() < 1e-4


def test_of_two_atoms_a_ten_thousandth_apart_one_is_taken():
    """Both together would give the token exactly, by codes of plus and minus 10,000."""
    atoms = unit(torch.tensor([[1.0, 0.0, 0.0], [1.0, 1e-4, 0.0], [0.0, 0.0, 1.0]]))
    codes = SparseCodingDictionary(atoms, torch.zeros(3), k=2).encode(torch.tensor([[1.0, 1.0, 0.0]]))
    assert torch.count_nonzero(codes) == 1
    assert codes.sum().item() == pytest.approx(1, abs=1e-3)


def test_sparse_coding_counts_less_where_silent_latents_are_skipped(fitted):
    flops = fitted["sparse_coding"].card.training_flops
    assert flops.executed < 0.8 * flops.dense


def test_more_than_256_atoms_are_refused_with_the_reason():
    with pytest.raises(StudyError, match=r"latents = 257, but sparse coding takes at most 256.*square of the atoms"):
        SparseCoding(latents=257)


@pytest.mark.parametrize("k", [0, 9])
def test_sparse_codes_of_more_or_fewer_latents_than_there_can_be_are_refused(k):
    with pytest.raises(StudyError, match=f"k = {k}, but it must lie between 1 and latents = 8"):
        SparseCoding(latents=8, k=k)


def test_sparse_coding_of_equal_tokens_is_refused():
    with pytest.raises(EmptyBatchError, match="All 50 tokens are equal"):
        SparseCoding(latents=4, k=2).train(TokenSource(torch.ones(50, 4)), 0)


# Spherical k-means.


@pytest.fixture(scope="module")
def directional():
    """Six directions out of one centre; along each, tokens at distances from 1 to 50."""
    directions = unit(torch.randn(6, 12, generator=chance(15)))
    distances = 1 + 49 * torch.rand(6000, 1, generator=chance(16))
    spread = 0.05 * torch.randn(6000, 12, generator=chance(17))
    of = torch.arange(6000) % 6
    return directions - directions.mean(dim=0), distances * (directions[of] - directions.mean(dim=0) + spread) + 20, of


def test_spherical_kmeans_finds_directions_however_far_tokens_lie_along_them(directional):
    directions, tokens, of = directional
    dictionary = SphericalKMeans(latents=12, batch=500).train(TokenSource(tokens), 0).dictionary
    cosines = cosine_similarity(tokens - tokens.mean(dim=0), dictionary.atoms)
    assert cosines.max(axis=1).mean() > 0.97
    assert cosine_similarity(directions, dictionary.atoms).max(axis=1).min() > 0.98
    own = cosine_similarity(directions, dictionary.atoms).argmax(axis=0)
    assert (own[dictionary.encode(tokens).argmax(dim=1).numpy()] == of.numpy()).mean() > 0.99
    assert fvu(tokens, dictionary.decode(dictionary.encode(tokens))) < 0.1


def test_a_token_far_out_pulls_a_centroid_no_more_than_one_near_by():
    """Two opposite clusters; in each, half of the tokens lie 20 degrees to one side at distance 1, half of them 20
    degrees to the other at distance 30. Their mean direction is in the middle; their mean is 19 degrees off."""
    angles = torch.deg2rad(torch.tensor([20.0, -20.0, 200.0, 160.0])).repeat(250)
    tokens = torch.tensor([1.0, 30.0, 1.0, 30.0]).repeat(250)[:, None] * torch.stack(
        [angles.cos(), angles.sin()], dim=1
    )
    # Some seeds start with both centroids in one cluster and settle between the two.
    atoms = SphericalKMeans(latents=2, batch=200).train(TokenSource(tokens), 3).dictionary.atoms
    np.testing.assert_allclose(np.abs(atoms.numpy()), [[1, 0], [1, 0]], atol=0.05)


def test_the_nearest_centroid_is_the_one_that_scikit_learn_predicts(fitted, held_out):
    dictionary = fitted["spherical_kmeans"].dictionary
    mean = dictionary.tensors()["b_dec"]
    theirs = SklearnKMeans(48, max_iter=1, random_state=0).fit(unit(held_out - mean).double().numpy())
    theirs.cluster_centers_ = dictionary.atoms.double().numpy()
    expected = theirs.predict(unit(held_out - mean).double().numpy())
    np.testing.assert_array_equal(dictionary.encode(held_out).argmax(dim=1), expected)


def test_spherical_codes_are_cosines_times_norms_where_the_cosine_is_not_below_the_mean(fitted, held_out):
    dictionary = fitted["spherical_kmeans"].dictionary
    centred = (held_out - dictionary.tensors()["b_dec"]).double()
    cosines = cosine_similarity(centred, dictionary.atoms.double())
    threshold = np.maximum(cosines.mean(axis=1, keepdims=True), 0)
    expected = np.where(cosines >= threshold, cosines, 0) * centred.norm(dim=1, keepdim=True).numpy()
    is_clear = np.abs(cosines - threshold) > 1e-6
    codes = dictionary.encode(held_out).numpy()
    np.testing.assert_allclose(codes[is_clear], expected[is_clear], atol=1e-5)
    assert 0.25 < (codes > 0).mean() < 0.75


def test_spherical_codes_grow_with_the_token_and_keep_their_pattern(fitted, held_out):
    dictionary = fitted["spherical_kmeans"].dictionary
    mean = dictionary.tensors()["b_dec"]
    codes, grown = dictionary.encode(held_out), dictionary.encode(mean + 8 * (held_out - mean))
    torch.testing.assert_close(grown, 8 * codes, rtol=1e-3, atol=1e-3)


def test_spherical_kmeans_decodes_to_the_projection_on_the_nearest_centroid(fitted, held_out):
    dictionary = fitted["spherical_kmeans"].dictionary
    mean, x_hat = dictionary.tensors()["b_dec"], dictionary.decode(dictionary.encode(held_out))
    centred = (held_out - mean).double()
    nearest = dictionary.atoms.double()[cosine_similarity(centred, dictionary.atoms.double()).argmax(axis=1)]
    expected = mean + (centred * nearest).sum(dim=1, keepdim=True) * nearest
    np.testing.assert_allclose(x_hat.numpy(), expected.numpy(), atol=1e-5)
    torch.testing.assert_close(dictionary.decode(torch.zeros(1, 48))[0], mean)


def test_centroids_are_of_unit_norm_and_around_the_training_mean(fitted, source):
    dictionary = fitted["spherical_kmeans"].dictionary
    torch.testing.assert_close(dictionary.atoms.norm(dim=1), torch.ones(48))
    torch.testing.assert_close(dictionary.tensors()["b_dec"], source.values[:5000].mean(dim=0))


def test_spherical_kmeans_with_more_clusters_than_tokens_is_refused(source):
    with pytest.raises(DataError, match="40 tokens for 48 clusters"):
        SphericalKMeans(latents=48).train(TokenSource(source.values[:40]), 0)


def test_a_step_of_fewer_tokens_than_clusters_is_refused():
    with pytest.raises(StudyError, match=r"batch = 47, but a step takes .* \(latents = 48\)"):
        SphericalKMeans(latents=48, batch=47)


def test_quality_on_the_card_is_that_of_the_training_tokens(name, fitted, source):
    dictionary, card = fitted[name]
    assert card.fvu == pytest.approx(measure(dictionary, TokenSource(source.values[:5000])).fvu, rel=1e-9)
