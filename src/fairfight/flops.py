"""What torch's counter misses or miscounts: formulas for factorisations, sparse products and sums of embeddings.

`FlopCounterMode` counts dense matrix products, convolutions and attention. It gives 0 for a factorisation, for
`embedding_bag` and for a matrix times a vector, and counts a compressed matrix as if it were dense. Multiplications and
additions count one each. Lower-order terms are left out, as in the source; which LAPACK routine runs is not looked at.

Source: Golub and Van Loan (2013), Matrix Computations, 4th edition; the chapter stands at each formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor

Shape = tuple[int, ...]


def counter() -> Any:
    """Give torch's counter with the formulas of this module, to be entered as a context."""
    from torch.utils.flop_counter import FlopCounterMode

    return FlopCounterMode(display=False, custom_mapping=dict(_formulas()))


def cholesky_flops(a: Shape, *_: Any, **__: Any) -> int:
    """Give n³/3 (chapter 4)."""
    return _batch(a) * a[-1] ** 3 // 3


def lu_solve_flops(a: Shape, b: Shape, *_: Any, **__: Any) -> int:
    """Give 2n³/3 for the LU factors and 2n² for each right-hand side (chapter 3)."""
    return _batch(a) * 2 * a[-1] ** 3 // 3 + 2 * a[-1] * _entries_of(a, b)


def inverse_flops(a: Shape, *_: Any, **__: Any) -> int:
    """Give 2n³ for an inverse by LU factors (chapter 3)."""
    return _batch(a) * 2 * a[-1] ** 3


def triangular_solve_flops(a: Shape, b: Shape, *_: Any, **__: Any) -> int:
    """Give n² for each right-hand side (chapter 3)."""
    return a[-1] * prod(b)


def cholesky_solve_flops(b: Shape, factor: Shape, *_: Any, **__: Any) -> int:
    """Give 2n² for each right-hand side: two triangular systems (chapter 4)."""
    return 2 * factor[-1] * prod(b)


def qr_flops(a: Shape, mode: str = "reduced", **_: Any) -> int:
    """Give 2n²(m - n/3) for R by Householder, as much again for thin Q, 4(m²n - mn² + n³/3) for the whole (chapter 5)."""
    long, short = _sides(a)
    rows = a[-2]
    factor = 2 * short**2 * (long - short / 3)
    # Q of a wide matrix is square and of its height.
    thin = 2 * short**2 * (rows - short / 3)
    whole = 4 * (rows**2 * short - rows * short**2 + short**3 / 3)
    return round(_batch(a) * (factor + {"r": 0.0, "reduced": thin, "complete": whole}[mode]))


def least_squares_flops(a: Shape, b: Shape, *_: Any, **__: Any) -> int:
    """Give 2n²(m - n/3) for Householder's factors and 4mn - n² for each right-hand side (chapter 5)."""
    long, short = _sides(a)
    right_hand_sides = 1 if len(b) < len(a) else b[-1]
    a_side = 4 * long * short - short**2
    return round(_batch(a) * (2 * short**2 * (long - short / 3) + right_hand_sides * a_side))


def svd_flops(a: Shape, full_matrices: bool = False, compute_uv: bool = True, **_: Any) -> int:
    """Give the smaller of Golub-Reinsch's and R-SVD's count, of m by n (chapter 8).

    Values alone: 4mn² - 4n³/3 or 2mn² + 2n³; with thin vectors: 14mn² + 8n³ or 6mn² + 20n³; with all: 4m²n + 8mn² + 9n³
    or 4m²n + 22n³.
    """
    m, n = _sides(a)
    if not compute_uv:
        both = (4 * m * n**2 - 4 * n**3 / 3, 2 * m * n**2 + 2 * n**3)
    elif full_matrices:
        both = (4 * m**2 * n + 8 * m * n**2 + 9 * n**3, 4 * m**2 * n + 22 * n**3)
    else:
        both = (14 * m * n**2 + 8 * n**3, 6 * m * n**2 + 20 * n**3)
    return round(_batch(a) * min(both))


