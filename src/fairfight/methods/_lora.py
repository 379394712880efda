"""LoRA: low-rank adapters on a transformer, with a linear head on its mean-pooled last hidden state."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fairfight.errors import PluginError
from fairfight.meter import release_memory
from fairfight.models.load import Model
from fairfight.shapes import Labels

TRAINING_BATCH_TOKENS = 1024
"""Padded tokens a step: some twenty texts of fifty tokens."""
PASS_TOKENS = 512
"""Padded tokens that pass through the model at once in training: what they leave behind for the gradient is most of a fit's memory."""
SCORING_BATCH_TOKENS = 1024
_WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
_LARGEST_GRADIENT = 1.0
_TIDY_STEPS = 4
"""Batches of many lengths leave gaps in the heap, a gigabyte of them in 16,000 tokens, unless it is trimmed."""
_WEIGHT_DECAY = 0.01


class Text(NamedTuple):
    """One text as tokens."""

    ids: list[int]
    is_content: list[bool]
    """Whether a token is the text's own, not one that the tokenizer adds."""


class Batch(NamedTuple):
    """Texts padded on the right to one length."""

    ids: Int[Tensor, "example token"]
    is_text: Int[Tensor, "example token"]
    is_content: Bool[Tensor, "example token"]


@dataclass(frozen=True)
class Schedule:
    """How the adapters are trained: AdamW, the learning rate rising over a tenth of the steps and then falling to zero."""

    learning_rate: float
    epochs: int


def tokenise(model: Model, texts: Sequence[str], max_tokens: int) -> list[Text]:
    """Give texts as tokens, cut at `max_tokens` or the model's window, special tokens included."""
    encoded = model.tokenizer(
        list(texts),
        truncation=True,
        max_length=min(max_tokens, model.window),
        return_special_tokens_mask=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    masks = [[not special for special in mask] for mask in encoded["special_tokens_mask"]]
    return [Text(ids, mask) for ids, mask in zip(encoded["input_ids"], masks, strict=True)]


def with_adapters(module: nn.Module, rank: int) -> Any:
    """Give the module with adapters of this rank on every linear layer, drawn from torch's global generator.

    Raises:
        PluginError: peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise PluginError(
            "LoRA needs the package peft, which is not installed. Run `pip install 'fairfight[lora]'`, or leave "
            "lora_classifier out of trials.methods."
        ) from error
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
    with warnings.catch_warnings():
        # peft says that it turns GPT-2's transposed layers round, as it should.
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        # And it asks transformers for a property under its old name.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        return get_peft_model(module, settings).eval()


def train(
    module: nn.Module,
    head: nn.Linear,
    texts: Sequence[Text],
    labels: Labels,
    schedule: Schedule,
    chance: np.random.Generator,
) -> int:
    """Train adapters and head in place; gives the tokens that passed through, padding left out."""
    parameters = [parameter for parameter in (*module.parameters(), *head.parameters()) if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=_WEIGHT_DECAY)
    plan = [batch for _ in range(schedule.epochs) for batch in _shuffled_batches(texts, chance)]
    targets = torch.from_numpy(np.asarray(labels, dtype=np.float32))
    for step, rows in enumerate(plan):
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate * _rate(step, len(plan))
        optimiser.zero_grad()
        for part in _parts(texts, rows):
            logits = read(module, head, padded([texts[row] for row in part]))
            loss = nn.functional.binary_cross_entropy_with_logits(logits, targets[part], reduction="sum")
            (loss / len(rows)).backward()
        nn.utils.clip_grad_norm_(parameters, _LARGEST_GRADIENT)
        optimiser.step()
        if step % _TIDY_STEPS == 0:
            release_memory()
    return sum(len(texts[row].ids) for rows in plan for row in rows)


def _parts(texts: Sequence[Text], rows: list[int]) -> Iterator[list[int]]:
    """Give a batch in parts whose passes fit into less memory; their gradients add up to the batch's."""
    return batches_by_length(texts, rows, PASS_TOKENS)


def read(module: nn.Module, head: nn.Linear, batch: Batch) -> Float[Tensor, " example"]:
    """Give the head's logit of the last hidden state, averaged over content tokens."""
    states = module(input_ids=batch.ids, attention_mask=batch.is_text).last_hidden_state
    weights = batch.is_content.to(states.dtype)[:, :, None]
    return head((states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)).squeeze(1)


def padded(texts: Sequence[Text]) -> Batch:
    """Give texts of different lengths as one batch."""
    lengths = np.array([len(text.ids) for text in texts])
    is_text = np.arange(lengths.max()) < lengths[:, None]
    ids, is_content = np.zeros(is_text.shape, dtype=np.int64), np.zeros(is_text.shape, dtype=bool)
    ids[is_text] = np.concatenate([text.ids for text in texts])
    is_content[is_text] = np.concatenate([text.is_content for text in texts])
    return Batch(torch.from_numpy(ids), torch.from_numpy(is_text.astype(np.int64)), torch.from_numpy(is_content))


def batches_by_length(texts: Sequence[Text], order: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Give rows of texts in batches of at most `most_tokens` with padding (or one text), shortest texts first."""
    batch: list[int] = []
    for row in sorted(order, key=lambda row: len(texts[row].ids)):
        if batch and len(texts[row].ids) * (len(batch) + 1) > most_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def subset_within(texts: Sequence[Text], labels: Labels, most_tokens: int, chance: np.random.Generator) -> list[int]:
    """Give rows of whole texts of at most `most_tokens` in all, drawn at random with the classes in their proportion.

    At least one text of each class is given, whatever the budget.
    """
    chosen: list[int] = []
    for label in (0, 1):
        rows = chance.permutation(np.flatnonzero(labels == label))
        lengths = np.cumsum([len(texts[row].ids) for row in rows])
        total = sum(len(text.ids) for text in texts)
        share = most_tokens * int(lengths[-1]) / total
        chosen += rows[: max(1, int(np.searchsorted(lengths, share, side="right")))].tolist()
    return sorted(chosen)


def _shuffled_batches(texts: Sequence[Text], chance: np.random.Generator) -> list[list[int]]:
    # Texts of one length are shuffled before they are put in order of length, and the batches after.
    batches = list(batches_by_length(texts, chance.permutation(len(texts)).tolist(), TRAINING_BATCH_TOKENS))
    return [batches[place] for place in chance.permutation(len(batches))]


def _rate(step: int, steps: int) -> float:
    rising = max(1, round(_WARM_UP * steps))
    return (step + 1) / rising if step < rising else (steps - step) / (steps - rising)
