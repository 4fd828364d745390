"""Bounds of rounding errors: what lets a reduced bound stay a bound down to its published floor.

Notation of Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1: γ_n = n ε / (1 - n ε), and n
rounded operations in any order change a sum of products by at most γ_n times the sum of the absolute values.
"""

import math

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real

EPS = float(np.finfo(np.float64).eps)
#: The widest type of this machine: 64-bit mantissa on x86, the same as float64 elsewhere.
LONG = np.longdouble
EPS_LONG = float(np.finfo(LONG).eps)


def gamma(operations: int, eps: float = EPS) -> float:
    """γ_n for n rounded operations."""
    return operations * eps / (1 - operations * eps)


def products(a: Real, b: Real, width: int | None = None) -> Real:
    """`a bᵀ` for rows of length N, `(m, k)`, summed in pieces of `width`, by default √N: the error is
    `γ(product_operations(N, width)) |a| |b|ᵀ`."""
    width = width or _width(a.shape[1])
    total = np.zeros((len(a), len(b)))
    for start in range(0, a.shape[1], width):
        total += a[:, start : start + width] @ b[:, start : start + width].T
    return total


def product_operations(size: int, width: int | None = None) -> int:
    """Rounded operations behind one entry of `products` of vectors of this length."""
    width = width or _width(size)
    return width + math.ceil(size / width) + 2


def _width(size: int) -> int:
    return max(1, math.isqrt(size))


def row_sum(matrix: sp.csr_array) -> float:
    """`‖ |A| ‖_∞`: a bound of the spectral norm of |A| for symmetric A, and so of `‖ |A| |v| ‖₂ / ‖v‖₂`."""
    return float(abs(matrix).sum(axis=1).max(initial=0.0)) * (1 + 1e-12)


def longest_row(matrix: sp.csr_array) -> int:
    """The largest number of entries in a row."""
    return int(np.diff(matrix.indptr).max(initial=0))


def long_product(matrix: sp.csr_array, rows: Array) -> Array:
    """`A v` for each row v, in extended precision, `(k, N)`."""
    wide = sp.csr_array((matrix.data.astype(LONG), matrix.indices, matrix.indptr), shape=matrix.shape)
    return np.stack([wide @ row.astype(LONG) for row in rows])
