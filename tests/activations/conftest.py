from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from fairfight.models.load import Model, load

WORDS = tuple("abcdefghijklmnopqrstuvwxyz")


def save_tiny(folder: Path) -> Path:
    """Write a tiny random BERT whose tokens are letters, with CLS and SEP around each text."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = BertModel(
            BertConfig(
                vocab_size=40,
                hidden_size=16,
                num_hidden_layers=3,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=64,
                initializer_range=0.3,
            )
        )
    module.save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS))}
    letters = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    letters.pre_tokenizer = pre_tokenizers.Whitespace()
    letters.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=letters,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(str(save_tiny(tmp_path_factory.mktemp("tiny_bert"))))


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Forty texts of one to forty letters, no two alike, in no order of length."""
    return [" ".join(WORDS[(7 * n + 3 * k) % 26] for k in range(1 + (17 * n) % 40)) for n in range(40)]
