"""Products of a grid's matrix with a vector, in float64 and in natural order, for one sample."""

import numba
import numpy as np

from nwidth.core.arrays import Real

#: Centre, plus and minus of each axis (all flat; minus is plus again where the matrix is symmetric), whether it is,
#: unknowns along the axes, which axes are periodic.
Matrix = tuple[Real, Real, Real, Real, Real, Real, Real, bool, tuple[int, int, int], tuple[bool, bool, bool]]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def dot(a: Real, b: Real) -> float:
    """aᵀ b."""
    total = 0.0
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@numba.njit(cache=True, nogil=True)
def product(y: Real, matrix: Matrix, x: Real) -> None:
    """y = A x.

    Flat loops that know nothing of lines do the bulk. What they carry from the end of one line to the start of the next
    is zero, or taken out again where an axis is periodic.
    """
    c, p0, p1, p2, m0, m1, m2, symmetric, shape, periodic = matrix
    n0, n1, n2 = shape
    if n1 == 1:
        _plane(y, x, c, p0, m0, p2, m2, n2, symmetric)
    else:
        for k in range(len(y)):
            y[k] = c[k] * x[k]
        _neighbours(y, x, p0, m0, n1 * n2, symmetric)
        _neighbours(y, x, p1, m1, n2, symmetric)
        _neighbours(y, x, p2, m2, 1, symmetric)
    if periodic[0]:
        _wrap(y, x, p0, m0, n1 * n2, n0, symmetric)
    if periodic[1]:
        _wrap(y, x, p1, m1, n2, n1, symmetric)
    if periodic[2]:
        _wrap(y, x, p2, m2, 1, n2, symmetric)


@numba.njit(cache=True, nogil=True)
def _plane(y: Real, x: Real, c: Real, p0: Real, m0: Real, p2: Real, m2: Real, n: int, symmetric: bool) -> None:
    """Two axes (or one, with lines of length n = 1): interior lines in one pass, the first and the last on their own."""
    size = len(y)
    if n > 1 and size > 2 * n:
        _edge(y, x, c, p0, m0, p2, m2, n, symmetric, 0, n)
        _interior(y, x, c, p0, m0, p2, m2, np.uint64(size), np.uint64(n), np.uint64(n if symmetric else 0),
                  np.uint64(1 if symmetric else 0))  # fmt: skip
        _edge(y, x, c, p0, m0, p2, m2, n, symmetric, size - n, size)
    else:
        _edge(y, x, c, p0, m0, p2, m2, n, symmetric, 0, size)


@numba.njit(cache=True, nogil=True)
def _edge(
    y: Real, x: Real, c: Real, p0: Real, m0: Real, p2: Real, m2: Real, n: int, symmetric: bool, start: int, stop: int
) -> None:
    """Unknowns whose neighbours may not exist."""
    size = len(y)
    for k in range(start, stop):
        total = c[k] * x[k]
        if k + n < size:
            total += p0[k] * x[k + n]
        if k >= n:
            total += (p0[k - n] if symmetric else m0[k]) * x[k - n]
        if n > 1 and k + 1 < size:
            total += p2[k] * x[k + 1]
        if n > 1 and k >= 1:
            total += (p2[k - 1] if symmetric else m2[k]) * x[k - 1]
        y[k] = total


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _interior(
    y: Real, x: Real, c: Real, p0: Real, m0: Real, p2: Real, m2: Real, size: int, n: int, back0: int, back2: int
) -> None:
    """All lines but the first and the last; unsigned indices keep the loop free of sign checks."""
    one = np.uint64(1)
    for k in range(n, size - n):
        total = c[k] * x[k] + p0[k] * x[k + n] + m0[k - back0] * x[k - n]
        y[k] = total + p2[k] * x[k + one] + m2[k - back2] * x[k - one]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _neighbours(y: Real, x: Real, plus: Real, minus: Real, stride: int, symmetric: bool) -> None:
    """Both neighbours along one axis."""
    if stride >= len(y) or len(plus) == 0:
        return
    inner, s, back = np.uint64(len(y) - stride), np.uint64(stride), np.uint64(0 if symmetric else stride)
    for k in range(inner):
        y[k] += plus[k] * x[k + s]
    for k in range(inner):
        y[k + s] += minus[k + back] * x[k]


@numba.njit(cache=True, nogil=True)
def _wrap(y: Real, x: Real, plus: Real, minus: Real, stride: int, n: int, symmetric: bool) -> None:
    """The couplings across a periodic axis of n unknowns."""
    block = stride * n
    for start in range(0, len(y), block):
        for k in range(start, start + stride):
            end = k + block - stride
            y[end] += plus[end] * x[k]
            y[k] += (plus[end] if symmetric else minus[k]) * x[end]
    for start in range(block, len(y), block):  # what the flat loops added between lines
        for k in range(start, start + stride):
            y[k - stride] -= plus[k - stride] * x[k]
            y[k] -= (plus[k - stride] if symmetric else minus[k]) * x[k - stride]
