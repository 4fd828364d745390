"""Bases of the rows and columns of sparse matrices that have far fewer of them than their size suggests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array
from nwidth.core.seeding import generator

#: The largest rank looked for where a change touches few unknowns, and where it touches many.
FEW, MANY = 64, 16
#: Singular values below this share of the largest are rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class LowRank:
    """Matrices `left C rightᴴ` with orthonormal columns, each `(n, r)`."""

    left: Array
    right: Array

    @property
    def rank(self) -> int:
        """The number of columns r."""
        return self.left.shape[1]

    def core(self, matrix: sp.csr_array) -> Array:
        """The small matrix C `(r, r)` nearest to a given one."""
        return self.left.conj().T @ (matrix @ self.right)

    def holds(self, matrix: sp.csr_array, core: Array) -> bool:
        """Whether `left core rightᴴ` is the matrix, to half the digits: ‖M - U C Vᴴ‖² = ‖M‖² - ‖C‖²."""
        whole, part = np.linalg.norm(matrix.data) ** 2, np.linalg.norm(core) ** 2
        return bool(abs(whole - part) <= 1e-13 * whole)


def hopeless(matrix: sp.csr_array) -> bool:
    """Whether the rank is certainly larger than what is looked for: that of some of the rows already is."""
    rows = np.flatnonzero(np.diff(matrix.indptr))
    if len(rows) <= FEW:
        return False
    some = rows[:: len(rows) // (MANY + 8)]
    return _rank(np.linalg.svd(_dense(matrix[some]), compute_uv=False), 0.0) > MANY


def low_rank(parts: Sequence[sp.csr_array], noise: float = 0.0) -> LowRank | None:
    """Bases that represent every part; None where they would be too large. `noise`: entries below it are rounding."""
    if any(hopeless(part) for part in parts):
        return None
    left = _columns(sp.csr_array(sp.hstack(parts)), noise)
    right = _columns(sp.csr_array(sp.hstack([part.conj().T for part in parts])), noise)
    if left is None or right is None:
        return None
    return LowRank(left, right)


def _columns(matrix: sp.csr_array, noise: float) -> Array | None:
    """An orthonormal basis `(n, r)` of the space of columns; None where it is too large."""
    rows = np.flatnonzero(np.diff(matrix.indptr))
    if len(rows) > FEW:
        return _sketched(matrix, noise)
    vectors, values, _ = np.linalg.svd(_dense(matrix[rows]), full_matrices=False)
    rank = _rank(values, noise)
    basis = np.zeros((matrix.shape[0], rank), dtype=vectors.dtype)
    basis[rows] = vectors[:, :rank]
    return basis


def _sketched(matrix: sp.csr_array, noise: float) -> Array | None:
    """From products with random vectors: they span the columns where there are more of them than the rank."""
    images = matrix @ generator(0).standard_normal((matrix.shape[1], MANY + 4))
    vectors, values, _ = np.linalg.svd(images, full_matrices=False)
    rank = _rank(values, noise)
    return vectors[:, :rank] if rank <= MANY else None


def _dense(matrix: sp.csr_array) -> Array:
    """The columns that are not empty."""
    return matrix[:, np.unique(matrix.indices)].toarray()


def _rank(values: Array, noise: float) -> int:
    return int(np.count_nonzero(values > max(_ROUNDING * values.max(initial=0.0), noise)))
