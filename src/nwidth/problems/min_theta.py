"""Stability constants of affine problems by comparison of coefficients (the min-theta approach).

For `A(mu) = Σ_q θ_q(mu) A_q` with every A_q positive semidefinite, every θ_q > 0 and X = A(mu_ref):

    min_q θ_q(mu)/θ_q(mu_ref) · X  <=  A(mu)  <=  max_q θ_q(mu)/θ_q(mu_ref) · X,

a proof without an eigenvalue. Reference: Patera and Rozza, Reduced Basis Approximation and A Posteriori Error
Estimation for Parametrized PDEs (2007), section 4.2.2.
"""

from collections.abc import Sequence

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu
from nwidth.problems.base import AffineTerms, Stability

_EPS = float(np.finfo(np.float64).eps)


def min_theta(theta: Real, reference: Real, slack: float) -> Stability:
    """Constants for coefficients θ `(B, Q)` against `reference (Q,)`, both positive.

    The terms are stored in floating point and therefore semidefinite only up to rounding; `slack` (see
    `rounding_slack`) is what that can change.
    """
    ratio = theta / reference
    low, high = ratio.min(axis=1), ratio.max(axis=1)
    return Stability(lower=low - slack * (low + high), upper=high + slack * (low + high))


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
