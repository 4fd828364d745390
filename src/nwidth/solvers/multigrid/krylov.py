"""Conjugate gradients and BiCGStab in float64 around the float32 cycle, one sample after the other.

One sample at a time keeps its whole hierarchy in cache. The recursive residual is not trusted: when it meets the
tolerance the residual is recomputed, and the iteration starts again from the present solution where that misses it.
"""

import numba
import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.solvers.multigrid.machine import execute, invert, load, store
from nwidth.solvers.multigrid.products import Matrix, dot, product

#: How a sample ended; the values are those of `core.solution.Status`.
CONVERGED, MAX_ITERATIONS, BREAKDOWN, SINGULAR = 1, 2, 3, 4
#: Fraction of the tolerance at which the recursive residual stops, so that the recomputed one meets it.
_MARGIN = 0.9
#: What the cycle needs: workspace, tables to read and write vectors, tape, coarsest inverse, its places, scratch,
#: scale of the matrix, whether constants are its kernel.
Cycle = tuple[Array, Array, Array, Array, Array, Array, Array, float, bool]


@numba.njit(cache=True, nogil=True)
def solve_batch(
    centre: Real, plus: tuple[Real, Real, Real], minus: tuple[Real, Real, Real], symmetric: bool,
    constants: Array, periodic: tuple[bool, bool, bool], rhs: Real, x: Real, tolerance: float, limit: int,
    restarts: int, ws: Array, fill: Array, read: Array, write: Array, setup: Array, cycle: Array, entries: Array,
    places: Array, status: Array, iterations: Array, residuals: Real, history: Real,
) -> None:  # fmt: skip
    """Solve every system for x `(B, N)`, started from what stands there; see `Multigrid.solve`."""
    samples, n0, n1, n2 = centre.shape
    vectors, coarse = np.zeros((8, n0 * n1 * n2)), places.shape[1]
    inverse, small = np.zeros((coarse, coarse), dtype=ws.dtype), np.zeros((2, coarse), dtype=ws.dtype)
    for i in range(samples):
        c, p0, p1, p2 = centre[i].ravel(), plus[0][i].ravel(), plus[1][i].ravel(), plus[2][i].ravel()
        m0, m1, m2 = minus[0][i].ravel(), minus[1][i].ravel(), minus[2][i].ravel()
        matrix = (c, p0, p1, p2, m0, m1, m2, symmetric, (n0, n1, n2), periodic)
        scale = _largest(c)
        if not 0.0 < scale < np.inf:
            status[i] = SINGULAR
            continue
        _fill(ws, matrix, fill, -1.0 / scale)
        execute(ws, setup, inverse, places, small)
        if not invert(ws, entries, constants[i], inverse):
            status[i] = SINGULAR
            continue
        cycles = (ws, read, write, cycle, inverse, places, small, scale, constants[i])
        load_norm, last = np.sqrt(dot(rhs[i], rhs[i])), np.inf
        for _ in range(restarts):
            if symmetric:
                ended, steps = _conjugate_gradients(matrix, cycles, rhs[i], x[i], tolerance * load_norm,
                                                    limit - iterations[i], vectors, history[i])  # fmt: skip
            else:
                ended, steps = _bicgstab(matrix, cycles, rhs[i], x[i], tolerance * load_norm,
                                         limit - iterations[i], vectors, history[i])  # fmt: skip
            iterations[i] += steps
            product(vectors[0], matrix, x[i])
            vectors[0] -= rhs[i]
            norm = np.sqrt(dot(vectors[0], vectors[0]))
            residuals[i] = norm / load_norm if load_norm > 0.0 else norm
            met = norm <= tolerance * load_norm
            status[i] = CONVERGED if met else (MAX_ITERATIONS if ended == CONVERGED else ended)
            # a residual that a whole run does not halve has met the rounding of its own evaluation
            if met or ended == MAX_ITERATIONS or not norm < 0.5 * last:
                break
            last = norm


@numba.njit(cache=True, nogil=True)
def _fill(ws: Array, matrix: Matrix, fill: Array, factor: float) -> None:
    """The finest couplings, with a minus sign and scaled; the axes of 1-D and 2-D boxes are the first and the last."""
    c, p0, p1, p2, m0, m1, m2, symmetric, shape, _ = matrix
    load(ws, c, fill[0], factor)
    load(ws, p0, fill[1], factor)
    at = 2
    if shape[1] > 1:
        load(ws, p1, fill[at], factor)
        at += 1
    if shape[1] > 1 or shape[2] > 1:
        load(ws, p2, fill[at], factor)
        at += 1
    if not symmetric:
        load(ws, m0, fill[at], factor)
        if shape[1] > 1:
            load(ws, m1, fill[at + 1], factor)
        if shape[1] > 1 or shape[2] > 1:
            load(ws, m2, fill[len(fill) - 1], factor)


