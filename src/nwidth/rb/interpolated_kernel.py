"""The online stage of the interpolated residual, for a batch at once: two matrix products, and the sums around them in
one pass over each query."""

import numpy as np
from numba import njit

from nwidth.core.arrays import Array, Real
from nwidth.rb.batched import OPTIONS

#: Queries whose remainders are formed by one matrix product.
CHUNK = 128


@njit(**OPTIONS)
def _combination(theta: Real, phi: Real, coefficients: Real, first: int, z: Real) -> None:
    """ζ = (φ, -θ ⊗ c) of `len(z)` queries from `first` on, modes slow; zeros for modes that have no coefficient."""
    loads, terms = phi.shape[1], theta.shape[1]
    for i in range(z.shape[0]):
        b = first + i
        for q in range(loads):
            z[i, q] = phi[b, q]
        for j in range(coefficients.shape[1]):
            for q in range(terms):
                z[i, loads + j * terms + q] = -theta[b, q] * coefficients[b, j]


@njit(**OPTIONS)
def _substitute(triangle: Real, magic: Array, z: Real, b: Real) -> None:
    """`L b = ζ[magic]` with the unit lower triangle L, for one query."""
    for j in range(b.shape[0]):
        total = z[magic[j]]
        for i in range(j):
            total -= triangle[j, i] * b[i]
        b[j] = total


@njit(**OPTIONS)
def interpolate(
    theta: Real,
    phi: Real,
    coefficients: Real,
    functions: Real,
    triangle: Real,
    magic: Array,
    gram: Real,
    sizes: Real,
    per_point: Real,
    whole: bool,
) -> Real:
    """Sums `(B, 6)` of each query: `bᵀ H b`; `|b| ·` each row of `per_point (3, m)`; and, where `whole`, `g · |e|` and
    `g · |ζ|`, zero otherwise."""
    batch, points, count = theta.shape[0], functions.shape[0], functions.shape[1]
    sums = np.zeros((batch, 6))
    piece = max(1, min(CHUNK, batch))
    z, b = np.zeros((piece, count)), np.empty((piece, points))
    y, w = np.empty((piece, count if whole else 1)), np.empty((piece, points))
    for first in range(0, batch, piece):
        held = min(piece, batch - first)
        _combination(theta, phi, coefficients, first, z[:held])
        for i in range(held):
            _substitute(triangle, magic, z[i], b[i])
        np.dot(b[:held], gram, w[:held])
        if whole:
            np.dot(b[:held], functions, y[:held])
        for i in range(held):
            found = sums[first + i]
            for j in range(points):
                size = abs(b[i, j])
                found[0] += b[i, j] * w[i, j]
                for k in range(3):
                    found[1 + k] += size * per_point[k, j]
            if whole:
                rest, own = 0.0, 0.0
                for k in range(count):
                    rest += sizes[k] * abs(z[i, k] - y[i, k])
                    own += sizes[k] * abs(z[i, k])
                found[4], found[5] = rest, own
    return sums
