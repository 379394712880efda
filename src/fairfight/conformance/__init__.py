"""What every plug-in must pass, a stranger's too.

A check is a function of a plug-in's name (and a small world to play in) that raises AssertionError with a sentence.
`tests/conformance` runs every check on every plug-in that the registry finds; set `FAIRFIGHT_PLUGINS` to a folder of
yours and `python -m pytest tests/conformance` covers it, with no edit anywhere.

A plug-in whose defaults are too large or incomplete for a quick check gives a smaller one through an optional
classmethod `small(cls, folder: Path)`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fairfight import registry
from fairfight.conformance import formats, kinds, methods, tasks

__all__ = ["CHECKS", "Check"]

Check = Callable[[str, Path], None]
CHECKS: dict[registry.Shelf, tuple[Check, ...]] = {
    "tasks": (
        tasks.is_admitted_and_repeats_itself,
        tasks.gives_no_test_text_to_dictionaries,
        tasks.splits_without_leaks,
    ),
    "methods": (
        methods.keeps_the_contract,
        methods.gives_the_same_bits_twice,
        methods.scores_each_text_by_itself,
        methods.leaves_its_inputs_alone,
        methods.pays,
    ),
    "kinds": (
        kinds.makes_a_dictionary,
        kinds.encodes_the_same_without_zeros,
        kinds.refuses_another_width,
        kinds.comes_back_from_its_folder,
        kinds.gives_the_same_bits_twice,
    ),
    "formats": (
        formats.recognises_its_own_and_no_other,
        formats.reads_what_our_folder_can_keep,
        formats.refuses_files_that_are_cut,
        formats.refuses_renamed_tensors_and_nan,
        formats.takes_no_entry_on_trust,
        formats.opens_no_pickle_that_calls,
    ),
}
