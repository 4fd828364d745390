"""The classical Gram form of the residual norm: a reference for comparison, *not safe* and never a default.

    ‖r‖²_{X⁻¹} = Σ_kl ζ_k ζ_l (F_k, F_l)_{X⁻¹},    F = (f_q, A_q v_j),  ζ = (φ, -θ ⊗ c).

The summands are as large as the load squared and cancel down to the residual squared. Rounding leaves about ε times the
load squared, so that the value is noise below √ε ≈ 1e-8 times the load, and the sum may be zero or negative: clipped at
zero, it reports an exact solution. References: Patera and Rozza (2007), section 4.3.2, for the form; Casenave, Ern and
Lelièvre, ESAIM: M2AN 48 (2014), section 2, for what rounding does to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.problems.base import AffineTerms
from nwidth.rb.interpolated import combination
from nwidth.rb.wide import Functionals
from nwidth.spaces.base import InnerProduct


@dataclass(frozen=True, eq=False)
class GramResidual:
    """The table `(K, K)` of products of the representatives, for Q_f loads and Q_A terms per mode.

    `norms` is what the textbook formula gives, and its noise is zero because that formula counts none: `missing` says
    so, and a certificate built on it would be an estimate.
    """

    table: Real
    loads: int
    terms: int

    @classmethod
    def build(cls, terms: AffineTerms, inner: InnerProduct, basis: Real) -> "GramResidual":
        """The table for a basis `(n, N)` that vanishes where values are prescribed, in float64 as usual."""
        functionals = Functionals(terms, basis)
        representatives = inner.riesz(functionals.quick(np.eye(functionals.count)))
        return cls(representatives @ inner.apply(representatives).T, len(terms.loads), len(terms.matrices))

    @property
    def missing(self) -> str:
        """What keeps the value from being a bound."""
        return "the rounding of the Gram form, which is about 1e-8 times the load"

    @property
    def operations(self) -> int:
        """Multiplications per query."""
        return len(self.table) ** 2

    def squares(self, theta: Real, phi: Real, coefficients: Real) -> Real:
        """The squares as they are summed, `(B,)`: below 1e-16 times the load squared they are noise of either sign."""
        zeta = combination(theta, phi, coefficients)
        return np.einsum("bk,bk->b", zeta @ self.table, zeta)

    def norms(self, theta: Real, phi: Real, coefficients: Real) -> tuple[Real, Real]:
        """Roots of the squares, negative ones as zero, and zeros for the noise, both `(B,)`."""
        norm = np.sqrt(np.maximum(self.squares(theta, phi, coefficients), 0.0))
        return norm, np.zeros_like(norm)

    def truncate(self, modes: int, terms: int) -> "GramResidual":
        """The same for the first `modes` modes."""
        count = self.loads + modes * terms
        return replace(self, table=np.ascontiguousarray(self.table[:count, :count]))

    def to_stored(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Configuration and arrays."""
        return {"loads": self.loads, "terms": self.terms}, {"gram.table": self.table}

    @classmethod
    def from_stored(cls, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> "GramResidual":
        """The residual again."""
        return cls(arrays["gram.table"], config["loads"], config["terms"])
