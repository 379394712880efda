"""How all kernels are compiled: options, threads, and the constants that they share.

Every sum is taken by one thread in an order that hangs on the data alone, so the same input gives the same bits on any
number of threads. Indices are cast to uint64 (`U`) before they index: the check for negative ones would turn strided
loads into gathers. Compiled functions are cached on disk beside their file, and renewed when that file changes: so they
call none of another file.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

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
