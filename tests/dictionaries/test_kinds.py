import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA as SklearnPCA

from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.kinds.kmeans import KMeans
from fairfight.dictionaries.kinds.neurons import Neurons
from fairfight.dictionaries.kinds.pca import PCA
from fairfight.dictionaries.kinds.random import Random
from fairfight.dictionaries.kinds.relu import ReLU
from fairfight.dictionaries.kinds.topk import TopK
from fairfight.dictionaries.quality import fvu, l0, measure
from fairfight.errors import DataError, StudyError


def test_principal_components_agree_with_scikit_learn_up_to_sign(source):
    dictionary = PCA(latents=5).train(source, 0).dictionary
    expected = SklearnPCA(5).fit(source.values.double().numpy())
    cosines = (dictionary.atoms.double().numpy() * expected.components_).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-6)
    codes = dictionary.encode(source.values).numpy()
    scores = expected.transform(source.values.double().numpy()) * np.sign(cosines)
    np.testing.assert_allclose(codes, scores, atol=1e-4)


def test_all_principal_components_reconstruct_exactly_and_fewer_leave_the_variance_of_the_rest(source):
    assert measure(PCA().train(source, 0).dictionary, source).fvu == pytest.approx(0, abs=1e-9)
    explained = SklearnPCA(24).fit(source.values.double().numpy()).explained_variance_ratio_
    left = measure(PCA(latents=7).train(source, 0).dictionary, source).fvu
    assert left == pytest.approx(explained[7:].sum(), rel=1e-4)


def test_more_components_than_the_site_is_wide_are_refused(source):
    with pytest.raises(StudyError, match="latents = 25, but a site of width 24"):
        PCA(latents=25).train(source, 0)


def test_neurons_are_the_tokens_themselves(source):
    dictionary = Neurons().train(source, 0).dictionary
    assert torch.equal(dictionary.encode(source.values), source.values)
    assert torch.equal(dictionary.decode(source.values), source.values)
    assert torch.equal(dictionary.atoms, torch.eye(24))


def test_kmeans_codes_are_the_triangle_of_scipys_distances(made, source):
    dictionary = made["kmeans"].dictionary
    distances = cdist(source.values.double(), dictionary.atoms.double())
    expected = np.maximum(0, distances.mean(axis=1, keepdims=True) - distances)
    np.testing.assert_allclose(dictionary.encode(source.values).numpy(), expected, atol=1e-4)


def test_kmeans_decodes_to_the_nearest_centroid_and_silence_to_the_mean(made, source):
    dictionary = made["kmeans"].dictionary
    nearest = cdist(source.values.double(), dictionary.atoms.double()).argmin(axis=1)
    assert torch.equal(dictionary.decode(dictionary.encode(source.values)), dictionary.atoms[nearest])
    torch.testing.assert_close(dictionary.decode(torch.zeros(1, 20))[0], source.values.mean(dim=0))


def test_kmeans_finds_clusters_that_lie_far_apart():
    chance = torch.Generator().manual_seed(3)
    centres = 100 * torch.randn(4, 6, generator=chance)
    tokens = centres.repeat(500, 1) + torch.randn(2000, 6, generator=chance)
    atoms = KMeans(latents=16, batch=2000).train(TokenSource.from_tensor(tokens), 0).dictionary.atoms
    assert cdist(centres, atoms).min(axis=1).max() < 3


def test_kmeans_with_more_clusters_than_tokens_is_refused(source):
    with pytest.raises(DataError, match="6000 tokens for 6001 clusters"):
        KMeans(latents=6001).train(source, 0)


def test_random_directions_are_as_sparse_as_was_asked_for_on_every_latent(source):
    codes = Random(latents=96, k=6).train(source, 0).dictionary.encode(source.values)
    assert l0(codes) == pytest.approx(6, rel=1e-3)
    np.testing.assert_allclose((codes > 0).float().mean(dim=0), 6 / 96, atol=1e-3)


def test_the_decoding_scale_of_random_directions_is_the_least_squares_one(source):
    """Any other scale or offset leaves more variance unexplained."""
    dictionary = Random(latents=96, k=6).train(source, 0).dictionary
    codes = dictionary.encode(source.values)
    best = fvu(source.values, dictionary.decode(codes))
    rebuilt = codes @ dictionary.atoms
    for factor in (0.97, 1.03):
        x_hat = factor * rebuilt + source.values.mean(dim=0) - factor * rebuilt.mean(dim=0)
        assert fvu(source.values, x_hat) > best
    for shift in (-0.02, 0.02):
        assert fvu(source.values, dictionary.decode(codes) + shift) > best


def test_topk_codes_are_the_largest_positive_pre_activations(made, source):
    dictionary = made["topk"].dictionary
    W_enc, b_enc, b_dec = (dictionary.tensors()[name] for name in ("W_enc", "b_enc", "b_dec"))
    pre_codes = ((source.values - b_dec) @ W_enc + b_enc).numpy()
    kept = np.sort(pre_codes, axis=1)[:, [-4]]
    expected = np.where(pre_codes >= kept, np.maximum(pre_codes, 0), 0)
    np.testing.assert_allclose(dictionary.encode(source.values).numpy(), expected, atol=1e-4)


def test_codes_are_negative_only_where_the_kind_says_so(kind, made, source):
    dictionary = made[kind].dictionary
    assert bool((dictionary.encode(source.values) < 0).any()) == dictionary.is_signed


@pytest.mark.parametrize("make", [TopK, Random])
@pytest.mark.parametrize("k", [0, 9])
def test_more_or_fewer_active_latents_than_there_can_be_are_refused(make, k):
    with pytest.raises(StudyError, match=f"k = {k}, but it must lie between 1 and latents = 8"):
        make(latents=8, k=k)


@pytest.mark.parametrize("make", [ReLU, KMeans])
def test_a_dictionary_without_latents_is_refused(make):
    with pytest.raises(StudyError, match="latents = 0"):
        make(latents=0)


def test_a_dictionary_without_chance_ignores_the_seed(source):
    first, second = (PCA().train(source, seed).dictionary for seed in (0, 1))
    assert not PCA.is_seeded
    assert torch.equal(first.atoms, second.atoms)
