"""Compiled differences of stream functions."""

import numba
import numpy as np

from nwidth.core.arrays import Real


@numba.njit(cache=True, nogil=True)
def stream_corners(psi: Real) -> Real:
    """ψ `(B, n + 1, n + 1)` at nodes as `(B, n + 2, n + 2)` where their control volumes end: means of neighbours, and
    the nodes themselves on the boundary."""
    batch, rows, columns = psi.shape
    out = np.empty((batch, rows + 1, columns + 1))
    for b in range(batch):
        for i in range(rows + 1):
            low, high = max(i - 1, 0), min(i, rows - 1)
            out[b, i, 0] = 0.5 * (psi[b, low, 0] + psi[b, high, 0])
            out[b, i, columns] = 0.5 * (psi[b, low, columns - 1] + psi[b, high, columns - 1])
            for j in range(1, columns):
                left, right = psi[b, low, j - 1] + psi[b, high, j - 1], psi[b, low, j] + psi[b, high, j]
                out[b, i, j] = 0.25 * (left + right)
    return out


@numba.njit(cache=True, nogil=True)
def stream_velocity(psi: Real, rates0: Real, rates1: Real) -> tuple[Real, Real]:
    """`∂ψ/∂y (B, m + 1, n)` and `-∂ψ/∂x (B, m, n + 1)` of corner values `(B, m + 1, n + 1)`; rates: one over widths."""
    batch, rows, columns = psi.shape
    across, along = np.empty((batch, rows, columns - 1)), np.empty((batch, rows - 1, columns))
    for b in range(batch):
        for i in range(rows):
            for j in range(columns - 1):
                across[b, i, j] = (psi[b, i, j + 1] - psi[b, i, j]) * rates1[j]
            if i < rows - 1:
                for j in range(columns):
                    along[b, i, j] = (psi[b, i, j] - psi[b, i + 1, j]) * rates0[i]
    return across, along
