"""Check a dictionary before it is used: is it what was published, or was it read or fed wrongly?

A dictionary that was read with the wrong convention gives no error, only worse numbers, and loses a fight that it never
fought. So it is measured on tokens of its own site against what its card or its publisher says, and where that parts, the
usual mistakes are undone one by one to find the one that explains it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight import seeds
from fairfight.dictionaries.contract import Card, Dictionary, TokenSource
from fairfight.dictionaries.formats import _parameters as algebra
from fairfight.dictionaries.formats._foreign import Foreign
from fairfight.dictionaries.formats._normalised import NormalisedSae, Step
from fairfight.dictionaries.formats._parameters import Parameters
from fairfight.dictionaries.kinds.relu import ReLUDictionary
from fairfight.dictionaries.kinds.topk import TopKDictionary
from fairfight.dictionaries.sae import GatedSae, ThresholdSae
from fairfight.errors import EmptyBatchError, InputError, NonFiniteError, WidthMismatchError

_CHUNK_TOKENS = 2048
_OUTLYING = 10.0
"""A token whose norm exceeds the median so many times is taken for a beginning of text, or for an attention sink."""
_RULES: dict[str, set[str]] = {
    "standard": {"relu"},
    "relu": {"relu"},
    "autoencoder": {"relu"},
    "autoencodernew": {"relu"},
    "topk": {"topk"},
    "autoencodertopk": {"topk"},
    "gated": {"gated"},
    "gatedautoencoder": {"gated"},
    "jumprelu": {"threshold"},
    "jumpreluautoencoder": {"threshold"},
    "batchtopk": {"threshold", "topk"},
    "batchtopksae": {"threshold", "topk"},
    "matryoshka": {"threshold", "topk"},
    "matryoshkabatchtopk": {"threshold", "topk"},
    "matryoshkabatchtopksae": {"threshold", "topk"},
}
"""By the libraries' words for an architecture, letters alone: how its codes are chosen."""

_KINDS = {"relu": "relu", "topk": "topk", "gated": "gated", "threshold": "jumprelu"}
"""A kind of ours that chooses its codes by each rule."""


class Tolerance(NamedTuple):
    """How far measured numbers may be from published ones, which are of other texts."""

    l0: float = 0.3
    """As a share of the published L0."""
    fvu: float = 0.1
    worst_fvu: float = 1.0
    """Where no FVU was published: what the mean of the tokens alone would reach."""
    tokens: int = 4096
    """How many are drawn."""


USUAL = Tolerance()


class Expected(NamedTuple):
    """What a dictionary is said to be and to do; None where nothing is said."""

    site: str | None = None
    architecture: str | None = None
    l0: float | None = None
    fvu: float | None = None
    """1 - explained variance, with sums over tokens taken before the one ratio, as `quality.fvu` has it."""
    mean_token_fvu: float | None = None
    """The mean over tokens of a ratio each, which SAELens reported as 1 - explained variance for a time."""
    model: str | None = None

    @classmethod
    def of(cls, foreign: Foreign) -> Expected:
        """Give what came with a dictionary's files."""
        origin = foreign.origin
        published = origin.published
        return cls(origin.site, origin.architecture, published.l0, published.fvu, model=origin.model)

    @classmethod
    def of_card(cls, card: Card) -> Expected:
        """Give what our own card says."""
        return cls(card.site, card.kind, card.l0, card.fvu, model=card.model)


class Measured(NamedTuple):
    """What a dictionary does on these tokens."""

    l0: float
    fvu: float
    mean_token_fvu: float
    tokens: int


class Mistake(NamedTuple):
    """A mistake undone: what it would have been, and the dictionary and tokens without it."""

    sentence: str
    dictionary: Dictionary
    x: Float[Tensor, "token d_model"]


def check_loaded(
    dictionary: Dictionary, tokens: TokenSource, expected: Expected, *, tolerance: Tolerance = USUAL
) -> Measured:
    """Give what the dictionary does on a sample of `tokens`, if that is what is expected of it.

    Raises:
        InputError: it is of another architecture or site than said, or its L0 or FVU is not the published one; with the
            mistake that would explain it. Or it is a transcoder.
        WidthMismatchError: the site has another width than the dictionary.
        NonFiniteError: a weight, or what it gives, is NaN or infinite.
    """
    if dictionary.is_transcoder:
        raise InputError(
            "The dictionary is a transcoder, which reads one site and gives another; a dictionary that gives back its own "
            "site was expected. Look at the FVU of its card, which is against its output."
        )
    check_read(dictionary, expected, site=tokens.site, d_model=tokens.d_model)
    x = tokens.sample(tolerance.tokens, seeds.torch_stream("check of a dictionary", tokens.key))
    measured = measure(dictionary, x)
    if wrong := _what_is_wrong(measured, expected, tolerance):
        raise InputError(f"{wrong} {_most_probable(dictionary, x, expected, tolerance)}")
    return measured


