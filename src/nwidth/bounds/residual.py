"""Bound 1: the error of any field from the dual norm of its residual.

For `A(mu) u = f` symmetric with `α X <= A <= β X` and any v that satisfies the boundary data exactly,
`r = f - A v` gives

    ‖r‖_{X⁻¹} / √β  <=  |rᵀz| / ‖z‖_A  <=  ‖u - v‖_A  <=  ‖r‖_{X⁻¹} / √α          and  ‖u - v‖_X <= ‖r‖_{X⁻¹} / α,

so that the effectivity in the energy norm is at most √(β/α). The quotient is a lower bound for any z (Cauchy and
Schwarz); the first inequality holds for z = X⁻¹ r. References: Prud'homme et al., J. Fluids Eng. 124 (2002), section 3;
for the round-off term Higham, Accuracy and Stability of Numerical Algorithms, section 3.5.
"""

from dataclasses import dataclass, replace

import numpy as np

from nwidth.bounds.dual_norm import EPS, DualNorm, dot, dual_norm_upper, euclidean, represented
from nwidth.core.arrays import Array, Real
from nwidth.problems.base import Stability, Systems
from nwidth.spaces.base import InnerProduct

__all__ = ["EPS", "EnergyBounds", "dual_norm_upper", "energy_bounds", "reference_norm", "relative_bound", "round_off"]

#: Squares below this may have lost digits.
_VANISHING = 1e-250


@dataclass(frozen=True)
class EnergyBounds:
    """Upper and lower bounds of `‖u - v‖_A` for each sample, and the floor that round-off puts under `upper`."""

    upper: Real
    lower: Real
    floor: Real


def round_off(systems: Systems, v: Array, inner: InnerProduct) -> Real:
    """A bound in the X⁻¹ norm of the rounding error of a residual evaluated in float64, `(B,)`.

    `γ ‖ |A||v| + |f| ‖₂ / √λ_min(X)` with γ = terms · eps. Never zero where the load or the field is not.
    """
    scale = euclidean(systems.magnitude(v - systems.lift))
    return systems.terms * EPS * scale / np.sqrt(inner.lambda_min) + np.finfo(np.float64).tiny


@dataclass(frozen=True, eq=False)
class Residual:
    """The residual r `(B, N)` of some fields, z about X⁻¹ r, the dual norm of r as computed, and a bound of its
    rounding in that norm, `noise (B,)`."""

    r: Array
    z: Array
    dual: DualNorm
    noise: Real

    @classmethod
    def of(cls, systems: Systems, v: Array, inner: InnerProduct) -> "Residual":
        """Of dofs v `(B, N)`, float64, that carry the prescribed values exactly."""
        noise = round_off(systems, v, inner)
        r = systems.residual(v)
        return cls(r, *represented(inner, r), noise)

    def energy(self, systems: Systems, inner: InnerProduct, stability: Stability) -> EnergyBounds:
        """Both bounds of the error in the energy norm."""
        found = energy_limits(self.dual, self.noise, stability)
        direction = _quotient(systems, self, stability.upper * inner.rounding(self.r.shape[1]))
        return replace(found, lower=np.maximum(found.lower, direction))


def energy_bounds(systems: Systems, v: Array, inner: InnerProduct, stability: Stability) -> EnergyBounds:
    """Bounds of `‖u - v‖_A` for dofs v `(B, N)`, float64, that carry the prescribed values exactly.

    Where no constant above zero is known the upper bound is +inf; where numbers overflow too. Never NaN.
    """
    return Residual.of(systems, v, inner).energy(systems, inner, stability)


def energy_limits(dual: DualNorm, noise: Real, stability: Stability) -> EnergyBounds:
    """Both bounds from the dual norm of the computed residual and a bound of its rounding in that norm, `(B,)`."""
    # without a proven constant above zero there is no bound: infinite, never NaN
    known = stability.lower > 0
    root = np.sqrt(np.where(known, stability.lower, 1.0))
    floor = noise / root
    with np.errstate(invalid="ignore", divide="ignore"):
        upper = dual.upper / root + floor
        lower = np.maximum(dual.lower - noise, 0.0) / np.sqrt(stability.upper)
    upper = np.where(known & ~np.isnan(upper), upper * (1 + 4 * EPS), np.inf)
    return EnergyBounds(upper, _lower(lower), np.where(known & ~np.isnan(floor), floor, np.inf))


def quotient(product: Real, energy: Real, dual: DualNorm, noise: Real) -> Real:
    """`|rᵀz| / ‖z‖_A` less what the rounding of r takes, from a lower bound of rᵀz and an upper one of ‖z‖²_A."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (product - noise * dual.energy) / np.sqrt(energy)
    return _lower(np.where(energy > _VANISHING, found, 0.0))


def _quotient(systems: Systems, found: Residual, entry: Real) -> Real:
    """The quotient with products as they are computed; `entry (B,)` is above EPS times every entry of A.

    A row of A has at most as many entries as `terms` says operations, hence `|z|ᵀ |A| |z| <= terms · entry / EPS ‖z‖²`.
    By |A_ij| <= β √(X_ii X_jj) and EPS max X_ii <= `inner.rounding`, β times the latter is such an entry.
    """
    r, z, length = found.r, found.z, found.dual.length
    q, paid = systems.apply(z), (z.shape[1] + 8) * EPS
    with np.errstate(invalid="ignore", over="ignore"):
        product = dot(r, z) - paid * np.sqrt(dot(r, r)) * length
        lost = systems.terms**2 * entry * length**2 + paid * np.sqrt(dot(q, q)) * length
        energy = np.maximum(dot(z, q), 0.0) + lost
    return quotient(product, energy, found.dual, found.noise)


def _lower(values: Real) -> Real:
    """A lower bound less its own last rounding; zero where nothing is known."""
    return np.where(values > 0, np.where(np.isfinite(values), values, 0.0), 0.0) * (1 - 16 * EPS)


def relative_bound(upper: Real, energy_norm: Real) -> Real:
    """The guaranteed relative error `Δ / (‖v‖_A - Δ)`; +inf where the bound is not below the norm."""
    rest = energy_norm - upper
    return np.where(rest > 0, upper / np.where(rest > 0, rest, 1.0), np.inf)


def reference_norm(systems: Systems, v: Array) -> Real:
    """The energy norm that relative errors refer to, `(B,)`: the smaller of `‖v‖_A` and `‖v - lift‖_A`.

    Neither a large constant level (an ambient temperature) nor a steep lift of boundary data may water down a
    relative tolerance.
    """
    w = v - systems.lift
    own = np.einsum("bn,bn->b", w, systems.apply(w))
    return np.sqrt(np.maximum(np.minimum(own, systems.energy(v)), 0.0))
