"""How all kernels are compiled: options, threads, and the constants that they share.

Every sum is taken by one thread in an order that hangs on the data alone, so the same input gives the same bits on any
number of threads. Indices are cast to uint64 (`U`) before they index: the check for negative ones would turn strided
loads into gathers. Compiled functions are cached on disk beside their file, and renewed when that file changes: so they
call none of another file, but for `taken`, which is not to change.

Rows are not dealt out to threads beforehand: each takes the next few when it is through with its last (`taken`), so one
that wakes late or loses its core to another program holds nobody up.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import config
from numba.core.cgutils import gep
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

settings: Any = config
# OpenMP first: where a neighbour takes a core its threads lose least; the others follow where its library is missing.
settings.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

_njit: Any = numba.njit  # its stub knows neither starred arguments nor what a compiled function takes
_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    # Not "nnan" and "ninf": a NaN among the activations has to come out as a NaN of the loss.
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}
compiled = _njit(**_OPTIONS)
parallel = _njit(parallel=True, **_OPTIONS)

U = np.uint64
ZERO = np.float32(0)
BLOCK_ROWS = 128
"""Rows whose sums are taken before these sums are added up in turn."""

_intrinsic: Any = intrinsic  # its stub takes the context for an argument of the call


@_intrinsic
def taken(_context, turns, count):
    """Add `count` to the first of `turns` and give what was there before: a share that no other thread takes."""

    def generate(context, builder, signature, arguments):
        array = make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", gep(builder, array.data, 0), arguments[1], "monotonic")

    return types.int64(turns, types.int64), generate


def turns() -> np.ndarray:
    """Give the counter that a kernel's threads share; every kernel sets it to zero before it starts."""
    return np.zeros(1, np.int64)
