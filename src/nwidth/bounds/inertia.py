"""How many eigenvalues of a sparse symmetric matrix lie below zero, proven up to a shift that is computed.

For any lower triangular G with a diagonal without zeros and any signs Σ, `G Σ Gᵀ` has as many negative eigenvalues as Σ
has entries -1 (Sylvester's law of inertia), and the eigenvalues of S lie within `‖S - G Σ Gᵀ‖₂` of its own (Weyl). So
neither the library that factorised nor the size of its pivots matters: a poor factor makes the shift large.

Reference: Parlett, The Symmetric Eigenvalue Problem (1998), sections 1.5, 3.3 and 10.3.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from nwidth.bounds.dual_norm import EPS
from nwidth.bounds.factor_residual import Lower, distance, scaled_factor
from nwidth.bounds.metric import absolute_norm
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import WorkError


class NoInertiaError(WorkError):
    """The factorisation met a pivot of zero or overflowed: the matrix is singular to working precision, or would need
    pivoting."""


@dataclass(frozen=True)
class Inertia:
    """The matrix differs by at most `shift` (2-norm) from one with exactly `negative` eigenvalues below zero and none
    equal to zero."""

    negative: int
    shift: float


@dataclass(frozen=True, eq=False)
class SignedFactor:
    """`G Σ Gᵀ`, close to a permutation of S, whose lower triangle is `lower`."""

    lower: Lower
    factor: Lower
    signs: Real

    def inertia(self, rounding: float) -> Inertia:
        """`rounding`: how far the matrix that was factorised may be from the one that is meant (2-norm).

        Raises NoInertiaError for a factor that is not finite.
        """
        shift = (distance(self.lower, self.factor, self.signs) + rounding) * (1 + 8 * EPS)
        if not np.isfinite(shift):
            raise NoInertiaError("the factorisation is not finite: the matrix is singular, or out of range")
        return Inertia(int((self.signs < 0).sum()), shift)


def signed_factor(matrix: sp.csr_array, order: Array) -> SignedFactor:
    """L D Lᵀ without pivoting, rows and columns taken in `order`. Raises NoInertiaError at a pivot of zero."""
    permuted = sp.csc_array(matrix[order][:, order])
    permuted.sort_indices()
    try:
        lu = sla.splu(permuted, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    except RuntimeError as error:
        raise NoInertiaError(f"the factorisation found the matrix singular: {error}") from error
    pivots = lu.U.diagonal()
    if not (np.array_equal(lu.perm_r, lu.perm_c) and np.isfinite(pivots).all() and (pivots != 0).all()):
        raise NoInertiaError("the factorisation met a pivot of zero: the matrix needs pivoting, or is singular")
    again = np.argsort(lu.perm_r)
    arranged = permuted
    if not np.array_equal(again, np.arange(len(again))):
        arranged = sp.csc_array(permuted[again][:, again])
    return SignedFactor(Lower.of(arranged), scaled_factor(sp.csc_array(lu.L), pivots), np.sign(pivots))


def skewness(matrix: sp.csr_array) -> float:
    """How far the mirrored lower triangle, which is what gets factorised, may be from the symmetric part (2-norm)."""
    return absolute_norm(sp.csr_array(matrix - matrix.T)) / 2
