"""Your own labelled texts: files or Hugging Face data sets, named in the study.

[task]
name = "labelled_texts"
[[task.settings.files]]
path = "mine.jsonl"          # text, label, perhaps cluster and set
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
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

    @classmethod
    def small(cls, folder: Path) -> LabelledTexts:
        """Give a task over a small file written to `folder`, for the conformance checks."""
        file = folder / "texts.jsonl"
        rows = [
            {"text": f"note {i} of kind {i % 2}", "label": i % 2, "set": "development" if i < 20 else "test"}
            for i in range(30)
        ]
        file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return cls(files=[{"path": str(file)}])
