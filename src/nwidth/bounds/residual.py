"""Bound 1: the error of any field from the dual norm of its residual, from above and below.

For `A(mu) u = f` symmetric with `α X <= A <= β X`, any v that satisfies the boundary data exactly, `r = f - A v` and
z = X⁻¹ r,

    rᵀz / ‖z‖_A  <=  ‖u - v‖_A  <=  √( (1/α + 1/β) ‖r‖²_{X⁻¹} - ‖z‖²_A / (α β) )  <=  ‖r‖_{X⁻¹} / √α.

Proof. `‖u - v‖²_A = zᵀ X A⁻¹ X z` is the mean of 1/λ over a measure on the spectrum [α, β] of X⁻¹A whose mass is
‖r‖²_{X⁻¹} and whose mean of λ is ‖z‖²_A; 1/λ lies below the chord between α and β, and Cauchy and Schwarz give the left
end. With κ = β / α the chord is at most (κ + 1) / (2 √κ) above the error, and so is the right end above the left one
(Kantorovich's inequality): 1.25 for κ = 4. The last bound is at most √κ above the error. The left end holds for any z.

References: Prud'homme et al., J. Fluids Eng. 124 (2002), section 3, for the last bound; Golub and Meurant, Matrices,
Moments and Quadrature with Applications (2010), for bounds of such means by quadrature, of which the chord is the
simplest; for the round-off term Higham, Accuracy and Stability of Numerical Algorithms, section 3.5.
"""

from dataclasses import dataclass, field

import numpy as np

from nwidth.bounds.dual_norm import EPS, DualNorm, Sums, dot, dual_norm_upper, euclidean, represented
from nwidth.core.arrays import Array, Mask, Real
from nwidth.problems.base import Stability, Systems
from nwidth.spaces.base import FunctionSpace, InnerProduct
from nwidth.spaces.grid import Grid

__all__ = ["EPS", "EnergyBounds", "dual_norm_upper", "energy_bounds", "reference_norm", "relative_bound", "round_off"]

#: An imbalance of a load, relative to the sum of its absolute values, that counts as rounding.
_BALANCED = 1e-10

#: Squares below this may have lost digits.
_VANISHING = 1e-250


@dataclass(frozen=True)
class EnergyBounds:
    """Upper and lower bounds of `‖u - v‖_A` for each sample, and the floor that round-off puts under `upper`.

    `disproved`: where a vector was met whose quotient lies outside the constants, so that no bound is left.
    """

    upper: Real
    lower: Real
    floor: Real
    disproved: Mask = field(default_factory=lambda: np.zeros(1, dtype=bool))


def round_off(systems: Systems, v: Array, inner: InnerProduct) -> Real:
    """A bound in the X⁻¹ norm of the rounding error of a residual evaluated in float64, `(B,)`.

    `γ ‖ |A||v| + |f| ‖₂ / √λ_min(X)` with γ = terms · eps. Never zero where the load or the field is not.
    """
    scale = euclidean(systems.magnitude(v - systems.lift))
    return systems.terms * EPS * scale / np.sqrt(inner.lambda_min) + np.finfo(np.float64).tiny


@dataclass(frozen=True, eq=False)
class Form:
    """`low <= ‖z‖²_A <= high`, and a lower bound `product` of rᵀz with r as computed, `(B,)`."""

    low: Real
    high: Real
    product: Real


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
        return cls.from_residual(inner, systems.residual(v), noise)

    @classmethod
    def from_residual(cls, inner: InnerProduct, r: Array, noise: Real) -> "Residual":
        """Of a residual that is at hand."""
        return cls(r, *represented(inner, r), noise)

    @classmethod
    def by(cls, inner: InnerProduct, r: Array, z: Array, noise: Real) -> "Residual":
        """With any z at all; the closer to X⁻¹ r, the sharper. Numbers must have squares."""
        with np.errstate(over="ignore", invalid="ignore"):
            s = r - inner.apply(z)
            sums = Sums(dot(z, r), dot(z, s), dot(z, z), dot(r, r), dot(s, s))
            return cls(r, z, DualNorm.from_sums(sums, r.shape[1], inner), noise)

    def energy(self, systems: Systems, inner: InnerProduct, stability: Stability) -> EnergyBounds:
        """Both bounds of the error in the energy norm."""
        return energy_limits(self.dual, self.noise, stability, self.form(systems, inner, stability))

    def form(self, systems: Systems, inner: InnerProduct, stability: Stability) -> Form:
        """`‖z‖²_A` and rᵀz with the rounding of the products counted.

        A row of A has at most as many entries as `terms` says operations, and |A_ij| <= β √(X_ii X_jj), so that
        `|z|ᵀ |A| |z| <= terms · β max X_ii ‖z‖²`; and EPS max X_ii <= `inner.rounding`.
        """
        size, length = self.z.shape[1], self.dual.length
        q, paid = systems.apply(self.z), (size + 8) * EPS
        with np.errstate(invalid="ignore", over="ignore"):
            product = dot(self.r, self.z) - paid * np.sqrt(dot(self.r, self.r)) * length
            lost = systems.terms**2 * stability.upper * inner.rounding(size) * length**2
            lost += paid * np.sqrt(dot(q, q)) * length
            energy = dot(self.z, q)
            return Form(np.maximum(energy - lost, 0.0), np.maximum(energy, 0.0) + lost, product)


