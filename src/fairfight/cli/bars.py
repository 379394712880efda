"""Progress bars."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fairfight.cli.console import err

if TYPE_CHECKING:
    from fairfight.trials.estimate import Estimate

_SECONDS_BETWEEN_LINES = 10


class Bars:
    """Progress on the terminal, or plain lines where there is none; nothing at all with `--json`."""

    def __init__(self, title: str, *, is_quiet: bool) -> None:
        self._title = title
        self._is_quiet = is_quiet
        self._is_plain = not err.is_terminal
        columns = (
            TextColumn("{task.description:32}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=err, disable=is_quiet or self._is_plain)
        self._task: Any = None
        self._stage, self._total, self._done, self._start, self._said = "", 0, 0, 0.0, 0.0
        self._remark = ""

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def expects(self, estimate: Estimate) -> None:
        """Say what is ahead."""
        done = f", {estimate.trials_done} of them done" if estimate.trials_done else ""
        self._say(
            f"{self._title}: {estimate.trials} trials{done}, {estimate.dictionaries} dictionaries, {estimate.tokens:,} tokens; "
            f"about {max(1, round(estimate.seconds / 60))} min from nothing on this machine."
        )

    def starts(self, stage: str, total: int) -> None:
        """Begin a stage."""
        self._stage, self._total, self._done, self._remark = stage, total, 0, ""
        self._start = self._said = time.perf_counter()
        if self._is_plain:
            self._say(f"{stage}: {total}")
        else:
            self._task = self._progress.add_task(stage, total=total)

    def advances(self, done: int) -> None:
        """Count steps of the stage."""
        self._done += done
        if not self._is_plain:
            self._progress.advance(self._task, done)
            return
        now = time.perf_counter()
        if now - self._said > _SECONDS_BETWEEN_LINES or self._done >= self._total:
            self._said = now
            self._say(f"{self._stage}: {self._done}/{self._total} after {now - self._start:.0f} s{self._remark}")

    def remarks(self, line: str) -> None:
        """Show how it looks just now."""
        if not self._is_plain:
            self._progress.update(self._task, description=f"{self._stage}: {escape(line)}")
        self._remark = f" ({line})"

    def _say(self, line: str) -> None:
        if not self._is_quiet:
            err.print(escape(line), highlight=False, soft_wrap=True)
