"""Residuals of given coefficients at full order, in the widest precision of the machine, with their rounding bounded.

What is computed once offline is computed here: slowly, and far more accurately than an assembled float64 residual.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real
from nwidth.problems.base import AffineTerms
from nwidth.rb.products import magnitude
from nwidth.rb.rounding import EPS, EPS_LONG, LONG, gamma, longest_row, product_operations, row_sum
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.mesh import MatrixProduct

_TINY = float(np.finfo(np.float64).tiny)
#: Steps of iterative refinement behind a Riesz representative.
_REFINEMENTS = 2


class WideForm:
    """An inner product in extended precision, with what its rounding needs: a bound `norm` of ‖X‖₂, the rounded
    operations behind one entry of `X v`, and the precision `eps` of `apply`.

    A form that is not given as a matrix is applied in float64. Raises InputError for one of which no bound is known.
    """

    def __init__(self, inner: InnerProduct):
        self.inner, known = inner, magnitude(inner)
        self.norm, self.width = known.norm, known.operations
        self.eps = EPS_LONG if isinstance(inner, MatrixProduct) else EPS

    @property
    def root(self) -> float:
        """A lower bound of √λ_min(X): `‖s‖_{X⁻¹} <= ‖s‖₂ / root`."""
        return float(np.sqrt(self.inner.lambda_min))

    def apply(self, v: Array) -> Array:
        """`X v` for rows `(k, N)`; the error of each row is at most `noise(v)` in the Euclidean norm."""
        if not isinstance(self.inner, MatrixProduct):
            return self.inner.apply(v.astype(np.float64)).astype(LONG)
        image = np.zeros(v.shape, dtype=LONG)
        image[:, self.inner.free] = long_product(self.inner.matrix, v[:, self.inner.free])
        return image

    def noise(self, v: Array) -> Real:
        """See `apply`, `(k,)`; the rounding to float64 of a form without a matrix is in it."""
        return gamma(self.width + 4, self.eps) * self.norm * _lengths(v)

    def riesz(self, r: Array) -> tuple[Array, Real]:
        """`y ≈ X⁻¹ r` in extended precision and a bound of `‖r - X y‖_{X⁻¹}`, `(k,)`."""
        if not len(r):
            return r, np.zeros(0)
        scale = np.maximum(np.abs(r).max(axis=1, initial=0.0), LONG(_TINY))[:, None]
        target = r / scale
        y = self.inner.riesz(target.astype(np.float64)).astype(LONG)
        for _ in range(_REFINEMENTS):
            y = y + self.inner.riesz((target - self.apply(y)).astype(np.float64))
        y = y * scale
        return y, (_lengths(r - self.apply(y)) + self.noise(y)) / self.root

    def gram(self, y: Array) -> tuple[Real, Real, float]:
        """`H_ij = y_iᵀ X y_j` in float64, `(k, k)`; `h (k,)` with `‖y_i‖_X <= h_i`; and δ with an error of at most
        `δ h_i h_j` in H_ij."""
        image, size = self.apply(y), y.shape[1]
        width = max(1, math.isqrt(size))
        total = np.zeros((len(y), len(y)), dtype=LONG)
        for first in range(0, size, width):
            total += y[:, first : first + width] @ image[:, first : first + width].T
        values = ((total + total.T) / 2).astype(np.float64)
        wrong = gamma(product_operations(size) + self.width + 6, self.eps) * self.norm * _lengths(y) ** 2
        squares = np.maximum(np.diag(values), 0.0) + wrong + _TINY
        slack = float((wrong / squares).max(initial=0.0)) + 2 * EPS
        return values, np.sqrt(squares) * (1 + 1e-9), slack * (1 + 1e-9)


@dataclass(frozen=True, eq=False)
class Functionals:
    """The functionals that make up a residual: loads f_q, then the terms A_q v_j, mode by mode, as `(k,)` coefficients.

    `basis (n, N)` vanishes where values are prescribed.
    """

    terms: AffineTerms
    basis: Real

    @property
    def count(self) -> int:
        """Q_f + Q_A n."""
        return len(self.terms.loads) + len(self.terms.matrices) * len(self.basis)

    def combine(self, weights: Real) -> tuple[Array, Real]:
        """`Σ_k weights_k F_k` for rows `(m, K)`: vectors `(m, N)` in extended precision, and bounds `(m,)` of their
        error in the Euclidean norm."""
        terms, loads = self.terms, len(self.terms.loads)
        wide = weights.astype(LONG)
        result = wide[:, :loads] @ (terms.loads * terms.free).astype(LONG)
        small = gamma(len(self.basis) + len(terms.matrices) + loads + 6, EPS_LONG)
        noise = small * (np.abs(weights[:, :loads]) @ _lengths(terms.loads))
        lengths = _lengths(self.basis)
        modes = self.basis.astype(LONG)
        parts = weights[:, loads:].reshape(len(weights), len(self.basis), len(self.terms.matrices))
        for q, matrix in enumerate(map(sp.csr_array, terms.matrices)):
            fields = parts[:, :, q].astype(LONG) @ modes
            result += long_product(matrix, fields) * terms.free
            scale = small + gamma(longest_row(matrix) + 2, EPS_LONG)
            noise += scale * row_sum(matrix) * (np.abs(parts[:, :, q]) @ lengths)
        return result, noise * (1 + 1e-9)

    def quick(self, weights: Real) -> Real:
        """`Σ_k weights_k F_k` in float64, `(m, N)`."""
        loads = len(self.terms.loads)
        result = weights[:, :loads] @ self.terms.loads
        parts = weights[:, loads:].reshape(len(weights), len(self.basis), len(self.terms.matrices))
        for q, matrix in enumerate(self.terms.matrices):
            result += (matrix @ (parts[:, :, q] @ self.basis).T).T
        return result * self.terms.free

    def sizes(self, inner: InnerProduct) -> Real:
        """Upper bounds of `‖F_k‖_{X⁻¹}`, `(K,)`: of each functional on its own, in float64."""
        form, lengths = WideForm(inner), _lengths(self.basis)
        table = np.empty((len(self.basis), len(self.terms.matrices)))
        for q, matrix in enumerate(map(sp.csr_array, self.terms.matrices)):
            images = np.ascontiguousarray((matrix @ self.basis.T).T) * self.terms.free
            rounding = gamma(longest_row(matrix) + 2) * row_sum(matrix) * lengths / form.root
            table[:, q] = dual_norms(form, images) + rounding
        return np.concatenate([dual_norms(form, self.terms.loads * self.terms.free), table.ravel()])


def long_product(matrix: sp.csr_array, rows: Array) -> Array:
    """`A v` for each row v, in extended precision, `(k, N)`."""
    wide = sp.csr_array((matrix.data.astype(LONG), matrix.indices, matrix.indptr), shape=matrix.shape)
    return np.array([wide @ row.astype(LONG) for row in rows]).reshape(rows.shape)


def dual_norms(form: WideForm, r: Real) -> Real:
    """Upper bounds of `‖r‖_{X⁻¹} <= ‖z‖_X + ‖r - X z‖₂ / √λ_min` in float64, rounding counted."""
    inner = form.inner
    z = inner.riesz(r)
    image = inner.apply(z)
    lengths = np.linalg.norm(z, axis=1)
    noise = gamma(form.width + 4) * form.norm * lengths
    energy = np.einsum("bn,bn->b", z, image) + gamma(r.shape[1] + form.width + 4) * form.norm * lengths**2
    rest = np.linalg.norm(r - image, axis=1) * (1 + 1e-9) + noise + 2 * EPS * np.linalg.norm(r, axis=1)
    return (np.sqrt(np.maximum(energy, 0.0)) + rest / form.root) * (1 + 1e-9)


def _lengths(v: Array) -> Real:
    """Upper bounds of the Euclidean lengths of the rows."""
    return np.linalg.norm(v.astype(np.float64), axis=1) * (1 + 1e-9)
