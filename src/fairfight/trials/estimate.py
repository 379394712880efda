"""How long a study will take here: its operations, divided by what this machine was just measured to do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fairfight import registry
from fairfight.contests.examples import DEVELOPMENT, Collection
from fairfight.models.load import Model
from fairfight.records import Contender
from fairfight.study import Study
from fairfight.trials import plan

_OVERHEAD_SECONDS = {"dictionary": 1.2, "probing": 1.2, "text-only": 3.0, "floor": 0.5, "finetuning": 5.0}
"""Seconds that a trial of a family takes beside model passes, measured on two cores of an EPYC (Zen 5) in 2026."""
_TRAINING_SECONDS_A_DICTIONARY = 45.0


@dataclass(frozen=True)
class Estimate:
    """What is ahead, before anything already in the ledger or the cache is taken off."""

    trials: int
    trials_done: int
    tokens: int
    dictionaries: int
    seconds: float


def estimate(
    study: Study,
    field: Sequence[Contender],
    configs: Mapping[str, Sequence[plan.Settings]],
    collection: Collection,
    corpus: Sequence[str],
    model: Model,
    trials_done: int,
) -> Estimate:
    """Give a rough forecast: within a factor of two where the machine is not shared."""
    sample = [example.text for example in collection.examples[:: max(1, len(collection.examples) // 200)]]
    mean_tokens = float(
        np.mean(
            [
                len(ids)
                for ids in model.tokenizer(sample, truncation=True, max_length=study.activations.max_tokens)[
                    "input_ids"
                ]
            ]
        )
    )
    texts = len({*(e.text for e in collection.examples), *corpus})
    rate = _operations_a_second()
    parameters = sum(p.numel() for name, p in model.module.named_parameters() if "embed" not in name)
    pass_seconds = 2 * parameters * mean_tokens / rate
    played = {c.name: len(configs[c.name]) + study.trials.seeds * len(plan.dictionary_seeds(study, c)) for c in field}
    curves = sum(
        len(plan.curve_specs(study, "", {c.name: {"k": 1}}, [c]))
        for c in field
        if "k" in plan.space_of(study, c.method)
    )
    development = sum(e.set == DEVELOPMENT for e in collection.examples)
    dictionaries = sum(
        len(study.activations.sites)
        * (study.trials.dictionary_seeds if registry.load("kinds", section.kind).is_seeded else 1)
        for section in study.dictionaries.values()
    )
    tuning = sum(
        played[c.name]
        * (
            _OVERHEAD_SECONDS.get(c.family, 1.0)
            + (c.family == "finetuning") * pass_seconds * (len(collection.examples) + 3 * development)
        )
        for c in field
    )
    seconds = (
        texts * pass_seconds
        + (dictionaries * _TRAINING_SECONDS_A_DICTIONARY + tuning + 0.5 * curves) / study.trials.workers
    )
    return Estimate(sum(played.values()) + curves, trials_done, int(texts * mean_tokens), dictionaries, seconds)


def _operations_a_second() -> float:
    a = torch.randn(512, 384, generator=torch.Generator().manual_seed(0))
    b = torch.randn(384, 1536, generator=torch.Generator().manual_seed(1))
    times = []
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    # A transformer's pass spends as long again outside its matrix products.
    return 2 * a.numel() * b.shape[1] / sorted(times)[len(times) // 2] / 2
