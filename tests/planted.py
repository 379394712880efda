"""A ledger with planted skills: what the verdict must find is known before it looks.

A score is `skill * label + cluster effect + noise`, both of variance one half, so that the AUROC of a contender is
Phi(skill / sqrt(2)) (two normals of unit variance, their means `skill` apart).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fairfight.ledger import Ledger
from fairfight.records import Contender, Cost, ExampleRow, ExampleTable, Failed, Outcome, Scored, Trial, TrialSpec
from fairfight.study import Study, study_from

TEST_SETS = ("in_distribution", "unseen_families")
KINDS = ("kmeans", "random", "pca", "neurons", "shuffled", "frozen")
"""Dictionaries of these names are of these kinds; others are TopK SAEs."""
FAMILIES = ("persona", "fiction", "")


@dataclass(frozen=True)
class Skill:
    """How good a contender is, by set; `own_noise` is the share of its noise that other contenders do not see."""

    contender: Contender
    by_set: Mapping[str, float]
    dictionary_seeds: tuple[int | None, ...] = (None,)
    own_noise: float = 0.5
    flops: int = 10**9
    sweeps_k: bool = False


def skill(name: str, side: str, inside: float, outside: float, **more: object) -> Skill:
    """Give a contender with one skill in distribution (validation and calibration too) and one outside."""
    method, _, dictionary = name.rstrip("]").partition("[")
    family = "probing" if side == "baseline" else "dictionary"
    by_set = {"validation": inside, "calibration": inside, "in_distribution": inside, "unseen_families": outside}
    return Skill(Contender(method, family, side, dictionary or None), by_set, **more)  # type: ignore[arg-type]


STANDARD = (
    skill("logistic_probe", "baseline", 3.0, 2.0),
    skill("mean_difference", "baseline", 1.0, 0.8, flops=10**8),
    skill("best_latent[sae]", "dictionary", 1.2, 0.3, dictionary_seeds=(0, 1), sweeps_k=True),
    skill("reconstruction_probe[sae]", "dictionary", 2.6, 1.4, dictionary_seeds=(0, 1), flops=3 * 10**9),
    skill("best_latent[kmeans]", "rival", 0.9, 0.4, dictionary_seeds=(0, 1)),
    skill("reconstruction_probe[random]", "control", 0.6, 0.2, dictionary_seeds=(0, 1)),
)


@dataclass(frozen=True)
class World:
    """What is planted."""

    skills: Sequence[Skill] = STANDARD
    questions: Sequence[Mapping[str, object]] = field(default_factory=lambda: [{"name": "main", "replicates": 400}])
    seeds: int = 3
    clusters: int = 30
    """Of each class, in each part (development and test)."""
    variants: int = 2
    failing: frozenset[tuple[str, int]] = frozenset()
    """Contender and seed of the trials that break."""
    text: str = "text"
    chance: int = 0
    variants_of: Mapping[str, str] = field(default_factory=dict)
    """Dictionaries that were made from others."""

    def study(self) -> Study:
        """Give the study that would plan such a ledger."""
        names = {s.contender.dictionary: s.contender.side for s in self.skills if s.contender.dictionary}
        roles = {"dictionary": "contestant", "rival": "rival", "control": "control"}
        kinds = {name: {"kind": name if name in KINDS else "topk", "role": roles[side]} for name, side in names.items()}
        for name, base in self.variants_of.items():
            kinds[name]["variant_of"] = base
        return study_from(
            {
                "name": "planted",
                "about": "a planted world",
                "task": {"name": "planted"},
                "activations": {"sites": ["resid_post.2"]},
                "dictionaries": kinds,
                "trials": {"seeds": self.seeds, "dictionary_seeds": 2},
                "questions": list(self.questions),
            }
        )


def build(folder: Path, world: World | None = None) -> Ledger:
    """Write the ledger of a world and give it back."""
    world, ledger = world or World(), Ledger(folder)
    study, rows = world.study(), _rows(world)
    table = ExampleTable(tuple(rows), TEST_SETS, _order(world, rows), {})

    def parts(name: str) -> int:
        """Give how much a card counts: that of a variant, its base's training too."""
        return 3 if name in world.variants_of else 2

    cards = [
        {"name": name, "role": section.role, "kind": section.kind, "seed": 0, "site": "resid_post.2", "fvu": 0.21,
         "l0": 32.0, "dead_share": 0.05, "tokens_seen": 2500 * parts(name), "training_flops": {"executed": 10**12, "dense": parts(name) * 10**12}}
        for name, section in study.dictionaries.items()
    ]  # fmt: skip
    selected = {s.contender.name: _settings(s) for s in world.skills}
    ledger.write_examples(table)
    shared = np.random.default_rng([world.chance, 1])
    effects = {row.cluster: value for row, value in zip(rows, shared.normal(size=len(rows)), strict=True)}
    for number, own in enumerate(world.skills):
        for trial in _trials(world, study.hash, table, own, effects, np.random.default_rng([world.chance, 2, number])):
            ledger.write(trial)
    ledger.write_run(
        {
            "study": study.model_dump(mode="json"),
            "hash": study.hash,
            "dictionaries": cards,
            "selected": selected,
            "trials": sorted(ledger.keys()),
        }
    )
    return ledger


