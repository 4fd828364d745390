"""The Gauss-Radau upper bound of the energy error at every step of conjugate gradients.

For CG preconditioned by X with step lengths γ_k and ratios δ_k = ρ_k / ρ_{k-1}, ρ_k = rₖᵀ X⁻¹ rₖ, and 0 < μ at most the
smallest eigenvalue of X⁻¹A,

    γ̂_0 = 1/μ,      γ̂_{k+1} = (γ̂_k - γ_k) / (μ (γ̂_k - γ_k) + δ_{k+1}),      ‖u - u_k‖²_A <= γ̂_k ρ_k.

Reference: Meurant and Tichý, Numer. Algorithms 62 (2013), "On computing quadrature-based bounds for the A-norm of the
error in conjugate gradients", algorithm CGQ. At k = 0 it is the residual bound.
"""

import numpy as np

from nwidth.core.arrays import Real

#: The proven lower bound of the spectrum is used a little smaller, so that round-off in CG cannot cross it.
SHRINK = 0.999


class GaussRadau:
    """The recurrence for a batch of samples; `factor * rho` is the bound of the squared energy error."""

    def __init__(self, lower: Real):
        """`lower (B,)`: proven lower bounds of the spectrum of X⁻¹A."""
        self._mu = SHRINK * np.asarray(lower, dtype=np.float64)
        self.factor = 1.0 / self._mu

    def advance(self, step: Real, ratio: Real) -> None:
        """One CG step with length `γ_k` and ratio `δ_{k+1}`.

        In exact arithmetic γ̂_k > γ_k. Where rounding breaks that, the recurrence is worthless and the residual
        bound 1/μ, always valid, takes its place.
        """
        gap = self.factor - step
        with np.errstate(divide="ignore", invalid="ignore"):
            new = gap / (self._mu * gap + ratio)
        valid = (gap > 0) & np.isfinite(new)
        self.factor = np.where(valid, np.minimum(new, 1.0 / self._mu), 1.0 / self._mu)

    def take(self, rows: np.ndarray) -> None:
        """Keep the chosen samples only."""
        self._mu, self.factor = self._mu[rows], self.factor[rows]
