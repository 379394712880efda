"""A study from start to ledger: harvest, train, tune on seed 0, play the selected settings on every other seed.

Whatever is in the ledger or the cache already is not done again, so the same command resumes what was interrupted.
"""

from __future__ import annotations

import platform
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fairfight import __version__, registry
from fairfight.contests.detect import play
from fairfight.contests.examples import Collection
from fairfight.contests.split import Split
from fairfight.dictionaries.contract import Card
from fairfight.dictionaries.fit import require_room
from fairfight.dictionaries.from_files import FromFiles
from fairfight.errors import DiskFullError, FairfightError
from fairfight.ledger import Ledger
from fairfight.meter import Clock, Meter, release_memory
from fairfight.models.load import Model, load
from fairfight.models.sites import canonical, locate
from fairfight.records import Contender, ExampleRow, ExampleTable, Failed, Scored, Trial, TrialSpec
from fairfight.registration import Log, entry_of, examples_hash, utc_now
from fairfight.seeds import stream
from fairfight.study import Study
from fairfight.trials import plan
from fairfight.trials.context import Context, Job, Setup, jobs
from fairfight.trials.engines.local import LocalEngine
from fairfight.trials.estimate import Estimate, estimate
from fairfight.trials.plugins import recipe_of
from fairfight.trials.prepare import collect, forget_tokens, prepare, set_up
from fairfight.trials.tune import select


class Watcher(Protocol):
    """Who wants to know how a run goes on."""

    def expects(self, estimate: Estimate) -> None:
        """A run begins; this much is left to do."""

    def starts(self, stage: str, total: int) -> None:
        """A stage begins."""

    def advances(self, done: int) -> None:
        """So many steps of the stage are done."""


class Finished(NamedTuple):
    """A finished run."""

    ledger: Ledger
    played: int
    """Trials played now; the rest were in the ledger."""
    failed: int


def run(study: Study, watcher: Watcher, *, retries_failed: bool = False) -> Finished:
    """Play a study to its end and give its ledger.

    Raises:
        InputError: the study, its data or its model cannot be used; nothing was played.
        DiskFullError: the disk is full; what was finished is whole and the same command goes on from there.
    """
    asked_sites = study.activations.sites
    study = with_canonical_sites(study)
    field = plan.contenders(study)
    configurations = plan.configurations(study, field)
    for name in study.dictionaries:
        recipe_of(study, name)
    collection, corpus = collect(study)
    ledger = Ledger(run_folder(study))
    model = load(study.model.name, allow_remote_code=study.model.allow_remote_code)
    for name in asked_sites:
        locate(model, name)
    _try_dictionaries(study, _sites_tried(field, configurations), model)
    watcher.expects(estimate(study, field, configurations, collection, corpus, model, len(ledger.keys())))
    setup = set_up(study, model, collection, corpus, _harvest_progress(watcher))
    del model
    release_memory()
    engine = LocalEngine(study.trials.workers, _open, (setup,))
    try:
        return _play_all(setup, field, configurations, ledger, engine, watcher, retries_failed=retries_failed)
    finally:
        engine.close()


def _try_dictionaries(study: Study, sites: Mapping[str, tuple[str, ...]], model: Model) -> None:
    """Open every dictionary that is read from files, and measure the others' size, before an hour is spent for nothing."""
    for job in jobs(study, range(study.trials.dictionary_seeds), sites):
        recipe = recipe_of(study, job.dictionary)
        require_room([getattr(recipe, "latents", None) or 0], locate(model, job.site).width)
        if isinstance(recipe, FromFiles):
            recipe.opened(job.site, job.seed, locate(model, job.site).width)


def with_canonical_sites(study: Study) -> Study:
    """Give the study with each site once, under fairfight's own name: a name of another tool is the same study."""

    def under_own_names(sites: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(str(canonical(name)) for name in sites))

    activations = study.activations.model_copy(update={"sites": under_own_names(study.activations.sites)})
    dictionaries = {
        name: section.model_copy(update={"sites": section.sites and under_own_names(section.sites)})
        for name, section in study.dictionaries.items()
    }
    return study.model_copy(update={"activations": activations, "dictionaries": dictionaries})


def run_folder(study: Study) -> Path:
    """Give the folder of a study's run: its name and the first letters of its hash."""
    return Path(study.runs_folder) / f"{study.name}-{study.hash[:8]}"


def _begin(study: Study, ledger: Ledger, examples: ExampleTable) -> None:
    """Log that a run begins, once: the order of the log's lines shows whether its study was registered before."""
    # Trials without a start are of an older version: when they were played cannot be said any more.
    if ledger.start() is None and not ledger.keys():
        entry = entry_of("begun", study.model_dump(mode="json"), examples_hash(examples), utc_now())
        logged = Log.beside(ledger.folder).append(entry).entry
        ledger.write_start(logged.time, logged.sha256)


