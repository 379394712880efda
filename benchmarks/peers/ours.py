"""fairfight's step on the same feed: `python ours.py A topk`, with `-coarse`, `-firing` or `-torch` after the kind."""

from __future__ import annotations

import sys

import torch
from feed import Feed

from fairfight.dictionaries.fit import kernels_for, scaling_of
from fairfight.dictionaries.rules import BatchTopKRule, JumpReLURule, TopKRule
from fairfight.dictionaries.trainer import Revival, SaeState, SaeTrainer, unit_rows

kind, *options = sys.argv[2].split("-")
# JumpReLU is timed when its thresholds have settled; that takes steps of its own before the clock starts.
feed = Feed(sys.argv[1])
size = feed.size
scaling = scaling_of(feed.tokens[:65536])
rule = {
    "topk": TopKRule(size.k),
    "batchtopk": BatchTopKRule(size.k),
    "jumprelu": JumpReLURule(1.0, bandwidth=0.1, threshold=2.5),
}[kind]
atoms = unit_rows(torch.randn(size.latents, size.d_model, generator=torch.Generator().manual_seed(0)))
state = SaeState.start(atoms, atoms, scaling.mean * scaling.factor, rule.vectors(size.latents))
kernels = kernels_for(
    size.latents, size.d_model, "torch" if "torch" in options else "numba", coarse="coarse" in options
)
revival = None if kind == "jumprelu" else Revival(after_tokens=10**9)
trainer = SaeTrainer(state, rule, kernels, revival=revival)
found = None
for batch in feed:
    if "firing" in options:
        state.silent_tokens[::4] = 10**9
    found = trainer.step(batch, 3e-4, scale=scaling.factor)
feed.report(l0=found.l0, dead=found.dead)
