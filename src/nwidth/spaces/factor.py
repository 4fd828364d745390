"""Factorisations of sparse matrices that share one sparsity pattern.

The pattern is analysed once; each new set of values is then factorised without repeating that work. A factorisation
is a value that its owner holds: it lives in one process and cannot be pickled.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from nwidth.core.arrays import Array, Mask
from nwidth.core.errors import InputError, WorkError
from nwidth.core.kinds import available, load_attribute
from nwidth.core.validation import check_choice

BACKENDS = ("pardiso", "superlu")
#: Entries of a matrix and its transpose that differ by less than this, relative to the largest, count as equal.
_SYMMETRY = 1e-12


class SingularMatrixError(WorkError):
    """The matrix has no usable factorisation: it is singular, or so to working precision."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """Where a square sparse matrix has entries: sorted compressed rows."""

    indptr: Array
    indices: Array

    @classmethod
    def of(cls, matrix: sp.csr_array) -> "Pattern":
        """The pattern of a matrix whose indices are sorted and not repeated."""
        return cls(matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32))

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @cached_property
    def rows(self) -> Array:
        """Row of each entry."""
        return np.repeat(np.arange(self.size, dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def upper(self) -> Array:
        """Positions of the entries on and above the diagonal."""
        return np.flatnonzero(self.indices >= self.rows)

    @cached_property
    def full_diagonal(self) -> bool:
        """Whether every diagonal entry is there."""
        return int(np.count_nonzero(self.indices == self.rows)) == self.size

    @cached_property
    def mirror(self) -> Array | None:
        """Position of entry (j, i) for each entry (i, j); None where the pattern is not symmetric."""
        by_column = sp.csr_array(
            (np.arange(len(self.indices)), self.indices, self.indptr), shape=(self.size, self.size)
        ).tocsc()
        same = np.array_equal(by_column.indptr, self.indptr) and np.array_equal(by_column.indices, self.indices)
        return by_column.data if same else None

    def symmetric(self, values: Array) -> bool:
        """Whether the matrix with these values equals its transpose, up to rounding."""
        if self.mirror is None:
            return False
        scale = np.abs(values).max(initial=0.0)
        return bool(np.abs(values - values[self.mirror]).max(initial=0.0) <= _SYMMETRY * scale)

    def matrix(self, values: Array) -> sp.csr_array:
        """The matrix with these values (nothing is copied)."""
        return sp.csr_array((values, self.indices, self.indptr), shape=(self.size, self.size))

    def same(self, other: "Pattern") -> bool:
        """Whether another pattern has the same entries."""
        return other is self or (
            np.array_equal(self.indptr, other.indptr) and np.array_equal(self.indices, other.indices)
        )

    def fits(self, matrix: sp.csr_array) -> bool:
        """Whether a matrix has exactly this pattern."""
        return (
            matrix.shape == (self.size, self.size)
            and np.array_equal(matrix.indptr, self.indptr)
            and np.array_equal(matrix.indices, self.indices)
        )


class Factor(ABC):
    """Factorises matrices of one pattern, one after the other, and solves with the latest."""

    @abstractmethod
    def factorise(self, values: Array) -> None:
        """Take new values `(nnz,)`. Raises SingularMatrixError."""

    @abstractmethod
    def solve(self, rhs: Array) -> Array:
        """`A⁻¹ b` for the rows b of rhs `(k, n)`."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("a factorisation lives in one process; prepare it where it is used")


class SuperLU(Factor):
    """SuperLU: symmetric positive definite matrices without pivoting (ordering of A + Aᵀ), all others with it."""

    def __init__(self, pattern: Pattern, definite: bool):
        self._pattern, self._options = pattern, _DEFINITE if definite else _GENERAL
        self._lu: Any = None

    def factorise(self, values: Array) -> None:
        try:
            self._lu = sla.splu(self._pattern.matrix(values).tocsc(), **self._options)
        except RuntimeError as error:
            raise SingularMatrixError(f"the matrix is singular: {error}") from error

    def solve(self, rhs: Array) -> Array:
        return np.ascontiguousarray(self._lu.solve(np.ascontiguousarray(rhs.T)).T)


_DEFINITE = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
_GENERAL = {"permc_spec": "COLAMD"}


def best_backend(backend: str | None = None) -> str:
    """The name of the factorisation for symmetric positive definite matrices: the one asked for, or the fastest here.

    Raises InputError for a name that is unknown or not installed.
    """
    if backend is None:
        return "pardiso" if available("pypardiso") else "superlu"
    check_choice("backend", backend, BACKENDS)
    if backend == "pardiso" and not available("pypardiso"):
        raise InputError("backend 'pardiso' needs the package pypardiso; run: pip install 'nwidth[fast]'")
    return backend


def new_factor(pattern: Pattern, backend: str | None = None) -> Factor:
    """A factorisation for symmetric positive definite matrices of this pattern, not yet given values."""
    if best_backend(backend) == "superlu":
        return SuperLU(pattern, definite=True)
    return load_attribute("nwidth.spaces.pardiso:Pardiso")(pattern)


def general_factor(pattern: Pattern) -> Factor:
    """A factorisation with pivoting for any regular matrix of this pattern, real or complex."""
    return SuperLU(pattern, definite=False)


def factorised(matrix: sp.csr_array, backend: str | None = None) -> Factor:
    """A symmetric positive definite matrix, factorised once and for all. Raises SingularMatrixError."""
    factor = new_factor(Pattern.of(matrix), backend)
    factor.factorise(matrix.data)
    return factor


def restricted(matrix: sp.csr_array, free: Mask) -> sp.csr_array:
    """The rows and columns of the free dofs, with sorted indices."""
    part = matrix if free.all() else matrix[free][:, free]
    part = sp.csr_array(part)
    part.sum_duplicates()
    return part
