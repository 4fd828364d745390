"""Stability constants of affine problems by comparison of coefficients (the min-theta approach).

For `A(mu) = Σ_q θ_q(mu) A_q` with every A_q positive semidefinite, every θ_q > 0 and X = A(mu_ref):

    min_q θ_q(mu)/θ_q(mu_ref) · X  <=  A(mu)  <=  max_q θ_q(mu)/θ_q(mu_ref) · X,

a proof without an eigenvalue. Reference: Patera and Rozza, Reduced Basis Approximation and A Posteriori Error
Estimation for Parametrized PDEs (2007), section 4.2.2.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu
from nwidth.problems.base import Affine, AffineTerms, Stability, Stable

_EPS = float(np.finfo(np.float64).eps)


class ThetaStability(Storable):
    """Stability as a function of the coefficients θ alone: evaluated without a matrix, stored and exported."""

    @abstractmethod
    def constants(self, theta: Real) -> Stability:
        """The constants of each row of θ `(B, Q)`."""

    @abstractmethod
    def to_c(self) -> str:
        """C99 statements that assign `alpha`, for a block in which `double alpha` and `const double theta[Q]` are
        declared; everything else they need they declare themselves, in a block of their own; <math.h> is included."""


class ThetaStable(Affine, Stable):
    """An affine problem whose stability constant follows from its coefficients."""

    @property
    @abstractmethod
    def stability(self) -> ThetaStability:
        """The function θ -> constants."""

    def constant(self, mu: Mu, field: Array | None = None) -> Stability:
        """The constants at the coefficients of mu."""
        return self.stability.constants(self.coefficients(mu)[0])


@dataclass(frozen=True, eq=False)
class MinTheta(ThetaStability):
    """The comparison above: X = Σ_q reference_q A_q, reference `(Q,)` positive, every A_q positive semidefinite up to
    rounding, which `slack` pays for (`rounding_slack`)."""

    kind: ClassVar[str] = "min-theta"

    reference: Real
    slack: float

    def constants(self, theta: Real) -> Stability:
        """Smallest and largest ratio of a coefficient to its reference; of no use where a coefficient is negative."""
        return min_theta(theta, self.reference, self.slack)

    def to_c(self) -> str:
        numbers = ", ".join(repr(float(r)) for r in self.reference)
        count = len(self.reference)
        return f"""{{
    static const double reference[{count}] = {{{numbers}}};
    double low = theta[0] / reference[0], high = low;
    for (int q = 1; q < {count}; ++q) {{
        const double ratio = theta[q] / reference[q];
        if (ratio < low) low = ratio;
        if (ratio > high) high = ratio;
    }}
    alpha = low - {float(self.slack)!r} * (fabs(low) + fabs(high));
}}"""

    def to_parts(self) -> Parts:
        return Parts({"slack": self.slack}, {"reference": self.reference}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(np.array(arrays["reference"]), float(config["slack"]))


def min_theta(theta: Real, reference: Real, slack: float) -> Stability:
    """Constants for coefficients θ `(B, Q)` against `reference (Q,)`, both positive.

    The terms are stored in floating point and therefore semidefinite only up to rounding; `slack` (see
    `rounding_slack`) is what that can change.
    """
    ratio = np.ascontiguousarray((theta / reference).T)  # short rows are slow to search, long columns are not
    low, high = ratio.min(axis=0), ratio.max(axis=0)
    shift = slack * (np.abs(low) + np.abs(high))
    return Stability(lower=low - shift, upper=high + shift)


def rounding_slack(terms: AffineTerms, reference: Real, lambda_min: float) -> float:
    """How much rounding in the assembly can shift the constants, relative to X with smallest eigenvalue `lambda_min`.

    An entry is a sum of at most a few dozen element contributions, each of which is bounded by the diagonal, so that
    `‖ΔA_q‖₂ <= 32 ε · (entries per row) · max diag(A_q)`; the sum of these over λ_min bounds the shift.
    """
    shift = 0.0
    for scale, matrix in zip(reference, terms.matrices, strict=True):
        width = int(np.diff(matrix.indptr).max())
        shift += 32 * _EPS * width * scale * float(np.abs(matrix.diagonal()).max())
    return 2 * shift / lambda_min


def positive(mu: Mu | Array, names: Sequence[str], all_names: Sequence[str]) -> Real:
    """The named parameters as a table `(B, len(names))`, all finite and above zero.

    Raises InputError naming the parameter and the row: with a conductivity or a transfer coefficient of zero or below
    there is no solution that a bound could refer to.
    """
    checked = as_mu(mu, all_names)
    table = np.stack([np.asarray(checked[name], dtype=np.float64) for name in names], axis=1)
    if table.ndim != 2:
        raise InputError(f"parameters {tuple(names)} are scalars: give one number per query, shape (B,)")
    good = (table > 0) & (table < np.inf)  # a NaN is neither
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise InputError(f"{names[column]} is {table[row, column]} in row {row}; it must be a number above zero")
    return table
