"""Who played, on which examples, and whether they played all of it: the ledger as the verdict reads it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from fairfight.division import Division, division_from
from fairfight.errors import DamagedFileError, InputError
from fairfight.ledger import Ledger
from fairfight.records import Contender, ExampleTable, Failed, Scored, Trial

VALIDATION = "validation"
CALIBRATION = "calibration"

Seat = tuple[int, int | None]
"""Split seed and dictionary seed of a trial."""


@dataclass(frozen=True)
class Play:
    """A scored trial; its scores stand in arrays beside it and no longer in its outcome."""

    trial: Trial
    outcome: Scored
    scores: Mapping[str, Float[np.ndarray, " example"]]


@dataclass(frozen=True)
class Entry:
    """A contender that played every scored seed on every dictionary seed."""

    contender: Contender
    dictionary_seeds: tuple[int | None, ...]
    plays: Mapping[Seat, Play]

    @property
    def name(self) -> str:
        """The contender's name."""
        return self.contender.name

    @property
    def validation_auroc(self) -> float:
        """Mean AUROC on validation over seeds and dictionary seeds: what selection looks at."""
        return float(np.mean([play.outcome.validation_auroc for play in self.plays.values()]))


@dataclass(frozen=True)
class SetIndex:
    """Labels and clusters of one set, in the order of its scores."""

    ids: tuple[str, ...]
    labels: Int[np.ndarray, " example"]
    clusters: Int[np.ndarray, " example"]
    """Positions in `Roster.clusters`."""


@dataclass(frozen=True)
class Roster:
    """The ledger of one study, sorted out for judging."""

    run: Mapping[str, Any]
    table: ExampleTable
    clusters: tuple[str, ...]
    seeds: tuple[int, ...]
    entries: Mapping[str, Entry]
    """Complete contenders by name."""
    incomplete: Mapping[str, str]
    """Contenders that no selection may choose, with what they lack."""
    trials: tuple[Trial, ...]
    """Every trial of the study, of all purposes; scores are emptied to save memory."""
    indices: Mapping[tuple[int, str], SetIndex]
    """By seed and set; sets of equal examples share one object."""
    division: Division
    """Whether the study was registered before its first trial."""
    barred: Mapping[str, str] = field(default_factory=dict)
    """Complete contenders that no selection may choose all the same, with why: they exceed the study's budget."""

    @property
    def hash(self) -> str:
        """The study's hash, or "" when the run does not say."""
        return str(self.run.get("hash", ""))

    @property
    def test_sets(self) -> tuple[str, ...]:
        """Test sets in the task's order; the first is the in-distribution one."""
        return self.table.test_sets

    @cached_property
    def contenders(self) -> dict[str, Contender]:
        """Everyone who played anything, by name."""
        return {trial.spec.contender.name: trial.spec.contender for trial in self.trials}

    @property
    def failed(self) -> tuple[Trial, ...]:
        """Trials that broke."""
        return tuple(trial for trial in self.trials if isinstance(trial.outcome, Failed))

    def on_side(self, side: str) -> list[Entry]:
        """Give the complete contenders of a side, by name."""
        return [entry for _, entry in sorted(self.entries.items()) if entry.contender.side == side]

    def eligible(self, side: str) -> list[Entry]:
        """Give the complete contenders of a side that may be chosen, by name."""
        return [entry for entry in self.on_side(side) if entry.name not in self.barred]

    def kind_of(self, contender: Contender) -> str:
        """Give the kind of a contender's dictionary, "" where it has none or the run does not say."""
        dictionaries = self.run.get("study", {}).get("dictionaries", {})
        return str(dictionaries.get(contender.dictionary, {}).get("kind", ""))

    def base_of(self, dictionary: str | None) -> str | None:
        """Give the dictionary that one was made from, None where it was made from none."""
        return self.run.get("study", {}).get("dictionaries", {}).get(dictionary, {}).get("variant_of")

    def clusters_of(self, name: str, label: int | None = None) -> Int[np.ndarray, " cluster"]:
        """Give the positions of a set's clusters, or of those that hold a label, over all seeds."""
        indices = [self.indices[seed, name] for seed in self.seeds]
        return np.unique(
            np.concatenate([own.clusters if label is None else own.clusters[own.labels == label] for own in indices])
        )

    def has_scores(self, name: str) -> bool:
        """Whether every complete contender kept its scores on the set `name` for every seed."""
        plays = [play for entry in self.entries.values() for play in entry.plays.values()]
        return all(name in play.scores for play in plays) and all((seed, name) in self.indices for seed in self.seeds)


