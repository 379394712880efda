"""Twenty training steps beside SAELens's own, from the same start and on the same batches, in float32.

Run in an environment that has sae-lens and fairfight: `make bench-parity` makes it. Prints for each kind the largest
difference of the loss and of every parameter over the steps, and fails where one exceeds the tolerance. At the end the two
are trained for longer on token states of all-MiniLM-L6-v2, and the share of variance that each leaves is compared.
"""

from __future__ import annotations

import copy
import itertools
import os
import sys
import warnings
from collections.abc import Iterator

import numpy as np
import torch

warnings.filterwarnings("ignore")

from sae_lens import (  # noqa: E402
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedTrainingSAE,
    GatedTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.saes.sae import TrainStepInput  # noqa: E402
from sae_lens.saes.topk_sae import TopK as LensTopK  # noqa: E402
from sae_lens.saes.transcoder import (  # noqa: E402
    SkipTranscoder,
    SkipTranscoderConfig,
    Transcoder,
    TranscoderConfig,
)

from fairfight.dictionaries.fit import kernels_for, scaling_of  # noqa: E402
from fairfight.dictionaries.kinds.skip_transcoder import SkipTranscoderDictionary  # noqa: E402
from fairfight.dictionaries.kinds.transcoder import TranscoderDictionary  # noqa: E402
from fairfight.dictionaries.rules import BatchTopKRule, GatedRule, JumpReLURule, ReLURule, TopKRule  # noqa: E402
from fairfight.dictionaries.trainer import Revival, SaeState, SaeTrainer  # noqa: E402

STEPS, TOKENS, WIDTH, LATENTS, K, RATE = 20, 512, 96, 512, 16, 1e-3
DEAD_AFTER = 5
DRAWS = 3
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 2e-5, 2e-4
"""Relative, and absolute. Adam divides by the root of a gradient's square: where that is tiny, rounding decides the sign of
a step of size RATE, so single weights may part by a few steps' worth."""

TIE = 1e-6
"""Relative gap between the last code of a batch that gets in and the first that does not, below which the rounding of the
product decides: from there on two trainings of BatchTopK are two, however exact both are. Such a draw is named and left out; a kind needs
at least one draw without."""

LONG_STEPS, LONG_TOKENS, LONG_LATENTS, LONG_K, HELD_OUT = 200, 2048, 4096, 32, 8192
FVU_TOLERANCE = 0.01
"""Relative."""

SIZE = {"d_in": WIDTH, "d_sae": LATENTS}
WIDTHS = [64, 192, LATENTS]
KINDS = {
    "standard": (
        StandardTrainingSAE,
        StandardTrainingSAEConfig(l1_coefficient=0.5, **SIZE),
        ReLURule(0.5, unit_norm=False),
    ),
    "topk": (TopKTrainingSAE, TopKTrainingSAEConfig(k=K, **SIZE), TopKRule(K, by_norm=True)),
    "topk, no norm": (
        TopKTrainingSAE,
        TopKTrainingSAEConfig(k=K, rescale_acts_by_decoder_norm=False, **SIZE),
        TopKRule(K),
    ),
    "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig(k=K, **SIZE), BatchTopKRule(K, by_norm=True)),
    "matryoshka": (
        MatryoshkaBatchTopKTrainingSAE,
        MatryoshkaBatchTopKTrainingSAEConfig(k=K, matryoshka_widths=WIDTHS, **SIZE),
        BatchTopKRule(K, by_norm=True, prefixes=tuple(WIDTHS)),
    ),
    "jumprelu": (
        JumpReLUTrainingSAE,
        JumpReLUTrainingSAEConfig(l0_coefficient=0.1, jumprelu_bandwidth=0.05, jumprelu_init_threshold=0.1, **SIZE),
        JumpReLURule(0.1, bandwidth=0.05, threshold=0.1),
    ),
    "gated": (GatedTrainingSAE, GatedTrainingSAEConfig(l1_coefficient=0.5, **SIZE), GatedRule(0.5, unit_norm=False)),
}
COEFFICIENTS = {"standard": {"l1": 0.5}, "gated": {"l1": 0.5}, "jumprelu": {"l0": 0.1}}


def main() -> int:
    draws = [drawn_batches(seed) for seed in range(DRAWS)]
    worst = 0
    print(f"{STEPS} steps, {TOKENS} tokens, d {WIDTH}, m {LATENTS}, k {K}; auxiliary loss from step {DEAD_AFTER} on")
    print(f"largest difference over {DRAWS} draws of weights and data; the loss relative, the parameters absolute")
    for back_end in ("numba", "torch"):
        for name in KINDS:
            found = [compare(name, seed, batches, back_end) for seed, batches in enumerate(draws)]
            line, is_fine = told(found)
            worst |= not is_fine
            print(f"{back_end:6} {name:14} {line}", flush=True)
    batches = draws[0]
    for back_end, has_skip in itertools.product(("numba", "torch"), (False, True)):
        loss, forward = compare_transcoder(batches, back_end, has_skip=has_skip)
        is_fine = loss <= LOSS_TOLERANCE and forward <= WEIGHT_TOLERANCE
        worst |= not is_fine
        name, word = "skip transcoder" if has_skip else "transcoder", "ok" if is_fine else "PARTED"
        print(f"{back_end:6} {name:14} loss {loss:.1e} (relative); forward {forward:.1e}  {word}")
    left = compare_variance_left(np.load(os.environ.get("BENCH_TOKENS", ".fairfight/benchmark-tokens.npy")))
    theirs = left.pop("SAELens")
    print(f"FVU on {HELD_OUT:,} held-out token states after {LONG_STEPS} steps of {LONG_TOKENS} from the same start:")
    print(f"SAELens {theirs:.5f}")
    for name, ours in left.items():
        is_fine = abs(ours - theirs) <= FVU_TOLERANCE * theirs
        worst |= not is_fine
        print(f"{name} {ours:.5f} ({ours / theirs - 1:+.3%})  {'ok' if is_fine else 'PARTED'}")
    return int(worst)


def drawn_batches(seed: int) -> list[torch.Tensor]:
    """Give sparse sums of random directions, moved off the origin."""
    torch.manual_seed(seed)
    features = torch.randn(200, WIDTH)
    return [(torch.rand(TOKENS, 200) < 0.04).float() @ features + 0.3 for _ in range(STEPS)]


def told(found: list[dict[str, float]]) -> tuple[str, bool]:
    """Give a kind's line, and whether it holds: every draw agrees or met a tie first, and at least one met none."""
    tied = [
        f"{seed} (gap {draw['gap']:.0e}, loss then {draw['loss']:.1e})"
        for seed, draw in enumerate(found)
        if not agrees(draw) and draw["gap"] < TIE
    ]
    untied = [draw for draw in found if agrees(draw) or draw["gap"] >= TIE]
    is_fine = bool(untied) and all(agrees(draw) for draw in untied)
    parts = [part for part in found[0] if part != "gap"]
    listed = ", ".join(f"{part} {max(draw[part] for draw in untied or found):.1e}" for part in parts)
    word = "ok" if is_fine else "PARTED"
    return f"{listed}  {word}" + (f"; parted at a tie: draw {', '.join(tied)}" if tied else ""), is_fine


def agrees(differences: dict[str, float]) -> bool:
    weights = [value for part, value in differences.items() if part not in ("loss", "gap")]
    return differences["loss"] <= LOSS_TOLERANCE and max(weights) <= WEIGHT_TOLERANCE


def compare_variance_left(states: np.ndarray) -> dict[str, float]:
    """Give the FVU of SAELens's TopK and of ours, with exact and with coarse candidates, on tokens not trained on."""
    tokens = torch.from_numpy(states)
    tokens = tokens * scaling_of(tokens).factor
    kept, held = tokens[:-HELD_OUT], tokens[-HELD_OUT:]

    def batches() -> Iterator[torch.Tensor]:
        order = torch.Generator().manual_seed(0)
        for _ in range(LONG_STEPS):
            yield kept[torch.randint(len(kept), (LONG_TOKENS,), generator=order)]

    torch.manual_seed(0)
    cfg = TopKTrainingSAEConfig(k=LONG_K, rescale_acts_by_decoder_norm=False, d_in=tokens.shape[1], d_sae=LONG_LATENTS)
    theirs = TopKTrainingSAE(cfg)
    start = {name: value.detach().clone() for name, value in theirs.named_parameters()}
    left = {}
    for coarse in (False, True):
        state = SaeState.start(start["W_enc"].T.contiguous(), start["W_dec"], start["b_dec"], {"b_enc": start["b_enc"]})
        kernels = kernels_for(LONG_LATENTS, tokens.shape[1], "numba", coarse=coarse)
        ours = SaeTrainer(state, TopKRule(LONG_K), kernels, unit_norm=False)
        for batch in batches():
            ours.step(batch, RATE)
        like = copy.deepcopy(theirs)
        like.load_state_dict({**state.parameters(), "W_enc": state.W_enc.T})
        left["ours, bf16 candidates" if coarse else "ours"] = variance_left(like, held)
    adam = torch.optim.Adam(theirs.parameters(), lr=RATE, betas=(0.9, 0.999))
    none_dead = torch.zeros(LONG_LATENTS, dtype=torch.bool)
    for batch in batches():
        given = TrainStepInput(
            sae_in=batch, coefficients={}, dead_neuron_mask=none_dead, n_training_steps=0, is_logging_step=False
        )
        adam.zero_grad()
        theirs.training_forward_pass(given).loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        adam.step()
    return {"SAELens": variance_left(theirs, held), **left}


@torch.no_grad()
def variance_left(sae: TopKTrainingSAE, tokens: torch.Tensor) -> float:
    """Give the fraction of variance unexplained."""
    error = (sae(tokens) - tokens).double().square().sum()
    return (error / (tokens - tokens.mean(dim=0)).double().square().sum()).item()


def compare_transcoder(batches: list[torch.Tensor], back_end: str, *, has_skip: bool) -> tuple[float, float]:
    """Give the largest difference of the loss over the steps, and of the forward pass of what came out of ours.

    SAELens has no trainer for transcoders, so its module is trained here by autograd and Adam. It gets top-k in the place
    of ReLU.
    """
    size = {"d_in": WIDTH, "d_sae": LATENTS, "d_out": WIDTH, "apply_b_dec_to_input": False}
    theirs = SkipTranscoder(SkipTranscoderConfig(**size)) if has_skip else Transcoder(TranscoderConfig(**size))
    theirs.activation_fn = LensTopK(K)
    start = {name: value.detach().clone() for name, value in theirs.named_parameters()}
    state = SaeState.start(
        start["W_enc"].T.contiguous(), start["W_dec"], start["b_dec"], {"b_enc": start["b_enc"]}, start.get("W_skip")
    )
    kernels = kernels_for(LATENTS, WIDTH, back_end)
    ours = SaeTrainer(state, TopKRule(K), kernels, unit_norm=False, is_transcoder=True)
    adam = torch.optim.Adam(theirs.parameters(), lr=RATE, betas=(0.9, 0.999))
    mixed = torch.randn(WIDTH, WIDTH) / WIDTH**0.5
    loss_gap = 0.0
    for x in batches:
        y = (x @ mixed).relu()
        loss = (theirs(x) - y).square().sum(dim=1).mean()
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        adam.step()
        found = ours.step(torch.cat([x, y], dim=1), RATE)
        loss_gap = max(loss_gap, abs(found.loss - loss.item()) / abs(loss.item()))
    fields = (state.W_enc, state.vectors["b_enc"], state.W_dec, state.b_dec, K)
    trained = SkipTranscoderDictionary(*fields, state.W_skip) if has_skip else TranscoderDictionary(*fields)
    with torch.no_grad():
        theirs.load_state_dict(trained.tensors())
        x = batches[0]
        forward = (trained.rebuild(x, trained.encode(x)) - theirs(x)).abs().max().item()
    return loss_gap, forward


def compare(name: str, seed: int, batches: list[torch.Tensor], back_end: str) -> dict[str, float]:
    """Give the largest difference of the loss and of each parameter over the steps, and the narrowest gap at the cut.

    The gap is relative: between the last pre-activation of a batch that gets in and the first that does not (1 for kinds
    that choose within a token).
    """
    kind, cfg, rule = KINDS[name]
    coefficients = COEFFICIENTS.get(name, {})
    torch.manual_seed(seed)
    theirs = kind(cfg)
    plain = {name: value.detach().clone() for name, value in theirs.named_parameters()}
    vectors = {name: value for name, value in plain.items() if name not in ("W_enc", "W_dec", "b_dec")}
    state = SaeState.start(plain["W_enc"].T.contiguous(), plain["W_dec"], plain["b_dec"], vectors)
    ours = SaeTrainer(
        state,
        rule,
        kernels_for(LATENTS, WIDTH, back_end),
        revival=Revival((DEAD_AFTER + 1) * TOKENS, weight=1.0) if hasattr(theirs.cfg, "k") else None,
        unit_norm=False,
    )
    adam = torch.optim.Adam(theirs.parameters(), lr=RATE, betas=(0.9, 0.999))
    silent = torch.zeros(LATENTS)
    differences = {"loss": 0.0, "gap": 1.0}
    for x in batches:
        given = TrainStepInput(
            sae_in=x, coefficients=coefficients, dead_neuron_mask=silent > DEAD_AFTER, n_training_steps=0,
            is_logging_step=False,
        )  # fmt: skip
        output = theirs.training_forward_pass(given)
        if isinstance(theirs, BatchTopKTrainingSAE):
            last, first_out = output.hidden_pre.relu().flatten().topk(K * TOKENS + 1).values[-2:].tolist()
            differences["gap"] = min(differences["gap"], (last - first_out) / last)
        fired = (output.feature_acts != 0).any(dim=0)
        silent = torch.where(fired, 0, silent + 1)
        adam.zero_grad()
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        adam.step()
        found = ours.step(x, RATE)
        part = abs(found.loss - output.loss.item()) / abs(output.loss.item())
        differences["loss"] = max(differences["loss"], part)
        for name, value in theirs.named_parameters():
            mine = state.parameters()[name]
            gap = (mine - (value.T if name == "W_enc" else value)).abs().max().item()
            differences[name] = max(differences.get(name, 0.0), gap)
    return differences


if __name__ == "__main__":
    sys.exit(main())