def _settings(own: Skill) -> dict[str, object]:
    return {"site": "resid_post.2", "k": 5} if own.sweeps_k else {"site": "resid_post.2"}


def _rows(world: World) -> list[ExampleRow]:
    rows = []
    for part in ("development", *TEST_SETS):
        side = "development" if part == "development" else "test"
        for cluster in range(world.clusters):
            for label in (0, 1):
                for variant in range(world.variants):
                    family = FAMILIES[(cluster + variant) % len(FAMILIES)]
                    key = f"{part}-{cluster}-{label}-{variant}"
                    rows.append(
                        ExampleRow(key, f"{world.text} {key}", label, f"{side}-{cluster}-{label}", part,
                                   {"jailbreak": family} if family else {})
                    )  # fmt: skip
    return rows


def _order(world: World, rows: list[ExampleRow]) -> dict[str, dict[str, tuple[str, ...]]]:
    order = {}
    for seed in range(world.seeds + 1):
        held = set(np.random.default_rng([world.chance, 3, seed]).permutation(world.clusters)[: world.clusters // 2])
        parts = {name: tuple(r.id for r in rows if r.set == name) for name in TEST_SETS}
        own = tuple(r.id for r in rows if r.set == "development" and int(r.id.split("-")[1]) in held)
        order[str(seed)] = {"validation": own, "calibration": own, **parts}
    return order


def _trials(
    world: World,
    study: str,
    table: ExampleTable,
    own: Skill,
    effects: Mapping[str, float],
    chance: np.random.Generator,
) -> list[Trial]:
    by_id = {row.id: row for row in table.rows}
    shared = np.random.default_rng([world.chance, 4])
    common = dict(zip(by_id, shared.normal(size=len(by_id)), strict=True))

    def outcome(seed: int, sets: Sequence[str], factor: float = 1.0) -> Scored:
        scores = {}
        for name in sets:
            rows = [by_id[key] for key in table.order[str(seed)][name]]
            noise = np.array([common[row.id] for row in rows]) * np.sqrt(1 - own.own_noise)
            noise += chance.normal(size=len(rows)) * np.sqrt(own.own_noise)
            mean = np.array(
                [factor * own.by_set[name] * row.label + effects[row.cluster] * np.sqrt(0.5) for row in rows]
            )
            scores[name] = (tuple((mean + noise * np.sqrt(0.5)).tolist()), [row.label for row in rows])
        area = {name: auroc(*pair) for name, pair in scores.items()}
        kept = {name: pair[0] for name, pair in scores.items()}
        return Scored(
            min(1.0, area["validation"] + 0.02), area["validation"], {n: area[n] for n in area if n in TEST_SETS}, kept
        )

    def trial(
        purpose: str, seed: int, dictionary_seed: int | None, settings: Mapping[str, object], made: Outcome
    ) -> Trial:
        spec = TrialSpec(study, "inputs", own.contender, purpose, seed, dictionary_seed, settings)  # type: ignore[arg-type]
        dictionary_flops = 10**12 if own.contender.dictionary else 0
        return Trial(spec, made, Cost(own.flops, own.flops // 10, own.flops // 100, dictionary_flops, 5000, 100, 1))

    every = ("validation", "calibration", *TEST_SETS)
    trials = [trial("tune", 0, own.dictionary_seeds[0], _settings(own), outcome(0, ("validation", "calibration")))]
    for seed in range(1, world.seeds + 1):
        for dictionary_seed in own.dictionary_seeds:
            broken = Failed("NotConvergedError", "the fit stopped at 3 <of> 5 steps", "")
            made = broken if (own.contender.name, seed) in world.failing else outcome(seed, every)
            trials.append(trial("score", seed, dictionary_seed, _settings(own), made))
            for k in (1, 5, 20) if own.sweeps_k else ():
                trials.append(
                    trial("curve", seed, dictionary_seed, {**_settings(own), "k": k}, outcome(seed, every, 1 + k / 40))
                )
    return trials


def auroc(scores: Sequence[float], labels: Sequence[int]) -> float:
    """Give AUROC pair by pair, straight from its definition."""
    values, marks = np.asarray(scores), np.asarray(labels)
    differences = values[marks == 1][:, None] - values[marks == 0][None, :]
    return float((differences > 0).mean() + (differences == 0).mean() / 2)
