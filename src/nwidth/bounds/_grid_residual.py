"""Compiled passes of the residual bound on a plane grid with prescribed boundary values: from nodal data to a few sums.

Face coefficients, the mean of the two nodes, are formed where they are needed: nothing of the size of the matrix is
stored. Loops are serial and release the interpreter's lock. (Indices are written out where a row could be passed on:
rows that may overlap are not vectorised. Extremes are kept for each column: a running one is not vectorised either.)
"""

import numba
import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.spaces._single import unfold_single

#: What `residuals` returns for each sample.
LOW, HIGH, MAGNITUDE, LARGEST = range(4)
#: What `judge` returns for each sample: zᵀr, zᵀs, zᵀz, rᵀr, sᵀs and zᵀAz.
ZR, ZS, ZZ, RR, SS, ZAZ = range(6)


@numba.njit(cache=True, nogil=True)
def residuals(a: Real, f: Real, v: Real, w0: float, w1: float, volume: float, r: Real) -> Real:
    """`r = volume f - A v` inside, zero on the boundary.

    a, v `(B, N0, N1)`; f alike, or one row that all samples share; w_d: area over spacing of the faces. Returns
    `(B, 4)`: the smallest and the largest mean at a face with a free node, the sum of `(|A||v| + |f|)²`, the largest
    |r|. Where a value is not finite, neither is that sum.
    """
    batch, columns = len(a), a.shape[2]
    out = np.empty((batch, 4))
    low, high = np.empty(columns), np.empty(columns)
    for b in range(batch):
        _clear_edges(r[b])
        out[b, MAGNITUDE] = _residual(a[b], f[b if len(f) > 1 else 0], v[b], w0, w1, volume, r[b], high)
        out[b, LARGEST] = high.max()
        _range(a[b], low, high)
        out[b, LOW], out[b, HIGH] = low.min(), high.max()
    return out


@numba.njit(cache=True, nogil=True)
def _clear_edges(r: Real) -> None:
    r[0], r[-1] = 0.0, 0.0
    for i in range(len(r)):
        r[i, 0], r[i, -1] = 0.0, 0.0


@numba.njit(cache=True, nogil=True)
def carries(v: Real, g: Real) -> bool:
    """Whether all fields v `(B, N0, N1)` have the values of g, alike or one row, on the boundary, bit for bit."""
    rows, columns = v.shape[1:]
    for b in range(len(v)):
        d = b if len(g) > 1 else 0
        for i in range(rows):
            step = 1 if i == 0 or i == rows - 1 else columns - 1
            for k in range(0, columns, step):
                if v[b, i, k] != g[d, i, k]:
                    return False
    return True


@numba.njit(cache=True, nogil=True)
def impose(v: Real, g: Real, out: Real) -> None:
    """v with the values of g on the boundary."""
    rows, columns = v.shape[1:]
    for b in range(len(v)):
        d = b if len(g) > 1 else 0
        out[b] = v[b]
        out[b, 0], out[b, rows - 1] = g[d, 0], g[d, rows - 1]
        out[b, :, 0], out[b, :, columns - 1] = g[d, :, 0], g[d, :, columns - 1]


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _range(a: Real, low: Real, high: Real) -> None:
    rows, columns = a.shape
    low[:], high[:] = np.inf, 0.0
    for i in range(rows - 1):
        for k in range(1, columns - 1):
            mean = 0.5 * (a[i, k] + a[i + 1, k])
            low[k] = min(low[k], mean)
            high[k] = max(high[k], mean)
        if i > 0:
            for k in range(columns - 1):
                mean = 0.5 * (a[i, k] + a[i, k + 1])
                low[k] = min(low[k], mean)
                high[k] = max(high[k], mean)


@numba.njit(cache=True, nogil=True, fastmath={"nsz", "reassoc", "contract"})
def _residual(a: Real, f: Real, v: Real, w0: float, w1: float, volume: float, r: Real, largest: Real) -> float:
    rows, columns = a.shape
    largest[:] = 0.0
    total, h0, h1 = 0.0, 0.5 * w0, 0.5 * w1
    for i in range(1, rows - 1):
        for k in range(1, columns - 1):
            c, x, load = a[i, k], v[i, k], volume * f[i, k]
            e0, e1 = h0 * (c + a[i - 1, k]), h0 * (c + a[i + 1, k])
            e2, e3 = h1 * (c + a[i, k - 1]), h1 * (c + a[i, k + 1])
            every = (e0 + e1) + (e2 + e3)
            others = (e0 * v[i - 1, k] + e1 * v[i + 1, k]) + (e2 * v[i, k - 1] + e3 * v[i, k + 1])
            sizes = (e0 * abs(v[i - 1, k]) + e1 * abs(v[i + 1, k])) + (e2 * abs(v[i, k - 1]) + e3 * abs(v[i, k + 1]))
            found = load + (others - every * x)
            r[i, k] = found
            largest[k] = abs(found) if abs(found) > largest[k] else largest[k]
            magnitude = abs(load) + (sizes + every * abs(x))
            total += magnitude * magnitude
    return total


@numba.njit(cache=True, nogil=True)
def judge(even: Array, odd: Array, scale: Real, r: Real, a: Real, w0: float, w1: float) -> Real:
    """The sums of `z = scale (even ± odd)` with r and `s = r - X z`, X with the face coefficients 1, `(B, 6)`.

    even and odd `(B, N0 - 2, 1, m)`, r and a `(B, N0, N1)`.
    """
    batch, rows, columns = r.shape
    out = np.empty((batch, 6))
    z = np.zeros((rows, columns))
    for b in range(batch):
        unfold_single(even[b], odd[b], scale[b], z.reshape(rows, 1, columns))
        _products(z, r[b], w0, w1, out[b])
        out[b, ZAZ] = _energy(z, a[b], w0, w1)
    return out


@numba.njit(cache=True, nogil=True, fastmath={"nsz", "reassoc", "contract"})
def _products(z: Real, r: Real, w0: float, w1: float, out: Real) -> None:
    rows, columns = z.shape
    zr, zs, zz, rr, ss = 0.0, 0.0, 0.0, 0.0, 0.0
    centre = 2.0 * (w0 + w1)
    for i in range(1, rows - 1):
        for k in range(1, columns - 1):
            x, y = z[i, k], r[i, k]
            s = y - (centre * x - w0 * (z[i - 1, k] + z[i + 1, k]) - w1 * (z[i, k - 1] + z[i, k + 1]))
            zr += x * y
            zs += x * s
            zz += x * x
            rr += y * y
            ss += s * s
    out[ZR], out[ZS], out[ZZ], out[RR], out[SS] = zr, zs, zz, rr, ss


@numba.njit(cache=True, nogil=True, fastmath={"nsz", "reassoc", "contract"})
def _energy(z: Real, a: Real, w0: float, w1: float) -> float:
    rows, columns = z.shape
    total = 0.0
    for i in range(rows - 1):
        across, along = 0.0, 0.0
        for k in range(columns - 1):
            across += (a[i, k] + a[i + 1, k]) * (z[i + 1, k] - z[i, k]) ** 2
            along += (a[i, k] + a[i, k + 1]) * (z[i, k + 1] - z[i, k]) ** 2
        total += w0 * across + w1 * along
    return 0.5 * total
