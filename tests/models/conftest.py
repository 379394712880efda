from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import transformers
from torch import nn

from fairfight.models.load import Model

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 60,
    "max_position_embeddings": 40,
}
GROUPED = TINY | {"num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GPT2 = {
    "n_embd": 16,
    "n_layer": 3,
    "n_head": 2,
    "vocab_size": 60,
    "n_positions": 40,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS: dict[str, Callable[[], transformers.PretrainedConfig]] = {
    "bert": lambda: transformers.BertConfig(**TINY),
    "electra": lambda: transformers.ElectraConfig(**TINY, embedding_size=16),
    "roberta": lambda: transformers.RobertaConfig(**TINY),
    "xlm-roberta": lambda: transformers.XLMRobertaConfig(**TINY),
    "gpt2": lambda: transformers.GPT2Config(**GPT2),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**TINY, bos_token_id=1, eos_token_id=2),
    "gemma": lambda: transformers.GemmaConfig(**GROUPED),
    "gemma2": lambda: transformers.Gemma2Config(**GROUPED),
    "gemma3_text": lambda: transformers.Gemma3TextConfig(**GROUPED),
    "llama": lambda: transformers.LlamaConfig(**GROUPED),
    "mistral": lambda: transformers.MistralConfig(**GROUPED),
    "olmo2": lambda: transformers.Olmo2Config(**{name: value for name, value in GROUPED.items() if name != "head_dim"}),
    "qwen2": lambda: transformers.Qwen2Config(**{name: value for name, value in GROUPED.items() if name != "head_dim"}),
    "qwen3": lambda: transformers.Qwen3Config(**GROUPED),
}


def around(module: nn.Module) -> Model:
    """Give a model around a module, without files and without a tokenizer."""
    config = module.config
    return Model(
        name=config.model_type,
        revision=None,
        weights_sha256="",
        tokenizer_sha256="",
        module=module.eval(),
        tokenizer=None,
        layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        window=40,
        is_causal=config.model_type not in {"bert", "electra", "roberta", "xlm-roberta"},
    )


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Model]:
    """Make a tiny random model of a family; its norms get random weights, so that skipping one shows."""

    def make(family: str, **options: str) -> Model:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = transformers.AutoModel.from_config(CONFIGS[family](), **options)
            for name, parameter in module.named_parameters():
                if "norm" in name.lower() or "ln_" in name:
                    nn.init.uniform_(parameter, 0.5, 1.5)
                else:
                    nn.init.normal_(parameter, std=0.2)
        return around(module)

    return make


@pytest.fixture(scope="session")
def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    """Two texts, the second padded on the right."""
    ids = torch.tensor([[3, 5, 8, 13, 21, 34], [4, 7, 11, 18, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    return ids, mask
