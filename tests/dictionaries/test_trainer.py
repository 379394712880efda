"""The shared step against gradients that autograd takes of the loss as written down, and its bits against threads."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fairfight.dictionaries.kernels.contract import Codes, Dead
from fairfight.dictionaries.kernels.numba_kernels import NumbaKernels
from fairfight.dictionaries.kernels.plain import PlainKernels
from fairfight.dictionaries.rules import BatchTopKRule, GatedRule, JumpReLURule, ReLURule, TopKRule
from fairfight.dictionaries.trainer import Revival, SaeState, SaeTrainer

TOKENS, WIDTH, LATENTS = 48, 12, 40
Loss = Callable[[dict[str, Tensor], Tensor], Tensor]


def squared(error: Tensor) -> Tensor:
    return error.square().sum(dim=1).mean()


def decoded(p: dict[str, Tensor], codes: Tensor) -> Tensor:
    return codes @ p["W_dec"] + p["b_dec"]


def pre_of(p: dict[str, Tensor], x: Tensor, bias: str = "b_enc") -> Tensor:
    return (x - p["b_dec"]) @ p["W_enc"].T + p[bias]


def topk_loss(p: dict[str, Tensor], x: Tensor) -> Tensor:
    pre = pre_of(p, x)
    top = (pre * p["W_dec"].norm(dim=1)).topk(5, dim=1).indices
    return squared(decoded(p, torch.zeros_like(pre).scatter(1, top, pre.gather(1, top).relu())) - x)


def relu_loss(p: dict[str, Tensor], x: Tensor) -> Tensor:
    codes = pre_of(p, x).relu()
    return squared(decoded(p, codes) - x) + 0.3 * (codes * p["W_dec"].norm(dim=1)).sum(dim=1).mean()


def batch_topk_codes(p: dict[str, Tensor], x: Tensor) -> Tensor:
    pre = pre_of(p, x).relu()
    return pre * (pre >= pre.flatten().topk(4 * len(x)).values[-1])


def batch_topk_loss(p: dict[str, Tensor], x: Tensor) -> Tensor:
    return squared(decoded(p, batch_topk_codes(p, x)) - x)


def matryoshka_loss(p: dict[str, Tensor], x: Tensor) -> Tensor:
    codes = batch_topk_codes(p, x)
    return sum(squared(decoded(p, codes * (torch.arange(LATENTS) < width)) - x) for width in (8, 20, LATENTS))


def gated_loss(p: dict[str, Tensor], x: Tensor) -> Tensor:
    gate = pre_of(p, x, "b_gate")
    magnitude = (x - p["b_dec"]) @ (p["W_enc"] * p["r_mag"].exp()[:, None]).T + p["b_mag"]
    codes = magnitude.relu() * (gate > 0)
    penalty = 0.3 * (gate.relu() * p["W_dec"].norm(dim=1)).sum(dim=1).mean()
    return squared(decoded(p, codes) - x) + penalty + squared(decoded(p, gate.relu()) - x)


class Jump(torch.autograd.Function):
    """x where it exceeds the threshold, or one there; with the straight-through gradient of the threshold."""

    @staticmethod
    def forward(ctx, x: Tensor, threshold: Tensor, bandwidth: float, is_step: bool) -> Tensor:
        ctx.save_for_backward(x, threshold)
        ctx.settings = bandwidth, is_step
        return (x > threshold) * (torch.ones_like(x) if is_step else x)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        x, threshold = ctx.saved_tensors
        bandwidth, is_step = ctx.settings
        near = ((x - threshold).abs() < bandwidth / 2) * gradient / -bandwidth
        by_x = None if is_step else gradient * (x > threshold)
        return by_x, (near * (1 if is_step else threshold)).sum(dim=0), None, None


def jumprelu_loss(p: dict[str, Tensor], x: Tensor) -> Tensor:
    pre = pre_of(p, x)
    codes = Jump.apply(pre, p["threshold"], 0.2, False)
    frequency = Jump.apply(pre, p["threshold"], 0.2, True).mean(dim=0)
    return squared(decoded(p, codes) - x) + 0.1 * (frequency * (1 + frequency / 0.05)).sum()


CASES = {
    "topk": (TopKRule(5, by_norm=True), topk_loss),
    "relu": (ReLURule(0.3, unit_norm=False), relu_loss),
    "batch_topk": (BatchTopKRule(4), batch_topk_loss),
    "matryoshka": (BatchTopKRule(4, prefixes=(8, 20, LATENTS)), matryoshka_loss),
    "gated": (GatedRule(0.3, unit_norm=False), gated_loss),
    "jumprelu": (JumpReLURule(0.1, bandwidth=0.2, threshold=0.3, frequency_scale=0.05), jumprelu_loss),
}


def state_of(rule, dtype: torch.dtype = torch.float32) -> SaeState:
    stream = torch.Generator().manual_seed(5)
    vectors = {
        name: (value + (0.05 if name != "threshold" else 0.0) * torch.randn(LATENTS, generator=stream)).to(dtype)
        for name, value in rule.vectors(LATENTS).items()
    }
    matrix = [torch.randn(LATENTS, WIDTH, generator=stream).to(dtype) / WIDTH**0.5 for _ in "ab"]
    return SaeState.start(*matrix, torch.randn(WIDTH, generator=stream).to(dtype) * 0.1, vectors)


def batch(seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed)).to(dtype)


def kernels_of(name: str):
    return PlainKernels() if name == "plain" else NumbaKernels(LATENTS, WIDTH)


@pytest.mark.parametrize("back_end", ["plain", "numba"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_loss(case: str, back_end: str) -> None:
    rule, loss_of = CASES[case]
    dtype = torch.float64 if back_end == "plain" else torch.float32
    state, x = state_of(rule, dtype), batch(dtype=dtype)
    leaves = {name: value.clone().requires_grad_() for name, value in state.parameters().items()}
    loss = loss_of(leaves, x)
    expected = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    found = SaeTrainer(state, rule, kernels_of(back_end), clip_norm=float("inf"), unit_norm=False).step(x, 0.0)
    tolerance = 1e-9 if back_end == "plain" else 2e-5
    assert found.loss == pytest.approx(loss.item(), rel=tolerance)
    for name, gradient in expected.items():
        # After one step Adam's running mean is a tenth of the gradient.
        torch.testing.assert_close(state.mean[name] * 10, gradient, rtol=tolerance * 10, atol=tolerance)


@pytest.mark.parametrize("apart", [4, 10])
@pytest.mark.parametrize("back_end", ["plain", "numba"])
def test_gradients_of_the_auxiliary_loss(back_end: str, apart: int) -> None:
    """Of ten dead latents six explain a token's rest; of four all do, and they count for four sixths."""
    rule, dtype = TopKRule(3), torch.float64 if back_end == "plain" else torch.float32
    state, x = state_of(rule, dtype), batch(dtype=dtype)
    state.silent_tokens[::apart] = 1000
    dead = state.silent_tokens > 0
    leaves = {name: value.clone().requires_grad_() for name, value in state.parameters().items()}
    pre = pre_of(leaves, x)
    top = pre.topk(3, dim=1)
    error = decoded(leaves, torch.zeros_like(pre).scatter(1, top.indices, top.values.relu())) - x
    most = WIDTH // 2
    second = pre.masked_fill(~dead, -torch.inf).topk(min(most, int(dead.sum())), dim=1)
    left = torch.zeros_like(pre).scatter(1, second.indices, second.values) @ leaves["W_dec"] + error.detach()
    loss = squared(error) + 0.5 * min(int(dead.sum()) / most, 1.0) * squared(left)
    expected = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    revival = Revival(after_tokens=1000, weight=0.5)
    kernels = kernels_of(back_end)
    step = SaeTrainer(state, rule, kernels, revival=revival, clip_norm=float("inf"), unit_norm=False).step(x, 0)
    assert step.dead == int(dead.sum())
    tolerance = 1e-9 if back_end == "plain" else 2e-5
    assert step.loss == pytest.approx(loss.item(), rel=tolerance)
    for name, gradient in expected.items():
        torch.testing.assert_close(state.mean[name] * 10, gradient, rtol=tolerance * 10, atol=tolerance)


