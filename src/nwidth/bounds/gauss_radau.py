"""Gauss-Radau and Gauss-Lobatto upper bounds of the energy error at every step of conjugate gradients.

For CG preconditioned by X with step lengths γ_k and ratios δ_k = ρ_k / ρ_{k-1}, ρ_k = rₖᵀ X⁻¹ rₖ, and the spectrum of
X⁻¹A in [μ, ν], 0 < μ:

    γ̂_0 = 1/μ,      γ̂_{k+1} = (γ̂_k - γ_k) / (μ (γ̂_k - γ_k) + δ_{k+1}),      ‖u - u_k‖²_A <= γ̂_k ρ_k.

With ν in place of μ the same recurrence, begun at 1/ν, gives a lower factor γ̌_k <= γ_k. Once the step length γ_k is
known, which takes the product A p but no Riesz map, both ends of the spectrum count: with g = γ̂_k - γ_k, t = γ_k - γ̌_k

    ‖u - u_k‖²_A <= (γ_k + g t (ν - μ) / (μ g + ν t)) ρ_k,

the Gauss-Lobatto rule, never above Gauss-Radau. At k = 0 the first is the residual bound, the second the chord bound
`((μ + ν) ‖z‖²_X - ‖z‖²_A) / (μ ν)` with z = X⁻¹ r, from 1/λ <= (μ + ν - λ) / (μ ν) on [μ, ν].

All this is a theorem of exact arithmetic. In floating point it is an estimate: rounding takes from the vectors their
orthogonality, and beside a basis it brings back what the coefficients do not see. Solvers decide by it when to look,
and publish bounds of the recomputed residual (`nwidth.bounds.residual`, `nwidth.bounds.two_sided`).

References: Golub and Meurant, BIT 37 (1997), "Matrices, moments and quadrature II", section 4; Meurant and Tichý,
Numer. Algorithms 62 (2013), "On computing quadrature-based bounds for the A-norm of the error in conjugate gradients",
algorithm CGQ. (The closed form above: the two Radau conditions on one extended Lanczos matrix, solved for δ.)
"""

import numpy as np

from nwidth.core.arrays import Real

#: The proven bounds of the spectrum are used a little smaller and larger, because rounding moves what CG see of it.
SHRINK, STRETCH = 0.999, 1.001


class GaussRadau:
    """The recurrences for a batch of samples; `factor * rho` is the Gauss-Radau bound of the squared energy error."""

    def __init__(self, lower: Real, upper: Real | None = None):
        """`lower`, `upper` `(B,)`: proven bounds of the spectrum of X⁻¹A; without `upper` Lobatto is Radau."""
        self._mu = SHRINK * np.asarray(lower, dtype=np.float64)
        self._nu = np.full(self._mu.shape, np.inf) if upper is None else STRETCH * np.asarray(upper, dtype=np.float64)
        self.factor = 1.0 / self._mu
        self._below = 1.0 / self._nu

    def advance(self, step: Real, ratio: Real) -> None:
        """One CG step with length `γ_k` and ratio `δ_{k+1}`.

        In exact arithmetic γ̌_k <= γ_k < γ̂_k. Where rounding breaks that, the recurrence is worthless and the residual
        bound 1/μ, always valid, takes its place; at the upper end 0, which leaves Gauss-Radau.
        """
        gap, under = self.factor - step, self._below - step
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            new = gap / (self._mu * gap + ratio)
            below = under / (self._nu * under + ratio)
        valid = (gap > 0) & np.isfinite(new)
        self.factor = np.where(valid, np.minimum(new, 1.0 / self._mu), 1.0 / self._mu)
        sound = valid & (self._below > 0) & (under < 0) & (below > 0) & np.isfinite(below)
        self._below = np.where(sound, below, 0.0)

    def lobatto(self, step: Real) -> Real:
        """The factor of the Gauss-Lobatto bound for the coming step length `γ_k`, at most `factor`, `(B,)`."""
        gap, under = self.factor - step, step - self._below
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            factor = step + gap * under * (self._nu - self._mu) / (self._mu * gap + self._nu * under)
        valid = (gap > 0) & (under > 0) & (self._below > 0) & np.isfinite(factor)
        return np.where(valid, np.minimum(factor, self.factor), self.factor)

    def take(self, rows: np.ndarray) -> None:
        """Keep the chosen samples only."""
        self._mu, self._nu, self.factor = self._mu[rows], self._nu[rows], self.factor[rows]
        self._below = self._below[rows]
