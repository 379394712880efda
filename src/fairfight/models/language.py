"""The language-model head of a causal model: `load` gives the trunk, and what it predicts needs the head as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from fairfight.errors import ModelError
from fairfight.models.load import Model


def with_head(model: Model) -> nn.Module:
    """Give the causal language model around `model.module`: it runs that very trunk, so hooks on it act.

    The head is read from where the trunk came from. While it is read, the weights are held twice.

    Raises:
        ModelError: the model is not causal, or its files hold no head.
    """
    if not model.is_causal:
        raise ModelError(
            f"{model.name} is not a causal model, so it predicts no next token. Choose a causal model for its loss."
        )
    found, missing = _read(model)
    trunk = getattr(found, found.base_model_prefix, None)
    if missing or type(trunk) is not type(model.module):
        raise ModelError(
            f"{model.name} has no language-model head: {', '.join(missing[:3]) or type(found).__name__} does not fit "
            "its weights. Choose a folder that was saved with its head."
        )
    setattr(found, found.base_model_prefix, model.module)
    if found.config.tie_word_embeddings:
        found.get_output_embeddings().weight = found.get_input_embeddings().weight
    return found.eval()


def _read(model: Model) -> tuple[Any, list[str]]:
    from transformers import AutoModelForCausalLM

    try:
        with _quiet_transformers():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(model.module.name_or_path),
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"transformers cannot read {model.name} as a language model ({error}). Choose a causal model with a head."
        ) from error
    found, report = loaded
    return found, sorted(map(str, (*report["missing_keys"], *report["mismatched_keys"])))


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Hold back its bar and its report: what is missing is said here, in one sentence."""
    from transformers.utils import logging

    verbosity, shows_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shows_bar:
            logging.enable_progress_bar()
