"""Compiled loops of the fast inverse on a grid: folding about the middle, tridiagonal solves.

Arrays are `(B, N0, N1, N2)`: a 2-D grid has N1 = 1, a 1-D grid N1 = N2 = 1. An axis of one node has no boundary.
Loops are serial and release the interpreter's lock; what stands on the boundary is never read.
"""

import numba

from nwidth.core.arrays import Real


@numba.njit(cache=True, nogil=True)
def fold(r: Real, even: Real, odd: Real) -> None:
    """Sums and differences of the interior entries that mirror each other along the last axis."""
    batch, rows, columns, nodes = r.shape
    o0, o1, o2 = int(rows > 1), int(columns > 1), int(nodes > 1)
    half, whole = odd.shape[3], even.shape[3]
    for b in range(batch):
        for i in range(rows - 2 * o0):
            for j in range(columns - 2 * o1):
                row = r[b, i + o0, j + o1]
                for k in range(half):
                    even[b, i, j, k] = row[k + o2] + row[nodes - 1 - o2 - k]
                    odd[b, i, j, k] = row[k + o2] - row[nodes - 1 - o2 - k]
                if whole > half:
                    even[b, i, j, half] = row[half + o2]


@numba.njit(cache=True, nogil=True)
def unfold(even: Real, odd: Real, scale: float, out: Real) -> None:
    """The inverse arrangement: `scale (even ± odd)`, zero on the boundary."""
    _, rows, columns, nodes = out.shape
    o0, o1, o2 = int(rows > 1), int(columns > 1), int(nodes > 1)
    half, whole = odd.shape[3], even.shape[3]
    out[:] = 0.0
    for b in range(out.shape[0]):
        for i in range(rows - 2 * o0):
            for j in range(columns - 2 * o1):
                row = out[b, i + o0, j + o1]
                for k in range(half):
                    row[k + o2] = scale * (even[b, i, j, k] + odd[b, i, j, k])
                    row[nodes - 1 - o2 - k] = scale * (even[b, i, j, k] - odd[b, i, j, k])
                if whole > half:
                    row[half + o2] = scale * even[b, i, j, half]


@numba.njit(cache=True, nogil=True)
def tridiagonal(y: Real, pivots: Real) -> None:
    """Solves `-y[i-1] + d y[i] - y[i+1] = rhs` along axis 1 of `(B, m, K)`, in place, a system for every K.

    `pivots` `(m, K)` holds the reciprocal pivots of the elimination, all positive.
    """
    batch, rows, systems = y.shape
    for b in range(batch):
        for k in range(systems):
            y[b, 0, k] *= pivots[0, k]
        for i in range(1, rows):
            for k in range(systems):
                y[b, i, k] = (y[b, i, k] + y[b, i - 1, k]) * pivots[i, k]
        for i in range(rows - 2, -1, -1):
            for k in range(systems):
                y[b, i, k] += pivots[i, k] * y[b, i + 1, k]