def _play_all(
    setup: Setup,
    field: list[Contender],
    configurations: Mapping[str, list[plan.Settings]],
    ledger: Ledger,
    engine: LocalEngine,
    watcher: Watcher,
    *,
    retries_failed: bool,
) -> Finished:
    study, context = setup.study, Context(setup)
    examples = example_table(study, setup.collection, context.split)
    stage = _Stage(ledger, engine, watcher, retries_failed)

    tried_sites = _sites_tried(field, configurations)
    cards = stage.prepare("dictionaries to tune on", context, jobs(study, range(1), tried_sites))
    _begin(study, ledger, examples)
    ledger.write_examples(examples)
    tuned = stage.play("tuning", plan.tune_specs(study, setup.inputs, configurations, field))
    selected = select(tuned)

    chosen_sites = _sites_tried(field, {name: [settings] for name, settings in selected.items()})
    cards |= stage.prepare(
        "dictionaries of the other seeds", context, jobs(study, range(1, study.trials.dictionary_seeds), chosen_sites)
    )
    scored = stage.play("scored seeds", plan.score_specs(study, setup.inputs, selected, field))
    curves = stage.play("score against k", plan.curve_specs(study, setup.inputs, selected, field))

    trials = [*tuned, *scored, *curves]
    ledger.write_run(_about(context, field, configurations, selected, cards, trials, examples))
    return Finished(ledger, stage.played, sum(not trial.is_scored for trial in trials))


class _Stage:
    """Runs what is missing, counts it, and gives everything back in the order asked for."""

    def __init__(self, ledger: Ledger, engine: LocalEngine, watcher: Watcher, retries_failed: bool) -> None:
        self._ledger, self._engine, self._watcher, self._retries = ledger, engine, watcher, retries_failed
        self.played = 0

    def prepare(self, name: str, context: Context, wanted: list[Job]) -> dict[Job, Card]:
        """Train and pool the dictionaries that are not there yet."""
        wanted = sorted(set(wanted), key=lambda job: (job.site, job.dictionary, job.seed))
        missing = [job for job in wanted if not _is_prepared(context, job)]
        done: dict[Job, Card] = {job: prepare(context, job) for job in wanted if job not in missing}
        if missing:
            self._watcher.starts(name, len(missing))
            for job, card in self._engine.run(_prepare_job, missing):
                done[job] = card
                self._watcher.advances(1)
        return done

    def play(self, name: str, specs: Sequence[TrialSpec]) -> list[Trial]:
        """Play the trials that are not in the ledger yet; give all, without their examples' scores."""
        there = self._ledger.keys()
        known = {spec.key: _outline(self._ledger.read(spec.key)) for spec in specs if spec.key in there}
        missing = [s for s in specs if s.key not in known or (self._retries and not known[s.key].is_scored)]
        # The longest first, or one process works on alone at the end of a stage.
        missing.sort(key=lambda spec: spec.contender.family != "finetuning")
        if missing:
            self._watcher.starts(name, len(missing))
        for trial in self._engine.run(play_trial, missing):
            self._ledger.write(trial)
            known[trial.spec.key] = _outline(trial)
            self.played += 1
            self._watcher.advances(1)
        return [known[spec.key] for spec in specs]


def _outline(trial: Trial) -> Trial:
    """Leave out the scores of single examples: the ledger holds them, and thousands of trials would fill memory."""
    return replace(trial, outcome=replace(trial.outcome, scores={})) if isinstance(trial.outcome, Scored) else trial


_CONTEXT: Context | None = None


def _open(setup: Setup) -> None:
    global _CONTEXT
    _CONTEXT = Context(setup)


def _context() -> Context:
    assert _CONTEXT is not None, "the engine opens the context before the first task"
    return _CONTEXT


def _is_prepared(context: Context, job: Job) -> bool:
    from fairfight.dictionaries.pooled import is_pooled

    folder = context.folder(job)
    if not (folder / "card.json").is_file():
        return False
    return any(
        is_pooled(folder, context.study.activations.poolings, is_signed=is_signed) for is_signed in (False, True)
    )


def _prepare_job(job: Job) -> tuple[Job, Card]:
    return job, prepare(_context(), job)


def play_trial(spec: TrialSpec) -> Trial:
    """Play one trial in an opened process; whatever breaks inside becomes a `Failed` record."""
    forget_tokens()
    return trial_of(spec, _context())


