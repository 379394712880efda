"""Registering a study: what it asks, of which examples in which splits, written down before a trial is played."""

from __future__ import annotations

from pathlib import Path

from fairfight.registration import Log, Registered, entry_of, examples_hash, utc_now
from fairfight.study import Study
from fairfight.trials import plan
from fairfight.trials.context import split_of
from fairfight.trials.plugins import recipe_of
from fairfight.trials.prepare import collect
from fairfight.trials.run import example_table, with_canonical_sites


def register(study: Study) -> Registered:
    """Write a study into the log of its runs folder, or find that it stands there. Loads no model and harvests nothing.

    Raises:
        InputError: the study or its data cannot be used; nothing was registered.
        DamagedFileError: the log is not what was written.
    """
    study = with_canonical_sites(study)
    plan.configurations(study, plan.contenders(study))
    for name in study.dictionaries:
        recipe_of(study, name)
    collection, _ = collect(study)
    table = example_table(study, collection, lambda seed: split_of(study, collection, seed))
    entry = entry_of("registered", study.model_dump(mode="json"), examples_hash(table), utc_now())
    return Log(Path(study.runs_folder)).append(entry)
