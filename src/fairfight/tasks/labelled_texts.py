"""Your own labelled texts: files or Hugging Face data sets, named in the study.

[task]
name = "labelled_texts"
[[task.settings.files]]
path = "mine.jsonl"          # text, label, perhaps cluster and set
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from fairfight.contests.examples import Collection
from fairfight.tasks._labelled_files import collection_of


@dataclass(frozen=True)
class LabelledTexts:
    """Any binary question about texts; the first test set named is the in-distribution one."""

    contest: ClassVar[str] = "detect"

    files: list[dict[str, Any]] = field(default_factory=list)
    """Each a table of `TextFile`."""
    wrapped: list[dict[str, Any]] = field(default_factory=list)
    """Each a table of `Wrapped`: a further test set made from one of the others."""

    def collection(self) -> Collection:
        """Give the texts of all files."""
        return collection_of(self.files, self.wrapped)

    def unlabelled(self) -> tuple[str, ...]:
        """Give further texts to train dictionaries on: none."""
        return ()
