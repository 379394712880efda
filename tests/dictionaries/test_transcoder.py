"""Transcoders: gradients that autograd takes of the loss as written down, and a world whose other side is known."""

import pytest
import torch
from torch import Tensor

from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.fit import kernels_for
from fairfight.dictionaries.kinds.skip_transcoder import SkipTranscoder
from fairfight.dictionaries.kinds.transcoder import Transcoder
from fairfight.dictionaries.quality import fvu, measure
from fairfight.dictionaries.rules import TopKRule
from fairfight.dictionaries.train import train
from fairfight.dictionaries.trainer import Revival, SaeState, SaeTrainer, unit_rows
from fairfight.errors import StudyError, WidthMismatchError

TOKENS, WIDTH, LATENTS, K = 48, 12, 40, 5
FEATURES, ACTIVE = 32, 3


def state_of(has_skip: bool, dtype: torch.dtype) -> SaeState:
    chance = torch.Generator().manual_seed(5)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=chance).to(dtype) / shape[-1] ** 0.5

    vectors = {"b_enc": 0.1 * drawn(LATENTS)}
    W_skip = drawn(WIDTH, WIDTH) if has_skip else None
    return SaeState.start(drawn(LATENTS, WIDTH), drawn(LATENTS, WIDTH), drawn(WIDTH), vectors, W_skip)


def loss_of(p: dict[str, Tensor], batch: Tensor, dead: Tensor, most: int) -> Tensor:
    """Give the mean squared error of the output, and half that of what dead latents make of what is left."""
    x, y = batch.split(WIDTH, dim=1)
    pre = x @ p["W_enc"].T + p["b_enc"]
    top = pre.topk(K, dim=1)
    codes = torch.zeros_like(pre).scatter(1, top.indices, top.values.relu())
    y_hat = codes @ p["W_dec"] + p["b_dec"] + (x @ p["W_skip"].T if "W_skip" in p else 0.0)
    second = pre.masked_fill(~dead, -torch.inf).topk(most, dim=1)
    left = torch.zeros_like(pre).scatter(1, second.indices, second.values) @ p["W_dec"] + (y_hat - y).detach()
    return (y_hat - y).square().sum(dim=1).mean() + 0.5 * left.square().sum(dim=1).mean()


@pytest.mark.parametrize("has_skip", [False, True], ids=["plain", "skip"])
@pytest.mark.parametrize(("back_end", "tolerance"), [("torch", 1e-9), ("numba", 2e-5)])
def test_gradients_are_those_of_the_loss(has_skip, back_end, tolerance):
    dtype = torch.float64 if back_end == "torch" else torch.float32
    state = state_of(has_skip, dtype)
    batch = torch.randn(TOKENS, 2 * WIDTH, generator=torch.Generator().manual_seed(0)).to(dtype)
    state.silent_tokens[::4] = 1000
    leaves = {name: value.clone().requires_grad_() for name, value in state.parameters().items()}
    loss = loss_of(leaves, batch, state.silent_tokens > 0, WIDTH // 2)
    expected = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    kernels = kernels_for(LATENTS, WIDTH, back_end)
    revival = Revival(after_tokens=1000, weight=0.5)
    trainer = SaeTrainer(
        state, TopKRule(K), kernels, revival=revival, clip_norm=float("inf"), unit_norm=False, is_transcoder=True
    )
    assert trainer.step(batch, 0.0).loss == pytest.approx(loss.item(), rel=tolerance)
    for name, gradient in expected.items():
        # After one step Adam's running mean is a tenth of the gradient.
        torch.testing.assert_close(state.mean[name] * 10, gradient, rtol=tolerance * 10, atol=tolerance)


def world(linear: float = 0.0) -> tuple[Tensor, TokenSource]:
    """Give output directions, and tokens that are sparse features on both sides, far from zero and of unequal size.

    `linear` adds a dense linear map of the input to the output.
    """
    chance = torch.Generator().manual_seed(3)
    inside, outside = (unit_rows(torch.randn(FEATURES, 24, generator=chance)) for _ in range(2))
    speaks = torch.rand(12_000, FEATURES, generator=chance) < ACTIVE / FEATURES
    loudness = speaks * (1 + torch.rand(12_000, FEATURES, generator=chance))
    x = 20 * (loudness @ inside + torch.randn(12_000, 24, generator=chance) * 0.01) + 5
    y = 0.3 * loudness @ outside - 1 + linear * x @ torch.randn(24, 24, generator=chance)
    return outside, TokenSource(x, site="mlp_in.2", key="world", target=y)


SETTINGS = {"latents": 2 * FEATURES, "k": 2 * ACTIVE, "steps": 500, "batch": 256, "dead_after_tokens": 10_000}


def test_a_transcoder_finds_the_directions_at_the_output_and_predicts_it():
    outside, tokens = world()
    dictionary, card = train(Transcoder(**SETTINGS), tokens, 0)
    assert (outside @ dictionary.atoms.T).max(dim=1).values.mean() > 0.9
    predicted = dictionary.decode(dictionary.encode(tokens.values))
    assert fvu(tokens.target, predicted) < 0.1
    assert card.fvu == measure(dictionary, tokens).fvu == pytest.approx(fvu(tokens.target, predicted), rel=1e-6)


def test_a_skip_connection_carries_what_is_linear():
    _, tokens = world(linear=0.05)
    plain, skipping = (kind(**SETTINGS).train(tokens, 0).dictionary for kind in (Transcoder, SkipTranscoder))
    x = tokens.values
    left = [fvu(tokens.target, own.rebuild(x, own.encode(x))) for own in (plain, skipping)]
    assert left[1] < 0.5 * left[0]
    # The skip connection alone gives the rest: codes know nothing of it.
    linear = skipping.rebuild(x, skipping.encode(x)) - skipping.decode(skipping.encode(x))
    torch.testing.assert_close(linear, x @ skipping.W_skip.T, rtol=1e-4, atol=1e-4)


def test_sizes_of_both_sides_are_folded_into_the_weights():
    _, tokens = world(linear=0.05)
    larger = TokenSource(7 * tokens.values, key="world", target=3 * tokens.target)
    short = {**SETTINGS, "steps": 40}
    one, other = (SkipTranscoder(**short).train(source, 0).dictionary for source in (tokens, larger))
    torch.testing.assert_close(other.W_dec, one.W_dec, rtol=0, atol=1e-3)
    torch.testing.assert_close(other.encoder_rows, 3 / 7 * one.encoder_rows, rtol=0, atol=1e-3)
    torch.testing.assert_close(other.W_skip, 3 / 7 * one.W_skip, rtol=0, atol=1e-3)
    torch.testing.assert_close(other.b_dec, 3 * one.b_dec, rtol=1e-3, atol=1e-3)


def test_tokens_without_a_target_or_with_one_of_another_width_are_refused():
    _, tokens = world()
    with pytest.raises(StudyError, match="tokens without a target"):
        Transcoder(**SETTINGS).train(TokenSource.from_tensor(tokens.values), 0)
    narrow = TokenSource(tokens.values, target=tokens.target[:, :20])
    with pytest.raises(WidthMismatchError, match=r"\(12000, 24\) and their target has \(12000, 20\)"):
        Transcoder(**SETTINGS).train(narrow, 0)


def test_the_output_lies_in_the_layer_that_is_read():
    assert Transcoder().needs("mlp_in.3").target == "mlp_out.3"
    assert SkipTranscoder(output="resid_post").needs("resid_pre.11").target == "resid_post.11"
