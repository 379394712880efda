"""How long a study will take here: its operations, divided by what this machine was just measured to do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fairfight.contests.examples import DEVELOPMENT, Collection
from fairfight.models.load import Model
from fairfight.records import Contender
from fairfight.study import Study
from fairfight.trials import plan
from fairfight.trials.context import jobs
from fairfight.trials.plugins import recipe_of

_SECONDS_A_THOUSAND_EXAMPLES = {"dictionary": 0.08, "probing": 0.1, "text-only": 0.06, "floor": 0.03, "finetuning": 0.5}
"""What a trial takes beside model passes, by family, for each thousand development examples; measured, as the next two,
on the full study on two cores of an EPYC (Zen 5) in 2026."""
_SECONDS_A_STEP_AND_LATENT = 3.6e-5
"""Of gradient descent on batches of 2,048 tokens."""
_SECONDS_A_POOLED_TOKEN = 2e-5
"""Encoding every token with one dictionary and pooling codes and reconstructions."""


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
    configurations: Mapping[str, Sequence[plan.Settings]],
    collection: Collection,
    corpus: Sequence[str],
    model: Model,
    trials_done: int,
) -> Estimate:
    """Give a rough forecast: within a factor of two where the machine is not shared."""
    mean_tokens = _mean_tokens(study, collection, model)
    pass_seconds = _pass_seconds(model, mean_tokens)
    texts = len({*(e.text for e in collection.examples), *corpus})
    tokens = int(texts * mean_tokens)
    development = sum(e.set == DEVELOPMENT for e in collection.examples)

    dictionaries = _dictionaries(study)
    training = sum(count * _training_seconds(recipe_of(study, name), tokens) for name, count in dictionaries.items())

    # Fine-tuning passes every text through the model itself: scored ones once, training ones forward and back.
    tuned_passes = pass_seconds * (len(collection.examples) + 3 * development)
    trials, playing = 0, 0.0
    for contender in field:
        count = _trials(study, contender, len(configurations[contender.name]))
        each = max(1.0, development / 1000) * _SECONDS_A_THOUSAND_EXAMPLES.get(contender.family, 0.1)
        trials += count
        playing += count * (each + (contender.family == "finetuning") * tuned_passes)
    seconds = texts * pass_seconds + (training + playing) / study.trials.workers
    return Estimate(trials, trials_done, tokens, sum(dictionaries.values()), seconds)


def _mean_tokens(study: Study, collection: Collection, model: Model) -> float:
    sample = [example.text for example in collection.examples[:: max(1, len(collection.examples) // 200)]]
    ids = model.tokenizer(sample, truncation=True, max_length=study.activations.max_tokens)["input_ids"]
    return float(np.mean([len(text) for text in ids]))


def _pass_seconds(model: Model, tokens: float) -> float:
    parameters = sum(p.numel() for name, p in model.module.named_parameters() if "embed" not in name)
    return 2 * parameters * tokens / _operations_a_second()


def _dictionaries(study: Study) -> dict[str, int]:
    """Give how many of each name are trained, at most: at every site."""
    sites = {name: study.sites_of(name) for name in study.dictionaries}
    stages = (range(1), range(1, study.trials.dictionary_seeds))
    return Counter(job.dictionary for seeds in stages for job in jobs(study, seeds, sites))


def _trials(study: Study, contender: Contender, tuning: int) -> int:
    scored = study.trials.seeds * len(plan.seeds_played(study, contender))
    has_k = "k" in plan.space_of(study, contender.method)
    curves = plan.curve_specs(study, "", {contender.name: {"k": 1}}, [contender]) if has_k else []
    return tuning + scored + len(curves)


def _training_seconds(recipe: Any, tokens: int) -> float:
    steps, latents = getattr(recipe, "steps", 0), getattr(recipe, "latents", None) or 0
    return steps * latents * _SECONDS_A_STEP_AND_LATENT + tokens * _SECONDS_A_POOLED_TOKEN


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
