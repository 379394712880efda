"""The record of a quality measurement: plain values, the content of `quality.json`. `SCHEMA` rises when a key changes its meaning.

An *estimate* is `{"value", "low", "high"}`; the bounds of its interval (texts resampled) are null where there is none.
What does not exist stands as `{"undefined": reason}` in the same place. A *histogram* is `{"edges", "counts"}`.

| key             | holds                                                                                               |
|-----------------|-----------------------------------------------------------------------------------------------------|
| `schema`        | 1                                                                                                   |
| `key`           | content hash of all that shaped the numbers                                                         |
| `fairfight`     | version                                                                                             |
| `model`         | `name`, `revision`, `weights_sha256`, `is_causal`                                                   |
| `site`          | canonical name                                                                                      |
| `texts`         | `file`, `read` (with repetitions), `distinct`, `tokens`, `truncated`, `first_token_variance_share`  |
| `settings`      | thresholds, `max_tokens`, `replicates`, `level`                                                     |
| `cautions`      | sentences                                                                                           |
| `dictionaries`  | a list; see below                                                                                   |
| `stability`     | `{"undefined"}` for one dictionary, else `pairs` and `random`; see below                            |

Of each dictionary:

| key              | holds                                                                                              |
|------------------|----------------------------------------------------------------------------------------------------|
| `name`, `folder` | a short name, unique here; where it was read                                                       |
| `kind`, `seed`, `recipe`, `latents`, `d_model`, `is_signed`, `sha256` | what it is; `sha256` of its tensors           |
| `reconstruction` | estimates `fvu`, `variance_explained`, `norm_ratio`, `cosine`; `cosine_undefined_tokens`           |
| `l0`             | estimate `mean`; `percentiles` by "5" to "95"; `tokens_by_l0`: `{"active": [...], "tokens": [...]}` |
| `firing`         | `tokens_by_latent`; `log10_frequency` (histogram); `dead` {latents, share, unseen_below}; `dense` {latents, share, share_of_active} |
| `atoms`          | `is_absolute`, `zero`, `largest_cosine` {mean, median, max}, `similar_share`, `histogram`          |
| `loss`           | `{"undefined"}`, or `predictions`, `cross_entropy` and `divergence` by `clean`, `spliced`, `mean_ablated`, `zero_ablated` (estimates, nats), `recovered` by ablation |

Of each pair: `first`, `second` (names), `first_to_second` and `second_to_first` {atoms, mean_cosine, matched_share, alive:
the same of latents that are not dead}, `assigned` {atoms, mean_cosine, matched_share} or undefined, `histogram` of both
directions together. `random` is such a pair of random directions of the same shape, without `alive`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from fairfight import seeds
from fairfight.dictionaries.quality.firing import (
    Histogram,
    frequency_histogram,
    is_dead,
    is_dense,
    percentile,
    unseen_below,
)
from fairfight.dictionaries.quality.intervals import LEVEL, REPLICATES, Estimate, Replicates, Undefined, ratio, resample
from fairfight.dictionaries.quality.loss import CLEAN, LossSums, recovered
from fairfight.dictionaries.quality.stability import ASSIGNED_ATOMS, Pair, match, of_alive
from fairfight.dictionaries.quality.structure import Directions, cosine_histogram
from fairfight.dictionaries.quality.walk import Walk
from fairfight.errors import EmptyBatchError

SCHEMA = 1
PERCENTILES = (5, 25, 50, 75, 95)
ABLATIONS = {"mean": "mean_ablated", "zero": "zero_ablated"}


@dataclass(frozen=True)
class Settings:
    """Thresholds, and how intervals are drawn."""

    dense_share: float = 0.1
    """A latent that fires on more of the tokens is dense."""
    similar_cosine: float = 0.9
    """An atom with another one beyond it is similar."""
    matched_cosine: float = 0.7
    """An atom is found again in another dictionary beyond it."""
    max_tokens: int = 128
    """Longer texts are cut there."""
    replicates: int = REPLICATES
    level: float = LEVEL


def reconstruction_of(walk: Walk, key: str, settings: Settings) -> dict[str, Any]:
    """Give `reconstruction` and `l0` of a dictionary.

    FVU's reference mean is that of all tokens, in every replicate. `key` names the draws: every dictionary on the same
    tokens sees the same.

    Raises:
        EmptyBatchError: all tokens are equal.
    """
    sums = _drawn(walk.sums, key, settings)
    if not sums["squared_deviation"][0] > 0:
        raise EmptyBatchError(
            f"All {walk.tokens} tokens are equal, so they have no variance to explain. Give texts with different tokens."
        )

    def share(numerator: str, denominator: str, why: str = "") -> Estimate | Undefined:
        return ratio(sums[numerator], sums[denominator], why=why, level=settings.level)

    fvu = share("squared_error", "squared_deviation")
    estimates = {
        "fvu": fvu,
        "variance_explained": _one_minus(fvu),
        "norm_ratio": share("squared_rebuilt_norm", "squared_norm", "all tokens are zero"),
        "cosine": share("cosine", "cosine_tokens", "every token or its reconstruction is zero"),
    }
    active = np.flatnonzero(walk.tokens_by_l0)
    return {
        "reconstruction": {
            **{name: own.to_json() for name, own in estimates.items()},
            "cosine_undefined_tokens": int(sums["tokens"][0] - sums["cosine_tokens"][0]),
        },
        "l0": {
            "mean": share("active", "tokens").to_json(),
            "percentiles": {str(percent): percentile(walk.tokens_by_l0, percent) for percent in PERCENTILES},
            "tokens_by_l0": {"active": active.tolist(), "tokens": walk.tokens_by_l0[active].tolist()},
        },
    }


def firing_of(walk: Walk, settings: Settings) -> dict[str, Any]:
    """Give `firing` of a dictionary."""
    dead, dense = is_dead(walk.firing), is_dense(walk.firing, walk.tokens, share=settings.dense_share)
    spoken = int(walk.firing.sum())
    return {
        "tokens_by_latent": walk.firing.tolist(),
        "log10_frequency": _histogram(frequency_histogram(walk.firing, walk.tokens)),
        "dead": {**_counted(dead), "unseen_below": unseen_below(walk.tokens)},
        "dense": {**_counted(dense), "share_of_active": int(walk.firing[dense].sum()) / spoken if spoken else 0.0},
    }


def atoms_of(
    atoms: Directions, cosines: np.ndarray | Undefined, settings: Settings, *, is_absolute: bool
) -> dict[str, Any]:
    """Give `atoms` of a dictionary out of the largest cosine of each of them."""
    head = {"is_absolute": is_absolute, "zero": int((~atoms.is_kept).sum())}
    if isinstance(cosines, Undefined):
        return {**head, **cosines.to_json()}
    return {
        **head,
        "largest_cosine": {
            "mean": float(np.mean(cosines, dtype=np.float64)),
            "median": float(np.median(cosines)),
            "max": float(cosines.max()),
        },
        "similar_share": float((cosines > settings.similar_cosine).mean()),
        "histogram": _histogram(cosine_histogram(cosines)),
    }


def loss_of(losses: LossSums, edit: str, key: str, settings: Settings) -> dict[str, Any]:
    """Give `loss` of the dictionary whose reconstruction `edit` splices in."""
    edits = {CLEAN: CLEAN, "spliced": edit, **{name: ablation for ablation, name in ABLATIONS.items()}}
    columns = {"predictions": losses.predictions}
    columns |= {f"cross_entropy {own}": losses.cross_entropy[own] for own in edits.values()}
    columns |= {f"divergence {own}": losses.divergence[own] for own in edits.values() if own != CLEAN}
    sums = _drawn(columns, key, settings)
    predictions = sums["predictions"]
    if not predictions[0]:
        return Undefined("no text has two content tokens in a row, so nothing is predicted").to_json()

    def mean(name: str) -> dict[str, Any]:
        return ratio(sums[name], predictions, why="", level=settings.level).to_json()

    entropies = {own: sums[f"cross_entropy {own}"] for own in edits.values()}
    return {
        "predictions": int(predictions[0]),
        "cross_entropy": {name: mean(f"cross_entropy {own}") for name, own in edits.items()},
        "divergence": {name: mean(f"divergence {own}") for name, own in edits.items() if own != CLEAN},
        "recovered": {
            name: recovered(entropies, edit, ablation, level=settings.level).to_json()
            for ablation, name in ABLATIONS.items()
        },
    }


@dataclass(frozen=True, eq=False)
class Side:
    """One dictionary of a pair: its name, which atoms have a direction, which latents fire."""

    name: str
    is_kept: Bool[np.ndarray, " latent"]
    is_alive: Bool[np.ndarray, " latent"]


def pair_of(pair: Pair, sides: Sequence[Side], settings: Settings) -> dict[str, Any]:
    """Give a pair of `stability`; without `sides`, that of the random directions."""
    record: dict[str, Any] = {}
    for name, cosines, place in (("first_to_second", pair.first, 0), ("second_to_first", pair.second, 1)):
        record[name] = _match(cosines, settings)
        if sides:
            alive = of_alive(cosines, sides[place].is_kept, sides[place].is_alive)
            record[name]["alive"] = _match(alive, settings)
    assigned = Undefined(f"more than {ASSIGNED_ATOMS} atoms: the one-to-one matching is not made")
    record["assigned"] = assigned.to_json() if pair.assigned is None else _match(pair.assigned, settings)
    record["histogram"] = _histogram(cosine_histogram(np.concatenate([pair.first, pair.second])))
    return {**({"first": sides[0].name, "second": sides[1].name} if sides else {}), **record}


def _match(cosines: np.ndarray, settings: Settings) -> dict[str, Any]:
    if not len(cosines):
        return Undefined("there is no such atom").to_json()
    return match(cosines, threshold=settings.matched_cosine)._asdict()


def _drawn(columns: Mapping[str, np.ndarray], key: str, settings: Settings) -> dict[str, Replicates]:
    return resample(columns, seeds.stream("quality", key), settings.replicates)


def _one_minus(own: Estimate | Undefined) -> Estimate | Undefined:
    if isinstance(own, Undefined):
        return own
    low, high = (None if bound is None else 1 - bound for bound in (own.high, own.low))
    return Estimate(1 - own.value, low, high)


def _counted(chosen: Bool[np.ndarray, " latent"]) -> dict[str, Any]:
    return {"latents": int(chosen.sum()), "share": float(chosen.mean())}


def _histogram(own: Histogram) -> dict[str, Any]:
    return {"edges": list(own.edges), "counts": list(own.counts)}
