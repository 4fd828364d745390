"""Compiled integrals over the cells of a plane grid: the same sums as in `boxes`, in one pass.

Corner values of a cell are ordered (0, 0), (1, 0), (0, 1), (1, 1). `a` is `(B, M0, M1)`, or `(B, M0 + 1, M1 + 1)`
where it is bilinear.
"""

import numpy as np
from numba import njit

from nwidth.core.arrays import Real


@njit(cache=True, nogil=True, inline="always")
def _blend(low: float, up: float, side: float, far: float, s: float, t: float) -> float:
    return (1 - t) * ((1 - s) * low + s * up) + t * ((1 - s) * side + s * far)


@njit(cache=True, nogil=True)
def tau(
    v: Real, x: Real, y: Real, a: Real, linear: bool, hx: float, hy: float, nodes: Real, weights: Real, gap: Real
) -> tuple[Real, Real]:
    """Squares of ‖τ‖ over the volume of every cell into `gap`; their sum from below, and the integrand's size."""
    batch, rows, columns = gap.shape
    least, size, o = np.zeros(batch), np.zeros(batch), int(linear)
    for b in range(batch):
        for i in range(rows):
            for j in range(columns):
                v0, v1, v2, v3 = v[b, i, j], v[b, i + 1, j], v[b, i, j + 1], v[b, i + 1, j + 1]
                a0, a1, a2, a3 = a[b, i, j], a[b, i + o, j], a[b, i, j + o], a[b, i + o, j + o]
                i0, i1, i2, i3 = 1 / a0, 1 / a1, 1 / a2, 1 / a3
                middle = 1 / (0.25 * (a0 + a1 + a2 + a3))
                total = 0.0
                for p in range(len(nodes)):
                    s = nodes[p]
                    density_x = (1 - s) * x[b, i, j] + s * x[b, i + 1, j]
                    slope_y = ((1 - s) * (v2 - v0) + s * (v3 - v1)) / hy
                    for q in range(len(nodes)):
                        t = nodes[q]
                        here = _blend(a0, a1, a2, a3, s, t)
                        along = density_x + here * ((1 - t) * (v1 - v0) + t * (v3 - v2)) / hx
                        across = (1 - t) * y[b, i, j] + t * y[b, i, j + 1] + here * slope_y
                        square = weights[p] * weights[q] * (along * along + across * across)
                        total += _blend(i0, i1, i2, i3, s, t) * square
                        least[b] += (2 - here * middle) * middle * square
                gap[b, i, j] = total
                level = max(max(abs(v0), abs(v1)), max(abs(v2), abs(v3)))
                high, low = max(max(a0, a1), max(a2, a3)), min(min(a0, a1), min(a2, a3))
                size_x = max(abs(x[b, i, j]), abs(x[b, i + 1, j])) + 2 * high * level / hx
                size_y = max(abs(y[b, i, j]), abs(y[b, i, j + 1])) + 2 * high * level / hy
                size[b] += (size_x * size_x + size_y * size_y) / low
    return least, size


@njit(cache=True, nogil=True)
def squares(v: Real, a: Real, linear: bool, hx: float, hy: float, nodes: Real, weights: Real) -> Real:
    """`∫ a |∇v|²` over the volume of a cell, `(B,)`."""
    batch, rows, columns = len(v), v.shape[1] - 1, v.shape[2] - 1
    out, o = np.zeros(batch), int(linear)
    for b in range(batch):
        for i in range(rows):
            for j in range(columns):
                v0, v1, v2, v3 = v[b, i, j], v[b, i + 1, j], v[b, i, j + 1], v[b, i + 1, j + 1]
                a0, a1, a2, a3 = a[b, i, j], a[b, i + o, j], a[b, i, j + o], a[b, i + o, j + o]
                for p in range(len(nodes)):
                    s = nodes[p]
                    slope_y = ((1 - s) * (v2 - v0) + s * (v3 - v1)) / hy
                    for q in range(len(nodes)):
                        t = nodes[q]
                        slope_x = ((1 - t) * (v1 - v0) + t * (v3 - v2)) / hx
                        here = _blend(a0, a1, a2, a3, s, t)
                        out[b] += weights[p] * weights[q] * here * (slope_x * slope_x + slope_y * slope_y)
    return out
