"""The online stage of reduced bases, for a batch at once.

`LANES` queries go through the assembly, the Cholesky factorisation and the triangular solves side by side, one in each
lane of a vector, so that even a 20 x 20 matrix keeps the processor busy (`nwidth.rb.lanes`).

Matrices are packed lower triangles, `(T, Q_A)` with T = n (n + 1) / 2: entry (i, j), i >= j, at i (i + 1) / 2 + j.
"""

from typing import Any

import numpy as np
from numba import njit

from nwidth.core.arrays import Real
from nwidth.rb.lanes import WIDTH, combine, factorise, remainder, substitute

#: Queries side by side.
LANES = WIDTH
#: Queries whose residual coordinates are formed by one matrix product.
CHUNK = 128

OPTIONS: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz"},
    "nogil": True,
}


@njit(**OPTIONS)
def _take(table: Real, first: int, lanes: Real) -> None:
    """Rows of `table (B, Q)` from `first` as columns of `lanes (Q, lanes)`; the last row fills what is left."""
    last = table.shape[0] - 1
    for lane in range(lanes.shape[1]):
        b = min(first + lane, last)
        for q in range(table.shape[1]):
            lanes[q, lane] = table[b, q]


@njit(**OPTIONS)
def _put(lanes: Real, first: int, table: Real) -> None:
    """Columns of `lanes (n, lanes)` as rows of the table from `first`, as far as there are any."""
    for lane in range(min(lanes.shape[1], table.shape[0] - first)):
        for i in range(lanes.shape[0]):
            table[first + lane, i] = lanes[i, lane]


@njit(**OPTIONS)
def solve(theta: Real, phi: Real, packed: Real, loads: Real) -> Real:
    """Coefficients `(B, n)` of `Σ θ_q A_q c = Σ φ_q f_q`; NaN where a matrix is not positive definite.

    θ `(B, Q_A)`, φ `(B, Q_f)`, packed `(T, Q_A)`, loads `(Q_f, n)`.
    """
    batch, size = theta.shape[0], loads.shape[1]
    result = np.empty((batch, size))
    here, weights = np.empty((theta.shape[1], LANES)), np.empty((phi.shape[1], LANES))
    work, x = np.empty((packed.shape[0], LANES)), np.empty((size, LANES))
    transposed = np.ascontiguousarray(loads.T)
    for first in range(0, batch, LANES):
        _take(theta, first, here)
        _take(phi, first, weights)
        combine(packed, here, work)
        combine(transposed, weights, x)
        factorise(size, work)
        substitute(work, x)
        _put(x, first, result)
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
def remainders(theta: Real, phi: Real, coefficients: Real, packed: Real, loads: Real) -> Real:
    """`Σ φ_q f_q - Σ θ_q A_q c` for the coefficients `(B, n)`, `(B, n)`."""
    batch, size = coefficients.shape
    result = np.empty((batch, size))
    here, weights = np.empty((theta.shape[1], LANES)), np.empty((phi.shape[1], LANES))
    work, x, r = np.empty((packed.shape[0], LANES)), np.empty((size, LANES)), np.empty((size, LANES))
    transposed = np.ascontiguousarray(loads.T)
    for first in range(0, batch, LANES):
        _take(theta, first, here)
        _take(phi, first, weights)
        _take(coefficients, first, x)
        combine(packed, here, work)
        combine(transposed, weights, r)
        remainder(work, x, r)
        _put(r, first, result)
    return result
