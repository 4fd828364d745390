"""Many queries at once: residuals of reduced solutions and of reduced dual solutions, and output corrections.

The residual's coordinates are `y = Σ_q,j (-θ_q c_j) ρ_jq` plus those of the loads or of a functional. A mode's rows
ρ_jq end where the residual's basis ended when the mode was added, so that the product takes steps and half the work of
a full one (`nwidth.rb.steps`). Queries are the innermost axis.

For an output l·u any vector in place of the dual solution gives a valid limit. Where l = κ f for the one load f (a
compliant output), Galerkin's dual solution is κ/φ times the primal one: no system to solve, and no product of its own.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from nwidth.core.arrays import Real
from nwidth.rb.batched import OPTIONS, remainders, solve_each
from nwidth.rb.model import ReducedModel
from nwidth.rb.residual import ResidualModel

#: Numbers that stay in cache: the fewer coordinates a residual has, the more queries are taken at a time.
_CACHED = 60_000
#: Fewer queries at a time are mostly overhead.
_LEAST = 192
#: A functional that differs from a multiple of the load by less than this, relative to itself, counts as compliant.
_COMPLIANT = 1e-10


@dataclass(frozen=True, eq=False)
class Residuals:
    """Norms of the residuals and bounds of their rounding, `(B, 1 + s)`: first column the coefficients, then the dual
    solutions of the outputs. Corrections `z_i · (f_N - A_N c)` of the outputs, and bounds of their rounding, `(B, s)`.
    """

    norm: Real
    noise: Real
    correction: Real
    shift: Real


def residuals(model: ReducedModel, residual: ResidualModel, theta: Real, phi: Real, coefficients: Real) -> Residuals:
    """For θ `(B, Q_A)`, φ `(B, Q_f)` and any coefficients `(B, n)`; NaN where a dual system has no solution."""
    theta, phi, coefficients = (np.ascontiguousarray(part, dtype=np.float64) for part in (theta, phi, coefficients))
    table, kappa = np.empty((4, 1 + len(model.functionals), len(theta))), compliances(model, residual)
    step = max(_LEAST, _CACHED // max(1, residual.rows.shape[1]))
    for first in range(0, len(theta), step):
        here = slice(first, first + step)
        query = _Query(model, residual, theta[here], phi[here], coefficients[here])
        table[:, 0, here] = query.primal()
        for i in range(len(model.functionals)):
            table[:, 1 + i, here] = query.dual(i, float(kappa[i]))
    norm, noise, correction, shift = table.swapaxes(1, 2)
    return Residuals(norm, noise, correction[:, 1:], shift[:, 1:])


class _Query:
    """A few queries, which stay in cache, with what their residuals share."""

    def __init__(self, model: ReducedModel, residual: ResidualModel, theta: Real, phi: Real, coefficients: Real):
        self.model, self.residual, self.theta, self.coefficients = model, residual, theta, coefficients
        self.phi = np.ascontiguousarray(phi.T)
        self.y = residual.steps.coordinates(theta, coefficients)
        weights, terms = residual.weights, len(model.matrices)
        self.fixed, self.table = weights[: residual.fixed], weights[residual.fixed :].reshape(-1, terms)
        self.noise = _weighted(theta, coefficients, self.table)
        held = len(model.loads)
        # the reduced residual, which only outputs need, and by how much rounding moves it
        none = np.zeros_like(coefficients)
        outputs = bool(len(model.functionals))
        self.rest = remainders(theta, phi, coefficients, model.packed, model.loads) if outputs else none
        own = model.term_weights
        self.rounding = np.abs(phi) @ own[:held] + _weighted(theta, coefficients, own[held:].reshape(-1, terms))

    def primal(self) -> tuple[Real, Real, Real, Real]:
        """Norm, noise; no correction."""
        count, none = len(self.phi), np.zeros(len(self.theta))
        norm = _norms(self.y, np.ones(len(self.theta)), self.residual.rows[:count], self.phi)
        return norm, np.abs(self.phi.T) @ self.fixed[:count] + self.noise, none, none

    def dual(self, i: int, kappa: float) -> tuple[Real, Real, Real, Real]:
        """Norm, noise, correction and its rounding for output i of compliance κ."""
        model, batch = self.model, len(self.theta)
        if np.isnan(kappa):
            z = solve_each(self.theta, model.packed, model.functionals[i])
            scale, y = np.ones(batch), self.residual.steps.coordinates(self.theta, z)
            noise = _weighted(self.theta, z, self.table)
        else:
            z, y, noise = self.coefficients, self.y, self.noise
            nonzero = self.phi[0] != 0
            scale = np.where(nonzero, kappa / np.where(nonzero, self.phi[0], 1.0), 0.0)
        place = len(model.loads) + i
        norm = _norms(y, scale, self.residual.rows[place : place + 1], np.ones((1, batch)))
        correction = scale * np.einsum("bn,bn->b", z, self.rest)
        shift = np.abs(scale) * (np.abs(z) @ model.lengths) * self.rounding
        return norm, self.fixed[place] + np.abs(scale) * noise, correction, shift


def compliances(model: ReducedModel, residual: ResidualModel) -> Real:
    """κ for each output whose functional is κ times the only load, in the basis and in the residual's; else NaN."""
    kappa = np.full(len(model.functionals), np.nan)
    if len(model.loads) != 1 or not model.loads[0].any():
        return kappa
    load, rows = model.loads[0], residual.rows
    for i, functional in enumerate(model.functionals):
        guess, row = float(load @ functional / (load @ load)), rows[1 + i]
        apart = np.linalg.norm(functional - guess * load) <= _COMPLIANT * np.linalg.norm(functional)
        beyond = np.linalg.norm(row - guess * rows[0]) <= _COMPLIANT * np.linalg.norm(row)
        kappa[i] = guess if apart and beyond else np.nan
    return kappa


def _weighted(theta: Real, coefficients: Real, weights: Real) -> Real:
    """`Σ_j,q |θ_q c_j| w_jq`, `(B,)`, for weights `(n, Q_A)`."""
    return np.einsum("bn,bn->b", np.abs(coefficients), np.abs(theta) @ weights.T)


@njit(**OPTIONS)
def _norms(y: Real, scale: Real, rows: Real, amounts: Real) -> Real:
    """`‖scale y + Σ_k amounts_k ρ_k‖₂`, `(B,)`, for y `(M, B)`, rows ρ `(F, M)` and amounts `(F, B)`."""
    batch, total = y.shape[1], np.empty(y.shape[1])
    norm = np.zeros(batch)
    for m in range(y.shape[0]):
        for b in range(batch):
            total[b] = scale[b] * y[m, b]
        for k in range(rows.shape[0]):
            value = rows[k, m]
            for b in range(batch):
                total[b] += amounts[k, b] * value
        for b in range(batch):
            norm[b] += total[b] * total[b]
    for b in range(batch):
        norm[b] = np.sqrt(norm[b])
    return norm
