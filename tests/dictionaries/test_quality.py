import pytest
import torch

from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.quality import cosine, dead_share, fvu, l0, measure, norm_ratio, variance_explained
from fairfight.errors import EmptyBatchError


def test_fvu_agrees_with_a_hand_calculation():
    """Mean (2, 0); deviations (-2, 0), (2, 0), so 8 in all; errors (1, 0), (0, 1), so 2 in all: 2 / 8."""
    x = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    x_hat = torch.tensor([[1.0, 0.0], [4.0, 1.0]])
    assert fvu(x, x_hat) == 0.25


def test_fvu_of_the_mean_is_one_and_of_the_tokens_zero():
    x = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) + 3
    assert fvu(x, x) == 0
    assert fvu(x, x.mean(dim=0).expand_as(x)) == pytest.approx(1, abs=1e-6)


def test_fvu_ignores_shift_and_scale():
    chance = torch.Generator().manual_seed(0)
    x, x_hat = torch.randn(2, 50, 7, generator=chance, dtype=torch.float64)
    assert fvu(3 * x - 5, 3 * x_hat - 5) == pytest.approx(fvu(x, x_hat), rel=1e-12)


def test_l0_and_dead_share_count_codes_that_are_not_zero():
    codes = torch.tensor([[0.0, -1.0, 0.0, 2.0], [0.0, 3.0, 0.0, 0.0]])
    assert l0(codes) == 1.5
    assert dead_share(codes) == 0.5


@pytest.mark.parametrize("statistic", [l0, dead_share, lambda codes: fvu(codes, codes)])
def test_a_statistic_of_no_token_is_refused(statistic):
    with pytest.raises(EmptyBatchError, match="no token"):
        statistic(torch.zeros(0, 3))


def test_fvu_of_equal_tokens_is_refused():
    with pytest.raises(EmptyBatchError, match="no variance"):
        fvu(torch.ones(4, 3), torch.zeros(4, 3))


def test_measuring_in_pieces_agrees_with_measuring_at_once(made, source):
    dictionary = made["topk"].dictionary
    codes = dictionary.encode(source.values)
    measured = measure(dictionary, source)
    assert measured.fvu == pytest.approx(fvu(source.values, dictionary.decode(codes)), rel=1e-6)
    assert measured.l0 == pytest.approx(l0(codes))
    assert measured.dead_share == pytest.approx(dead_share(codes))


def test_the_same_tokens_are_measured_every_time(made):
    many = TokenSource.from_tensor(torch.randn(40_000, 24, generator=torch.Generator().manual_seed(1)), key="many")
    dictionary = made["random"].dictionary
    assert measure(dictionary, many) == measure(dictionary, many)


def test_variance_explained_is_one_minus_fvu_and_negative_below_the_mean():
    """FVU is 2 / 8 as above; with the reconstruction (8, 0), (-4, 0) errors are 64 + 64 of 8: 1 - 16."""
    x = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    assert variance_explained(x, torch.tensor([[1.0, 0.0], [4.0, 1.0]])) == 0.75
    assert variance_explained(x, torch.tensor([[8.0, 0.0], [-4.0, 0.0]])) == -15


def test_fvu_is_not_the_mean_over_dimensions_of_a_ratio_each():
    """Dimension 0: deviations 200, errors 2; dimension 1: deviations 2, errors 2. 4 / 202, not (0.01 + 1) / 2."""
    x = torch.tensor([[10.0, 1.0], [-10.0, -1.0]])
    x_hat = torch.tensor([[9.0, 0.0], [-9.0, 0.0]])
    assert fvu(x, x_hat) == pytest.approx(4 / 202)


def test_norm_ratio_agrees_with_a_hand_calculation():
    """||x||^2: 25 + 0 = 25; ||x_hat||^2: 9 + 1 = 10."""
    assert norm_ratio(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])) == 0.4


def test_cosine_agrees_with_a_hand_calculation_and_leaves_zero_vectors_out():
    """(3, 4) . (3, 0) / (5 . 3) = 0.6; (1, 0) and (-2, 0) are opposite; the two pairs with a zero have none."""
    x = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    x_hat = torch.tensor([[3.0, 0.0], [-2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert cosine(x, x_hat) == pytest.approx((0.6 - 1) / 2)


@pytest.mark.parametrize("statistic", [norm_ratio, cosine])
def test_a_ratio_to_nothing_is_refused(statistic):
    with pytest.raises(EmptyBatchError):
        statistic(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(EmptyBatchError):
        statistic(torch.zeros(0, 2), torch.zeros(0, 2))
