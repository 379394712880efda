"""Parameters of sparse autoencoders in one notation, and the algebra that brings other conventions to it.

Everything here means x_hat = f((x - b_dec) W_enc + b_enc) W_dec + b_dec. Foldings are worked out in float64 and rounded
once; what needs no folding keeps its bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight import seeds
from fairfight.dictionaries.contract import Dictionary
from fairfight.dictionaries.kinds.batch_topk import BatchTopKDictionary
from fairfight.dictionaries.kinds.jumprelu import JumpReLUDictionary
from fairfight.dictionaries.kinds.matryoshka import MatryoshkaDictionary
from fairfight.dictionaries.kinds.relu import ReLUDictionary
from fairfight.dictionaries.kinds.topk import TopKDictionary
from fairfight.dictionaries.sae import GatedSae, Sae
from fairfight.dictionaries.weights import SaeWeights
from fairfight.errors import InputError

_BY_THRESHOLD: dict[str, Callable[[SaeWeights, Tensor], Dictionary]] = {
    "jumprelu": JumpReLUDictionary,
    "batch_topk": BatchTopKDictionary,
    "matryoshka": MatryoshkaDictionary,
}


class Parameters(NamedTuple):
    """What a trained sparse autoencoder consists of."""

    encoder_rows: Float[Tensor, "latent d_model"]
    W_dec: Float[Tensor, "latent d_model"]
    b_dec: Float[Tensor, " d_model"]
    vectors: dict[str, Float[Tensor, " latent"]]
    """`b_enc` and perhaps `threshold`; of a gated one `b_gate`, `b_mag` and `r_mag`."""


def drawn(*, d_model: int = 8, latents: int = 16) -> Parameters:
    """Give random parameters: of the small dictionaries on which formats are checked."""
    stream = seeds.torch_stream("a small dictionary")
    rows, atoms = (torch.randn(latents, d_model, generator=stream) for _ in range(2))
    b_dec, b_enc, threshold = (torch.rand(size, generator=stream) for size in (d_model, latents, latents))
    return Parameters(rows, atoms, b_dec, {"b_enc": b_enc, "threshold": threshold})


def uncentred(given: Parameters) -> Parameters:
    """Give the parameters of one that does not subtract b_dec before encoding.

    x W_enc + b_enc = (x - b_dec) W_enc + (b_enc + b_dec W_enc), so b_dec W_enc is added to what stands in b_enc's place.
    """
    shift = given.encoder_rows.double() @ given.b_dec.double()
    factors = {"b_enc": torch.ones(()), "b_gate": torch.ones(())}
    if "r_mag" in given.vectors:
        factors["b_mag"] = given.vectors["r_mag"].double().exp()
    shifted = {
        name: (value + factors[name] * shift).float() for name, value in given.vectors.items() if name in factors
    }
    return given._replace(vectors=given.vectors | shifted)


def unit_atoms(given: Parameters) -> Parameters:
    """Give the parameters with atoms of norm one and codes that are larger by what was the norm.

    Reconstructions stay; codes, and the thresholds and biases that are compared with them, take the norm as a factor.

    Raises:
        InputError: an atom is zero and has no direction.
    """
    norms = given.W_dec.double().norm(dim=1)
    if not (norms > 0).all():
        raise InputError(
            f"Atom {int(norms.argmin())} is zero, but codes are to be measured in norms of atoms, which divides by it. "
            "Choose another checkpoint."
        )
    vectors = {name: value if name == "r_mag" else (value * norms).float() for name, value in given.vectors.items()}
    rows = (given.encoder_rows * norms[:, None]).float()
    return Parameters(rows, (given.W_dec / norms[:, None]).float(), given.b_dec, vectors)


def scaled(given: Parameters, factor: float) -> Parameters:
    """Give the parameters of one that was trained on `factor` times the token, for the token itself."""
    rows, atoms = given.encoder_rows.double() * factor, given.W_dec.double() / factor
    return Parameters(rows.float(), atoms.float(), (given.b_dec.double() / factor).float(), given.vectors)


def whitened(
    given: Parameters,
    mean: Float[Tensor, " d_model"],
    matrix: Float[Tensor, "d_model d_model"],
    inverse: Float[Tensor, "d_model d_model"],
) -> Parameters:
    """Give the parameters of one that was trained on (x - mean) matrix, for x itself."""
    rows = given.encoder_rows.double() @ matrix.double().T
    atoms = given.W_dec.double() @ inverse.double()
    b_dec = given.b_dec.double() @ inverse.double() + mean.double()
    return Parameters(rows.float(), atoms.float(), b_dec.float(), given.vectors)


def louder(given: Parameters, factors: Float[Tensor, " latent"]) -> Parameters:
    """Give the parameters of one that multiplies each code by its factor before decoding."""
    return given._replace(W_dec=(given.W_dec.double() * factors.double()[:, None]).float())


def build(kind: str, given: Parameters, *, k: int | None = None) -> Dictionary:
    """Give the dictionary of a kind of ours that has these parameters.

    Raises:
        InputError: k exceeds the number of latents.
    """
    if kind == "gated":
        return GatedSae(given.encoder_rows, given.W_dec, given.b_dec, **given.vectors)
    weights = SaeWeights(given.encoder_rows, given.vectors["b_enc"], given.W_dec, given.b_dec)
    if kind == "relu":
        return ReLUDictionary(weights)
    if kind != "topk":
        return _BY_THRESHOLD[kind](weights, given.vectors["threshold"])
    if k is None or k > len(weights.W_dec):
        raise InputError(
            f"It asks for the {k} largest of {len(weights.W_dec)} latents; k has to be one of them at most. "
            "Correct k in the configuration."
        )
    return TopKDictionary(weights, k)


def parameters_of(dictionary: Dictionary) -> Parameters | None:
    """Give what `build` made the dictionary of, or None where it is no sparse autoencoder of ours."""
    if isinstance(dictionary, GatedSae):
        vectors = {"b_gate": dictionary.b_gate, "b_mag": dictionary.b_mag, "r_mag": dictionary.r_mag}
        return Parameters(dictionary.encoder_rows, dictionary.W_dec, dictionary.b_dec, vectors)
    if not isinstance(dictionary, Sae | TopKDictionary | ReLUDictionary):
        return None
    weights, vectors = dictionary.weights, {"b_enc": dictionary.weights.b_enc}
    if "threshold" in dictionary.tensors():
        vectors["threshold"] = dictionary.tensors()["threshold"]
    return Parameters(weights.encoder_rows, weights.W_dec, weights.b_dec, vectors)
