"""Compiled assembly of a grid's matrix: pattern and values in one pass, in the same order for every coefficient."""

import numba
import numpy as np

from nwidth.core.arrays import Array, Real


@numba.njit(cache=True, nogil=True)
def grid_matrix(e0: Real, e1: Real, e2: Real, shape: tuple[int, int, int]) -> tuple[Real, Array, Array]:
    """Data, indices and row pointers (CSR, sorted) of `Σ_edges e (v_i - v_j)²` over all nodes `(N0, N1, N2)`.

    e0 `(N0-1, N1, N2)`, e1, e2 alike: the coefficients of the edges along each axis.
    """
    n0, n1, n2 = shape
    nodes = n0 * n1 * n2
    entries = nodes + 2 * (e0.size + e1.size + e2.size)
    data, indices = np.empty(entries), np.empty(entries, dtype=np.int32)
    pointers = np.zeros(nodes + 1, dtype=np.int32)
    at = 0
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                row = (i * n1 + j) * n2 + k
                total = 0.0
                if i > 0:
                    at, total = _entry(data, indices, at, row - n1 * n2, e0[i - 1, j, k], total)
                if j > 0:
                    at, total = _entry(data, indices, at, row - n2, e1[i, j - 1, k], total)
                if k > 0:
                    at, total = _entry(data, indices, at, row - 1, e2[i, j, k - 1], total)
                diagonal = at
                at += 1
                if k < n2 - 1:
                    at, total = _entry(data, indices, at, row + 1, e2[i, j, k], total)
                if j < n1 - 1:
                    at, total = _entry(data, indices, at, row + n2, e1[i, j, k], total)
                if i < n0 - 1:
                    at, total = _entry(data, indices, at, row + n1 * n2, e0[i, j, k], total)
                data[diagonal], indices[diagonal] = total, row
                pointers[row + 1] = at
    return data, indices, pointers


@numba.njit(cache=True, nogil=True)
def _entry(data: Real, indices: Array, at: int, column: int, edge: float, total: float) -> tuple[int, float]:
    """Writes one neighbour; the next position and the sum of the row's edges so far."""
    data[at], indices[at] = -edge, column
    return at + 1, total + edge
