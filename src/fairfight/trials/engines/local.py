"""Processes on this machine, one thread of linear algebra each.

One thread a process keeps bits the same whatever runs beside it, and keeps many short parallel regions from
fighting over two cores. A worker whose parent died (`kill -9`) ends itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from fairfight.errors import WorkerDiedError
from fairfight.meter import release_memory

Task = TypeVar("Task")
Result = TypeVar("Result")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# glibc returns every large temporary to the system and faults it in again at the next step; keeping them is free speed.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "TOKENIZERS_PARALLELISM": "false",
}


class LocalEngine:
    """A pool of processes; `run` may be called many times before `close`."""

    def __init__(self, workers: int, start: Callable[..., None], start_arguments: tuple[Any, ...]) -> None:
        """Start lazily: no process before the first task. `start(*start_arguments)` runs once in each."""
        self._workers = workers
        self._start = (start, start_arguments)
        self._pool: ProcessPoolExecutor | None = None

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Give results as they finish; tasks are started in their order.

        Raises:
            WorkerDiedError: a process was killed, most often for want of memory.
        """
        if not tasks:
            return
        # Processes start while tasks are handed over, and read these variables when they start.
        with _environment({**dict.fromkeys(_THREAD_VARIABLES, "1"), **_MALLOC}):
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self._workers,
                    mp_context=get_context("spawn"),
                    initializer=_begin,
                    initargs=self._start,
                )
            waiting = [self._pool.submit(_run, function, task) for task in tasks]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BrokenProcessPool as error:
            self._pool = None
            raise WorkerDiedError(
                "A worker process died in the middle of its work, most often because memory ran out; it should have given "
                "its result. What was finished is kept: run the same command again, with fewer processes (--workers 1)."
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """End the processes; tasks that run are waited for."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _begin(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    start(*arguments)


def _run(function: Callable[[Task], Result], task: Task) -> Result:
    result = function(task)
    # Within a task large temporaries are kept (see _MALLOC); between tasks they go back, or processes only ever grow.
    release_memory()
    return result


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None, "a worker has one"
    parent.join()
    os._exit(1)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