def eigh_flops(a: Shape, UPLO: str = "L", compute_v: bool = True, **_: Any) -> int:
    """Give 9n³ for values and vectors of a symmetric matrix, 4n³/3 for values alone (chapter 8)."""
    return _batch(a) * (9 * a[-1] ** 3 if compute_v else 4 * a[-1] ** 3 // 3)


def pseudo_inverse_flops(a: Shape, *_: Any, hermitian: bool = False, **__: Any) -> int:
    """Give the decomposition and the product that puts the inverse together (chapter 5)."""
    decomposition = eigh_flops(a) if hermitian else svd_flops(a)
    return decomposition + 2 * prod(a) * min(a[-2:])


def matrix_vector_flops(a: Tensor, b: Tensor, *_: Any, **__: Any) -> int:
    """Give 2 an entry of the matrix that is stored (chapter 1)."""
    return 2 * _stored(a)


def product_flops(a: Tensor, b: Tensor, *_: Any, **__: Any) -> int:
    """Give 2abc for dense matrices; where one is compressed, 2 an entry it stores and a column (row) of the other.

    Where both are, 2 a pair of entries that meet (chapter 1; stored entries in the place of all).
    """
    if _is_compressed(a) and _is_compressed(b):
        inner = a.shape[1]
        met = torch.bincount(_places(a, 1), minlength=inner) * torch.bincount(_places(b, 0), minlength=inner)
        return 2 * int(met.sum())
    if _is_compressed(b):
        return 2 * _stored(b) * a.shape[0]
    return 2 * _stored(a) * b.shape[1]


def added_product_flops(added: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> int:
    """Give the product's, as torch does: adding to it costs a lower order."""
    return product_flops(a, b)


def bag_flops(weight: Shape, indices: Shape, *rest: Any, **named: Any) -> int:
    """Give 1 a coordinate of each summed row, and 1 more where rows are weighted."""
    per_row = rest[4] if len(rest) > 4 else named.get("per_sample_weights")
    return (1 + (per_row is not None)) * prod(indices) * weight[-1]


def bag_backward_flops(gradient: Shape, indices: Shape, *rest: Any, **named: Any) -> int:
    """Give for the rows' gradient what the sum itself cost: it goes the same way back."""
    per_row = rest[8] if len(rest) > 8 else named.get("per_sample_weights")
    return (1 + (per_row is not None)) * prod(indices) * gradient[-1]


def bag_weights_backward_flops(gradient: Shape, weight: Shape, indices: Shape, *_: Any, **__: Any) -> int:
    """Give 2 a coordinate of each summed row: the gradient of a row's weight is an inner product."""
    return 2 * prod(indices) * weight[-1]


@cache
def _formulas() -> Mapping[Any, Callable[..., int]]:
    """Give a formula for each operation that the counter lacks; those of tensors, not shapes, carry torch's own mark."""
    aten = torch.ops.aten
    of_shapes = {
        aten.linalg_cholesky_ex: cholesky_flops,
        aten.cholesky_solve: cholesky_solve_flops,
        aten._linalg_solve_ex: lu_solve_flops,
        aten.linalg_inv_ex: inverse_flops,
        aten.linalg_solve_triangular: triangular_solve_flops,
        aten.linalg_qr: qr_flops,
        aten.linalg_lstsq: least_squares_flops,
        aten._linalg_svd: svd_flops,
        aten._linalg_eigh: eigh_flops,
        aten.linalg_pinv: pseudo_inverse_flops,
        aten._embedding_bag: bag_flops,
        aten._embedding_bag_forward_only: bag_flops,
        aten._embedding_bag_backward: bag_backward_flops,
        aten._embedding_bag_per_sample_weights_backward: bag_weights_backward_flops,
    }
    of_tensors = {
        aten.mm: product_flops,
        aten.addmm: added_product_flops,
        aten._sparse_addmm: added_product_flops,
        aten.mv: matrix_vector_flops,
    }
    return {**of_shapes, **{operation: _raw(formula) for operation, formula in of_tensors.items()}}


def _raw(formula: Callable[..., int]) -> Callable[..., int]:
    def of_tensors(*args: Any, out_val: Any = None, **named: Any) -> int:
        return formula(*args, **named)

    of_tensors._get_raw = True  # pyright: ignore[reportFunctionMemberAccess]  # how the counter knows such a formula
    return of_tensors


def _is_compressed(x: Tensor) -> bool:
    return x.layout != torch.strided


def _stored(x: Tensor) -> int:
    return x._nnz() if _is_compressed(x) else x.numel()


def _places(x: Tensor, axis: int) -> Tensor:
    """Give the row (0) or column (1) of every stored entry."""
    return x.to_sparse_coo().coalesce().indices()[axis]


def _batch(a: Shape) -> int:
    return prod(a[:-2])


def _sides(a: Shape) -> tuple[int, int]:
    return max(a[-2:]), min(a[-2:])


def _entries_of(a: Shape, b: Shape) -> int:
    """Give the entries of the right-hand sides, which one vector a matrix may be."""
    return prod(a[:-2]) * a[-1] * (1 if len(b) < len(a) else b[-1])
