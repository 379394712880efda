"""Frozen linear layers through oneDNN, and FLOP formulas for the CPU kernels that torch's counter does not know.

In float32 oneDNN's product takes less than half the time of torch's default on AMD processors, and is as exact. Only the
base model's frozen layers go through it: they need a gradient towards their input and none towards their weights.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula, sdpa_backward_flop_count, sdpa_flop_count


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    # Looked up when called: a torch built without oneDNN has no such operation.
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def use_onednn(module: nn.Module) -> None:
    """Let every frozen float32 `nn.Linear` inside `module` compute through oneDNN, where torch was built with it."""
    if not torch.backends.mkldnn.is_available():
        return
    for layer in module.modules():
        if type(layer) is nn.Linear and not layer.weight.requires_grad and layer.weight.dtype == torch.float32:
            layer.forward = partial(_forward, layer)  # pyright: ignore[reportAttributeAccessIssue]


@cache
def teach_flop_counter() -> None:
    """Tell torch's counter what oneDNN's linear layer and the CPU attention kernel cost; once a process."""
    aten = torch.ops.aten
    if torch.backends.mkldnn.is_available():
        register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_linear_flops)
    register_flop_formula(aten._scaled_dot_product_flash_attention_for_cpu)(_attention_flops)
    register_flop_formula(aten._scaled_dot_product_flash_attention_for_cpu_backward)(_attention_backward_flops)


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return _linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return _linear(gradients[0].contiguous(), weight.T.contiguous(), None), None, None


def _forward(layer: nn.Linear, x: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch out"]:
    # Weights are looked up at each call: merging adapters changes them.
    if torch.is_grad_enabled():
        return _FrozenLinear.apply(x, layer.weight, layer.bias)  # pyright: ignore[reportReturnType]
    return _linear(x, layer.weight, layer.bias)


def _linear_flops(x: tuple[int, ...], weight: tuple[int, ...], *_: Any, out_shape: tuple[int, ...], **__: Any) -> int:
    rows = 1
    for size in x[:-1]:
        rows *= size
    return 2 * rows * weight[0] * weight[1]


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward_flops(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)
