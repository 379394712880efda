"""How often the verdict errs, on studies whose answer is known: `make bench-verdict`.

For each design, of studies without a difference: the share that says "wins" and "loses" (margin 0), the share of 95 %
intervals that hold the truth, and beside it that of percentiles of a bootstrap which draws clusters, split seeds and
dictionary seeds, crossed (what the verdict does not use where levels are few, and why). Then power: of studies with a
difference, the share of wins beside the normal formula. Shares come with their Monte Carlo error (95 %).

    python benchmarks/verdict.py [--studies 1000] [--designs NAME ...] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from fairfight.verdict.simulate import World, draw_study
from fairfight.verdict.statistics.crossed import Crossed
from fairfight.verdict.statistics.words import interval, word_of

ONE_SEED = {"seeds": 1, "dictionary_seeds": 1, "seed_deviation": 0.0, "dictionary_deviation": 0.0, "clusters": 400}
DESIGNS = {
    "independent": World(),
    "independent, one seed": World(**ONE_SEED),
    "clustered": World(cluster_size=6, cluster_deviation=1.5, clusters=120),
    "clustered, one seed": World(**ONE_SEED | {"clusters": 120}, cluster_size=6, cluster_deviation=1.5),
    "few seeds": World(seed_deviation=0.4, dictionary_deviation=0.4),
    "two dictionary seeds": World(dictionary_seeds=2, dictionary_deviation=0.4),
    "two seeds of each": World(seeds=2, dictionary_seeds=2),
    "saturated": World(distance=4.2, clusters=400),
    "saturated, one seed": World(**ONE_SEED, distance=4.2),
    "winner picked": World(contestants=8, baselines=8),
    "winner picked, one baseline": World(contestants=8, baselines=1),
    "winner picked, few seeds": World(contestants=8, baselines=8, seed_deviation=0.4, dictionary_deviation=0.4),
}
ADVANTAGES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
LEVEL = 0.95
REPLICATES = 1000


def measured(world: World, studies: int, chance: np.random.Generator) -> dict[str, float]:
    """Give shares over `studies` studies of one world."""
    truth, drawn = world.difference, [draw_study(world, chance) for _ in range(studies)]
    estimates = [own.estimate() for own in drawn]
    intervals = [interval(own, LEVEL) for own in estimates]
    words = [word_of(low, high, 0.0) for low, high in intervals]
    percentiles = [percentile_interval(own, chance) for own in drawn]
    return {
        "auroc": world.auroc(has_dictionary=False),
        "wins": words.count("wins") / studies,
        "loses": words.count("loses") / studies,
        "covered": sum(low <= truth <= high for low, high in intervals) / studies,
        "covered_by_percentiles": sum(low <= truth <= high for low, high in percentiles) / studies,
        "length": float(np.mean([high - low for low, high in intervals])),
        "degrees": float(np.median([own.degrees for own in estimates])),
        "bias": float(np.mean([own.value for own in estimates]) - truth),
    }


def percentile_interval(difference: Crossed, chance: np.random.Generator) -> tuple[float, float]:
    """Give the percentile interval of the crossed bootstrap, clusters by their linear effect on each trial."""
    seeds, clusters = difference.summands[0].spread.shape[0], difference.clusters
    weights = chance.multinomial(clusters, np.full(clusters, 1 / clusters), size=REPLICATES) - 1.0
    of_seeds = chance.multinomial(seeds, np.full(seeds, 1 / seeds), size=REPLICATES) / seeds
    total = np.zeros(REPLICATES)
    for own in difference.summands:
        columns = own.values.shape[1]
        drawn = chance.multinomial(columns, np.full(columns, 1 / columns), size=REPLICATES) / columns
        values = own.values + np.einsum("rc,sdc->rsd", weights, own.spread)
        total += np.einsum("rsd,rs,rd->r", values, of_seeds, drawn)
    low, high = np.quantile(total, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def power(world: World, studies: int, chance: np.random.Generator) -> list[dict[str, float]]:
    """Give the share of wins for growing advantages, beside the normal formula with the error that studies have."""
    rows = []
    for advantage in ADVANTAGES:
        own = replace(world, advantage=world.advantage + advantage)
        found = [draw_study(own, chance).estimate() for _ in range(studies)]
        wins = sum(interval(each, LEVEL)[0] > 0 for each in found) / studies
        error = float(np.std([each.value for each in found], ddof=1))
        formula = float(ndtr(own.difference / error - ndtri((1 + LEVEL) / 2)))
        rows.append({"difference": own.difference, "wins": wins, "formula": formula})
    return rows


def monte_carlo(share: float, studies: int) -> float:
    """Give the half-width of a share's own 95 % interval (Wilson's, so that none seen is not none for sure)."""
    z = ndtri(0.975)
    return float(z * np.sqrt(share * (1 - share) / studies + z**2 / (4 * studies**2)) / (1 + z**2 / studies))


def percent(share: float, studies: int) -> str:
    return f"{100 * share:.1f} ± {100 * monte_carlo(share, studies):.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--designs", nargs="*", default=list(DESIGNS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    studies, found = options.studies, {"studies": options.studies, "designs": {}, "power": {}}
    print(
        "| design | AUROC | wins | loses | covered | by percentiles | length | degrees |\n|---|---|---|---|---|---|---|---|"
    )
    for name in options.designs:
        world = DESIGNS[name].even()
        row = measured(world, studies, np.random.default_rng([7, *name.encode()]))
        shares = " | ".join(
            percent(row[key], studies) for key in ("wins", "loses", "covered", "covered_by_percentiles")
        )
        print(f"| {name} | {row['auroc']:.3f} | {shares} | {row['length']:.4f} | {row['degrees']:.0f} |", flush=True)
        found["designs"][name] = {"world": asdict(world), **row}
    print("\nPower: wins of studies with a true difference, and the normal formula's")
    for name in [own for own in ("independent, one seed", "independent", "few seeds") if own in options.designs]:
        rows = power(DESIGNS[name].even(), studies, np.random.default_rng([8, *name.encode()]))
        print(
            f"{name}: " + "; ".join(f"{r['difference']:.3f}: {r['wins']:.2f} ({r['formula']:.2f})" for r in rows),
            flush=True,
        )
        found["power"][name] = rows
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
