"""Compiled loops of a fast inverse in single precision: to it and back, sample by sample on the sample's own scale.

Arrays are `(B, N0, N1, N2)`: a 2-D grid has N1 = 1. Loops are serial and release the interpreter's lock; what stands
on the boundary is never read. (Indices are written out where a row could be passed on: rows that may overlap are not
vectorised.)
"""

import numba

from nwidth.core.arrays import Array, Real


@numba.njit(cache=True, nogil=True)
def fold_single(r: Real, scale: Real, even: Array, odd: Array) -> None:
    """Sums and differences of the interior entries that mirror each other along the last axis, times `scale (B,)`."""
    batch, rows, columns, nodes = r.shape
    o1 = int(columns > 1)
    half, whole = odd.shape[3], even.shape[3]
    for b in range(batch):
        factor = scale[b]
        for i in range(rows - 2):
            for j in range(columns - 2 * o1):
                for k in range(half):
                    even[b, i, j, k] = factor * (r[b, i + 1, j + o1, k + 1] + r[b, i + 1, j + o1, nodes - 2 - k])
                for k in range(half):
                    odd[b, i, j, k] = factor * (r[b, i + 1, j + o1, k + 1] - r[b, i + 1, j + o1, nodes - 2 - k])
                if whole > half:
                    even[b, i, j, half] = factor * r[b, i + 1, j + o1, half + 1]


@numba.njit(cache=True, nogil=True)
def unfold_single(even: Array, odd: Array, scale: float, out: Real) -> None:
    """The inverse arrangement of one sample in double precision, `scale (even ± odd)`; the boundary is left alone."""
    rows, columns, nodes = out.shape
    o1 = int(columns > 1)
    half, whole = odd.shape[2], even.shape[2]
    for i in range(rows - 2):
        for j in range(columns - 2 * o1):
            for k in range(half):
                out[i + 1, j + o1, k + 1] = scale * (even[i, j, k] + odd[i, j, k])
            for k in range(half):
                out[i + 1, j + o1, nodes - 2 - k] = scale * (even[i, j, k] - odd[i, j, k])
            if whole > half:
                out[i + 1, j + o1, half + 1] = scale * even[i, j, half]


@numba.njit(cache=True, nogil=True)
def unfold_all(even: Array, odd: Array, scale: Real, out: Real) -> None:
    """Every sample, `scale (B,)`, zero on the boundary."""
    for b in range(len(out)):
        out[b] = 0.0
        unfold_single(even[b], odd[b], scale[b], out[b])
