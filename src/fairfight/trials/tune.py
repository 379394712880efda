"""Selection: for each contender the configuration with the best validation score on the tuning seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fairfight.records import Scored, Trial, canonical_json
from fairfight.trials.plan import Settings, make


def select(trials: Iterable[Trial]) -> dict[str, Settings]:
    """Give the selected settings by contender name, from `tune` trials.

    Among equal validation scores the stronger regularisation wins: where validation saturates, the opposite rule picks
    the least regularised fit by accident; where that is equal too, the settings that come last in canonical JSON, which
    hangs on nothing else. A contender whose configurations all failed is left out.
    """
    by_contender: dict[str, list[tuple[float, float, str, Settings]]] = {}
    for trial in trials:
        if trial.spec.purpose == "tune" and isinstance(trial.outcome, Scored):
            settings: Mapping = trial.spec.settings
            strength = make(trial.spec.contender.method, settings).strength
            entry = (trial.outcome.validation_auroc, strength, canonical_json(settings), settings)
            by_contender.setdefault(trial.spec.contender.name, []).append(entry)
    return {name: max(entries, key=lambda entry: entry[:3])[3] for name, entries in sorted(by_contender.items())}