def trial_of(spec: TrialSpec, context: Context) -> Trial:
    """Play one trial. The one place where a failure is caught: it is a record, not the end of the run.

    What a failed trial spent until then was spent, and stands in its record.
    """
    clock, meter = Clock(), Meter()
    try:
        method = plan.make(spec.contender.method, spec.settings)
        subject = context.subject(spec.contender.dictionary, spec.dictionary_seed, spec.seed)
        chance = stream("fit", spec.contender.method, spec.seed, spec.dictionary_seed or 0)
        is_sealed = spec.purpose == "tune"
        played = play(method, context.split(spec.seed), subject, chance, is_sealed=is_sealed, meter=meter)
        return Trial(spec, played.scored, played.cost, clock.machine())
    except DiskFullError:
        raise
    except Exception as error:
        failed = Failed(
            type(error).__name__, str(error), traceback.format_exc() if not isinstance(error, FairfightError) else ""
        )
        return Trial(spec, failed, meter.cost(), clock.machine())


def example_table(study: Study, collection: Collection, split: Callable[[int], Split]) -> ExampleTable:
    """Give the examples as the verdict and the report read them."""
    rows = tuple(ExampleRow(e.id, e.text, e.label, e.cluster, e.set, dict(e.tags)) for e in collection.examples)
    order, left_out = {}, {}
    for seed in range(study.trials.seeds + 1):
        parts = split(seed)
        sets = {"validation": parts.validation, "calibration": parts.calibration, **parts.tests}
        order[str(seed)] = {name: tuple(e.id for e in part) for name, part in sets.items()}
        left_out[str(seed)] = parts.left_out
    return ExampleTable(rows, collection.test_sets, order, left_out)


def _sites_tried(
    field: Sequence[Contender], configurations: Mapping[str, Sequence[plan.Settings]]
) -> dict[str, tuple[str, ...]]:
    """Give the sites at which each dictionary is played in these configurations, by the dictionary's name."""
    sites: dict[str, set[str]] = {}
    for contender in field:
        if contender.dictionary is not None:
            tried = configurations.get(contender.name, ())
            sites.setdefault(contender.dictionary, set()).update(settings["site"] for settings in tried)
    return {name: tuple(sorted(used)) for name, used in sites.items()}


def _about(
    context: Context,
    field: list[Contender],
    configurations: Mapping[str, list[plan.Settings]],
    selected: dict[str, plan.Settings],
    cards: dict[Job, Card],
    trials: list[Trial],
    examples: ExampleTable,
) -> dict[str, Any]:
    study, setup = context.study, context.setup
    return {
        "study": study.model_dump(mode="json"),
        "hash": study.hash,
        "inputs": setup.inputs,
        "selected": selected,
        "configurations": {contender.name: len(configurations[contender.name]) for contender in field},
        "configurations_a_side": {
            side: sum(len(configurations[c.name]) for c in field if c.side == side)
            for side in ("dictionary", "baseline")
        },
        "missing_families": plan.missing_families(field),
        "reads": _read_by(field),
        "task": _task_card(study.task.name),
        "dictionaries": [
            {"name": job.dictionary, "role": study.dictionaries[job.dictionary].role, **card.to_json()}
            for job, card in sorted(cards.items())
        ],
        "counts": {
            "texts": len(setup.collection.examples),
            "train": len(context.split(1).train),
            "sets": {name: len(ids) for name, ids in examples.order["1"].items()},
        },
        "truncated": {site: store.truncated for site, store in context.activations.items()},
        "tokens": {site: int(store.token_counts.sum()) for site, store in context.activations.items()},
        "trials": sorted(t.spec.key for t in trials),
        "failed": sorted(t.spec.key for t in trials if not t.is_scored),
        "versions": {name: version(name) for name in ("torch", "transformers", "scikit-learn", "numpy", "scipy")}
        | {"fairfight": __version__, "python": platform.python_version()},
    }


def _read_by(field: Sequence[Contender]) -> dict[str, str]:
    """Give what of a text each method looks at, where it says so: activations, codes or reconstructions."""
    methods = {contender.method: registry.load("methods", contender.method) for contender in field}
    return {name: method.source for name, method in sorted(methods.items()) if hasattr(method, "source")}


def _task_card(name: str) -> dict[str, Any]:
    """Give what the verdict has to know of a task: its contest, and why anybody would want it done."""
    task = registry.load("tasks", name)
    return {"contest": task.contest, "motive": getattr(task, "motive", "")}


def _harvest_progress(watcher: Watcher) -> Callable[[int, int], None]:
    state = {"done": -1}

    def progress(done: int, total: int) -> None:
        if state["done"] < 0:
            watcher.starts("activations", total)
            state["done"] = 0
        watcher.advances(done - state["done"])
        state["done"] = done

    return progress
