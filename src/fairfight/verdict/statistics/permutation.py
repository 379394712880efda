"""A paired test that assumes nothing but symmetry: which side is which, tossed anew for every cluster."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from fairfight.errors import EmptyBatchError


def paired_permutation(
    differences: Float[np.ndarray, " cluster"], chance: np.random.Generator, *, draws: int = 10_000
) -> float:
    """Give the two-sided p-value of the sum of paired differences, one sum a cluster, if neither side were better.

    Every cluster's sign is tossed: all 2^n ways where there are at most `draws`, else that many random ones, the study's own
    counted among them so that p is never 0.

    Raises:
        EmptyBatchError: there is no cluster.
    """
    from scipy.stats import permutation_test  # Two seconds to import, which every command would wait for.

    if not len(differences):
        raise EmptyBatchError("A permutation test needs a difference; found none. Compare what both sides scored.")
    found = permutation_test(
        (differences,),
        lambda x, axis: x.sum(axis=axis),
        permutation_type="samples",
        n_resamples=draws,
        vectorized=True,
        rng=chance,
    )
    return float(found.pvalue)
