"""How far a sparse symmetric matrix is from the product G Σ Gᵀ of a triangular factor and signs, rounding included."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numba import njit

from nwidth.core.arrays import Array, Real

_EPS = float(np.finfo(np.float64).eps)
_SMALLEST = float(np.finfo(np.float64).smallest_subnormal)


@dataclass(frozen=True, eq=False)
class Lower:
    """A lower triangle in compressed columns with sorted rows, `(n, n)`."""

    starts: Array
    rows: Array
    values: Real

    @classmethod
    def of(cls, matrix: sp.csc_array) -> "Lower":
        """The lower triangle of a matrix."""
        lower = sp.csc_array(sp.tril(matrix))
        lower.sort_indices()
        return cls(lower.indptr.astype(np.int64), lower.indices.astype(np.int64), lower.data.astype(np.float64))

    @property
    def matrix(self) -> sp.csc_array:
        """As a sparse matrix."""
        size = len(self.starts) - 1
        return sp.csc_array((self.values, self.rows, self.starts), shape=(size, size))


def distance(symmetric: Lower, factor: Lower, signs: Real | None = None) -> float:
    """A bound of `‖S - G Σ Gᵀ‖₂`, S given by its lower triangle, for any G with every diagonal entry stored; Σ holds
    `signs (n,)`, 1 or -1, or is the identity.

    `‖E‖₂ <= ‖E‖_∞` for symmetric E; an entry of the residual sums at most m + 1 numbers, m the entries in its row of
    G, so that its rounding is at most `γ_{m+1} (|S| + |G| |G|ᵀ)` in any order of summation (Higham, Accuracy and
    Stability of Numerical Algorithms, 2002, section 3.1).
    """
    by_row = sp.csr_array(factor.matrix)
    sums = _residual_sums(
        symmetric.starts, symmetric.rows, symmetric.values,
        factor.starts, factor.rows, factor.values, np.ones(len(factor.starts) - 1) if signs is None else signs,
        by_row.indptr.astype(np.int64), by_row.indices.astype(np.int64),
    )  # fmt: skip
    ones = np.ones(len(sums))
    g, s = abs(by_row), abs(symmetric.matrix)
    magnitude = g @ (g.T @ ones) + s @ ones + s.T @ ones
    counts = np.diff(by_row.indptr)
    longest = int(max(counts.max(), np.diff(factor.starts).max(), np.diff(symmetric.starts).max()))
    # sums of positive numbers, each of at most n entries, some of them nested: the last factor pays for them all
    paid = 1 + 8 * (len(sums) + longest) * _EPS
    underflow = 4.0 * len(sums) * longest * _SMALLEST
    return (float((sums + (counts + 2) * _EPS * magnitude).max()) + underflow) * paid


def scaled_factor(lower: sp.csc_array, pivots: Real) -> Lower:
    """G = L √|D| as stored numbers: what rounding does to them is part of the distance that is computed."""
    scaled = sp.csc_array(lower @ sp.diags_array(np.sqrt(np.abs(pivots))))
    return Lower.of(scaled)


@njit(cache=True, nogil=True)
def _residual_sums(
    s_starts: Array,
    s_rows: Array,
    s_values: Real,
    starts: Array,
    rows: Array,
    values: Real,
    signs: Real,
    row_starts: Array,
    columns: Array,
) -> Real:
    """Row sums of |S - G Σ Gᵀ|, as computed: column by column, each entry below the diagonal counts for two rows."""
    size = len(starts) - 1
    place, touched = starts.copy(), np.empty(size, dtype=np.int64)
    sums, column, seen = np.zeros(size), np.zeros(size), np.full(size, -1, dtype=np.int64)
    for j in range(size):
        count = 0
        for t in range(s_starts[j], s_starts[j + 1]):
            i = s_rows[t]
            column[i] = s_values[t]
            seen[i] = j
            touched[count] = i
            count += 1
        for q in range(row_starts[j], row_starts[j + 1]):
            k = columns[q]
            p = place[k]
            place[k] += 1
            g = signs[k] * values[p]
            for t in range(p, starts[k + 1]):
                i = rows[t]
                if seen[i] != j:
                    seen[i] = j
                    column[i] = 0.0
                    touched[count] = i
                    count += 1
                column[i] -= g * values[t]
        for t in range(count):
            i = touched[t]
            size_here = abs(column[i])
            sums[j] += size_here
            if i != j:
                sums[i] += size_here
    return sums
