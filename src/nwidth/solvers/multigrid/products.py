"""Products of a grid's matrix with a vector, in float64 and in natural order, for one sample."""

from typing import Any

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

    Flat loops that know nothing of lines do the work. What they carry from the end of one line to the start of the next
    is zero, or taken out again where an axis is periodic.
    """
    c, p0, p1, p2, m0, m1, m2, symmetric, shape, periodic = matrix
    n0, n1, n2 = shape
    start, stop = (n2, len(y) - n2) if n1 == 1 and n2 > 1 and n0 > 2 else (0, 0)
    if stop:  # two axes: all lines but the first and the last, in one pass
        back = 1 if symmetric else 0
        _interior(y, x, c, p0, m0, p2, m2, np.uint64(start), np.uint64(stop), np.uint64(back))
    _diagonal(y, x, c, 0, start)
    _diagonal(y, x, c, stop, len(y))
    for axis in range(3):
        plus, minus, stride, n = p0, m0, n1 * n2, n0
        if axis == 1:
            plus, minus, stride, n = p1, m1, n2, n1
        elif axis == 2:
            plus, minus, stride, n = p2, m2, 1, n2
        if len(plus) and n > 1:
            _neighbours(y, x, plus, minus, stride, symmetric, 0, start)
            _neighbours(y, x, plus, minus, stride, symmetric, stop, len(y))
            if periodic[axis]:
                _wrap(y, x, plus, minus, stride, n, symmetric)


@numba.njit(cache=True, nogil=True)
def _diagonal(y: Real, x: Real, c: Real, start: int, stop: int) -> None:
    for k in range(start, stop):
        y[k] = c[k] * x[k]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _interior(y: Real, x: Real, c: Real, p0: Real, m0: Real, p2: Real, m2: Real, n: Any, stop: Any, back: Any) -> None:
    """Lines of n numbers from the second to the last but one; unsigned indices keep the loop free of sign checks.

    `back` is 1 for symmetric matrices, whose couplings to the neighbour below are the neighbour's to the one above.
    """
    one, line = np.uint64(1), back * n
    for k in range(n, stop):
        total = c[k] * x[k] + p0[k] * x[k + n] + m0[k - line] * x[k - n]
        y[k] = total + p2[k] * x[k + one] + m2[k - back] * x[k - one]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _neighbours(y: Real, x: Real, plus: Real, minus: Real, stride: int, symmetric: bool, start: int, stop: int) -> None:
    """Both neighbours along one axis, for the unknowns from `start` to `stop`."""
    s, back = np.uint64(stride), np.uint64(stride if symmetric else 0)
    for k in range(np.uint64(start), np.uint64(max(start, min(stop, len(y) - stride)))):
        y[k] += plus[k] * x[k + s]
    for k in range(np.uint64(max(start, stride)), np.uint64(max(start, stride, stop))):
        y[k] += minus[k - back] * x[k - s]


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
