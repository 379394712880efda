"""Anything that has `encode` and `decode`, behind our contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight import seeds
from fairfight.dictionaries.contract import Dictionary
from fairfight.errors import InputError, NonFiniteError

_PROBES = 4
_TOLERANCE = 1e-3
_WIDTHS = ("d_in", "d_model", "activation_dim", "n_inputs", "input_size")
"""What the libraries call the width of their tokens, as an attribute or as an entry of `cfg`."""


@dataclass(frozen=True, eq=False)
class ObjectDictionary(Dictionary):
    """A stranger's object; its codes may be of both signs, as nobody can know."""

    kind: ClassVar[str] = "object"
    architecture: ClassVar[str] = "object"
    is_signed: ClassVar[bool] = True

    encoder: Callable[[Tensor], Tensor]
    decoder: Callable[[Tensor], Tensor]
    rows: Float[Tensor, "latent d_model"]
    silence: Float[Tensor, " d_model"]
    """What codes of zero stand for."""

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """What each latent adds, as found by decoding it alone."""
        return self.rows

    @property
    def encode_flops_per_token(self) -> int:
        """One dense product: what goes on inside the object is not known."""
        return 2 * self.rows.numel()

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.rows.numel()

    def tensors(self) -> dict[str, Tensor]:
        """Give what is known of it."""
        return {"W_dec": self.rows, "b_dec": self.silence}

    def _settings(self) -> dict[str, Any]:
        raise InputError(
            "An object of another library cannot be saved here. Save it with its own library, and read that."
        )

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        return self.encoder(x).float()

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return self.decoder(codes).float()


@torch.no_grad()
def from_object(thing: Any, *, d_model: int | None = None) -> ObjectDictionary:
    """Give the dictionary that an object with `encode` and `decode` is.

    One batch of tokens is sent through. The width is read off the object's attributes where it is not given.

    Raises:
        InputError: it has no such methods or no known width, gives other shapes, codes that hang on the rest of the batch
            (BatchTopK in training mode), or a decoder that is no linear map plus a constant.
        NonFiniteError: it gives NaN or infinity.
    """
    encode, decode = (_method(thing, name) for name in ("encode", "decode"))
    width = _width(thing) if d_model is None else d_model
    x = torch.randn(_PROBES, width, generator=seeds.torch_stream("probe of an object"))
    codes = _called(thing, "encode", encode, x)
    if codes.ndim != 2 or len(codes) != _PROBES:
        raise InputError(
            f"{_name(thing)}.encode turns {_PROBES} tokens of width {width} into shape {tuple(codes.shape)}; ({_PROBES}, latents) "
            "was expected. Wrap it so that it gives a row of codes for each token."
        )
    _check_alone(thing, encode, x, codes)
    found = _called(thing, "decode", decode, codes)
    if found.shape != x.shape:
        raise InputError(
            f"{_name(thing)}.decode gives the shape {tuple(found.shape)} for tokens of shape {tuple(x.shape)}; the same was "
            "expected. A transcoder is no dictionary of one site; else give the width of its input as d_model."
        )
    silence = _called(thing, "decode", decode, torch.zeros(1, codes.shape[1]))[0]
    rows = torch.cat(
        [_called(thing, "decode", decode, part) - silence for part in torch.eye(codes.shape[1]).split(4096)]
    )
    if not torch.allclose(codes @ rows + silence, found, rtol=_TOLERANCE, atol=_TOLERANCE * float(found.abs().max())):
        raise InputError(
            f"{_name(thing)}.decode is no linear map of the codes plus a constant, as the decoder of a dictionary is. Where it "
            "undoes a normalisation of the token, read its files by load_any, which keeps the token's statistics."
        )
    return ObjectDictionary(encode, decode, rows.float(), silence.float())


def _method(thing: Any, name: str) -> Callable[[Tensor], Tensor]:
    method = getattr(thing, name, None)
    if callable(method):
        return cast("Callable[[Tensor], Tensor]", method)
    raise InputError(f"{_name(thing)} has no method '{name}'; a dictionary needs encode and decode. Wrap it.")


def _width(thing: Any) -> int:
    cfg = getattr(thing, "cfg", None)
    for name in _WIDTHS:
        for holder in (
            getattr(thing, name, None),
            cfg.get(name) if isinstance(cfg, Mapping) else getattr(cfg, name, None),
        ):
            if isinstance(holder, int) and holder > 0:
                return holder
    raise InputError(
        f"{_name(thing)} does not say how wide its tokens are (looked for {', '.join(_WIDTHS)}, also in cfg). "
        "Give it: from_object(thing, d_model=...)."
    )


def _called(thing: Any, name: str, method: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Give what a method makes of a matrix, checked for being a finite tensor."""
    try:
        found = method(x)
    except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError, IndexError, KeyError) as error:
        raise InputError(
            f"{_name(thing)}.{name} does not take a float32 matrix of shape {tuple(x.shape)} ({type(error).__name__}: {error}). "
            "Give the width of its tokens as d_model, or wrap it."
        ) from error
    if not isinstance(found, Tensor):
        raise InputError(f"{_name(thing)}.{name} gives {type(found).__name__}; a tensor was expected. Wrap it.")
    if not torch.isfinite(found).all():
        raise NonFiniteError(f"{_name(thing)}.{name} gives NaN or infinity for ordinary tokens. Look at its weights.")
    return found.detach().float()


def _check_alone(thing: Any, encode: Callable[[Tensor], Tensor], x: Tensor, codes: Tensor) -> None:
    alone = torch.cat([_called(thing, "encode", encode, token) for token in x.split(1)])
    if alone.shape != codes.shape or not torch.allclose(alone, codes, rtol=_TOLERANCE, atol=1e-5):
        raise InputError(
            f"{_name(thing)}.encode gives a token other codes alone than among others. A dictionary encodes each token by "
            "itself: put a BatchTopK into evaluation (a threshold in place of the batch) first."
        )


def _name(thing: Any) -> str:
    return f"The {type(thing).__name__}"
