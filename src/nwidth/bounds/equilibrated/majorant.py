"""The majorant: how far any conforming field is from the exact solution, from any flux that is nearly in balance.

For `-∇·(a ∇u) = f`, u = g on the boundary, any v with v = g on the boundary and any σ in H(div), with
`τ = a^{-1/2} (σ + a ∇v)` and `‖w‖_a = ‖a^{1/2} ∇w‖`,

    ‖u - v‖_a <= ( Σ_K (‖τ‖_K + osc_K)² )^{1/2} + C_F ‖mean_K(f - ∇·σ)‖ / √a_min,
    osc_K = C_K ‖f - ∇·σ - mean_K‖_K / √a_K,

with C_K the Poincaré constant of the convex piece K (at most its diameter over π; a brick: its longest edge over π) and
C_F the Friedrichs constant of the domain. On insulated sides (`a ∂u/∂n = 0`) `σ·n = 0` is asked instead of v = g, and
C_F is for w = 0 on the others. Nothing is asked of how σ was found. With σ in balance, Prager and Synge's
identity `‖τ‖² = ‖u - v‖²_a + ‖a^{-1/2} (σ + a ∇u)‖²` has the same last term for every v, so that for any two fields

    ‖u - v‖²_a >= ‖τ_v‖² - ‖τ_w‖² - 2 o ‖v - w‖_a,

o being what the imbalance of σ is worth: the same flux bounds the error from below.

References: Prager and Synge, Quart. Appl. Math. 5 (1947); Repin, A Posteriori Estimates for Partial Differential
Equations (2008), section 3.2; Payne and Weinberger, Arch. Rational Mech. Anal. 5 (1960) and Bebendorf, Z. Anal. Anwend.
22 (2003) for C_K; Vohralík, Numer. Math. 111 (2008) for the cellwise form.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from nwidth.core.arrays import Array, Mask, Real

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Majorant:
    """What the bound of one field is made of, all in the energy norm, per sample `(B,)`.

    `gap`: ‖τ‖, or an upper bound of it; `least`: a lower one. `combined`: the gap with the oscillation of the data
    added piece by piece. `imbalance`: o, all of the oscillation and what is left of the balance. `rest`: the latter
    alone. `noise`: rounding.
    """

    gap: Real
    least: Real
    combined: Real
    imbalance: Real
    rest: Real
    noise: Real

    @property
    def upper(self) -> Real:
        """The bound of `‖u - v‖_a`; never zero, +inf where anything in it is not finite."""
        total = self.combined + self.rest + self.noise + TINY
        return np.where(np.isfinite(total), total, np.inf)

    @classmethod
    def of(cls, gap: Real, least: Real, oscillation: Real, rest: Real, noise: Real) -> "Majorant":
        """From `‖τ‖_K` and `osc_K` of every piece `(B, K)`, and the three numbers of the whole, `(B,)`."""
        # sums of squares: their own rounding is at most the number of pieces times that of one of them
        paid = 1.0 + (gap.shape[1] + 64) * EPS
        alone = _root(oscillation) * paid
        high, together = _root(gap) * paid, _root(gap + oscillation) * paid
        return cls(high, np.minimum(least / paid, high), together, alone + rest, rest, noise)

    def where(self, usable: Mask) -> "Majorant":
        """The same where usable `(B,)`, +inf elsewhere."""
        return replace(self, rest=np.where(usable, self.rest, np.inf))

    @classmethod
    def join(cls, parts: "list[Majorant]") -> "Majorant":
        """Pieces of a batch, in order."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


def lower_from(mine: Majorant, other: Majorant, distance: Real) -> Real:
    """A lower bound of `‖u - v‖_a` from the same flux and a better field w; `distance` is at least `‖v - w‖_a`.

    Zero where w is no better than the bound can see.
    """
    high, low = other.gap + other.noise, np.maximum(mine.least * (1 - 1e-12) - mine.noise, 0.0)
    square = low**2 - high**2 - 2 * mine.imbalance * (distance * (1 + 1e-9) + mine.noise + other.noise)
    root = np.sqrt(np.maximum(np.where(np.isfinite(square), square, 0.0), 0.0)) * (1 - 1e-12)
    return np.asarray(root)


def _root(values: Array) -> Real:
    return np.asarray(np.sqrt(np.einsum("bk,bk->b", values, values)))