def read_roster(ledger: Ledger) -> Roster:
    """Give the ledger of a run sorted out for judging.

    Only the trials that `run.json` lists count: others in the folder are of an older version, data or selection.

    A contender is complete when each scored seed has a scored trial for each of its dictionary's seeds. Which
    dictionary seeds there are is read off everybody who plays that dictionary.

    Memory: 8 bytes a score of the scored seeds, and one trial's JSON at a time.

    Raises:
        InputError: the folder is no run, or holds no trial of its study.
        DamagedFileError: a record is damaged or gone, the log of registrations beside the run is damaged, or a record has
            another number of scores than its set has examples.
    """
    run, table = ledger.run(), ledger.examples()
    if "trials" not in run:
        raise InputError(
            f"{ledger.folder}/run.json lists no trials, so nothing says which of the files count. Run the study again; "
            "what is there is not played twice."
        )
    clusters, indices = _index(table)
    trials: list[Trial] = []
    plays: dict[str, dict[Seat, Play]] = defaultdict(dict)
    there = ledger.keys() & set(run["trials"])
    if not there:
        raise InputError(f"{ledger.folder} holds no trial of its study. Run `fairfight run` on the study file first.")
    if lost := set(run["trials"]) - there:
        raise DamagedFileError(
            f"{ledger.folder} lacks {len(lost)} of the {len(run['trials'])} trials that run.json lists ({min(lost)}.json …). Run the "
            "study again: they are played anew, the rest is kept."
        )
    for key in sorted(run["trials"]):
        trial = ledger.read(key)
        light = _without_scores(trial)
        trials.append(light)
        if trial.spec.purpose == "score" and isinstance(trial.outcome, Scored):
            seat = (trial.spec.seed, trial.spec.dictionary_seed)
            _add_play(plays[trial.spec.contender.name], seat, _play(trial, light, indices))
    seeds = _scored_seeds(run, trials)
    entries, incomplete = _complete(trials, plays, seeds)
    division = division_from(ledger, run, table, {trial.spec.study for trial in trials})
    return Roster(run, table, clusters, seeds, entries, incomplete, tuple(trials), indices, division)


def _index(table: ExampleTable) -> tuple[tuple[str, ...], dict[tuple[int, str], SetIndex]]:
    row_of = {row.id: row for row in table.rows}
    clusters = tuple(sorted({row.cluster for row in table.rows}))
    position = {cluster: number for number, cluster in enumerate(clusters)}
    known: dict[tuple[str, ...], SetIndex] = {}
    indices = {}
    for seed, sets in table.order.items():
        for name, ids in sets.items():
            if ids not in known:
                labels = np.array([row_of[key].label for key in ids], dtype=np.int64)
                places = np.array([position[row_of[key].cluster] for key in ids], dtype=np.int64)
                known[ids] = SetIndex(ids, labels, places)
            indices[int(seed), name] = known[ids]
    return clusters, indices


def _without_scores(trial: Trial) -> Trial:
    if isinstance(trial.outcome, Scored):
        return replace(trial, outcome=replace(trial.outcome, scores={}))
    return trial


def _play(trial: Trial, light: Trial, indices: Mapping[tuple[int, str], SetIndex]) -> Play:
    assert isinstance(trial.outcome, Scored)
    assert isinstance(light.outcome, Scored)
    scores = {name: np.array(values, dtype=np.float64) for name, values in trial.outcome.scores.items()}
    for name, values in scores.items():
        index = indices.get((trial.spec.seed, name))
        if index is None or len(index.ids) != len(values):
            expected = "no such set" if index is None else f"{len(index.ids)} examples"
            raise DamagedFileError(
                f"Trial {trial.spec.key} has {len(values)} scores on '{name}', but examples.json has {expected} for "
                f"seed {trial.spec.seed}. The two are of different runs: run the study into a new folder."
            )
    return Play(light, light.outcome, scores)


def _add_play(plays: dict[Seat, Play], seat: Seat, play: Play) -> None:
    if seat in plays:
        raise InputError(
            f"{play.trial.spec.contender.name} has two scored trials for seed {seat[0]}, dictionary seed {seat[1]}: "
            f"{plays[seat].trial.spec.key} and {play.trial.spec.key}. One is expected; delete the outdated file."
        )
    plays[seat] = play


def _scored_seeds(run: Mapping[str, Any], trials: Iterable[Trial]) -> tuple[int, ...]:
    planned = run.get("study", {}).get("trials", {}).get("seeds")
    if planned is not None:
        return tuple(range(1, int(planned) + 1))
    return tuple(sorted({trial.spec.seed for trial in trials if trial.spec.purpose == "score"}))


def _complete(
    trials: list[Trial], plays: Mapping[str, Mapping[Seat, Play]], seeds: tuple[int, ...]
) -> tuple[dict[str, Entry], dict[str, str]]:
    known = {trial.spec.contender.name: trial.spec.contender for trial in trials}
    dictionary_seeds: dict[str | None, set[int | None]] = defaultdict(set)
    for trial in trials:
        if trial.spec.purpose == "score":
            dictionary_seeds[trial.spec.contender.dictionary].add(trial.spec.dictionary_seed)
    entries, incomplete = {}, {}
    for name, contender in sorted(known.items()):
        own = tuple(sorted(dictionary_seeds[contender.dictionary], key=lambda seed: -1 if seed is None else seed))
        seats = [(seed, dictionary_seed) for seed in seeds for dictionary_seed in own]
        lacking = [seat for seat in seats if seat not in plays.get(name, {})]
        if seats and not lacking:
            entries[name] = Entry(contender, own, {seat: plays[name][seat] for seat in seats})
        else:
            incomplete[name] = _what_is_lacking(lacking, len(seats))
    return entries, incomplete


def _what_is_lacking(lacking: list[Seat], count: int) -> str:
    if len(lacking) == count:
        return "no scored trial"
    named = [f"seed {seed}" + (f", dictionary seed {own}" if own is not None else "") for seed, own in lacking[:3]]
    more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
    return f"{len(lacking)} of {count} trials missing or failed ({'; '.join(named)}{more})"