def check_read(dictionary: Dictionary, expected: Expected, *, site: str, d_model: int) -> None:
    """Check all of a dictionary that can be checked before there is a token: weights, architecture, site and its width.

    Raises:
        InputError, WidthMismatchError, NonFiniteError: as `check_loaded`.
    """
    _check_weights(dictionary)
    _check_architecture(dictionary, expected)
    _check_site(dictionary, expected, site, d_model)


def measure(dictionary: Dictionary, x: Float[Tensor, "token d_model"]) -> Measured:
    """Give L0 and both fractions of variance unexplained on the tokens `x`.

    Raises:
        EmptyBatchError: the tokens do not differ.
        NonFiniteError: the reconstruction is NaN or infinite.
    """
    total = (x.double() - x.double().mean(dim=0)).square().sum(dim=1)
    if not total.sum():
        raise EmptyBatchError(f"All {len(x)} tokens are equal, so nothing can be explained. Give different tokens.")
    active, errors = 0, []
    for chunk in x.split(_CHUNK_TOKENS):
        codes = dictionary.encode_sparse(chunk)
        active += len(codes.values)
        errors.append((chunk.double() - dictionary.rebuild(chunk, codes).double()).square().sum(dim=1))
    error = torch.cat(errors)
    if not torch.isfinite(error).all():
        raise NonFiniteError(
            f"The dictionary reconstructs {int((~torch.isfinite(error)).sum())} of {len(x)} tokens as NaN or infinity. "
            "Look at its weights and at the tokens."
        )
    is_varied = total > 0
    each = (error[is_varied] / total[is_varied]).mean().item()
    return Measured(active / len(x), (error.sum() / total.sum()).item(), each, len(x))


def _check_weights(dictionary: Dictionary) -> None:
    for name, tensor in dictionary.tensors().items():
        if not torch.isfinite(tensor).all():
            raise NonFiniteError(
                f"'{name}' of the {dictionary.kind} dictionary holds NaN or infinity; all weights have to be finite. "
                "Choose another checkpoint."
            )


def _check_architecture(dictionary: Dictionary, expected: Expected) -> None:
    found = _rule(_core(dictionary))
    said = _RULES.get(re.sub(r"[^a-z]", "", (expected.architecture or "").lower()))
    if found is not None and said is not None and found not in said:
        raise InputError(
            f"The dictionary is said to be '{expected.architecture}', but what was read chooses its codes by {found}. A "
            "dictionary read under another architecture is silently wrong: take weights and configuration of one folder."
        )


def _rule(dictionary: Dictionary) -> str | None:
    """Give how codes are chosen, or None for a dictionary that is no sparse autoencoder of ours."""
    rules = {ThresholdSae: "threshold", TopKDictionary: "topk", ReLUDictionary: "relu", GatedSae: "gated"}
    return next((rule for kind, rule in rules.items() if isinstance(dictionary, kind)), None)


def _core(dictionary: Dictionary) -> Dictionary:
    return dictionary.inner if isinstance(dictionary, NormalisedSae) else dictionary


def _check_site(dictionary: Dictionary, expected: Expected, site: str, d_model: int) -> None:
    trained_on = f"{expected.site or 'its site'} of {expected.model or 'its model'}"
    if expected.site and site and expected.site != site:
        raise InputError(
            f"The dictionary was trained on {trained_on}, but the tokens are of {site}. Give tokens of its own site."
        )
    if d_model != dictionary.d_model:
        raise WidthMismatchError(
            f"Activations at {site or 'the given site'} have width {d_model}, but the dictionary takes "
            f"{dictionary.d_model}. It was trained on {trained_on}: give tokens of that."
        )


def _what_is_wrong(measured: Measured, expected: Expected, tolerance: Tolerance) -> str:
    """Say where measured and expected numbers part, or "" where they do not."""
    parts = []
    if expected.l0 is not None and abs(measured.l0 - expected.l0) > tolerance.l0 * expected.l0:
        parts.append(f"L0 is {measured.l0:.4g}, but {expected.l0:.4g} ± {tolerance.l0:.0%} was published")
    if not measured.l0:
        parts.append("no latent speaks on any token")
    for name, formula in (("fvu", "FVU"), ("mean_token_fvu", "mean FVU of a token")):
        found, said = getattr(measured, name), getattr(expected, name)
        if said is not None and abs(found - said) > tolerance.fvu:
            parts.append(f"{formula} is {found:.4g}, but {said:.4g} ± {tolerance.fvu:g} was published")
    if expected.fvu is None and expected.mean_token_fvu is None and measured.fvu >= tolerance.worst_fvu:
        parts.append(f"FVU is {measured.fvu:.4g}, so the reconstruction is no better than the mean of the tokens")
    return f"On {measured.tokens} tokens {'; '.join(parts)}." if parts else ""


