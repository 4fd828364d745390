"""Conjugate gradients and BiCGStab in float64 around the cycle, for one sample.

The functions that are called from Python are `set_up`, `residual`, `conjugate_gradients` and `bicgstab`; each runs for
long enough without Python's lock.
"""

import numba
import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.solvers.multigrid.machine import execute, invert, load, store
from nwidth.solvers.multigrid.products import Matrix, dot, product

#: How an iteration ended; the values are those of `core.solution.Status`.
CONVERGED, MAX_ITERATIONS, BREAKDOWN = 1, 2, 3
#: What the cycle needs: workspace, tables to read and write vectors, tape, coarsest inverse, its places, scratch,
#: scale of the matrix, whether constants are its kernel.
Cycle = tuple[Array, Array, Array, Array, Array, Array, Array, float, bool]


@numba.njit(cache=True, nogil=True)
def set_up(
    ws: Array, matrix: Matrix, constants: bool, fill: Array, setup: Array, cycle: Cycle, entries: Array
) -> float:
    """Loads a matrix, scaled to entries of size one, and forms the coarser ones; the scale, 0 where it is singular."""
    c, p0, p1, p2, m0, m1, m2, symmetric, _, _ = matrix
    scale = 0.0
    for k in range(len(c)):
        scale = max(scale, abs(c[k]))
    if not 0.0 < scale < np.inf:
        return 0.0
    load(ws, c, fill[0], -1.0 / scale)
    _fill(ws, (p0, p1, p2), fill, 1, -1.0 / scale)
    if not symmetric:
        _fill(ws, (m0, m1, m2), fill, len(fill) // 2 + 1, -1.0 / scale)
    inverse, places, small = cycle[4], cycle[5], cycle[6]
    execute(ws, setup, inverse, places, small)
    return scale if invert(ws, entries, constants, inverse) else 0.0


@numba.njit(cache=True, nogil=True)
def _fill(ws: Array, values: tuple[Real, Real, Real], fill: Array, at: int, factor: float) -> None:
    """The couplings along the axes that there are."""
    for axis in range(3):
        if len(values[axis]):
            load(ws, values[axis], fill[at], factor)
            at += 1


@numba.njit(cache=True, nogil=True)
def residual(r: Real, matrix: Matrix, rhs: Real, x: Real) -> float:
    """r = rhs - A x; its norm."""
    product(r, matrix, x)
    for k in range(len(r)):
        r[k] = rhs[k] - r[k]
    return np.sqrt(dot(r, r))


@numba.njit(cache=True, nogil=True)
def conjugate_gradients(
    matrix: Matrix, cycle: Cycle, r: Real, x: Real, target: float, limit: int, vectors: Real, history: Real
) -> tuple[int, int]:
    """Advances x until the recursive residual r is at most `target`; how it ended, and the steps."""
    z, s, p, q = vectors[1], vectors[2], vectors[3], vectors[4]
    norm, rho = np.sqrt(dot(r, r)), 1.0
    p[:], q[:] = 0.0, 0.0
    for k in range(limit + 1):
        history[k % len(history)] = norm
        if norm <= target:
            return CONVERGED, k
        if k == limit or not norm < np.inf:
            break
        _precondition(z, s, matrix, cycle, r, norm)
        old, rho = rho, dot(r, z)
        curvature = _turn(p, q, z, s, rho / old if k else 0.0)
        if not (rho > 0.0 and curvature > 0.0):
            return BREAKDOWN, k
        norm = np.sqrt(_advance(x, r, p, q, rho / curvature))
    return (MAX_ITERATIONS if norm < np.inf else BREAKDOWN), k


@numba.njit(cache=True, nogil=True)
def bicgstab(
    matrix: Matrix, cycle: Cycle, r: Real, x: Real, target: float, limit: int, vectors: Real, history: Real
) -> tuple[int, int]:
    """The same for matrices that are not symmetric (van der Vorst 1992); a step has two cycles and two products.

    The two halves of a step go through one loop, so that cycle and product are compiled once.
    """
    shadow, p, v, y, t = vectors[1], vectors[2], vectors[3], vectors[4], vectors[5]
    norm = np.sqrt(dot(r, r))
    shadow[:] = r
    p[:], v[:] = 0.0, 0.0
    rho = alpha = omega = 1.0
    for half in range(2 * limit + 1):
        k = half // 2
        history[k % len(history)] = norm
        if norm <= target:
            return CONVERGED, (half + 1) // 2
        if half == 2 * limit or not norm < np.inf:
            break
        first = half % 2 == 0
        if first:
            old, rho = rho, dot(shadow, r)
            beta = rho / old * alpha / omega
            for j in range(len(p)):
                p[j] = r[j] + beta * (p[j] - omega * v[j])
        source, image = (p, v) if first else (r, t)
        size = np.sqrt(dot(source, source))
        if not 0.0 < size < np.inf:
            return BREAKDOWN, k
        _precondition(y, image, matrix, cycle, source, size)
        above, below = (rho, dot(shadow, v)) if first else (dot(t, r), dot(t, t))
        if above == 0.0 or below == 0.0:
            return BREAKDOWN, k
        step = above / below
        norm = np.sqrt(_advance(x, r, y, image, step))
        alpha, omega = (step, omega) if first else (alpha, step)
    return (MAX_ITERATIONS if norm < np.inf else BREAKDOWN), limit


@numba.njit(cache=True, nogil=True)
def _precondition(z: Real, image: Real, matrix: Matrix, cycle: Cycle, r: Real, norm: float) -> None:
    """z: one cycle on r, scaled to unit size for float32 (no constants where they are the kernel); image = A z."""
    ws, read, write, tape, inverse, places, small, scale, constants = cycle
    load(ws, r, read, 1.0 / norm)
    execute(ws, tape, inverse, places, small)
    store(z, ws, write, norm / scale)
    if constants:
        mean = 0.0
        for k in range(len(z)):
            mean += z[k]
        mean /= len(z)
        for k in range(len(z)):
            z[k] -= mean
    product(image, matrix, z)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _advance(x: Real, r: Real, p: Real, q: Real, step: float) -> float:
    """x += step p, r -= step q; the new rᵀ r."""
    total = 0.0
    for k in range(len(x)):
        x[k] += step * p[k]
        value = r[k] - step * q[k]
        r[k] = value
        total += value * value
    return total


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _turn(p: Real, q: Real, z: Real, s: Real, ratio: float) -> float:
    """p = z + ratio p, q = s + ratio q; the new pᵀ q."""
    total = 0.0
    for k in range(len(p)):
        direction, image = z[k] + ratio * p[k], s[k] + ratio * q[k]
        p[k], q[k] = direction, image
        total += direction * image
    return total
