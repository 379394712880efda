
import pytest
import torch

from fairfight.dictionaries.kinds.relu import L1Objective
from fairfight.dictionaries.kinds.topk import TopK, TopKObjective
from fairfight.dictionaries.weights import SaeWeights


def _weights(latents=40, d_model=12):
    chance = torch.Generator().manual_seed(5)
    shapes = ((latents, d_model), (latents,), (latents, d_model), (d_model,))
    return SaeWeights(*(0.3 * torch.randn(shape, generator=chance, dtype=torch.float64) for shape in shapes))


def _batch(tokens=64, d_model=12):
    return torch.randn(tokens, d_model, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def _largest(pre_codes, k):
    values, chosen = pre_codes.topk(k, dim=1)
    return torch.zeros_like(pre_codes).scatter(1, chosen, values.relu())


def _assert_gradients_agree(objective, dense_loss):
    weights = SaeWeights(*(weight.requires_grad_() for weight in _weights()))
    expected_loss = dense_loss(weights, _batch())
    expected = torch.autograd.grad(expected_loss, weights)
    with torch.no_grad():
        loss, found = objective.gradients(weights, _batch())
    assert loss == pytest.approx(expected_loss.item(), rel=1e-12)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("dead_after_tokens", [10**9, 1])
def test_topk_gradients_agree_with_dense_autograd_with_and_without_dead_latents(dead_after_tokens):
    recipe = TopK(latents=40, k=3, dead_after_tokens=dead_after_tokens, aux_weight=0.5)

    def dense_loss(weights, x):
        pre_codes = (x - weights.b_dec) @ weights.encoder_rows.T + weights.b_enc
        codes = _largest(pre_codes, 3)
        error = x - codes @ weights.W_dec - weights.b_dec
        loss = error.square().sum(dim=1).mean()
        dead = (codes == 0).all(dim=0)
        if dead_after_tokens == 1:
            assert 6 < dead.sum() < 40
            aux_codes = _largest(pre_codes[:, dead], 6)
            left = error.detach() - aux_codes @ weights.W_dec[dead]
            loss = loss + 0.5 * left.square().sum(dim=1).mean()
        return loss

    weights = _weights()
    weights.b_enc[:20] -= 10
    _assert_gradients_agree(TopKObjective(recipe, 12), _shifted(dense_loss) if False else dense_loss)


def test_relu_gradients_agree_with_autograd():
    def dense_loss(weights, x):
        codes = ((x - weights.b_dec) @ weights.encoder_rows.T + weights.b_enc).relu()
        error = x - codes @ weights.W_dec - weights.b_dec
        return error.square().sum(dim=1).mean() + 0.7 * codes.sum(dim=1).mean()

    _assert_gradients_agree(L1Objective(0.7, warm_up_steps=1), dense_loss)