def _most_probable(
    dictionary: Dictionary, x: Float[Tensor, "token d_model"], expected: Expected, tolerance: Tolerance
) -> str:
    """Say which mistake explains the difference best, after undoing each."""
    explained = []
    for mistake in _mistakes(dictionary, x, expected):
        found = measure(mistake.dictionary, mistake.x)
        if not _what_is_wrong(found, expected, tolerance):
            explained.append((_distance(found, expected), mistake.sentence, found))
    found = measure(dictionary, x)
    swapped = expected._replace(fvu=expected.mean_token_fvu, mean_token_fvu=expected.fvu)
    if not _what_is_wrong(found, swapped, tolerance):
        sentence = "the published explained variance is of the other formula (see `Expected`)"
        explained.append((_distance(found, swapped), sentence, found))
    if not explained:
        return (
            "No usual mistake explains it (scale or normalisation of the input, b_dec, beginnings of text, a lost top-k or "
            "threshold, norms of atoms, transposed weights). Most probably the tokens are of another site or model than "
            f"{expected.site or 'the site'} of {expected.model or 'the model'}, or the weights of another checkpoint."
        )
    _, sentence, fixed = min(explained)
    return f"Most probably {sentence}: then L0 is {fixed.l0:.4g} and FVU {fixed.fvu:.4g}."


def _distance(measured: Measured, expected: Expected) -> float:
    """Give how far FVU is from what was published, or from perfect where nothing was."""
    if expected.fvu is None and expected.mean_token_fvu is not None:
        return abs(measured.mean_token_fvu - expected.mean_token_fvu)
    return abs(measured.fvu - (expected.fvu or 0.0))


def _mistakes(dictionary: Dictionary, x: Float[Tensor, "token d_model"], expected: Expected) -> Iterator[Mistake]:
    norms = x.norm(dim=1)
    is_ordinary = norms <= _OUTLYING * norms.median()
    if 2 <= int(is_ordinary.sum()) < len(x):
        count = int((~is_ordinary).sum())
        sentence = (
            f"beginnings of text are among the tokens ({count} are more than {_OUTLYING:g} times as long as the median), which "
            "it was not trained on: leave them out"
        )
        yield Mistake(sentence, dictionary, x[is_ordinary])
    core = _core(dictionary)
    steps = dictionary.steps if isinstance(dictionary, NormalisedSae) else ()
    if steps:
        yield Mistake(f"{' and '.join(steps)} of the input is one too many", core, x)
    else:
        others: tuple[Step, ...] = ("layer_norm", "constant_norm_rescale", "centre")
        for step in others:
            yield Mistake(f"{step} of the input was left out", NormalisedSae(core, (step,)), x)
    parameters = algebra.parameters_of(core)
    if parameters is None:
        return
    for sentence, changed in _changed(core, parameters, x, expected):
        yield Mistake(sentence, NormalisedSae(changed, steps) if steps else changed, x)


def _changed(
    core: Dictionary, parameters: Parameters, x: Float[Tensor, "token d_model"], expected: Expected
) -> Iterator[tuple[str, Dictionary]]:
    """Give the dictionary with one convention turned around, for each that is often mistaken."""

    def like(changed: Parameters) -> Dictionary:
        k = core.k if isinstance(core, TopKDictionary) else None
        return algebra.build(_KINDS[_rule(core) or "relu"], changed, k=k)

    for factor in _scales(x):
        sentence = (
            f"its input was multiplied by {factor:.4g} in training, and neither that nor the weights were scaled here"
        )
        yield sentence, like(algebra.scaled(parameters, factor))
    yield "b_dec is subtracted from its input, and should not be", like(algebra.uncentred(parameters))
    turned = algebra.uncentred(parameters._replace(b_dec=-parameters.b_dec))
    yield "b_dec is not subtracted from its input, and should be", like(turned._replace(b_dec=parameters.b_dec))
    if (parameters.W_dec.norm(dim=1) > 0).all():
        yield "norms of atoms were not folded into the encoder", like(algebra.unit_atoms(parameters))
    if expected.l0 is not None and 1 <= round(expected.l0) < core.latents and "b_enc" in parameters.vectors:
        sentence = f"its top-k or threshold was lost (with the {round(expected.l0)} largest codes it fits)"
        yield sentence, algebra.build("topk", parameters, k=round(expected.l0))
    if core.latents == core.d_model:
        rows, atoms = parameters.encoder_rows.T.contiguous(), parameters.W_dec.T.contiguous()
        yield "its encoder is transposed", like(parameters._replace(encoder_rows=rows))
        yield "its decoder is transposed", like(parameters._replace(W_dec=atoms))
        yield "encoder and decoder are transposed", like(parameters._replace(encoder_rows=rows, W_dec=atoms))


def _scales(x: Float[Tensor, "token d_model"]) -> list[float]:
    """Give the factors that bring tokens to one of the usual lengths (root of d_model, one), and those that undo it."""
    root, norm = x.shape[1] ** 0.5, x.norm(dim=1)
    lengths = (norm.mean().item(), norm.square().mean().sqrt().item())
    factors = [target / length for target in (root, 1.0) for length in lengths if length]
    return [
        factor for factor in (*factors, *(1 / found for found in factors), root, 1 / root) if abs(factor - 1) > 0.05
    ]
