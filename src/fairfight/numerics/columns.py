"""Columns of a design matrix, dense or as compressed rows of which few entries are not zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array, issparse

from fairfight.shapes import DesignMatrix

Matrix = Any
"""A design matrix, or the same as SciPy's `csr_array` without zeros, whose types no checker can follow."""


def is_compressed(x: Matrix) -> bool:
    """Whether the matrix is held without its zeros."""
    return issparse(x)


def dense(x: Matrix) -> DesignMatrix:
    """Give the whole matrix with its zeros."""
    return x.toarray() if is_compressed(x) else x


def dense_columns(x: Matrix, columns: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "example chosen"]:
    """Give some columns with their zeros, in Fortran order, as NumPy picks columns: so sums have the same bits."""
    return x[:, columns].toarray(order="F") if is_compressed(x) else x[:, columns]


def column_means(x: Matrix) -> Float[np.ndarray, " feature"]:
    """Give each column's mean, in float64; compressed rows give the same bits as dense ones."""
    if is_compressed(x):
        return np.bincount(x.indices, x.data, minlength=x.shape[1]) / x.shape[0]
    return x.mean(axis=0, dtype=np.float64)


def column_scales(x: Matrix) -> Float[np.ndarray, " feature"]:
    """Give each column's standard deviation, and 1 for a column that does not vary."""
    if is_compressed(x):
        means, entries = column_means(x), np.bincount(x.indices, minlength=x.shape[1])
        squares = np.bincount(x.indices, (x.data - means[x.indices]) ** 2, minlength=x.shape[1])
        scales = np.sqrt((squares + (x.shape[0] - entries) * means**2) / x.shape[0])
    else:
        scales = np.asarray(x, dtype=np.float64).std(axis=0)
    return np.where(scales > 1e-12, scales, 1.0)


def divided(x: Matrix, scales: Float[np.ndarray, " feature"]) -> Matrix:
    """Give the matrix with each column divided by its scale, in float64."""
    if is_compressed(x):
        return csr_array((x.data / scales[x.indices], x.indices, x.indptr), shape=x.shape)
    return x / scales
