"""A tiny causal model that knows which letter follows which, with its head and a tokenizer that puts BOS first."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

WORDS = tuple("abcdefghijklmnopqrstuvwxyz")
D_MODEL = 16
_FIRST_LETTER = 3


def save_tiny_language(folder: Path) -> Path:
    """Write the model and its tokenizer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=40,
                n_embd=D_MODEL,
                n_layer=3,
                n_head=2,
                n_positions=64,
                bos_token_id=2,
                eos_token_id=2,
            )
        ).eval()
        _teach(module)
    module.save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[BOS]", *WORDS))}
    letters = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    letters.pre_tokenizer = pre_tokenizers.Whitespace()
    letters.post_processor = processors.TemplateProcessing(single="[BOS] $A", special_tokens=[("[BOS]", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=letters, pad_token="[PAD]", unk_token="[UNK]", bos_token="[BOS]", model_max_length=64
    ).save_pretrained(folder)
    return folder


def letters(texts: int = 30) -> list[str]:
    """Give texts of one to twenty letters, each the seventh after the one before; no two alike."""
    return [" ".join(WORDS[(5 * n + 7 * k) % 26] for k in range(1 + (17 * n) % 20)) for n in range(texts)]


def _teach(module: GPT2LMHeadModel) -> None:
    """Train for a second: an untrained model predicts no better than an ablated one."""
    starts = torch.arange(26)[:, None] + 7 * torch.arange(20)
    ids = torch.cat([torch.full((26, 1), 2), _FIRST_LETTER + starts % 26], dim=1)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        module(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
