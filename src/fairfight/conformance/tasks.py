"""What every task must pass."""

from __future__ import annotations

from pathlib import Path

from fairfight.conformance.small_world import small
from fairfight.contests.examples import DEVELOPMENT, admit
from fairfight.contests.split import split


def is_admitted_and_repeats_itself(name: str, folder: Path) -> None:
    """The collection passes the contest's checks, and is the same when asked for twice."""
    task = small("tasks", name, folder)
    first, second = admit(task.collection()), task.collection()
    assert first.hash == second.hash, f"{name}.collection() differs between two calls: draw from fairfight.seeds.stream"


def gives_no_test_text_to_dictionaries(name: str, folder: Path) -> None:
    """The unlabelled texts are not test texts."""
    task = small("tasks", name, folder)
    tests = {example.text for example in task.collection().examples if example.set != DEVELOPMENT}
    leaked = [text for text in task.unlabelled() if text in tests]
    assert not leaked, f"{name}.unlabelled() gives {len(leaked)} test texts, first {leaked[0][:50]!r}"


def splits_without_leaks(name: str, folder: Path) -> None:
    """No cluster stands on both sides of a split, for several seeds."""
    collection = small("tasks", name, folder).collection()
    for seed in range(3):
        parts = split(collection, seed, validation_share=0.34, left_out_families=2)
        train = {example.side_key for example in parts.train} | {example.cluster for example in parts.train}
        for other in (parts.validation, parts.calibration, *parts.tests.values()):
            shared = train & ({example.side_key for example in other} | {example.cluster for example in other})
            assert not shared, f"seed {seed}: {sorted(shared)[:3]} stand in training and elsewhere"
