"""Proofs that a sparse symmetric matrix is positive definite, and proven bounds of eigenvalues from them.

A computed eigenvalue with a small residual is close to *an* eigenvalue; it says nothing about the smallest one. A
factorisation does: for any G, `G Gᵀ` is positive semidefinite, so that

    λ_min(S) >= -‖S - G Gᵀ‖₂,

and the right-hand side is computed with every rounding counted (`factor_residual`). Which library factorised, in which
order and how well, does not matter. From there `A - σ X >= -δ I` with δ >= 0 gives

    A >= (σ - δ / λ_min(X)) X        on the free dofs.

References: Rump, "Verification of positive definiteness", BIT 46 (2006), whose bound is a priori; Higham, Accuracy and
Stability of Numerical Algorithms (2002), sections 3.1 and 10.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from nwidth.bounds.factor_residual import Lower, distance, scaled_factor
from nwidth.bounds.spectrum import Lowest, lowest
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.spaces.factor import Pattern, minimum_degree

_EPS = float(np.finfo(np.float64).eps)
#: Steps below the computed eigenvalue, relative to the spread of the spectrum, and their growth.
_FIRST_STEP, _GROWTH, _STEPS = 1e-9, 8.0, 12
#: Bisections once a step fails and the next works.
_CLOSER = 3


class NotPositiveError(WorkError):
    """The matrix could not be proven positive definite: it is not, or only to rounding."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums `Σ_k c_k M_k` of symmetric sparse matrices, given as values `(K, nnz)` on their common pattern.

    The ordering for factorisations is found once. `norms (K,)`: `‖ |M_k| ‖_∞`; `skew (K,)`: a bound of how far the
    mirrored lower triangle, which is what gets factorised, is from the symmetric part of M_k.
    """

    pattern: Pattern
    values: Real
    norms: Real
    skew: Real

    @classmethod
    def of(cls, matrices: Sequence[sp.csr_array]) -> "Sums":
        """Raises InputError for matrices that are not real, square, finite and symmetric up to rounding."""
        checked = [_checked(matrix) for matrix in matrices]
        if len({matrix.shape for matrix in checked}) != 1:
            raise InputError(f"matrices have shapes {[m.shape for m in checked]}; give matrices of one shape")
        pattern = _common_pattern(checked)
        values = np.stack([_spread(matrix, pattern) for matrix in checked])
        norms = np.array([_norm(matrix) for matrix in checked])
        skew = np.array([_norm(sp.csr_array(matrix - matrix.T)) / 2 for matrix in checked])
        return cls(pattern, values, norms, skew)

    @cached_property
    def order(self) -> Array:
        """Minimum degree: position -> row."""
        return minimum_degree(self.pattern)

    def matrix(self, coefficients: Sequence[float] | Real) -> sp.csr_array:
        """The sum, as computed."""
        return self.pattern.matrix(np.asarray(coefficients, dtype=np.float64) @ self.values)

    def shift(self, coefficients: Sequence[float] | Real) -> float:
        """δ >= 0 with `Σ_k c_k M_k + δ I >= 0`, proven; the rounding of the sum is counted.

        Raises NotPositiveError where the factorisation meets a pivot that is not above zero.
        """
        c = np.abs(np.asarray(coefficients, dtype=np.float64))
        rounding = (len(c) + 2) * _EPS * float(c @ self.norms) + float(c @ self.skew)
        lower, factor = _factor(sp.csc_array(self.matrix(coefficients)), self.order)
        delta = (distance(lower, factor) + rounding) * (1 + 8 * _EPS)
        if not np.isfinite(delta):
            raise NotPositiveError("the factorisation is not finite: the matrix is singular, or out of range")
        return delta


def proven_shift(matrix: sp.csr_array) -> float:
    """δ >= 0 with `matrix + δ I` positive semidefinite, proven; about 1e-14 of the norm for a well-scaled matrix.

    Raises InputError for a matrix that is not symmetric, NotPositiveError (a WorkError) where it is not positive
    definite to rounding.
    """
    return Sums.of([matrix]).shift([1.0])


def lower_constant(
    a: sp.csr_array, x: sp.csr_array, *, lambda_min: float | None = None, guess: float | None = None
) -> float:
    """α, of either sign, with `A >= α X` proven; close to the smallest eigenvalue of `A v = λ X v`.

    a and x `(n, n)` live on the free dofs; `lambda_min` is a proven bound of λ_min(X), computed where it is not given;
    `guess` an estimate of the smallest eigenvalue. Raises InputError for matrices that are not symmetric, WorkError
    where X is not positive definite or the proof fails.
    """
    sums = Sums.of([a, x])
    smallest = proven_lambda_min(x) if lambda_min is None else lambda_min
    found = lowest(sums.matrix([1.0, 0.0]), sums.matrix([0.0, 1.0])) if guess is None else Lowest.at(guess)
    return descend(sums, np.array([1.0]), smallest, found)


def upper_constant(a: sp.csr_array, x: sp.csr_array, *, lambda_min: float | None = None) -> float:
    """β with `A <= β X` proven; see `lower_constant`."""
    return -lower_constant(-sp.csr_array(a), x, lambda_min=lambda_min)


def coercivity_constant(a: sp.csr_array, x: sp.csr_array, *, lambda_min: float | None = None) -> float:
    """α > 0 with `A >= α X` proven. Raises WorkError where there is none, with what was found instead."""
    alpha = lower_constant(a, x, lambda_min=lambda_min)
    if alpha > 0:
        return alpha
    found = lowest(sp.csr_array(a), sp.csr_array(x))
    if found.value < 0:
        raise NotPositiveError(
            f"the form is not coercive: a vector was found with (A v, v) = {found.value:.3g} (X v, v); no bound by "
            "coercivity exists at this parameter"
        )
    raise NotPositiveError(
        f"no coercivity constant could be proven: the smallest quotient found is {found.value:.3g}, and {alpha:.3g} is "
        "what rounding leaves of it; is the matrix singular (no boundary values, no reaction)?"
    )


def proven_lambda_min(x: sp.csr_array) -> float:
    """A proven positive lower bound of the smallest eigenvalue of a sparse symmetric matrix.

    Raises InputError for a matrix that is not symmetric, NotPositiveError (a WorkError) for one that is not positive
    definite to rounding.
    """
    x = sp.csr_array(x)
    sums = Sums.of([x, sp.eye_array(x.shape[0], format="csr")])
    matrix = sums.matrix([1.0, 0.0])
    delta = sums.shift([1.0, 0.0])  # raises first for what is not definite
    guess = abs(lowest(matrix, None).value)
    value = descend(sums, np.array([1.0]), 1.0, Lowest(guess, guess, 1e-9 * guess, np.zeros(0)))
    if value > 0:
        return value
    raise NotPositiveError(
        f"the matrix is positive definite to rounding at best: it is within {delta:.3g} of a semidefinite one, and no "
        "positive lower bound of its smallest eigenvalue could be proven"
    )


def descend(sums: Sums, theta: Real, lambda_min: float, found: Lowest) -> float:
    """α with `Σ_q θ_q A_q >= α X`, X the last of the matrices: σ below the computed eigenvalue until the proof works,
    and then closer again.

    Raises WorkError where it never does.
    """
    first = max(_FIRST_STEP * found.spread, 1e-3 * found.doubt)
    step, failed, proven = first, 0.0, None
    for trial in _steps(found, first):
        failed, step = step, trial
        proven = _proof(sums, theta, lambda_min, found.value - step)
        if proven is not None:
            break
    for _ in range(_CLOSER if proven is not None and step > first else 0):
        middle = float(np.sqrt(failed * step))
        closer = _proof(sums, theta, lambda_min, found.value - middle)
        if closer is None:
            failed = middle
        else:
            proven, step = closer, middle
    if proven is None:
        raise WorkError(
            f"no lower bound near the computed eigenvalue {found.value:.6g} could be proven, down to "
            f"{found.value - step:.3g}: the matrices are too badly scaled"
        )
    return proven


def _steps(found: Lowest, first: float) -> list[float]:
    """Trials: a rising sequence, and among the first the step to zero: semidefinite is the commonest edge."""
    steps = [first * _GROWTH**k for k in range(_STEPS)]
    zero = found.value + first
    return [first, zero, *(step for step in steps if step > zero)] if found.value > first else steps


def _proof(sums: Sums, theta: Real, lambda_min: float, sigma: float) -> float | None:
    """α with `Σ_q θ_q A_q >= α X`, a little below σ; None where `Σ_q θ_q A_q - σ X` is not positive definite."""
    try:
        delta = sums.shift(np.append(theta, -sigma))
    except NotPositiveError:
        return None
    loss = delta / lambda_min
    return sigma - loss - 4 * _EPS * (abs(sigma) + loss)


def _checked(matrix: sp.csr_array) -> sp.csr_array:
    if np.iscomplexobj(matrix):
        raise InputError("a proof of positivity is for real symmetric matrices; this one is complex")
    matrix = sp.csr_array(matrix, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    if matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix.data).all():
        raise InputError(f"a matrix of shape {matrix.shape} must be square and finite")
    difference = abs(matrix - matrix.T).max() if matrix.nnz else 0.0
    if difference > 1e-12 * abs(matrix).max():
        raise InputError(
            f"the matrix is not symmetric (entries differ by {difference:.2e}); rows cleared without their columns, "
            "the usual way to impose values, is the classic: hand over the matrix on the free dofs as assembled"
        )
    return matrix


def _common_pattern(matrices: Sequence[sp.csr_array]) -> Pattern:
    """The union of the patterns, of their transposes and of the diagonal."""
    shape = matrices[0].shape
    total = sp.eye_array(shape[0], format="csr")
    for matrix in matrices:
        ones = sp.csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=shape)
        total = total + ones + ones.T
    total = sp.csr_array(total)
    total.sum_duplicates()
    return Pattern.of(total)


def _spread(matrix: sp.csr_array, pattern: Pattern) -> Real:
    """The values of a matrix on a larger pattern."""
    size = pattern.size
    places = np.repeat(np.arange(size, dtype=np.int64), np.diff(matrix.indptr)) * size + matrix.indices
    keys = pattern.rows.astype(np.int64) * size + pattern.indices
    values = np.zeros(len(keys))
    values[np.searchsorted(keys, places)] = matrix.data
    return values


def _norm(matrix: sp.csr_array) -> float:
    """`‖ |M| ‖_∞`, rounded up."""
    return float(abs(matrix).sum(axis=1).max(initial=0.0)) * (1 + matrix.shape[0] * _EPS)


def _factor(matrix: sp.csc_array, order: Array) -> tuple[Lower, Lower]:
    """The permuted lower triangle and G with G Gᵀ close to it. Raises NotPositiveError."""
    permuted = sp.csc_array(matrix[order][:, order])
    permuted.sort_indices()
    try:
        lu = sla.splu(permuted, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    except RuntimeError as error:
        raise NotPositiveError(f"the factorisation found the matrix singular: {error}") from error
    pivots = lu.U.diagonal()
    if not (np.array_equal(lu.perm_r, lu.perm_c) and (pivots > 0).all()):
        worst = float(pivots.min())
        raise NotPositiveError(f"the factorisation met a pivot of {worst:.3g}: the matrix is not positive definite")
    again = np.argsort(lu.perm_r)
    if not np.array_equal(again, np.arange(len(again))):
        permuted = sp.csc_array(permuted[again][:, again])
    return Lower.of(permuted), scaled_factor(sp.csc_array(lu.L), pivots)