@numba.njit(cache=True, nogil=True)
def _largest(values: Real) -> float:
    top = 0.0
    for k in range(len(values)):
        top = max(top, abs(values[k]))
    return top


@numba.njit(cache=True, nogil=True)
def _precondition(z: Real, cycles: Cycle, r: Real, norm: float) -> None:
    """One cycle on r, scaled to unit size for float32; constants are taken out where they are the kernel."""
    ws, read, write, cycle, inverse, places, small, scale, constants = cycles
    load(ws, r, read, 1.0 / norm)
    execute(ws, cycle, inverse, places, small)
    store(z, ws, write, norm / scale)
    if constants:
        z -= z.mean()


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


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _turn(p: Real, z: Real, ratio: float) -> None:
    for k in range(len(p)):
        p[k] = z[k] + ratio * p[k]


@numba.njit(cache=True, nogil=True)
def _start(r: Real, matrix: Matrix, rhs: Real, x: Real) -> float:
    """r = rhs - A x; its norm."""
    product(r, matrix, x)
    for k in range(len(r)):
        r[k] = rhs[k] - r[k]
    return np.sqrt(dot(r, r))


@numba.njit(cache=True, nogil=True)
def _conjugate_gradients(
    matrix: Matrix, cycles: Cycle, rhs: Real, x: Real, target: float, limit: int, vectors: Real, history: Real
) -> tuple[int, int]:
    r, z, p, q = vectors[0], vectors[1], vectors[2], vectors[3]
    norm = _start(r, matrix, rhs, x)
    rho, p[:] = 1.0, 0.0
    for k in range(limit + 1):
        history[k % len(history)] = norm
        if norm <= _MARGIN * target or norm == 0.0:
            return CONVERGED, k
        if k == limit:
            break
        if not norm < np.inf:
            return BREAKDOWN, k
        _precondition(z, cycles, r, norm)
        old, rho = rho, dot(r, z)
        if not rho > 0.0:
            return BREAKDOWN, k
        _turn(p, z, rho / old if k else 0.0)
        product(q, matrix, p)
        curvature = dot(p, q)
        if not curvature > 0.0:
            return BREAKDOWN, k
        norm = np.sqrt(_advance(x, r, p, q, rho / curvature))
    return MAX_ITERATIONS, limit


@numba.njit(cache=True, nogil=True)
def _bicgstab(
    matrix: Matrix, cycles: Cycle, rhs: Real, x: Real, target: float, limit: int, vectors: Real, history: Real
) -> tuple[int, int]:
    r, shadow, p, v, s, t, y, z = (vectors[0], vectors[1], vectors[2], vectors[3], vectors[4], vectors[5],
                                   vectors[6], vectors[7])  # fmt: skip
    norm = _start(r, matrix, rhs, x)
    shadow[:] = r
    rho = alpha = omega = 1.0
    p[:], v[:] = 0.0, 0.0
    for k in range(limit + 1):
        history[k % len(history)] = norm
        if norm <= _MARGIN * target or norm == 0.0:
            return CONVERGED, k
        if k == limit:
            break
        old, rho = rho, dot(shadow, r)
        if not abs(rho) > 0.0 or not norm < np.inf:
            return BREAKDOWN, k
        beta = rho / old * alpha / omega
        for j in range(len(p)):
            p[j] = r[j] + beta * (p[j] - omega * v[j])
        _precondition(y, cycles, p, np.sqrt(dot(p, p)))
        product(v, matrix, y)
        slope = dot(shadow, v)
        if slope == 0.0:
            return BREAKDOWN, k
        alpha = rho / slope
        s[:] = r
        norm = np.sqrt(_advance(x, s, y, v, alpha))
        if norm <= _MARGIN * target:
            return CONVERGED, k + 1
        _precondition(z, cycles, s, norm)
        product(t, matrix, z)
        omega = dot(t, s) / dot(t, t)
        r[:] = s
        norm = np.sqrt(_advance(x, r, z, t, omega))
        if omega == 0.0:
            return BREAKDOWN, k + 1
    return MAX_ITERATIONS, limit
