"""Compiled coefficients of diffusion on the nodes of a grid: checked, averaged over faces and stored in one pass.

Arrays are `(B, N0, N1, N2)`: a 2-D grid has N1 = 1, a 1-D grid N1 = N2 = 1. Loops are serial and release the
interpreter's lock.
"""

import numba
import numpy as np

from nwidth.core.arrays import Real


@numba.njit(cache=True, nogil=True)
def within(values: Real, low: float, closed: bool) -> bool:
    """Whether every value of a contiguous array lies above `low` (or on it, where `closed`) and is finite."""
    flat, good = values.reshape(-1), 0
    for i in range(len(flat)):
        good += ((flat[i] > low) | (closed & (flat[i] == low))) & (flat[i] < np.inf)
    return good == len(flat)


@numba.njit(cache=True, nogil=True, inline="always")
def _mean(left: float, right: float, harmonic: bool) -> float:
    """The mean of two positive values; a harmonic one does not overflow where they are large."""
    return 2.0 * left * (right / (left + right)) if harmonic else 0.5 * (left + right)


@numba.njit(cache=True, nogil=True)
def edge_coefficients(a: Real, w0: float, w1: float, w2: float, harmonic: bool, e0: Real, e1: Real, e2: Real) -> None:
    """`e_d = w_d` times the mean of the two values at the ends of every edge along axis d.

    a `(B, N0, N1, N2)`, e0 `(B, N0 - 1, N1, N2)`, e1 and e2 alike.
    """
    batch, rows, columns, nodes = a.shape
    for b in range(batch):
        for i in range(rows):
            for j in range(columns):
                if i < rows - 1:
                    for k in range(nodes):
                        e0[b, i, j, k] = w0 * _mean(a[b, i, j, k], a[b, i + 1, j, k], harmonic)
                if j < columns - 1:
                    for k in range(nodes):
                        e1[b, i, j, k] = w1 * _mean(a[b, i, j, k], a[b, i, j + 1, k], harmonic)
                for k in range(nodes - 1):
                    e2[b, i, j, k] = w2 * _mean(a[b, i, j, k], a[b, i, j, k + 1], harmonic)


@numba.njit(cache=True, nogil=True)
def inner_stencils(
    a: Real, w0: float, w1: float, w2: float, harmonic: bool, centre: Real, p0: Real, p1: Real, p2: Real
) -> None:
    """The matrices of the inner nodes, for zero values on the boundary.

    a `(B, N0, N1, N2)` over all nodes, centre and p_d over the inner ones (p_d empty for a missing axis):
    p_d is minus w_d times the mean at the face above along axis d, zero at the last; centre sums all faces.
    """
    batch, rows, columns, nodes = centre.shape
    o1, o2 = int(a.shape[2] > 1), int(a.shape[3] > 1)
    for b in range(batch):
        for i in range(rows):
            for j in range(columns):
                for k in range(nodes):
                    c = a[b, i + 1, j + o1, k + o2]
                    up = w0 * _mean(c, a[b, i + 2, j + o1, k + o2], harmonic)
                    p0[b, i, j, k] = -up
                    centre[b, i, j, k] = up + w0 * _mean(c, a[b, i, j + o1, k + o2], harmonic)
                if o1:
                    for k in range(nodes):
                        c = a[b, i + 1, j + 1, k + o2]
                        up = w1 * _mean(c, a[b, i + 1, j + 2, k + o2], harmonic)
                        p1[b, i, j, k] = -up
                        centre[b, i, j, k] += up + w1 * _mean(c, a[b, i + 1, j, k + o2], harmonic)
                    if j == columns - 1:
                        p1[b, i, j] = 0.0
                if o2:
                    for k in range(nodes):
                        c = a[b, i + 1, j + o1, k + 1]
                        up = w2 * _mean(c, a[b, i + 1, j + o1, k + 2], harmonic)
                        p2[b, i, j, k] = -up
                        centre[b, i, j, k] += up + w2 * _mean(c, a[b, i + 1, j + o1, k], harmonic)
                    p2[b, i, j, nodes - 1] = 0.0
        p0[b, rows - 1] = 0.0


