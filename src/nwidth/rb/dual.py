"""An output of a reduced basis with a dual basis of its own: corrected value and limit, from reduced numbers alone.

For `s(u) = uᵀ Q u + l·u` (Q = 0: a linear output), u_N = lift + V c and any z = Z d with the dual problem

    A z* = l + 2 Q u_N,        value = s(u_N) + r(z),    r = f - A u_N,

the error is `s(u) - value = (u - u_N, z* - z)_A + (u - u_N)ᵀ Q (u - u_N)`, so that

    |s(u) - value| <= Δ Δ_dual + γ Δ² / α,      |vᵀ Q v| <= γ ‖v‖²_X,

with energy bounds Δ of u - u_N and Δ_dual of z* - z. The right-hand side of the dual problem is affine in (1, c), so
that its residual has an orthonormal basis as the primal one has. References: Pierce and Giles, SIAM Review 42 (2000);
Huynh and Patera, Int. J. Numer. Methods Eng. 72 (2007), section 5, for quadratic outputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.prediction import Output
from nwidth.core.storable import Parts, Storable
from nwidth.rb.batched import primal, solve
from nwidth.rb.model import ReducedModel
from nwidth.rb.residual import ResidualModel
from nwidth.rb.rounding import EPS, gamma

_TINY = float(np.finfo(np.float64).tiny)
_ARRAYS = ("cross", "cross_loads", "load_norms", "functional", "quadratic", "primal_lengths")
_NUMBERS = ("entry_operations", "offset", "offset_size", "functional_norm", "quadratic_norm", "continuity")


@dataclass(frozen=True, eq=False)
class DualModel(Storable):
    """One output in a primal basis of n modes and a dual one of m modes.

    `dual`: the terms in Z, and as its loads l and the 2 Q v_j. `residual`: of the dual problem. cross `(Q_A, m, n)` and
    cross_loads `(Q_f, m)`: `Zᵀ A_q V` and `Zᵀ f_q`. functional `(n,)`, quadratic `(n, n)`, offset: the output in V,
    the lift taken into account; the norms, lengths, `offset_size` and `entry_operations` (rounded ones behind a reduced
    entry) bound what rounding does. `continuity`: γ, 0 for a linear output.
    """

    kind: ClassVar[str] = "dual-model"

    dual: ReducedModel
    residual: ResidualModel
    cross: Real
    cross_loads: Real
    load_norms: Real
    functional: Real
    quadratic: Real
    primal_lengths: Real
    entry_operations: int
    offset: float
    offset_size: float
    functional_norm: float
    quadratic_norm: float
    continuity: float
    unit: str

    @property
    def linear(self) -> bool:
        """Whether there is no quadratic part."""
        return len(self.dual.loads) == 1

    @cached_property
    def operations(self) -> int:
        """Rounded operations behind a value, those in the reduced entries included."""
        terms, modes, primal_modes = self.cross.shape
        return self.entry_operations + terms * primal_modes + modes + len(self.load_norms) + 2 * primal_modes + 16

    @cached_property
    def _stacked(self) -> Real:
        """cross as `(Q_A n, m)`."""
        terms, modes, primal_modes = self.cross.shape
        return np.ascontiguousarray(self.cross.transpose(0, 2, 1).reshape(terms * primal_modes, modes))

    def output(self, theta: Real, phi: Real, coefficients: Real, bound: Real, lower: Real) -> Output:
        """Value and limit for coefficients c `(B, n)` of whatever origin with energy bounds `(B,)`; `lower` is α.

        A limit is +inf where `bound` is, or where α is not above zero or not known.
        """
        known = np.isfinite(bound) & (lower > 0)
        bound, lower = np.where(known, bound, np.nan), np.where(known, lower, np.nan)
        duals, dual_bound = self.solve(theta, coefficients, lower)
        combined = (theta[:, :, None] * coefficients[:, None, :]).reshape(len(theta), -1)
        rest = phi @ self.cross_loads - combined @ self._stacked
        values = self.offset + coefficients @ self.functional + np.einsum("bm,bm->b", duals, rest)
        if not self.linear:
            values = values + np.einsum("bn,bn->b", coefficients @ self.quadratic, coefficients)
        reduction = bound * dual_bound + self.continuity * bound**2 / lower
        limit = (reduction + self._rounding(theta, phi, coefficients, duals, values)) * (1 + 16 * EPS) + _TINY
        return Output(values, np.where(np.isnan(limit), np.inf, limit), self.unit)

    def solve(self, theta: Real, coefficients: Real, lower: Real) -> tuple[Real, Real]:
        """Dual coefficients `(B, m)` and energy bounds of the dual solution's error `(B,)`; NaN where `lower` is."""
        psi = np.ones((len(theta), 1))
        if not self.linear:
            psi = np.concatenate([psi, coefficients], axis=1)
        duals = solve(theta, psi, self.dual.packed, self.dual.loads)
        # any z will do: zero where the reduced dual matrix has no factor
        duals = np.where(np.isfinite(duals).all(axis=1)[:, None], duals, 0.0)
        residual = self.residual
        norm, noise = primal(theta, psi, duals, residual.rows, residual.weights, residual.fixed)
        gain = residual.gain * (1 + gamma(residual.rows.shape[1] + 16))
        root = np.sqrt(lower)
        return duals, (norm * gain + noise) / root * (1 + 32 * EPS) + _TINY

    def _rounding(self, theta: Real, phi: Real, coefficients: Real, duals: Real, values: Real) -> Real:
        length = np.abs(coefficients) @ self.primal_lengths
        load = np.abs(phi) @ self.load_norms + (np.abs(theta) @ self.dual.term_norms) * length
        sizes = self.functional_norm * length + self.quadratic_norm * length**2 + self.offset_size
        return gamma(self.operations) * (sizes + (np.abs(duals) @ self.dual.lengths) * load) + 4 * EPS * np.abs(values)

    def to_parts(self) -> Parts:
        """Reduced numbers only."""
        model, residual = self.dual.to_stored(), self.residual.to_stored()
        config: dict[str, Any] = {name: getattr(self, name) for name in _NUMBERS} | {"unit": self.unit}
        arrays = {name: getattr(self, name) for name in _ARRAYS} | model[1] | residual[1]
        return Parts(config | {"model": model[0], "residual": residual[0]}, arrays, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The model again."""
        numbers: dict[str, Any] = {name: np.ascontiguousarray(arrays[name]) for name in _ARRAYS}
        numbers |= {name: config[name] for name in (*_NUMBERS, "unit")}
        dual = ReducedModel.from_stored(config["model"], arrays)
        return cls(dual=dual, residual=ResidualModel.from_stored(config["residual"], arrays), **numbers)
