"""Give latents that never speak on a domain something to do there."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary
from fairfight.dictionaries.trainer import SaeState, unit_rows

_CHUNK_TOKENS = 4096


class Resampled(NamedTuple):
    """What came of it."""

    state: SaeState
    latents: int
    """How many were silent, and begin anew."""


def resampled(
    state: SaeState,
    dictionary: Dictionary,
    x: Float[Tensor, "token d_model"],
    stream: torch.Generator,
    *,
    encoder_share: float = 0.2,
) -> Resampled:
    """Give the state of `dictionary` with every latent that is silent on all of `x` pointed at what was left over there.

    Each takes a token, drawn with a probability that grows with its squared error e: its atom becomes what the dictionary
    left over of that token, at the others' mean norm; its encoder row the same, at `encoder_share` of the others' mean norm;
    its bias zero; and what else it has, such as a threshold, the median of the others.

    Source: Bricken et al. (2023), "Towards Monosemanticity", neuron resampling (p ~ e^2, share 0.2); there an atom is the token itself,
    here what was left over of it, which is what the others do not say already.
    """
    is_silent = torch.ones(dictionary.latents, dtype=torch.bool)
    left_over = torch.empty_like(x)
    for chunk, rest in zip(x.split(_CHUNK_TOKENS), left_over.split(_CHUNK_TOKENS), strict=True):
        codes = dictionary.encode(chunk)
        is_silent &= (codes == 0).all(dim=0)
        torch.sub(chunk, dictionary.rebuild(chunk, codes), out=rest)
    count = int(is_silent.sum())
    if not count or count == dictionary.latents:
        return Resampled(state, 0)
    chance = left_over.double().square().sum(dim=1).square()
    drawn = torch.multinomial(chance / chance.sum(), count, replacement=count > len(x), generator=stream)
    atoms = unit_rows(left_over[drawn])
    W_enc, W_dec = state.W_enc.clone(), state.W_dec.clone()
    W_dec[is_silent] = atoms * W_dec[~is_silent].norm(dim=1).mean()
    W_enc[is_silent] = atoms * encoder_share * W_enc[~is_silent].norm(dim=1).mean()
    vectors = {}
    for name, value in state.vectors.items():
        vectors[name] = value.clone()
        vectors[name][is_silent] = 0.0 if name in ("b_enc", "b_gate") else value[~is_silent].median()
    fresh = SaeState.start(W_enc, W_dec, state.b_dec, vectors)
    fresh.scalars = dict(state.scalars)
    return Resampled(fresh, count)
