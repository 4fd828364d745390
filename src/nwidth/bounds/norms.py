"""Bounds of the error in L2 (the mass norm of the space) from the residual, from both sides.

For `α X <= A <= β X`, `vᵀ M v <= C vᵀ X v` (Friedrichs) and z = X⁻¹ r, the error is `e = A⁻¹ X z`. In the X inner
product A⁻¹ X is symmetric with spectrum in [1/β, 1/α], so that with θ the middle of that interval

    ‖e‖_M  <=  θ ‖z‖_M + (1/α - 1/β) / 2 · √C ‖z‖_X  <=  √C ‖r‖_{X⁻¹} / α,
    ‖e‖_M  >=  |rᵀw| / ‖A w‖_{M⁻¹}                        for any w, here X⁻¹ M z, which is best where A = X.

The last bound of the first line is Friedrichs' inequality on the energy bound. It is loose: an error at grid scale has
much energy and little mass. The first one is never above it, and exact where α = β; a rough error is still bounded by
no less than (1 - α/β) / 2 of it. Duality gains nothing without Galerkin orthogonality.
"""

from dataclasses import dataclass

import numpy as np

from nwidth.bounds.dual_norm import EPS, DualNorm, dot, largest, power_of_two, represented
from nwidth.bounds.friedrichs import mass_constant
from nwidth.bounds.residual import Residual
from nwidth.core.arrays import Array, Real
from nwidth.problems.base import Stability, Systems
from nwidth.spaces.base import FunctionSpace, InnerProduct

#: Products below this may have lost digits.
_VANISHING = 1e-250


@dataclass(frozen=True, eq=False)
class MassNorm:
    """The mass form of a space, its energy form, and √C of Friedrichs' inequality between them."""

    mass: InnerProduct
    energy: InnerProduct
    root: float

    @classmethod
    def of(cls, space: FunctionSpace, energy: InnerProduct) -> "MassNorm":
        """Raises InputError where the space has no such forms, or fields are defined up to a constant."""
        return cls(space.inner("mass"), energy, float(np.sqrt(mass_constant(space))) * (1 + 4 * EPS))

    def upper(self, found: Residual, stability: Stability) -> Real:
        """The first line, with what z misses and the rounding of r counted; +inf for α <= 0."""
        dual, noise = found.dual, found.noise
        known = stability.lower > 0
        alpha = np.where(known, stability.lower, 1.0)
        with np.errstate(invalid="ignore", over="ignore"):
            middle, half = (1 / alpha + 1 / stability.upper) / 2, (1 / alpha - 1 / stability.upper) / 2
            rest = self.root * (dual.rest + noise) / alpha
            direct = middle * self._norm(found.z, dual) + half * self.root * dual.energy + rest
            plain = self.root * (dual.upper + noise) / alpha
        return np.where(known, np.fmin(np.where(np.isnan(plain), np.inf, plain), direct) * (1 + 32 * EPS), np.inf)

    def lower(self, systems: Systems, found: Residual, stability: Stability) -> Real:
        """The second line less what rounding takes. Zero where nothing is known."""
        r, noise = found.r, found.noise
        w, dual = represented(self.energy, self.mass.apply(found.z))
        q, size = systems.apply(w), w.shape[1]
        paid, entry = (size + 8) * EPS, stability.upper * self.energy.rounding(size)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            product = np.abs(dot(r, w)) - paid * np.sqrt(dot(r, r)) * dual.length - noise * dual.energy
            lost = systems.terms**2 * entry * dual.length / np.sqrt(self.mass.lambda_min)
            quotient = product / (represented(self.mass, q)[1].upper + lost)
        return np.where((product > _VANISHING) & np.isfinite(quotient), quotient, 0.0) * (1 - 32 * EPS)

    def _norm(self, z: Array, dual: DualNorm) -> Real:
        """An upper bound of ‖z‖_M."""
        scale, size = power_of_two(largest(z)), z.shape[1]
        z, length = z / scale[:, None], dual.length / scale
        mz = self.mass.apply(z)
        lost = self.mass.rounding(size) * length**2 + (size + 8) * EPS * length * np.sqrt(dot(mz, mz))
        return np.sqrt(np.maximum(dot(z, mz), 0.0) + lost) * (1 + 8 * EPS) * scale
