"""Ours -> SAELens -> ours: every kind that SAELens has an architecture for, and every normalisation of a token that it has
a word for, with the same codes to the bit.

Our folder is opened by SAELens, which has to reconstruct what we do; SAELens saves what it opened, and what we read out of
that has to give the codes of the dictionary that we started with, bit for bit. Run in an environment with sae-lens, and
with PYTHONPATH=src. Prints a line for each kind, and fails where one parts.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import torch

warnings.filterwarnings("ignore")

from sae_lens import SAE  # noqa: E402

from fairfight.dictionaries.contract import Card, Dictionary, TrainingFlops  # noqa: E402
from fairfight.dictionaries.formats import NormalisedSae, load_any, save  # noqa: E402
from fairfight.dictionaries.formats._parameters import Parameters, build  # noqa: E402

KINDS = ("relu", "topk", "batch_topk", "matryoshka", "jumprelu", "gated")
STEPS = (("layer_norm",), ("constant_norm_rescale",), ("centre",), ("centre", "constant_norm_rescale"))
WIDTH, LATENTS, TOKENS, K = 96, 512, 2048, 16
TOLERANCE = 2e-5
"""Of SAELens's codes and reconstructions beside ours: both are float32, and add up products in another order."""


def main() -> int:
    torch.manual_seed(0)
    x = torch.randn(TOKENS, WIDTH) + 0.3
    named = {kind: made(kind) for kind in KINDS}
    named |= {f"{kind}, {' and '.join(steps)}": NormalisedSae(made(kind), steps) for kind in KINDS for steps in STEPS}
    parted = [not compare(name, ours, x) for name, ours in named.items()]
    return int(any(parted))


def compare(name: str, ours: Dictionary, x: torch.Tensor) -> bool:
    """Print how far SAELens is from us, and whether the way back ends at the same bits."""
    if "centre" in name:
        # SAELens has the model centre its tokens, so it is given such ones.
        x = x - x.mean(dim=1, keepdim=True)
    codes = ours.encode(x)
    with tempfile.TemporaryDirectory() as scratch:
        there, back = Path(scratch) / "ours", Path(scratch) / "theirs"
        save(ours, card(ours.kind), there)
        theirs = SAE.load_from_disk(there)
        theirs.save_model(back)
        again = load_any(back)
    with torch.no_grad():
        seen = theirs.encode(x)
        gap = (seen - codes).abs().max().item()
        rebuilt = (theirs.decode(seen) - ours.rebuild(x, codes)).abs().max().item()
    are_same = torch.equal(again.dictionary.encode(x), codes)
    same = again.origin.model == "a/model" and again.origin.site == "resid_post.4"
    is_fine = are_same and same and max(gap, rebuilt) <= TOLERANCE * codes.max().item()
    print(
        f"{name:46} as {theirs.cfg.architecture():9} codes {gap:.1e}, reconstruction {rebuilt:.1e} from SAELens's; "
        f"the way back gives {'the same bits' if are_same else 'OTHER CODES'}  {'ok' if is_fine else 'PARTED'}"
    )
    return is_fine


def made(kind: str) -> Dictionary:
    """Give a dictionary with random weights, in which every parameter matters."""
    rows, atoms = torch.randn(LATENTS, WIDTH) / WIDTH**0.5, torch.randn(LATENTS, WIDTH) / WIDTH**0.5
    names = ("b_gate", "b_mag", "r_mag") if kind == "gated" else ("b_enc",)
    vectors = {name: 0.2 * torch.randn(LATENTS) for name in names}
    if kind in ("batch_topk", "matryoshka"):
        vectors["threshold"] = torch.full((LATENTS,), 1.5)
    if kind == "jumprelu":
        vectors["threshold"] = 1 + torch.rand(LATENTS)
    return build(kind, Parameters(rows, atoms, torch.randn(WIDTH), vectors), k=K)


def card(kind: str) -> Card:
    return Card(kind, {}, 0, "resid_post.4", "a/model", "", 0, TrainingFlops(0, 0), 0, 0.5, 16.0, 0.0)


if __name__ == "__main__":
    sys.exit(main())
