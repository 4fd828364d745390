"""The online stage of reduced bases, for a batch at once.

Up to `LANES` queries go through the assembly, the Cholesky factorisation and the triangular solves side by side: the
innermost loop runs over them, contiguous in memory, so that it becomes vector instructions even for a 20 x 20 matrix.
The residual's coordinates are one matrix product.

Matrices are packed lower triangles, `(T, Q_A)` with T = n (n + 1) / 2: entry (i, j), i >= j, at i (i + 1) / 2 + j.
"""

from typing import Any

import numpy as np
from numba import njit

from nwidth.core.arrays import Real

LANES = 32
#: Queries whose residual coordinates are formed by one matrix product.
CHUNK = 128

OPTIONS: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz"},
    "nogil": True,
}


@njit(**OPTIONS)
def _factorise(size: int, work: Real) -> None:
    """Cholesky factors of work `(T, lanes)` in place, four columns a pass; the diagonal holds reciprocals, NaN where a
    matrix is not positive definite."""
    lanes = work.shape[1]
    for i in range(size):
        a = work[i * (i + 1) // 2 : (i + 1) * (i + 2) // 2]
        for j in range(i + 1):
            b = work[j * (j + 1) // 2 : (j + 1) * (j + 2) // 2]
            fours = j - j % 4
            for k in range(0, fours, 4):
                for lane in range(lanes):
                    a[j, lane] -= (
                        a[k, lane] * b[k, lane]
                        + a[k + 1, lane] * b[k + 1, lane]
                        + a[k + 2, lane] * b[k + 2, lane]
                        + a[k + 3, lane] * b[k + 3, lane]
                    )
            for k in range(fours, j):
                for lane in range(lanes):
                    a[j, lane] -= a[k, lane] * b[k, lane]
            if j < i:
                for lane in range(lanes):
                    a[j, lane] *= b[j, lane]
            else:
                for lane in range(lanes):
                    a[i, lane] = 1.0 / np.sqrt(a[i, lane])


@njit(**OPTIONS)
def _substitute(work: Real, size: int, x: Real) -> None:
    """Solve with the factors in place, x `(n, lanes)`."""
    lanes = work.shape[1]
    for i in range(size):
        a, y = work[i * (i + 1) // 2 : (i + 1) * (i + 2) // 2], x[i]
        for k in range(i):
            for lane in range(lanes):
                y[lane] -= a[k, lane] * x[k, lane]
        for lane in range(lanes):
            y[lane] *= a[i, lane]
    for i in range(size - 1, -1, -1):
        a, y = work[i * (i + 1) // 2 : (i + 1) * (i + 2) // 2], x[i]
        for lane in range(lanes):
            y[lane] *= a[i, lane]
        for k in range(i):
            for lane in range(lanes):
                x[k, lane] -= a[k, lane] * y[lane]


@njit(**OPTIONS)
def _take(table: Real, first: int, lanes: Real) -> None:
    """Rows of `table (B, Q)` from `first` as columns of `lanes (Q, lanes)`; the last row fills what is left."""
    last = table.shape[0] - 1
    for lane in range(lanes.shape[1]):
        b = min(first + lane, last)
        for q in range(table.shape[1]):
            lanes[q, lane] = table[b, q]


@njit(**OPTIONS)
def solve(theta: Real, phi: Real, packed: Real, loads: Real) -> Real:
    """Coefficients `(B, n)` of `Σ θ_q A_q c = Σ φ_q f_q`; NaN where a matrix is not positive definite.

    θ `(B, Q_A)`, φ `(B, Q_f)`, packed `(T, Q_A)`, loads `(Q_f, n)`.
    """
    batch, size = theta.shape[0], loads.shape[1]
    lanes = max(1, min(LANES, batch))
    result = np.empty((batch, size))
    here, weights = np.empty((theta.shape[1], lanes)), np.empty((phi.shape[1], lanes))
    work, x = np.empty((packed.shape[0], lanes)), np.empty((size, lanes))
    transposed = np.ascontiguousarray(loads.T)
    for first in range(0, batch, lanes):
        _take(theta, first, here)
        _take(phi, first, weights)
        np.dot(packed, here, work)
        np.dot(transposed, weights, x)
        _factorise(size, work)
        _substitute(work, size, x)
        for i in range(size):
            for lane in range(min(lanes, batch - first)):
                result[first + lane, i] = x[i, lane]
    return result


@njit(**OPTIONS)
def _combination(z: Real, fixed: int, theta: Real, b: int, c: Real) -> None:
    """The part of ζ that belongs to the modes: `-θ_q c_j`, modes slow."""
    terms = theta.shape[1]
    for j in range(c.shape[0]):
        for q in range(terms):
            z[fixed + j * terms + q] = -theta[b, q] * c[j]


@njit(**OPTIONS)
def _weighted(z: Real, weights: Real) -> float:
    total = 0.0
    for k in range(z.shape[0]):
        total += abs(z[k]) * weights[k]
    return total


@njit(**OPTIONS)
def _norm(y: Real) -> float:
    total = 0.0
    for m in range(y.shape[0]):
        total += y[m] * y[m]
    return np.sqrt(total)


@njit(**OPTIONS)
def primal(theta: Real, phi: Real, coefficients: Real, rows: Real, weights: Real, fixed: int) -> tuple[Real, Real]:
    """`‖Σ_k ζ_k ρ_k‖₂` and `Σ_k |ζ_k| w_k` of the residuals of the coefficients `(B, n)`, both `(B,)`."""
    batch, loads = theta.shape[0], phi.shape[1]
    norm, noise = np.empty(batch), np.empty(batch)
    piece = max(1, min(CHUNK, batch))
    z, y = np.zeros((piece, rows.shape[0])), np.empty((piece, rows.shape[1]))
    for first in range(0, batch, piece):
        count = min(piece, batch - first)
        for i in range(count):
            z[i, :loads] = phi[first + i]
            _combination(z[i], fixed, theta, first + i, coefficients[first + i])
        np.dot(z[:count], rows, y[:count])
        for i in range(count):
            norm[first + i] = _norm(y[i])
            noise[first + i] = _weighted(z[i], weights)
    return norm, noise


@njit(**OPTIONS)
def solve_each(theta: Real, packed: Real, vector: Real) -> Real:
    """Coefficients `(B, n)` of `Σ θ_q A_q z = vector (n,)` for every row of θ."""
    return solve(theta, np.ones((len(theta), 1)), packed, vector.reshape(1, -1))


@njit(**OPTIONS)
def _remainder(work: Real, size: int, x: Real, r: Real) -> None:
    """`r -= A x` with the packed matrices in work, x and r `(n, lanes)`."""
    lanes = work.shape[1]
    for i in range(size):
        a = work[i * (i + 1) // 2 : (i + 1) * (i + 2) // 2]
        for j in range(i):
            for lane in range(lanes):
                r[i, lane] -= a[j, lane] * x[j, lane]
                r[j, lane] -= a[j, lane] * x[i, lane]
        for lane in range(lanes):
            r[i, lane] -= a[i, lane] * x[i, lane]


@njit(**OPTIONS)
def remainders(theta: Real, phi: Real, coefficients: Real, packed: Real, loads: Real) -> Real:
    """`Σ φ_q f_q - Σ θ_q A_q c` for the coefficients `(B, n)`, `(B, n)`."""
    batch, size = coefficients.shape
    lanes = max(1, min(LANES, batch))
    result = np.empty((batch, size))
    here, weights = np.empty((theta.shape[1], lanes)), np.empty((phi.shape[1], lanes))
    work, x, r = np.empty((packed.shape[0], lanes)), np.empty((size, lanes)), np.empty((size, lanes))
    transposed = np.ascontiguousarray(loads.T)
    for first in range(0, batch, lanes):
        _take(theta, first, here)
        _take(phi, first, weights)
        _take(coefficients, first, x)
        np.dot(packed, here, work)
        np.dot(transposed, weights, r)
        _remainder(work, size, x, r)
        for i in range(size):
            for lane in range(min(lanes, batch - first)):
                result[first + lane, i] = r[i, lane]
    return result
