"""What the model predicts with the reconstruction in the place of the activations, beside mean and zero ablation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fairfight.dictionaries.quality.intervals import Estimate, Replicates, Undefined, ratio
from fairfight.errors import NonFiniteError
from fairfight.models.load import Model
from fairfight.models.sites import Site
from fairfight.models.splice import Edit, spliced

CLEAN = "clean"
LOGIT_BYTES = 2**26
"""Logits held at a time for one pass: 64 MiB, at a vocabulary of 50,000 those of 335 tokens."""


_BATCH_TOKENS = 2048


@dataclass(frozen=True, eq=False)
class LossSums:
    """What each text adds, in nats."""

    predictions: Float[np.ndarray, " example"]
    """Next tokens that are counted."""
    cross_entropy: dict[str, Float[np.ndarray, " example"]]
    """By edit, and `clean`."""
    divergence: dict[str, Float[np.ndarray, " example"]]
    """Kullback-Leibler divergence of the edited prediction from the clean one, by edit."""


class _Batch(NamedTuple):
    rows: Int[np.ndarray, " example"]
    ids: Int[Tensor, "batch token"]
    attention_mask: Int[Tensor, "batch token"]
    is_content: Bool[Tensor, "batch token"]


def loss_sums(
    model: Model,
    language: nn.Module,
    texts: Sequence[str],
    site: Site | str,
    edits: Mapping[str, Edit],
    *,
    max_tokens: int,
    advances: Callable[[int], None] = lambda _texts: None,
) -> LossSums:
    """Give cross-entropy and divergence of every edit at a site, by text; `advances` is told of texts done.

    `language` is the model around `model.module` (`models.language.with_head`). Edited are the content tokens; those
    that the tokenizer adds (BOS) stay as they were. Counted is each next token that is content and follows content: what
    BOS alone predicts, no edit can change.

    Cross-entropy is -log p(next), the divergence sum_v p_clean(v) (log p_clean(v) - log p_edited(v)), both in nats.

    Raises:
        SiteError: the site is not in this model.
        NonFiniteError: a loss or a divergence is NaN or infinite.
    """
    sums = LossSums(
        np.zeros(len(texts)),
        {name: np.zeros(len(texts)) for name in (CLEAN, *edits)},
        {name: np.zeros(len(texts)) for name in edits},
    )
    with torch.inference_mode():
        for batch in _batches(model, language, texts, max_tokens):
            _add(sums, model, language, batch, site, edits)
            advances(len(batch.rows))
    _require_finite(sums, site)
    return sums


def recovered(
    cross_entropy: Mapping[str, Replicates], spliced_edit: str, ablation: str, *, level: float
) -> Estimate | Undefined:
    """Give the loss recovered: (CE_ablated - CE_spliced) / (CE_ablated - CE_clean).

    1 is as good as the model's own activations, 0 as bad as the ablation. Which ablation it was belongs to the number:
    zero ablation mostly does more harm, so it flatters.
    """
    lost = cross_entropy[ablation]
    return ratio(
        lost - cross_entropy[spliced_edit],
        lost - cross_entropy[CLEAN],
        why="the ablation does not raise the loss, so there is nothing to recover",
        level=level,
    )


def _add(
    sums: LossSums, model: Model, language: nn.Module, batch: _Batch, site: Site | str, edits: Mapping[str, Edit]
) -> None:
    is_counted = batch.is_content[:, :-1] & batch.is_content[:, 1:]
    text_of = batch.rows[is_counted.nonzero()[:, 0].numpy()]
    following = batch.ids[:, 1:][is_counted]
    np.add.at(sums.predictions, text_of, 1.0)

    def log_probabilities(edit: Edit | None) -> Float[Tensor, "prediction token"]:
        splice = nullcontext() if edit is None else spliced(model, site, edit, batch.is_content)
        with splice:
            logits = language(input_ids=batch.ids, attention_mask=batch.attention_mask, use_cache=False).logits
        return logits[:, :-1][is_counted].float().log_softmax(dim=-1)

    def cross_entropies(found: Float[Tensor, "prediction token"]) -> Float[np.ndarray, " prediction"]:
        return -found.gather(1, following[:, None])[:, 0].double().numpy()

    clean = log_probabilities(None)
    np.add.at(sums.cross_entropy[CLEAN], text_of, cross_entropies(clean))
    probabilities = clean.exp()
    for name, edit in edits.items():
        edited = log_probabilities(edit)
        np.add.at(sums.cross_entropy[name], text_of, cross_entropies(edited))
        # Tokens of probability zero add nothing, though their logarithms are infinite.
        terms = torch.where(probabilities > 0, probabilities * (clean - edited), 0.0)
        # Below zero it is rounding alone.
        divergences = terms.sum(dim=1, dtype=torch.float64).clamp_(min=0)
        np.add.at(sums.divergence[name], text_of, divergences.numpy())


def _require_finite(sums: LossSums, site: Site | str) -> None:
    for name, values in (*sums.cross_entropy.items(), *sums.divergence.items()):
        if not np.isfinite(values).all():
            raise NonFiniteError(
                f"With the edit '{name}' at {site} the loss is NaN or infinite for {(~np.isfinite(values)).sum()} texts; finite "
                "numbers were expected. Check that the dictionary belongs to this site, and the model's weights."
            )


def _batches(model: Model, language: nn.Module, texts: Sequence[str], max_tokens: int) -> Iterator[_Batch]:
    """Give the texts, shortest first, padded on the right, under a budget of logits."""
    vocabulary = int(getattr(language.config, "vocab_size", 0)) or len(model.tokenizer)  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    budget = min(_BATCH_TOKENS, LOGIT_BYTES // (4 * vocabulary))
    encoded = [_encode(model, text, min(max_tokens, model.window)) for text in texts]
    order = sorted(range(len(texts)), key=lambda row: len(encoded[row]["input_ids"]))
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and len(encoded[order[stop]]["input_ids"]) * (stop + 1 - start) <= budget:
            stop += 1
        yield _padded(np.array(order[start:stop]), [encoded[row] for row in order[start:stop]])
        start = stop


def _encode(model: Model, text: str, limit: int) -> Any:
    return model.tokenizer(
        text,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        truncation=True,
        max_length=limit,
        verbose=False,
    )


def _padded(rows: Int[np.ndarray, " example"], encoded: Sequence[Any]) -> _Batch:
    longest = max(len(own["input_ids"]) for own in encoded)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    is_text, is_content = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for row, own in enumerate(encoded):
        length = len(own["input_ids"])
        ids[row, :length] = torch.tensor(own["input_ids"])
        is_text[row, :length] = 1
        is_content[row, :length] = torch.tensor(own["special_tokens_mask"]) == 0
    return _Batch(rows, ids, is_text, is_content)