def dense_of(codes: Codes, tokens: int, latents: int) -> Tensor:
    """Spread codes out, and check that their rows are what `starts` says."""
    counts = codes.starts.diff()
    assert torch.equal(codes.tokens.long(), torch.arange(tokens).repeat_interleave(counts))
    places = codes.tokens.long(), codes.latents.long()
    return torch.zeros(tokens, latents).index_put_(places, codes.pre, accumulate=True)


@pytest.mark.parametrize("back_end", ["plain", "numba"])
@pytest.mark.parametrize("k", [1, 32, 200, 400])
def test_the_largest_are_those_that_torch_finds(k: int, back_end: str) -> None:
    stream = torch.Generator().manual_seed(1)
    # More columns than groups, and a number of them that the groups do not divide.
    x, rows, bias = (torch.randn(shape, generator=stream) for shape in ((30, 8), (403, 8), (403,)))
    kernels = PlainKernels() if back_end == "plain" else NumbaKernels(403, 8)
    dead = Dead(torch.arange(2, 403, 3), min(k, 100))
    codes = kernels.top_k(x, rows, bias, k, dead=dead)
    pre = x @ rows.T + bias
    best = pre.topk(k, dim=1)
    expected = torch.zeros(30, 403).scatter(1, best.indices, best.values.relu())
    torch.testing.assert_close(dense_of(codes, 30, 403), expected, rtol=1e-5, atol=1e-5)
    assert (codes.pre > 0).all()
    most = pre[:, 2::3].topk(dead.k, dim=1)
    expected = torch.zeros(30, 403).scatter(1, dead.latents[most.indices], most.values)
    ways = {
        "top_k": lambda: kernels.top_k(x, rows, bias, k, dead=dead).dead,
        "above": lambda: kernels.above(x, rows, bias, torch.full((403,), 0.5), dead=dead).dead,
        "largest": lambda: kernels.largest(x, rows, bias, dead),
    }
    for way in ways.values():
        found = way()
        assert found is not None
        assert found.starts.tolist() == list(range(0, 30 * dead.k + 1, dead.k))
        torch.testing.assert_close(dense_of(found, 30, 403), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_both_back_ends_take_the_same_steps(case: str) -> None:
    rule, _ = CASES[case]
    states = {}
    for back_end in ("plain", "numba"):
        state = states[back_end] = state_of(rule)
        state.silent_tokens[::3] = 10_000
        trainer = SaeTrainer(state, rule, kernels_of(back_end), revival=_revival(case), unit_norm=True)
        losses = [trainer.step(batch(step), 1e-3).loss for step in range(20)]
        states[back_end] = (state, losses)
    torch.testing.assert_close(states["plain"][1], states["numba"][1], rtol=1e-4, atol=1e-4)
    for name, value in states["plain"][0].parameters().items():
        torch.testing.assert_close(states["numba"][0].parameters()[name], value, rtol=0, atol=2e-3)


def _revival(case: str) -> Revival | None:
    return Revival(after_tokens=10_000) if case in ("topk", "batch_topk", "matryoshka") else None


@pytest.mark.parametrize("case", CASES)
def test_same_bits_on_one_thread_and_on_two(case: str) -> None:
    rule, _ = CASES[case]
    before = torch.get_num_threads()
    ends = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            state = state_of(rule)
            state.silent_tokens[::3] = 10_000
            trainer = SaeTrainer(state, rule, NumbaKernels(LATENTS, WIDTH), revival=_revival(case))
            losses = [trainer.step(batch(step), 1e-3).loss for step in range(5)]
            ends.append((losses, copy.deepcopy(state.parameters())))
    finally:
        torch.set_num_threads(before)
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(ends[0][1][name], ends[1][1][name]) for name in ends[0][1])


@pytest.mark.parametrize("case", CASES)
def test_dense_and_sparse_products_give_the_same_step(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fairfight.dictionaries.kernels import numba_kernels

    rule, _ = CASES[case]
    states = []
    for share in (0.0, 2.0):
        monkeypatch.setattr(numba_kernels, "_DENSE_SHARE", share)
        state = state_of(rule)
        state.silent_tokens[::3] = 10_000
        trainer = SaeTrainer(state, rule, NumbaKernels(LATENTS, WIDTH), revival=_revival(case))
        losses = [trainer.step(batch(step), 1e-3).loss for step in range(3)]
        states.append((losses, state.parameters()))
    assert states[0][0] == pytest.approx(states[1][0], rel=1e-6)
    for name, value in states[0][1].items():
        torch.testing.assert_close(value, states[1][1][name], rtol=0, atol=2e-5)
