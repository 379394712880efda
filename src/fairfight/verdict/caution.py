"""What a reader should know before leaning on a verdict."""

from __future__ import annotations

import numpy as np

from fairfight.verdict.answer import Compared
from fairfight.verdict.roster import Roster
from fairfight.verdict.tpr import LOOSE_FPR, OperatingPoint

SATURATED = 0.99
"""A defender's mean AUROC from which differences can hardly be seen."""
FEW_CLUSTERS = 20
FEW_SEEDS = 3


def warnings_about(
    roster: Roster, auroc: Compared, point: OperatingPoint | None, failed: tuple[str, ...], excluded: tuple[str, ...]
) -> tuple[str, ...]:
    """Give the warnings that belong to a verdict, each a sentence."""
    found = []
    for name, verdict in auroc.sets.items():
        if verdict.defender_score >= SATURATED:
            found.append(
                f"'{name}' is saturated: {auroc.defender} has a mean AUROC of {verdict.defender_score:.3f} there, so "
                "differences in AUROC are hardly visible. Look at the TPR."
            )
    found += [_few_clusters(name, count) for name, count in _smallest_class(roster).items() if count < FEW_CLUSTERS]
    if len(roster.seeds) < FEW_SEEDS:
        found.append(f"Only {len(roster.seeds)} split seed(s) were scored: intervals hardly know how seeds differ.")
    if point is None:
        found.append("No calibration scores were kept, so no threshold and no TPR can be given.")
    elif point.fpr == LOOSE_FPR:
        found.append(f"The TPR is at a false positive rate of 5 %, not 1 %: {point.reason}.")
    if families := roster.run.get("missing_families"):
        lacking = ", ".join(families)
        found.append(f"The field lacks baselines of these families: {lacking}. A win here is not a fair win.")
    if excluded:
        found.append(f"Left out of selection for want of scored seeds: {'; '.join(excluded)}.")
    if failed:
        found.append(f"{len(failed)} trial(s) failed; they are listed.")
    return tuple(found)


def _few_clusters(name: str, count: int) -> str:
    return f"'{name}' has only {count} clusters of one class: its interval is rough."


def _smallest_class(roster: Roster) -> dict[str, int]:
    smallest = {}
    for name in roster.test_sets:
        indices = [roster.indices[seed, name] for seed in roster.seeds]
        of_classes = [index.clusters[index.labels == label] for index in indices for label in (0, 1)]
        smallest[name] = min(len(np.unique(clusters)) for clusters in of_classes)
    return smallest
