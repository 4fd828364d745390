"""Factorisations of sparse matrices that share one sparsity pattern.

The pattern is analysed once; each new set of values is then factorised without repeating that work. A factorisation
is a value that its owner holds: it lives in one process and cannot be pickled.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NoReturn, TypeAlias

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from nwidth.core.arrays import Array, Mask
from nwidth.core.errors import InputError, WorkError
from nwidth.core.kinds import available, load_attribute
from nwidth.core.validation import check_choice

BACKENDS = ("pardiso", "superlu")
#: What a matrix is like: symmetric positive definite; symmetric (Aᵀ = A), real or complex; Hermitian; with a symmetric
#: pattern; any. All but the last have every diagonal entry in their pattern.
Kind: TypeAlias = Literal["definite", "symmetric", "hermitian", "structured", "general"]
#: SuperLU takes a diagonal pivot that is at least this part of the largest in its column: the ordering stays useful.
_THRESHOLD = 0.01
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

    def hermitian(self, values: Array) -> bool:
        """Whether the matrix with these values equals its conjugate transpose, up to rounding."""
        if self.mirror is None:
            return False
        scale = np.abs(values).max(initial=0.0)
        return bool(np.abs(values - np.conj(values[self.mirror])).max(initial=0.0) <= _SYMMETRY * scale)

    @cached_property
    def diagonal(self) -> Array:
        """Positions of the diagonal entries."""
        return np.flatnonzero(self.indices == self.rows)

    def kind(self, values: Array) -> Kind:
        """What the matrix with these values is like; "definite" is a guess where the diagonal is positive."""
        if self.mirror is None or not self.full_diagonal:
            return "general"
        if self.symmetric(values):
            real = not np.iscomplexobj(values)
            return "definite" if real and (values[self.diagonal] > 0).all() else "symmetric"
        if np.iscomplexobj(values) and self.hermitian(values):
            return "hermitian"
        return "structured"

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
        """`A⁻¹ b` for the rows b of rhs `(k, n)`. Raises SingularMatrixError where that comes to light here."""

    @property
    def perturbed(self) -> int:
        """Pivots of the latest matrix that were too small and got replaced."""
        return 0

    def __reduce__(self) -> NoReturn:
        raise TypeError("a factorisation lives in one process; prepare it where it is used")


class SuperLU(Factor):
    """SuperLU. Where the pattern is symmetric: minimum degree on A + Aᵀ, found once, and pivots on the diagonal unless
    they are below `threshold` of their column; otherwise partial pivoting with the ordering COLAMD.

    The ordering is kept by permuting the matrices: SuperLU's own way to reuse it (`SamePattern`) crashes in SciPy.
    """

    def __init__(self, pattern: Pattern, threshold: float = 1.0):
        self._pattern, self._threshold = pattern, threshold
        self._permuted: _Permuted | None = None
        self._symmetric = threshold < 1 and pattern.mirror is not None
        self._lu: Any = None
        self._dtype = np.dtype(float)

    def factorise(self, values: Array) -> None:
        matrix, options = self._prepared(values)
        try:
            self._lu, self._dtype = sla.splu(matrix, **options), matrix.dtype
        except RuntimeError as error:
            raise SingularMatrixError(f"the matrix is singular: {error}") from error

    def solve(self, rhs: Array) -> Array:
        order = None if self._permuted is None else self._permuted.order
        columns = np.ascontiguousarray((rhs if order is None else rhs[:, order]).T)
        if np.iscomplexobj(columns) and self._dtype.kind != "c":  # a real matrix and a complex load
            found = self._lu.solve(columns.real) + 1j * self._lu.solve(columns.imag)
        else:
            found = self._lu.solve(columns.astype(self._dtype, copy=False))
        out = np.empty(found.T.shape, dtype=found.dtype)
        out[:, slice(None) if order is None else order] = found.T
        return out

    def _prepared(self, values: Array) -> tuple[sp.csc_array, dict[str, Any]]:
        if not self._symmetric:
            return sp.csc_array(self._pattern.matrix(values)), {"permc_spec": "COLAMD"}
        if self._permuted is None:
            self._permuted = _Permuted.of(self._pattern)
        options = {"SymmetricMode": True}
        return self._permuted.matrix(values), {
            "permc_spec": "NATURAL",
            "diag_pivot_thresh": self._threshold,
            "options": options,
        }


@dataclass(frozen=True, eq=False)
class _Permuted:
    """A symmetric pattern in another order, by columns, and where each entry's value comes from."""

    order: Array
    source: Array
    indptr: Array
    indices: Array

    @classmethod
    def of(cls, pattern: Pattern) -> "_Permuted":
        order = minimum_degree(pattern)
        numbered = sp.csr_array((np.arange(1, len(pattern.indices) + 1), pattern.indices, pattern.indptr))
        permuted = sp.csc_array(numbered[order][:, order])
        permuted.sort_indices()
        return cls(order, permuted.data - 1, permuted.indptr, permuted.indices)

    def matrix(self, values: Array) -> sp.csc_array:
        """The permuted matrix with these values of the pattern."""
        shape = (len(self.order), len(self.order))
        return sp.csc_array((values[self.source], self.indices, self.indptr), shape=shape)


