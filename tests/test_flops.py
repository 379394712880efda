"""Formulas that torch's counter lacks, each against a count by hand on matrices small enough to count."""

import pytest
import torch
from torch.nn import functional as F

from fairfight.flops import counter
from fairfight.meter import Meter

aten = torch.ops.aten
TALL = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
SQUARE = TALL.T @ TALL + torch.eye(4)
DENSE = torch.ones(4, 3)
# Five entries are stored, in columns 0, 1, 1, 3, 3.
SPARSE = torch.zeros(6, 4).index_put((torch.tensor([0, 0, 2, 3, 5]), torch.tensor([0, 1, 1, 3, 3])), torch.ones(5))
WIDE = torch.eye(4)[:, :3].to_sparse_csr()
ROWS = torch.randn(5, 3)


def counted(work):
    with counter() as found:
        work()
    return found.get_total_flops()


@pytest.mark.parametrize(
    ("work", "by_hand"),
    [
        pytest.param(lambda: torch.linalg.cholesky(SQUARE), 4**3 // 3, id="cholesky: n³/3"),
        pytest.param(
            lambda: torch.cholesky_solve(torch.ones(4, 2), torch.eye(4)), 2 * 16 * 2, id="two triangles a column"
        ),
        pytest.param(
            lambda: torch.linalg.solve_triangular(SQUARE.tril(), torch.ones(4, 2), upper=False),
            16 * 2,
            id="n² a column",
        ),
        pytest.param(
            lambda: torch.linalg.solve(SQUARE, torch.ones(4, 2)), 128 // 3 + 2 * 16 * 2, id="solve: 2n³/3 + 2n² a column"
        ),
        pytest.param(lambda: torch.linalg.solve(SQUARE, torch.ones(4)), 128 // 3 + 2 * 16, id="solve for one vector"),
        pytest.param(lambda: torch.linalg.inv(SQUARE), 2 * 64, id="inverse: 2n³"),
        pytest.param(lambda: torch.linalg.eigh(SQUARE), 9 * 64, id="eigh: 9n³"),
        # The operations themselves: under any dispatch mode eigvalsh and svdvals compute vectors too.
        pytest.param(lambda: aten._linalg_eigh(SQUARE, "L", False), 4 * 64 // 3, id="eigenvalues: 4n³/3"),
        pytest.param(lambda: aten._linalg_svd(TALL, False, False), 299, id="singular values"),
        pytest.param(lambda: torch.linalg.pinv(SQUARE, hermitian=True), 9 * 64 + 2 * 64, id="pinv by eigh"),
        pytest.param(lambda: torch.linalg.pinv(TALL), 1856 + 2 * 6 * 4 * 4, id="pinv by svd"),
        # 2n²(m - n/3) = 2·16·(6 - 4/3) = 149.33 for R, as much for thin Q; for a whole Q 4(144 - 96 + 64/3) = 277.33.
        pytest.param(lambda: torch.linalg.qr(TALL, mode="r"), 149, id="qr: R alone"),
        pytest.param(lambda: torch.linalg.qr(TALL), 299, id="qr: thin"),
        pytest.param(lambda: torch.linalg.qr(TALL, mode="complete"), 427, id="qr: complete"),
        # A wide matrix: R as for the transposed, and a square Q of 4 by 4, 2·16·(4 - 4/3) = 85.33.
        pytest.param(lambda: torch.linalg.qr(TALL.T), 235, id="qr: wide"),
        # m = 6, n = 4: 149.33 for the factors and 4mn - n² = 80 a column.
        pytest.param(lambda: torch.linalg.lstsq(TALL, torch.ones(6, 2)), 309, id="lstsq"),
        # m = 6, n = 4: 14·96 + 8·64 = 1856 against 6·96 + 20·64 = 1856; values: 298.67 against 320; all: 1920 against 1984.
        pytest.param(lambda: torch.linalg.svd(TALL, full_matrices=False), 1856, id="svd: thin"),
        pytest.param(lambda: torch.linalg.svd(TALL), 1920, id="svd: all"),
        # Tall enough, and R-SVD is cheaper: m = 40, n = 4: 6·640 + 1280 = 5120 against 14·640 + 512.
        pytest.param(lambda: torch.linalg.svd(torch.rand(40, 4), full_matrices=False), 5120, id="svd: R-SVD"),
        pytest.param(lambda: torch.linalg.cholesky(SQUARE.expand(3, 4, 4)), 3 * 64 // 3, id="a batch of three"),
        pytest.param(lambda: TALL @ torch.ones(4), 2 * 24, id="matrix times vector"),
        pytest.param(lambda: TALL @ DENSE, 2 * 6 * 4 * 3, id="dense product, as torch counts it"),
        pytest.param(lambda: torch.addmm(torch.zeros(3), TALL, DENSE), 2 * 6 * 4 * 3, id="dense, and added"),
        pytest.param(lambda: SPARSE.to_sparse_csr() @ DENSE, 2 * 5 * 3, id="csr times dense: 2·entries·columns"),
        pytest.param(lambda: SPARSE.to_sparse_csr() @ torch.ones(4), 2 * 5, id="csr times vector"),
        pytest.param(lambda: torch.sparse.mm(SPARSE.to_sparse(), DENSE), 2 * 5 * 3, id="coo times dense"),
        pytest.param(lambda: DENSE.T @ SPARSE.T.to_sparse_csr(), 2 * 5 * 3, id="dense times csr"),
        pytest.param(lambda: torch.addmm(torch.zeros(6, 3), SPARSE.to_sparse_csr(), DENSE), 30, id="csr, and added"),
        # Columns 0, 1, 1 of the five entries meet one entry each of rows 0 to 2.
        pytest.param(lambda: SPARSE.to_sparse_csr() @ WIDE, 2 * 3, id="csr times csr"),
    ],
)  # fmt: skip
def test_an_operation_counts_as_by_hand(work, by_hand):
    assert counted(work) == by_hand


INDICES, OFFSETS = torch.tensor([0, 1, 4, 4]), torch.tensor([0, 1])


@pytest.mark.parametrize("learns_rows", [False, True])
@pytest.mark.parametrize("weights", ["none", "given", "learnt"])
def test_a_bag_of_rows_counts_each_summed_coordinate(learns_rows, weights):
    """Four rows of three coordinates: 12 additions, 12 products where weighted; backward the same for rows, 24 for weights."""
    rows = ROWS.clone().requires_grad_(learns_rows)
    weighed = None if weights == "none" else torch.ones(4).requires_grad_(weights == "learnt")

    def work():
        found = F.embedding_bag(INDICES, rows, OFFSETS, mode="sum", per_sample_weights=weighed)
        if found.requires_grad:
            found.sum().backward()

    a_pass = 12 if weights == "none" else 24
    assert counted(work) == a_pass * (1 + learns_rows) + 24 * (weights == "learnt")


def test_the_meter_counts_by_these_formulas():
    meter = Meter()
    with meter.counting_torch():
        torch.linalg.inv(SQUARE)
    assert (meter.cost().fit_flops, meter.cost().fits) == (128, 1)
