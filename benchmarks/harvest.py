"""How much faster `harvest` is than a plain loop over the same texts, end to end.

The plain loop is what one writes first: batches of 64 texts in the order that they come in, padded to the longest,
all layers, float32, hidden states picked out of `output_hidden_states`. Both sides tokenise; ours also writes its
shards. Rounds alternate between all contenders, and what is reported is the median over rounds of the ratio within a
round, since a shared machine's speed drifts between rounds.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from fairfight import seeds
from fairfight.activations.harvest import ComputeDtype, harvest
from fairfight.models.load import Model, load

SETS = Path(__file__).resolve().parents[2] / "shared" / "data" / "probing" / "sets"
PLAIN_BATCH = 64
MAX_TOKENS = 128
CONTENDERS: tuple[tuple[int, ComputeDtype, float | None], ...] = (
    (2, "float32", 7.0),
    (4, "float32", 4.5),
    (2, "bfloat16", 15.0),
    (4, "bfloat16", None),
)
"""Layer, precision of the products, and the ratio aimed at."""


def prompts(folder: Path, model: Model, count: int) -> list[str]:
    """Give `count` distinct prompts of 4 to 127 tokens out of all sets, shuffled by a fixed seed."""
    import zstandard

    found: dict[str, None] = {}
    for file in sorted(folder.glob("*.csv.zst")):
        with file.open("rb") as stream:
            text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(stream), encoding="utf-8", newline="")
            found |= dict.fromkeys(row["prompt"] for row in csv.DictReader(text))
    texts = list(found)
    order = seeds.stream("harvest benchmark").permutation(len(texts))[: 3 * count]
    lengths = [len(ids) for ids in model.tokenizer([texts[row] for row in order], verbose=False)["input_ids"]]
    fitting = [texts[row] for row, length in zip(order, lengths, strict=True) if 4 <= length < MAX_TOKENS]
    return fitting[:count]


def plain_loop(model: Model, texts: list[str], layer: int) -> Iterator[torch.Tensor]:
    """Give the content tokens' activations of each batch, computed in the plain way."""
    for start in range(0, len(texts), PLAIN_BATCH):
        encoded = model.tokenizer(
            texts[start : start + PLAIN_BATCH],
            padding=True,
            truncation=True,
            max_length=MAX_TOKENS,
            return_special_tokens_mask=True,
            return_tensors="pt",
        )
        is_content = encoded.pop("special_tokens_mask") == 0
        with torch.inference_mode():
            states = model.module(**encoded, output_hidden_states=True).hidden_states[layer + 1]
        yield states[is_content]


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Give how long a call takes, by the wall clock and in processor time of this process."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def ours(model: Model, texts: list[str], layer: int, compute_dtype: ComputeDtype) -> None:
    """Harvest into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        harvest(model, texts, [f"resid_post.{layer}"], Path(folder), max_tokens=MAX_TOKENS, compute_dtype=compute_dtype)


def largest_difference(model: Model, texts: list[str], layer: int) -> float:
    """Give the largest difference between our float32 activations and the plain loop's."""
    with tempfile.TemporaryDirectory() as folder:
        activations = harvest(model, texts, [f"resid_post.{layer}"], Path(folder))[f"resid_post.{layer}"]
        values = activations.tokens(activations.rows(texts)).values
    return float((values - torch.cat(list(plain_loop(model, texts, layer)))).abs().max())


def measure(model: Model, texts: list[str], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Give seconds by contender, a number a round; every round plays all of them."""
    taken: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        # Layers do not change what the plain loop computes: it runs them all.
        taken.setdefault("plain", []).append(seconds(lambda: list(plain_loop(model, texts, 2))))
        for layer, dtype, _ in CONTENDERS:
            name = f"resid_post.{layer} {dtype}"
            taken.setdefault(name, []).append(seconds(lambda at=layer, of=dtype: ours(model, texts, at, of)))
    return taken


def table(taken: dict[str, list[tuple[float, float]]], tokens: int) -> str:
    """Give the results as a Markdown table; processor time is the fairer ratio where others use the machine."""
    lines = ["| contender | tokens/s | times the plain loop | by processor time | aim |", "|---|---|---|---|---|"]
    plain = np.array(taken["plain"])
    lines.append(f"| plain loop | {tokens / np.median(plain[:, 0]):,.0f} | 1.0 | 1.0 | |")
    for layer, dtype, aim in CONTENDERS:
        mine = np.array(taken[f"resid_post.{layer} {dtype}"])
        ratios = plain / mine
        wall, processor = (f"{np.median(r):.1f} ({r.min():.1f} to {r.max():.1f})" for r in ratios.T)
        speed = tokens / np.median(mine[:, 0])
        lines.append(f"| resid_post.{layer}, {dtype} | {speed:,.0f} | {wall} | {processor} | {aim or ''} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and print; a missing data folder is said and is no failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=Path, default=SETS, help="folder of *.csv.zst files with a column 'prompt'")
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not any(options.sets.glob("*.csv.zst")):
        print(f"Skipped: {options.sets} holds no *.csv.zst file. Give the folder of prompts with --sets.")
        return 0
    model = load()
    texts = prompts(options.sets, model, options.texts)
    lengths = [len(ids) for ids in model.tokenizer(texts)["input_ids"]]
    print(f"{len(texts)} texts, {sum(lengths)} tokens (mean {np.mean(lengths):.1f}), {torch.get_num_threads()} threads")
    for layer in (2, 4):
        difference = largest_difference(model, texts[:500], layer)
        print(f"resid_post.{layer}: largest difference from the plain loop {difference:.1e}")
    print(table(measure(model, texts, options.rounds), sum(lengths)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
