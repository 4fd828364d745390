"""Randomised POD: the span of random combinations of the snapshots, grown until the error estimate is met.

Each round adds rows Ω A (Ω standard normal), refined by one power step A A* Ω, orthonormal in X. The error is estimated
from fresh combinations: for Gaussian ω, E ‖ω A (I - P)‖_X² = Σ_i ‖u_i - P u_i‖², and ‖A (I - P)‖₂ <= 10 √(2/π)
max_i ‖ω_i A (I - P)‖_X but with probability 10^{-r} for r of them. At the end the rest is measured outright, so that
what is reported is not the estimate.

Reference: Halko, Martinsson, Tropp, SIAM Review 53 (2011), algorithms 4.2 and 5.1, equation 4.3.
"""

import numpy as np
import scipy.linalg as sla

from nwidth.core.arrays import Array
from nwidth.core.seeding import generator
from nwidth.rb.pod_blocks import coordinates, energy, extend
from nwidth.rb.pod_memory import Found
from nwidth.spaces.base import InnerProduct

_BLOCK = 16
_OVERSAMPLING = 10
#: Fresh combinations that estimate the error: off by more than a factor of two once in ten thousand.
_PROBES = 10
#: Rows for which the rest is measured at a time.
_PIECE = 256


def by_random_rows(
    rows: Array, inner: InnerProduct | None, *, modes: int | None = None, tol: float = 1e-3, seed: int = 0
) -> Found:
    """Modes of rows `(B, N)`: `modes` of them, oversampled, or as many as an estimate of `tol` / 2 asks for."""
    rng, total = generator(seed), energy(inner, rows)
    most = min(rows.shape)
    basis = rows[:0]
    step = _BLOCK if modes is None else min(modes + _OVERSAMPLING, most)
    while len(basis) < most:
        found = extend(basis, _combinations(rows, inner, basis, step, rng), inner, most=most - len(basis))
        if not len(found.fresh):
            break
        basis = np.concatenate([basis, found.fresh])
        if modes is not None or estimate(rows, inner, basis, rng) <= 0.5 * tol * np.sqrt(total):
            break
        step = len(basis)
    return _decomposed(rows, inner, basis, total)


def estimate(rows: Array, inner: InnerProduct | None, basis: Array, rng: np.random.Generator) -> float:
    """An unbiased estimate (of the square) of `√(Σ_i ‖u_i - P u_i‖²)`, from a few random combinations."""
    probes = rng.standard_normal((_PROBES, len(rows))) @ rows
    rest = probes - coordinates(inner, probes, basis) @ basis
    return float(np.sqrt(energy(inner, rest) / _PROBES))


def spectral_estimate(rows: Array, inner: InnerProduct | None, basis: Array, rng: np.random.Generator) -> float:
    """A bound of `‖A (I - P)‖₂`, the largest singular value that the basis misses, but with probability 1e-10."""
    probes = rng.standard_normal((_PROBES, len(rows))) @ rows
    rest = probes - coordinates(inner, probes, basis) @ basis
    sizes = [np.sqrt(energy(inner, row[None])) for row in rest]
    return float(10 * np.sqrt(2 / np.pi) * max(sizes))


def _combinations(rows: Array, inner: InnerProduct | None, basis: Array, count: int, rng: np.random.Generator) -> Array:
    """Random combinations of what the basis leaves of the rows, after one power step."""
    mixed = rng.standard_normal((count, len(rows))) @ rows
    if len(basis):
        mixed = mixed - coordinates(inner, mixed, basis) @ basis
    fresh = extend(basis, mixed, inner).fresh
    if not len(fresh):
        return mixed
    weights, _ = np.linalg.qr(coordinates(inner, rows, fresh))
    return weights.conj().T @ rows


def _decomposed(rows: Array, inner: InnerProduct | None, basis: Array, total: float) -> Found:
    """Singular values and modes inside the basis, and the energy of all rows outside of it, measured."""
    inside = np.empty((len(rows), len(basis)), dtype=rows.dtype)
    unseen = 0.0
    for first in range(0, len(rows), _PIECE):
        part = rows[first : first + _PIECE]
        inside[first : first + _PIECE] = coordinates(inner, part, basis)
        unseen += energy(inner, part - inside[first : first + _PIECE] @ basis)
    _, sigma, turn = sla.svd(inside, full_matrices=False, check_finite=False)
    return Found(turn @ basis, sigma, total, unseen)
