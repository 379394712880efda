"""Capture: activations at chosen sites, from a forward pass that stops at the deepest of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from fairfight.models.load import Model
from fairfight.models.sites import Located, Site, locate, resolve


class _AllRead(Exception):  # not an error: it ends the forward pass
    """Every site has been read."""


@dataclass(frozen=True)
class FlopsPolynomial:
    """FLOPs of one forward pass on one text, as a polynomial in its length.

    Multiplications and additions count one each.
    """

    per_token: float
    per_squared_token: float

    def __call__(self, length: int | Int[np.ndarray, " example"]) -> Any:
        """Give the FLOPs for texts of `length` tokens, special tokens included; an array gives an array."""
        length = np.asarray(length, dtype=np.float64)
        return (self.per_token * length + self.per_squared_token * length**2)[()]


def read_sites(
    model: Model,
    input_ids: Int[Tensor, "batch token"],
    attention_mask: Int[Tensor, "batch token"],
    sites: Sequence[Site | str],
) -> dict[str, Float[Tensor, "batch token d_model"]]:
    """Give the activations at each site by its canonical name, running no layer below the deepest.

    Padding goes to the right; what is given at padded positions means nothing.

    Raises:
        SiteError: a site is not in this model.
    """
    with torch.inference_mode():
        return _read(model, input_ids, attention_mask, sites)


def forward_flops(model: Model, sites: Sequence[Site | str]) -> FlopsPolynomial:
    """Give what a forward pass up to the deepest of `sites` costs, by torch's counter on two lengths of one text.

    Only matrix products and attention are counted, as `FlopCounterMode` does; they cost a multiple of the length and of
    its square, so two lengths determine the rest.

    Raises:
        SiteError: a site is not in this model.
    """
    long = min(32, model.window)
    short = long // 2
    of_short, of_long = (_count(model, length, sites) for length in (short, long))
    per_squared_token = (of_long / long - of_short / short) / (long - short)
    return FlopsPolynomial(of_short / short - per_squared_token * short, per_squared_token)


def _count(model: Model, length: int, sites: Sequence[Site | str]) -> int:
    ids = torch.ones(1, length, dtype=torch.long)
    # torch has no formula for its CPU attention kernel and would count it as nothing.
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping={kernel: _attention_flops}) as counter:
        _read(model, ids, torch.ones_like(ids), sites)
    return counter.get_total_flops()


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _read(model: Model, input_ids: Tensor, attention_mask: Tensor, sites: Sequence[Site | str]) -> dict[str, Tensor]:
    wanted = {str(site): locate(model, site) for site in (resolve(model, own) for own in sites)}
    found: dict[str, Tensor] = {}
    with _hooks(wanted, found), suppress(_AllRead):
        model.module(input_ids=input_ids, attention_mask=attention_mask)
    return {name: found[name] for name in wanted}


@contextmanager
def _hooks(wanted: dict[str, Located], found: dict[str, Tensor]) -> Iterator[None]:
    handles = []
    try:
        for name, place in wanted.items():
            keep = _keeper(name, found, len(wanted))
            if place.takes_input:
                before = _of_input(keep)
                handles.append(place.module.register_forward_pre_hook(before, with_kwargs=True))
            else:
                handles.append(place.module.register_forward_hook(_of_output(keep)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keeper(name: str, found: dict[str, Tensor], sites: int) -> Callable[[Tensor], None]:
    def keep(activations: Tensor) -> None:
        found[name] = activations
        if len(found) == sites:
            raise _AllRead

    return keep


def _of_input(keep: Callable[[Tensor], None]) -> Callable[..., None]:
    def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        keep(args[0] if args else kwargs["hidden_states"])

    return hook


def _of_output(keep: Callable[[Tensor], None]) -> Callable[..., None]:
    def hook(_module: Any, _args: Any, output: Any) -> None:
        keep(output[0] if isinstance(output, tuple) else output)

    return hook