def energy_bounds(systems: Systems, v: Array, inner: InnerProduct, stability: Stability) -> EnergyBounds:
    """Bounds of `‖u - v‖_A` for dofs v `(B, N)`, float64, that carry the prescribed values exactly.

    Where no constant above zero is known the upper bound is +inf; where numbers overflow too. Never NaN.
    """
    return Residual.of(systems, v, inner).energy(systems, inner, stability)


def energy_limits(dual: DualNorm, noise: Real, stability: Stability, form: Form) -> EnergyBounds:
    """Both bounds from the dual norm of the computed residual, a bound of its rounding in that norm `(B,)`, and the
    form of z."""
    # without a proven constant above zero there is no bound: infinite, never NaN
    known = stability.lower > 0
    alpha = np.where(known, stability.lower, 1.0)
    floor = noise / np.sqrt(alpha)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        upper = np.fmin(dual.upper, _chord(dual, form, alpha, stability.upper)) / np.sqrt(alpha) + floor
        lower = np.fmax((dual.lower - noise) / np.sqrt(stability.upper), _quotient(dual, noise, form))
        wrong = (form.high < alpha * dual.least**2) | (form.low > stability.upper * dual.energy**2)
        wrong &= form.high > _VANISHING
    none = ~known | wrong
    return EnergyBounds(
        upper=np.where(none | np.isnan(upper), np.inf, upper * (1 + 8 * EPS)),
        lower=np.where(~wrong & (lower > 0) & np.isfinite(lower), lower, 0.0) * (1 - 16 * EPS),
        floor=np.where(none | np.isnan(floor), np.inf, floor),
        disproved=known & wrong,
    )


def _chord(dual: DualNorm, form: Form, alpha: Real, beta: Real) -> Real:
    """√α times a bound of `‖A⁻¹ X z‖_A + ‖A⁻¹ s‖_A`, s = r - X z: the chord, and what z misses."""
    mean = np.where(form.low > _VANISHING, form.low / dual.energy**2, 0.0)
    # one part of κ may be lost to cancellation: rounding is that of the sum before it
    square = 1 + alpha / beta - mean / beta + 16 * EPS * (1 + alpha / beta)
    return dual.energy * np.sqrt(square) + dual.rest


def _quotient(dual: DualNorm, noise: Real, form: Form) -> Real:
    """`rᵀz / ‖z‖_A` less what the rounding of r takes."""
    found = (form.product - noise * dual.energy) / np.sqrt(form.high)
    return np.where(form.high > _VANISHING, found, 0.0)


def relative_bound(upper: Real, energy_norm: Real) -> Real:
    """The guaranteed relative error `Δ / (‖v‖_A - Δ)`; +inf where the bound is not below the norm."""
    rest = energy_norm - upper
    return np.where(rest > 0, upper / np.where(rest > 0, rest, 1.0), np.inf)


def undriven(systems: Systems, v: Array) -> Mask:
    """Where nothing drives the problem and v is its lift: exact, although no error relative to it is small, `(B,)`."""
    return ~systems.load.any(axis=1) & (v == systems.lift).all(axis=1)


def reference_norm(systems: Systems, v: Array) -> Real:
    """The energy norm that relative errors refer to, `(B,)`: the smaller of `‖v‖_A` and `‖v - lift‖_A`.

    Neither a large constant level (an ambient temperature) nor a steep lift of boundary data may water down a
    relative tolerance.
    """
    w = v - systems.lift
    own = np.einsum("bn,bn->b", w, systems.apply(w))
    return np.sqrt(np.maximum(np.minimum(own, systems.energy(v)), 0.0))


#: Why `solvable` says no.
UNBALANCED = "sources and boundary fluxes do not balance: there is no solution"


def solvable(space: FunctionSpace, systems: Systems) -> Mask:
    """Where no end of a grid fixes the level of a solution, loads have to sum to zero, `(B,)`."""
    if not isinstance(space, Grid) or not space.floating:
        return np.ones(len(systems.load), dtype=bool)
    return np.abs(systems.load.sum(axis=1)) <= _BALANCED * np.abs(systems.load).sum(axis=1)
