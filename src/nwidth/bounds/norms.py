"""Bounds of the error in L2 (the mass norm of the space) from the residual, from both sides.

For `α X <= A <= β X`, `vᵀ M v <= C vᵀ X v` (Friedrichs) and z = X⁻¹ r, the error is `e = A⁻¹ X z`. In the X inner
product A⁻¹ X is symmetric with spectrum in [1/β, 1/α], so that with θ the middle of that interval

    ‖e‖_M  <=  θ ‖z‖_M + (1/α - 1/β) / 2 · √C ‖z‖_X  <=  √C ‖r‖_{X⁻¹} / α,
    ‖e‖_M  >=  |rᵀw| / ‖A w‖_{M⁻¹}                        for any w, here X⁻¹ M z, which is best where A = X.

The last bound of the first line is Friedrichs' inequality on the energy bound. It is loose: an error at grid scale has
much energy and little mass. The first one is never above it, and exact where α = β; a rough error is still bounded by
no less than (1 - α/β) / 2 of it. Duality gains nothing without Galerkin orthogonality. What helps is a correction: for
any field w with the prescribed values, `| ‖u - v‖_M - ‖w - v‖_M | <= ‖u - w‖_M`, bounded by the first line from the
residual of w. A few steps of Chebyshev's iteration with X make w; v stays as it is.
"""

from dataclasses import dataclass

import numpy as np

from nwidth.bounds.dual_norm import EPS, dot, largest, power_of_two, represented
from nwidth.bounds.friedrichs import mass_constant
from nwidth.bounds.residual import Residual
from nwidth.core.arrays import Array, Real
from nwidth.problems.base import Stability, Systems
from nwidth.spaces.base import FunctionSpace, InnerProduct

#: Products below this may have lost digits.
_VANISHING = 1e-250
#: What a correction leaves of the error, and how many steps are spent on it at most.
_FALL, _MOST = 0.05, 8


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

    def bounds(self, systems: Systems, v: Array, found: Residual, stability: Stability) -> tuple[Real, Real]:
        """Both bounds for dofs v `(B, N)` with their residual, from themselves and by a correction; `(B,)` each."""
        upper, lower = self.upper(found, stability), self.lower(systems, found, stability)
        steps = _steps(stability)
        if not steps.any():
            return upper, lower
        w, later = chebyshev(systems, v, found, self.energy, stability, steps)
        low, high = self._norms(w - v)
        with np.errstate(invalid="ignore"):
            rest = self.upper(later, stability)
            upper, lower = np.fmin(upper, high + rest), np.fmax(lower, (low - rest) * (1 - 4 * EPS))
        return upper * (1 + 4 * EPS), np.maximum(lower, 0.0)

    def upper(self, found: Residual, stability: Stability) -> Real:
        """The first line, with what z misses and the rounding of r counted; +inf for α <= 0."""
        dual, noise = found.dual, found.noise
        known = stability.lower > 0
        alpha = np.where(known, stability.lower, 1.0)
        with np.errstate(invalid="ignore", over="ignore"):
            middle, half = (1 / alpha + 1 / stability.upper) / 2, (1 / alpha - 1 / stability.upper) / 2
            rest = self.root * (dual.rest + noise) / alpha
            direct = middle * self._norms(found.z)[1] + half * self.root * dual.energy + rest
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

    def _norms(self, v: Array) -> tuple[Real, Real]:
        """Lower and upper bounds of ‖v‖_M."""
        scale, size = power_of_two(largest(v)), v.shape[1]
        v = v / scale[:, None]
        mv, length = self.mass.apply(v), np.sqrt(dot(v, v))
        lost = self.mass.rounding(size) * length**2 + (size + 8) * EPS * length * np.sqrt(dot(mv, mv))
        square = dot(v, mv)
        low, high = np.sqrt(np.maximum(square - lost, 0.0)), np.sqrt(np.maximum(square, 0.0) + lost)
        return low * (1 - 8 * EPS) * scale, high * (1 + 8 * EPS) * scale


def chebyshev(
    systems: Systems, v: Array, found: Residual, inner: InnerProduct, stability: Stability, steps: Array
) -> tuple[Array, Residual]:
    """A better field and its residual by `steps (B,)` of Chebyshev's iteration with X from v, with residual `found`.

    With ρ = (√κ - 1) / (√κ + 1) the error falls by `2 ρᵏ` in k steps. Residuals are formed anew at every step.
    Reference: Golub and Varga, Numer. Math. 3 (1961).
    """
    alpha = np.where(stability.lower > 0, stability.lower, stability.upper)
    middle = (stability.upper + alpha) / 2
    half = np.maximum((stability.upper - alpha) / 2, 1e-9 * middle)
    ratio, free = half / middle, systems.free
    step = found.z / middle[:, None]
    w = np.where(free & (steps > 0)[:, None], v + step, v)
    found = Residual.of(systems, w, inner)
    for k in range(1, int(steps.max())):
        before, ratio = ratio, 1 / (2 * middle / half - ratio)
        step = (ratio * before)[:, None] * step + (2 * ratio / half)[:, None] * found.z
        w = np.where(free & (steps > k)[:, None], w + step, w)
        found = Residual.of(systems, w, inner)
    return w, found


def _steps(stability: Stability) -> Array:
    """How many steps of each sample leave a twentieth of the error, `(B,)`; none where no constant is known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(stability.upper / stability.lower)
        rate = np.clip((root - 1) / (root + 1), 1e-3, 1 - 1e-3)
        wanted = np.minimum(np.ceil(np.log(_FALL) / np.log(rate)), _MOST)
    return np.where((stability.lower > 0) & np.isfinite(wanted), wanted, 0).astype(int)
