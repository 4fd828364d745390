"""When conjugate gradients should be looked at: what the coefficients of their steps foretell."""

from dataclasses import dataclass

import numpy as np

from nwidth.bounds.gauss_radau import GaussRadau
from nwidth.core.arrays import Array, Real


@dataclass
class Outlook:
    """What the coefficients of the steps tell of the bound that the recomputed residual will have: an estimate, for it
    takes conjugate gradients at their word."""

    radau: GaussRadau
    lower: Real
    upper: Real
    ratio: Real
    before: Real
    curvature: Real

    @classmethod
    def begin(cls, lower: Real, upper: Real) -> "Outlook":
        """For proven ends of the spectrum, `(B,)` each; NaN comes of one that is not above zero."""
        lower, zero = np.where(lower > 0, lower, np.nan), np.zeros(len(lower))
        return cls(GaussRadau(lower, upper), lower, upper, np.ones(len(lower)), zero, zero)

    def squared(self, rho: Real, curvature: Real, step: Real) -> Real:
        """The square of that bound, `(B,)`: one step ahead where that is below the chord, never below the error.

        `‖z‖²_A` is `pᵀAp + δ² p₋ᵀAp₋`, as z = p - δ p₋ with p and p₋ A-orthogonal. What the coming step leaves is
        taken to shrink as the last one did.
        """
        self.curvature, image = curvature, curvature + self.ratio**2 * self.before
        chord = (1 / self.lower + 1 / self.upper) * rho - image / (self.lower * self.upper)
        ahead = step * rho + np.minimum(self.ratio, 1.0) * chord
        return np.maximum(self.radau.lobatto(step) * rho, np.minimum(chord, ahead))

    def advance(self, step: Real, ratio: Real) -> None:
        """One step."""
        self.radau.advance(step, ratio)
        self.ratio, self.before = ratio, self.curvature

    def take(self, rows: Array) -> None:
        """Keep the chosen samples only."""
        self.radau.take(rows)
        for name in ("lower", "upper", "ratio", "before", "curvature"):
            setattr(self, name, getattr(self, name)[rows])