def minimum_degree(pattern: Pattern) -> Array:
    """SuperLU's multiple minimum degree ordering of A + Aᵀ, `(n,)`: position -> row."""
    off = pattern.matrix(np.where(pattern.indices == pattern.rows, 0.0, -1.0))
    matrix = sp.csc_array(off + sp.diags_array(1.0 + np.diff(pattern.indptr)))
    # an incomplete factorisation that drops everything gives the ordering without the work
    lu = sla.spilu(
        matrix,
        permc_spec="MMD_AT_PLUS_A",
        drop_tol=1.0,
        fill_factor=1.0,
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return np.argsort(lu.perm_c)


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


def new_factor(
    pattern: Pattern, backend: str | None = None, kind: Kind = "definite", dtype: Any = float, many: bool = False
) -> Factor:
    """A fast factorisation for matrices of this pattern and kind, not yet given values.

    It keeps one symbolic analysis, and to that end pivots little: look at the residual, and at `perturbed`. `many`: it
    is to solve for many right-hand sides at a time.
    """
    if best_backend(backend) == "superlu":
        return SuperLU(pattern, 0.0 if kind == "definite" else _THRESHOLD)
    return load_attribute("nwidth.spaces.pardiso:Pardiso")(pattern, kind, dtype, many=many)


def careful_factors(pattern: Pattern, backend: str | None, kind: Kind, dtype: Any = float) -> list[Factor]:
    """Slower factorisations for any regular matrix of this pattern, from the fastest to the surest."""
    if best_backend(backend) == "superlu":
        return [SuperLU(pattern)]
    kind = "symmetric" if kind == "definite" else kind
    return [load_attribute("nwidth.spaces.pardiso:Pardiso")(pattern, kind, dtype, careful=True), SuperLU(pattern)]


def general_factor(pattern: Pattern) -> Factor:
    """A factorisation with partial pivoting for any regular matrix of this pattern, real or complex."""
    return SuperLU(pattern)


def factorised(matrix: sp.csr_array, backend: str | None = None) -> Factor:
    """A symmetric positive definite matrix, factorised once and for all. Raises SingularMatrixError."""
    factor = new_factor(Pattern.of(matrix), backend, many=True)
    factor.factorise(matrix.data)
    factor.solve(np.ones((1, matrix.shape[0])))  # what is not definite may come to light here only
    return factor


def restricted(matrix: sp.csr_array, free: Mask) -> sp.csr_array:
    """The rows and columns of the free dofs, with sorted indices."""
    part = matrix if free.all() else matrix[free][:, free]
    part = sp.csr_array(part)
    part.sum_duplicates()
    return part
