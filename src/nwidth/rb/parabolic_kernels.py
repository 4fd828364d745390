"""The online stage of reduced parabolic problems: steps, residual norms and the contraction of the error bound.

Samples are marched one after the other, so that a factorisation is kept while the coefficients stay as they are; the
inner loops run along rows. Residual coordinates of many steps are one matrix product. A term of index Q_A is the mass.
"""

import numpy as np
from numba import njit

from nwidth.core.arrays import Real
from nwidth.rb.batched import OPTIONS

#: Steps whose residual coordinates are formed by one matrix product.
CHUNK = 128


@njit(**OPTIONS)
def _factorise(a: Real) -> None:
    """The Cholesky factor in the lower triangle of a, reciprocals on its diagonal; NaN where it does not exist."""
    for i in range(len(a)):
        for j in range(i):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            a[i, j] = total * a[j, j]
        total = a[i, i]
        for k in range(i):
            total -= a[i, k] * a[i, k]
        a[i, i] = 1.0 / np.sqrt(total)


@njit(**OPTIONS)
def _substitute(a: Real, x: Real) -> None:
    """Solve with the factor in place."""
    size = len(x)
    for i in range(size):
        total = x[i]
        for k in range(i):
            total -= a[i, k] * x[k]
        x[i] = total * a[i, i]
    for i in range(size - 1, -1, -1):
        x[i] *= a[i, i]
        for k in range(i):
            x[k] -= a[i, k] * x[i]


@njit(**OPTIONS)
def _assemble(theta: Real, scale: float, matrices: Real, work: Real) -> None:
    """The lower triangle of `Σ θ_q A_q + scale M`."""
    terms, size = len(theta), len(work)
    for i in range(size):
        for j in range(i + 1):
            work[i, j] = scale * matrices[terms, i, j]
        for q in range(terms):
            for j in range(i + 1):
                work[i, j] += theta[q] * matrices[q, i, j]


@njit(**OPTIONS)
def march(
    theta: Real, phi: Real, matrices: Real, loads: Real, start: Real, dt: float, weight: float
) -> tuple[Real, Real]:
    """States at the points of the steps, and at their ends, both `(B, T, n)`; NaN where a matrix is not definite.

    θ `(B, T, Q_A)`, φ `(B, T, F)`, matrices `(Q_A + 1, n, n)` with the mass last, loads `(F, n)`, start `(B, n)`.
    """
    batch, steps, terms = theta.shape
    size, scale = start.shape[1], 1.0 / (weight * dt)
    points, levels = np.empty((batch, steps, size)), np.empty((batch, steps, size))
    work, x, mass = np.empty((size, size)), np.empty(size), matrices[terms]
    for b in range(batch):
        level = start[b].copy()
        for t in range(steps):
            fresh = t == 0
            for q in range(terms):
                fresh |= theta[b, t, q] != theta[b, t - 1, q]
            if fresh:
                _assemble(theta[b, t], scale, matrices, work)
                _factorise(work)
            for i in range(size):
                total = 0.0
                for j in range(size):
                    total += mass[i, j] * level[j]
                x[i] = scale * total
            for f in range(phi.shape[2]):
                for i in range(size):
                    x[i] += phi[b, t, f] * loads[f, i]
            _substitute(work, x)
            for i in range(size):
                points[b, t, i] = x[i]
                level[i] += (x[i] - level[i]) / weight
                levels[b, t, i] = level[i]
    return points, levels


@njit(**OPTIONS)
def _functional(z: Real, fixed: int, theta: Real, before: Real, after: Real, dt: float, weight: float) -> None:
    """The coefficients of the terms in the residual of a step: `-θ_q c_ϑ`, then `-(c⁺ - c) / dt`, modes slow."""
    terms = len(theta)
    for j in range(len(after)):
        place = fixed + j * (terms + 1)
        point = weight * after[j] + (1.0 - weight) * before[j]
        for q in range(terms):
            z[place + q] = -theta[q] * point
        z[place + terms] = -(after[j] - before[j]) / dt


@njit(**OPTIONS)
def residuals(
    theta: Real, phi: Real, start: Real, levels: Real, rows: Real, weights: Real, fixed: int, dt: float, weight: float
) -> tuple[Real, Real]:
    """`‖Σ_k ζ_k ρ_k‖₂` and `Σ_k |ζ_k| w_k` of the residual of every step, both `(B, T)`, for any levels `(B, T, n)`."""
    batch, steps = theta.shape[:2]
    norm, noise = np.empty((batch, steps)), np.empty((batch, steps))
    piece = max(1, min(CHUNK, steps))
    z, y = np.zeros((piece, rows.shape[0])), np.empty((piece, rows.shape[1]))
    for b in range(batch):
        for first in range(0, steps, piece):
            count = min(piece, steps - first)
            for i in range(count):
                t = first + i
                z[i, : phi.shape[2]] = phi[b, t]
                before = start[b] if t == 0 else levels[b, t - 1]
                _functional(z[i], fixed, theta[b, t], before, levels[b, t], dt, weight)
            np.dot(z[:count], rows, y[:count])
            for i in range(count):
                total = 0.0
                for m in range(y.shape[1]):
                    total += y[i, m] * y[i, m]
                norm[b, first + i] = np.sqrt(total)
                total = 0.0
                for k in range(z.shape[1]):
                    total += abs(z[i, k]) * weights[k]
                noise[b, first + i] = total
    return norm, noise


# plain arithmetic: these few operations are counted one by one
@njit(cache=True, error_model="numpy", nogil=True)
def contract(start: Real, q: Real, coercive: Real, other: Real, jump: Real, dt: float, weight: float) -> Real:
    """Bounds E of the error in the M-norm after every step, `(B, T)`, from a bound before the first, start `(B,)`.

    q: bounds of the residual over √α; coercive: c with A >= c M; other: C with A <= C M; jump: bounds of the residual
    in the norm of M⁻¹; all `(B, T)`, the last two for Crank-Nicolson only. Proof: `nwidth.certificates.parabolic`.
    """
    batch, steps = q.shape
    bounds = np.empty((batch, steps))
    grow = 1.0 + 64 * 2.220446049250313e-16
    for b in range(batch):
        e = start[b]
        for t in range(steps):
            p, root = q[b, t], np.sqrt(coercive[b, t])
            if weight == 1.0:
                new = 0.5 * (e + np.sqrt(e * e + dt * p * p))
                if root * new > 0.5 * p:
                    new = (e + dt * root * p) / (1.0 + dt * coercive[b, t])
            else:
                kappa = 1.0 / root + 0.5 * dt * np.sqrt(other[b, t])
                shift = 0.5 * dt * jump[b, t]
                new = np.sqrt(e * e + 0.5 * dt * p * p)
                if 0.5 * kappa * p + shift < new:
                    square, half = kappa * kappa + 2.0 * dt, kappa * shift - dt * p
                    under = half * half + square * (e * e - shift * shift)
                    new = kappa * (np.sqrt(max(under, 0.0)) - half) / square + shift
            e = new * grow + 2.2250738585072014e-308
            bounds[b, t] = e
    return bounds
