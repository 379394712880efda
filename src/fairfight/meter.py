"""The meter: what a trial spends, counted the same way for every contender.

Counts that the machine cannot change (FLOPs, tokens, labels, fits) go into `Cost`; seconds and memory into
`Machine`. torch's operations are counted by `FlopCounterMode` with the formulas that it lacks (`flops`); NumPy, SciPy and
scikit-learn are invisible to it, so a method that uses them charges a formula through `charge_fit`. Multiplications and additions count one each
(a product of [a, b] by [b, c] is 2abc).
"""

from __future__ import annotations

import ctypes
import gc
import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fairfight.records import Cost, Machine


@dataclass
class Meter:
    """A running account; `cost()` gives what stands on it."""

    forward_flops: int = 0
    encode_flops: int = 0
    fit_flops: int = 0
    dictionary_flops: int | None = 0
    tokens: int = 0
    labels: int = 0
    fits: int = 0
    judge_calls: int = 0
    judge_tokens: int = 0

    def charge_forward(self, flops: float, tokens: int) -> None:
        """Charge model passes over `tokens` tokens."""
        self.forward_flops += int(flops)
        self.tokens += int(tokens)

    def charge_encode(self, flops: float) -> None:
        """Charge dictionary encoding or decoding."""
        self.encode_flops += int(flops)

    def charge_dictionary(self, flops: float | None) -> None:
        """Charge the training of the dictionary in use, in full; charged once however often it is used.

        None, for a training of which nobody says what it took, makes the account's own None.
        """
        if flops is None or self.dictionary_flops is None:
            self.dictionary_flops = None
        else:
            self.dictionary_flops = max(self.dictionary_flops, int(flops))

    def charge_fit(self, flops: float, *, fits: int = 1) -> None:
        """Charge fitting or scoring done outside torch, by a formula."""
        self.fit_flops += int(flops)
        self.fits += fits

    def charge_labels(self, labels: int) -> None:
        """Charge labelled examples."""
        self.labels += labels

    def charge_judge(self, tokens: int, *, calls: int = 1) -> None:
        """Charge replies of a judge model; `tokens` are those of prompts and replies together."""
        self.judge_calls += calls
        self.judge_tokens += tokens

    @contextmanager
    def counting_torch(self, *, fits: int = 1) -> Iterator[None]:
        """Charge as fitting what torch computes inside the block, backward passes included."""
        from fairfight.flops import counter as counting

        with counting() as counter:
            yield
        self.charge_fit(counter.get_total_flops(), fits=fits)

    def cost(self) -> Cost:
        """Give what stands on the account."""
        return Cost(**vars(self))


class Clock:
    """Seconds since it was made, and the process's peak memory."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def machine(self) -> Machine:
        """Give seconds so far, the peak resident bytes of this process, and the host's name."""
        return Machine(round(time.perf_counter() - self._start, 4), peak_bytes(), socket.gethostname())


def peak_bytes() -> int:
    """Give the peak resident memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def release_memory() -> None:
    """Give memory that is free but held back to the system, where the C library can (glibc); costs milliseconds."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