@numba.njit(cache=True, nogil=True)
def inner_loads(f: Real, volume: float, load: Real) -> None:
    """`load = volume · f` at the inner nodes; f `(B, N0, N1, N2)` over all nodes, or one row that all share."""
    batch, rows, columns, nodes = load.shape
    o1, o2, step = int(f.shape[2] > 1), int(f.shape[3] > 1), int(len(f) > 1)
    for b in range(batch):
        for i in range(rows):
            for j in range(columns):
                for k in range(nodes):
                    load[b, i, j, k] = volume * f[b * step, i + 1, j + o1, k + o2]


@numba.njit(cache=True, nogil=True)
def add_boundary_flux(a: Real, g: Real, w0: float, w1: float, w2: float, harmonic: bool, load: Real) -> None:
    """Adds `Σ w_d · mean · g` over the faces that separate an inner node from the boundary; g inside is ignored.

    g `(B, N0, N1, N2)` over all nodes, or one row that all share.
    """
    batch, rows, columns, nodes = load.shape
    o1, o2, step = int(a.shape[2] > 1), int(a.shape[3] > 1), int(len(g) > 1)
    for b in range(batch):
        h = b * step
        for j in range(columns):
            for k in range(nodes):
                q, r = j + o1, k + o2
                load[b, 0, j, k] += w0 * g[h, 0, q, r] * _mean(a[b, 1, q, r], a[b, 0, q, r], harmonic)
                load[b, rows - 1, j, k] += (
                    w0 * g[h, rows + 1, q, r] * _mean(a[b, rows, q, r], a[b, rows + 1, q, r], harmonic)
                )
        for i in range(rows):
            p = i + 1
            if o1:
                for k in range(nodes):
                    r = k + o2
                    load[b, i, 0, k] += w1 * g[h, p, 0, r] * _mean(a[b, p, 1, r], a[b, p, 0, r], harmonic)
                    load[b, i, columns - 1, k] += (
                        w1 * g[h, p, columns + 1, r] * _mean(a[b, p, columns, r], a[b, p, columns + 1, r], harmonic)
                    )
            if o2:
                for j in range(columns):
                    q = j + o1
                    load[b, i, j, 0] += w2 * g[h, p, q, 0] * _mean(a[b, p, q, 1], a[b, p, q, 0], harmonic)
                    load[b, i, j, nodes - 1] += (
                        w2 * g[h, p, q, nodes + 1] * _mean(a[b, p, q, nodes], a[b, p, q, nodes + 1], harmonic)
                    )


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _line_range(left: Real, right: Real, harmonic: bool, low: float, high: float) -> tuple[float, float]:
    """The range of the means of two rows of finite values, and of what was found before."""
    for k in range(len(left)):
        mean = _mean(left[k], right[k], harmonic)
        low, high = min(low, mean), max(high, mean)
    return low, high


@numba.njit(cache=True, nogil=True)
def face_range(
    a: Real, start: tuple[int, int, int], stop: tuple[int, int, int], periodic: tuple[bool, bool, bool], harmonic: bool
) -> Real:
    """Smallest and largest mean at the faces of every sample that touch the window of free values, `(2, B)`.

    a `(B, N0, N1, N2)`, finite; a periodic axis has a face between its last and its first value.
    """
    batch, rows, columns, nodes = a.shape
    (s0, s1, s2), (e0, e1, e2) = start, stop
    out = np.empty((2, batch))
    for b in range(batch):
        low, high = np.inf, 0.0
        for i in range(rows):
            for j in range(s1, e1):
                if i < rows - 1 or periodic[0]:
                    low, high = _line_range(a[b, i, j, s2:e2], a[b, (i + 1) % rows, j, s2:e2], harmonic, low, high)
            if s0 <= i < e0:
                for j in range(columns):
                    if j < columns - 1 or (periodic[1] and columns > 1):
                        up = (j + 1) % columns
                        low, high = _line_range(a[b, i, j, s2:e2], a[b, i, up, s2:e2], harmonic, low, high)
                for j in range(s1, e1):
                    low, high = _line_range(a[b, i, j, :-1], a[b, i, j, 1:], harmonic, low, high)
                    if periodic[2]:
                        low, high = _line_range(a[b, i, j, nodes - 1 :], a[b, i, j, :1], harmonic, low, high)
        out[0, b], out[1, b] = low, high
    return out
