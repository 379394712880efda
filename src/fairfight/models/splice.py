"""Splice: a forward pass with other activations at a site; what follows reads them as if the model had made them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from fairfight.models.load import Model
from fairfight.models.sites import Site, locate

Edit = Callable[[Float[Tensor, "token d_model"]], Float[Tensor, "token d_model"]]
"""Gives what takes the place of the activations, a row for each."""


@contextmanager
def spliced(model: Model, site: Site | str, edit: Edit, is_edited: Bool[Tensor, "batch token"]) -> Iterator[None]:
    """Let `model.module` run with `edit` of the activations in their place at a site.

    Only positions where `is_edited` is true are given to `edit`; all others (BOS and its kind, padding) stay to the bit
    what they were. The mask is that of the batch which is run meanwhile.

    Raises:
        SiteError: the site is not in this model.
    """
    place = locate(model, site)

    def replaced(activations: Float[Tensor, "batch token d_model"]) -> Float[Tensor, "batch token d_model"]:
        edited = activations.clone()
        edited[is_edited] = edit(activations[is_edited]).to(activations.dtype)
        return edited

    if place.takes_input:
        handle = place.module.register_forward_pre_hook(_of_input(replaced), with_kwargs=True)
    else:
        handle = place.module.register_forward_hook(_of_output(replaced))
    try:
        yield
    finally:
        handle.remove()


def _of_input(replaced: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (replaced(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": replaced(kwargs["hidden_states"])}

    return hook


def _of_output(replaced: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    def hook(_module: Any, _args: Any, output: Any) -> Any:
        return (replaced(output[0]), *output[1:]) if isinstance(output, tuple) else replaced(output)

    return hook
