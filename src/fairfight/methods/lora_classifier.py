"""The model itself, fine-tuned with low-rank adapters and a linear head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from fairfight.contests.examples import Examples, Labelled
from fairfight.contests.views import Views
from fairfight.meter import release_memory
from fairfight.methods import _lora
from fairfight.methods._frozen_linear import teach_flop_counter, use_onednn
from fairfight.models.load import Model
from fairfight.shapes import ExampleScores


@dataclass(frozen=True, eq=False)
class LoraDetector:
    """The fine-tuned model, its adapters merged into its weights, and the head."""

    model: Model
    module: nn.Module
    head: nn.Linear
    texts: int
    """Distinct texts that it was trained on."""
    tokens: int
    """Tokens that it was trained on, all epochs together."""

    def score(self, examples: Examples, views: Views) -> ExampleScores:
        """Give the head's logit, from one model pass a text; texts of like length share a batch."""
        texts = _lora.tokenise(self.model, examples.texts, views.max_tokens)
        scores = np.empty(len(texts))
        with torch.inference_mode(), views.meter.counting_torch(fits=0):
            for rows in _lora.batches_by_length(texts, range(len(texts)), _lora.SCORING_BATCH_TOKENS):
                batch = _lora.padded([texts[row] for row in rows])
                scores[rows] = _lora.read(self.module, self.head, batch).double().numpy()
        views.meter.charge_forward(0, sum(sum(text.is_content) for text in texts))
        release_memory()
        return scores


@dataclass(frozen=True)
class LoraClassifier:
    """Low-rank adapters on every linear layer and a head on the mean-pooled last hidden state, trained together.

    Dropout stays off. The whole cost, passes and gradients, stands under fitting. Source: Hu et al. (2022), section 4.
    """

    family: ClassVar[str] = "finetuning"
    needs_dictionary: ClassVar[bool] = False

    rank: int = 8
    """Rank of each adapter; its scale is 2."""
    learning_rate: float = 1e-3
    """Of AdamW, at its peak."""
    epochs: int = 1
    """Passes over the training texts that fit into the budget."""
    max_tokens_a_fit: int = 65536
    """Most tokens to train on, all epochs together: a random subset of whole texts, the classes in their proportion."""

    @classmethod
    def space(cls, sites: tuple[str, ...], poolings: tuple[str, ...]) -> Mapping[str, tuple[Any, ...]]:
        """Give the values that tuning may choose from; the last hidden state is what it reads."""
        return {"rank": (4, 16), "learning_rate": (3e-4, 1e-3, 3e-3), "epochs": (1, 2)}

    @classmethod
    def small(cls, folder: Path) -> LoraClassifier:
        """Give one that trains in a second, for quick checks."""
        return cls(rank=2, max_tokens_a_fit=256)

    @property
    def strength(self) -> float:
        """Less room to move is stronger: the inverse of rank, learning rate and epochs."""
        return 1 / (self.rank * self.learning_rate * self.epochs)

    def fit(self, train: Labelled, views: Views, chance: np.random.Generator) -> LoraDetector:
        """Give the fine-tuned model; `chance` draws the subset, the adapters' first weights and the batches.

        Raises:
            PluginError: peft is not installed.
        """
        teach_flop_counter()
        model = views.model()
        texts = _lora.tokenise(model, train.examples.texts, views.max_tokens)
        rows = _lora.subset_within(texts, train.labels, self.max_tokens_a_fit // self.epochs, chance)
        chosen = [texts[row] for row in rows]
        # peft and torch draw first weights from the global generator: it is put back afterwards.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(chance.integers(2**63 - 1)))
            adapted = _lora.with_adapters(model.module, self.rank)
            use_onednn(adapted)
            head = nn.Linear(model.d_model, 1)
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
            schedule = _lora.Schedule(self.learning_rate, self.epochs)
            with views.meter.counting_torch():
                tokens = _lora.train(adapted, head, chosen, train.labels[rows], schedule, chance)
        views.meter.charge_forward(0, sum(sum(text.is_content) for text in chosen))
        return LoraDetector(model, adapted.merge_and_unload().eval(), head, len(chosen), tokens)

    def notes(self, detector: LoraDetector) -> Mapping[str, Any]:
        """Give what it was trained on."""
        return {"texts": detector.texts, "training_tokens": detector.tokens}
