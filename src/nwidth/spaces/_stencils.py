"""Compiled differences between neighbouring nodes of a grid, with constant or variable coefficients.

Arrays are `(B, N0, N1, N2)`: a 2-D grid has N1 = 1, a 1-D grid N1 = N2 = 1. An axis of one node has no boundary and
no differences. Loops are serial and release the interpreter's lock. Values on the boundary count as zero, whatever
stands there. (Indices are written out where a row could be passed on: rows that may overlap are not vectorised.)
"""

import numba
import numpy as np

from nwidth.core.arrays import Real


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def constant_differences(w: Real, weights: Real, out: Real) -> None:
    """`out = Σ_d weights_d Σ_neighbours (w - neighbour)` in the interior, zero on the boundary."""
    c0, c1, c2 = weights
    scratch = np.zeros(w.shape[1:])
    for b in range(len(w)):
        _constant(_without_boundary(w[b], scratch), c0, c1, c2, out[b])


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def variable_differences(w: Real, e0: Real, e1: Real, e2: Real, sign: float, out: Real) -> None:
    """`out = Σ_edges e (w + sign · neighbour)` in the interior, zero on the boundary.

    e0 `(B, N0-1, N1, N2)`, e1, e2 alike: coefficients of the edges along each axis. sign = -1 gives A w, +1 |A| w.
    """
    scratch = np.zeros(w.shape[1:])
    for b in range(len(w)):
        _variable(_without_boundary(w[b], scratch), e0[b], e1[b], e2[b], sign, out[b])


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _constant(p: Real, c0: float, c1: float, c2: float, out: Real) -> None:
    rows, columns, nodes = p.shape
    centre = 2.0 * (c0 + c1 + c2)
    inner = int(columns > 1)
    _clear_boundary(out)
    for i in range(1, rows - 1):
        for j in range(inner, columns - inner):
            if nodes > 1:
                for k in range(1, nodes - 1):
                    out[i, j, k] = (
                        centre * p[i, j, k]
                        - c0 * (p[i - 1, j, k] + p[i + 1, j, k])
                        - c2 * (p[i, j, k - 1] + p[i, j, k + 1])
                    )
            else:
                out[i, j, 0] = centre * p[i, j, 0] - c0 * (p[i - 1, j, 0] + p[i + 1, j, 0])
            if inner:
                for k in range(1, nodes - 1):
                    out[i, j, k] -= c1 * (p[i, j - 1, k] + p[i, j + 1, k])


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _variable(p: Real, e0: Real, e1: Real, e2: Real, sign: float, out: Real) -> None:
    rows, columns, nodes = p.shape
    inner = int(columns > 1)
    _clear_boundary(out)
    for i in range(1, rows - 1):
        for j in range(inner, columns - inner):
            if nodes > 1:
                for k in range(1, nodes - 1):
                    c = p[i, j, k]
                    out[i, j, k] = (
                        e0[i - 1, j, k] * (c + sign * p[i - 1, j, k])
                        + e0[i, j, k] * (c + sign * p[i + 1, j, k])
                        + e2[i, j, k - 1] * (c + sign * p[i, j, k - 1])
                        + e2[i, j, k] * (c + sign * p[i, j, k + 1])
                    )
            else:
                c = p[i, j, 0]
                out[i, j, 0] = e0[i - 1, j, 0] * (c + sign * p[i - 1, j, 0]) + e0[i, j, 0] * (c + sign * p[i + 1, j, 0])
            if inner:
                for k in range(1, nodes - 1):
                    c = p[i, j, k]
                    out[i, j, k] += e1[i, j - 1, k] * (c + sign * p[i, j - 1, k]) + e1[i, j, k] * (
                        c + sign * p[i, j + 1, k]
                    )


@numba.njit(cache=True, nogil=True)
def _without_boundary(w: Real, scratch: Real) -> Real:
    """w itself where its boundary is zero (the usual case, and no copy), else a copy with zeros there."""
    rows, columns, nodes = w.shape
    clear = True
    for i in range(rows):
        for j in range(columns):
            if (i == 0 or i == rows - 1) or (columns > 1 and (j == 0 or j == columns - 1)):
                for k in range(nodes):
                    clear = clear and w[i, j, k] == 0.0
            elif nodes > 1:
                clear = clear and w[i, j, 0] == 0.0 and w[i, j, nodes - 1] == 0.0
    if clear:
        return w
    scratch[:] = w
    _clear_boundary(scratch)
    return scratch


@numba.njit(cache=True, nogil=True)
def _clear_boundary(p: Real) -> None:
    rows, columns, nodes = p.shape
    p[0] = 0.0
    p[rows - 1] = 0.0
    for i in range(rows):
        if columns > 1:
            p[i, 0] = 0.0
            p[i, columns - 1] = 0.0
        for j in range(columns):
            if nodes > 1:
                p[i, j, 0] = 0.0
                p[i, j, nodes - 1] = 0.0


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def edge_energy(v: Real, e0: Real, e1: Real, e2: Real, out: Real) -> None:
    """`out[b] = Σ_edges share · e (v_i - v_j)²` over all edges; an edge counts half for every boundary it lies in."""
    batch, rows, columns, nodes = v.shape
    for b in range(batch):
        total = 0.0
        for i in range(rows):
            share_i = 0.5 if i == 0 or i == rows - 1 else 1.0
            for j in range(columns):
                share_j = 0.5 if columns > 1 and (j == 0 or j == columns - 1) else 1.0
                part = 0.0
                for k in range(nodes - 1):
                    part += e2[b, i, j, k] * (v[b, i, j, k + 1] - v[b, i, j, k]) ** 2
                total += share_i * share_j * part
                if i < rows - 1:
                    total += share_j * _row_energy(v[b, i, j], v[b, i + 1, j], e0[b, i, j])
                if j < columns - 1:
                    total += share_i * _row_energy(v[b, i, j], v[b, i, j + 1], e1[b, i, j])
        out[b] = total


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _row_energy(left: Real, right: Real, e: Real) -> float:
    """Edges between two rows; the first and the last lie in the boundary."""
    last, total = len(e) - 1, 0.0
    for k in range(len(e)):
        total += e[k] * (left[k] - right[k]) ** 2
    if last > 0:
        total -= 0.5 * (e[0] * (left[0] - right[0]) ** 2 + e[last] * (left[last] - right[last]) ** 2)
    return total
