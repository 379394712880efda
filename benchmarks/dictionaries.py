"""A training step of ours beside those of four libraries, interleaved: `make bench-dictionaries`.

Every contender runs in a process of its own, in an environment of its own, in its own training loop, on the same token
states of all-MiniLM-L6-v2 (layer 3; twice side by side for the wider size). One round runs each once, in a new order;
what is compared are medians over rounds of the step's time by that of a plain float32 product timed between the steps of
the same process. Peers run twice: as they come, and with glibc told to keep large temporaries instead of giving them back
(MALLOC_*), which is free speed that they leave on the table.

    python benchmarks/dictionaries.py [--rounds 3] [--sizes A B] [--only NAME ...] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
PEERS = Path(os.environ.get("BENCH_PEERS", ".peers"))
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
ENVIRONMENTS = {
    # torch first and named again, so that no other build of it comes along; torchvision's does not import beside it.
    "sae_lens": ("sae-lens==6.54.12", False),
    "dictionary_learning": ("dictionary-learning==0.1.0", True),
    "sparsify": ("eai-sparsify==1.3.3", False),
    "overcomplete": ("overcomplete==0.3.0", False),
}
TORCH = "torch==2.13.0"


class Contender(NamedTuple):
    """One row of the table."""

    name: str
    peer: str
    variant: str
    is_tuned: bool = False


CONTENDERS = (
    Contender("ours topk", "ours", "topk"),
    Contender("ours topk, bf16 candidates", "ours", "topk-coarse"),
    Contender("ours topk, auxiliary loss firing", "ours", "topk-firing"),
    Contender("ours topk, auxiliary loss firing, bf16 candidates", "ours", "topk-firing-coarse"),
    Contender("ours topk, torch alone", "ours", "topk-torch"),
    Contender("ours batchtopk", "ours", "batchtopk"),
    Contender("ours jumprelu", "ours", "jumprelu"),
    *(
        Contender(f"{peer} {variant}{', malloc tuned' if is_tuned else ''}", peer, variant, is_tuned)
        for peer, variants in {
            "sae_lens": ("topk", "batchtopk", "jumprelu"),
            "dictionary_learning": ("topk",),
            "sparsify": ("topk",),
            "overcomplete": ("topk",),
        }.items()
        for variant in variants
        for is_tuned in (False, True)
    ),
)


def main() -> None:
    arguments = _arguments()
    for peer in arguments.only_environments:
        _environment(peer)
    tokens = _tokens()
    if arguments.only_environments:
        return
    chosen = [c for c in CONTENDERS if not arguments.only or any(part in c.name for part in arguments.only)]
    for peer in {c.peer for c in chosen} - {"ours"}:
        _environment(peer)
    found: dict[str, dict[str, list[dict[str, float]]]] = {size: {} for size in arguments.sizes}
    for number in range(arguments.rounds):
        for size in arguments.sizes:
            order = random.Random(f"{number} {size}").sample(chosen, len(chosen))
            for contender in order:
                result = _run(contender, size, tokens)
                if result is not None:
                    found[size].setdefault(contender.name, []).append(result)
                    print(f"round {number + 1} {size} {contender.name}: {result['ratio']:.3f}", file=sys.stderr)
        if arguments.out:  # after every round: three of them take most of an hour
            arguments.out.parent.mkdir(exist_ok=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    for size in arguments.sizes:
        print(_table(size, found[size], chosen))


def _table(size: str, found: dict[str, list[dict[str, float]]], chosen: list[Contender]) -> str:
    lines = [
        f"\n{size}: step by plain product, median over rounds (range); product in ms",
        "| | step / product | range | step, ms | product, ms | codes a token | rounds |",
        "|---|---|---|---|---|---|---|",
    ]
    for contender in chosen:
        rounds = found.get(contender.name)
        if not rounds:
            lines.append(f"| {contender.name} | did not run | | | | | 0 |")
            continue
        ratios = [round_["ratio"] for round_ in rounds]
        step, floor = (statistics.median(r[key] for r in rounds) for key in ("step_ms", "floor_ms"))
        lines.append(
            f"| {contender.name} | {statistics.median(ratios):.3f} | {min(ratios):.3f} to {max(ratios):.3f} "
            f"| {step:.1f} | {floor:.1f} | {_codes(rounds)} | {len(rounds)} |"
        )
    return "\n".join(lines)


def _codes(rounds: list[dict[str, float]]) -> str:
    """Give L0 at the last step where the contender says it."""
    said = [round_["l0"] for round_ in rounds if "l0" in round_]
    return f"{statistics.median(said):.0f}" if said else ""


def _run(contender: Contender, size: str, tokens: Path) -> dict[str, float] | None:
    python = Path(sys.executable) if contender.peer == "ours" else PEERS / contender.peer / "bin" / "python"
    environment = {
        **os.environ,
        "BENCH_TOKENS": str(tokens),
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
        "OMP_WAIT_POLICY": "passive",
        **(TUNED if contender.is_tuned else {}),
    }
    done = subprocess.run(
        [python, HERE / "peers" / f"{contender.peer}.py", size, contender.variant],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    print(f"{contender.name} {size} gave no result:\n{done.stderr[-1500:]}", file=sys.stderr)
    return None


def _environment(peer: str) -> None:
    folder = PEERS / peer
    if (folder / "bin" / "python").exists():
        return
    package, without_torchvision = ENVIRONMENTS[peer]
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, TORCH], check=True)
    subprocess.run([*pip, package, TORCH], check=True)
    if without_torchvision:
        subprocess.run([folder / "bin" / "python", "-m", "pip", "uninstall", "--yes", "torchvision"], check=True)


def _tokens() -> Path:
    """Give a file of token states of the packaged prompts at layer 3, harvested once."""
    file = Path(".fairfight/benchmark-tokens.npy")
    if not file.is_file():
        import numpy as np

        from fairfight.activations.harvest import harvest
        from fairfight.models.load import load
        from fairfight.tasks.harmful_intent import HarmfulIntent

        texts = tuple(dict.fromkeys(example.text for example in HarmfulIntent().collection().examples))[:6000]
        store = harvest(load("all-MiniLM-L6-v2"), texts, ("resid_post.3",), Path(".fairfight/activations"))[
            "resid_post.3"
        ]
        values = store.tokens(np.random.default_rng(0).permutation(len(store.token_counts))).values
        file.parent.mkdir(exist_ok=True)
        np.save(file, values[:98_304].numpy())
    return file.resolve()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", default=["A", "B"])
    parser.add_argument("--only", nargs="*", default=[], help="parts of names")
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--only-environments", nargs="*", default=[], help="install these peers, harvest the tokens, and stop"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
