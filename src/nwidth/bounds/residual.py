"""Bound 1: the error of any field from the dual norm of its residual.

For `A(mu) u = f` symmetric with `α X <= A <= β X` and any v that satisfies the boundary data exactly,
`r = f - A v` gives

    ‖r‖_{X⁻¹} / √β  <=  ‖u - v‖_A  <=  ‖r‖_{X⁻¹} / √α          and  ‖u - v‖_X <= ‖r‖_{X⁻¹} / α,

so that the effectivity in the energy norm is at most √(β/α). References: Prud'homme et al., J. Fluids Eng. 124
(2002), section 3; for the round-off term Higham, Accuracy and Stability of Numerical Algorithms, section 3.5.
"""

from dataclasses import dataclass, replace

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.problems.base import Stability, Systems
from nwidth.spaces.base import InnerProduct

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class EnergyBounds:
    """Upper and lower bounds of `‖u - v‖_A` for each sample, and the floor that round-off puts under `upper`."""

    upper: Real
    lower: Real
    floor: Real


def dual_norm_upper(inner: InnerProduct, r: Array) -> Real:
    """An upper bound of `‖r‖_{X⁻¹}`, `(B,)`, whatever the accuracy of the Riesz map.

    With z ≈ X⁻¹ r and s = r - X z: `‖r‖_{X⁻¹} <= ‖z‖_X + ‖s‖₂ / √λ_min(X)`.
    """
    z = inner.riesz(r)
    xz = inner.apply(z)
    energy = np.sqrt(np.maximum(np.einsum("bn,bn->b", z, xz), 0.0))
    return energy + np.linalg.norm(r - xz, axis=1) / np.sqrt(inner.lambda_min)


def round_off(systems: Systems, v: Array, inner: InnerProduct) -> Real:
    """A bound in the X⁻¹ norm of the rounding error of a residual evaluated in float64, `(B,)`.

    `γ ‖ |A||v| + |f| ‖₂ / √λ_min(X)` with γ = terms · eps. Never zero where the load or the field is not.
    """
    scale = np.linalg.norm(systems.magnitude(v - systems.lift), axis=1)
    return systems.terms * EPS * scale / np.sqrt(inner.lambda_min) + np.finfo(np.float64).tiny


def energy_bounds(systems: Systems, v: Array, inner: InnerProduct, stability: Stability) -> EnergyBounds:
    """Bounds of `‖u - v‖_A` for dofs v `(B, N)`, float64, that carry the prescribed values exactly."""
    noise = round_off(systems, v, inner)
    dual = dual_norm_upper(inner, systems.residual(v))
    # without a proven constant above zero there is no bound: infinite, never NaN
    known = stability.lower > 0
    stability = replace(stability, lower=np.where(known, stability.lower, np.nan))
    floor = noise / np.sqrt(stability.lower)
    found = EnergyBounds(
        upper=dual / np.sqrt(stability.lower) + floor,
        lower=np.maximum(dual * (1 - 1e-6) - noise, 0.0) / np.sqrt(stability.upper),
        floor=floor,
    )
    return replace(found, upper=np.where(known, found.upper, np.inf), floor=np.where(known, floor, np.inf))


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
