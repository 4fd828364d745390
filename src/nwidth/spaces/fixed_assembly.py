"""Assembly of finite-element forms into a fixed pattern: a new coefficient is one sparse matrix-vector product.

The entries of the matrix of `∫ c b(u, v)` are linear in the values of c, per element or per quadrature point. The map
from these values to the entries in compressed rows is itself a sparse matrix with one row per entry; it is built once
from scikit-fem's basis, and nothing of the pattern is computed again. Forms over the same unknowns (stiffness and
mass, the inside and the boundary) share one pattern, so that their sum is a sum of arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from skfem import AbstractBasis, BilinearForm, LinearForm
from skfem.assembly.form.form import FormExtraParams

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import check_choice
from nwidth.spaces.factor import Pattern

#: Where a coefficient has its values.
Where = Literal["element", "point"]


@dataclass(frozen=True, eq=False)
class Dofs:
    """The unknowns of a basis, numbered as the space numbers them: `of_element (k, E)`, and how many there are, N.

    scikit-fem numbers the components of a vector field node by node; the spaces here, component by component.
    """

    of_element: Array
    size: int

    @classmethod
    def of(cls, basis: AbstractBasis, order: Array | None = None) -> "Dofs":
        """The unknowns of a basis; `order[i]` is the place of scikit-fem's dof i (None: as they are)."""
        dofs = np.asarray(basis.element_dofs)
        return cls(dofs if order is None else np.asarray(order)[dofs], int(basis.N))

    @property
    def keys(self) -> Array:
        """Row and column as one number for every entry of every element matrix, `(k k E,)`, rows first."""
        rows, columns = self.of_element[:, None].astype(np.int64), self.of_element[None]
        return (rows * self.size + columns).ravel()


def pattern_of(*dofs: Dofs) -> Pattern:
    """The pattern that holds the element matrices of all given unknowns. Raises InputError where their sizes differ."""
    sizes = {d.size for d in dofs}
    if len(sizes) != 1:
        raise InputError(f"got unknowns of {sorted(sizes)} dofs; forms share a pattern where they share the space")
    size = sizes.pop()
    keys = np.unique(np.concatenate([d.keys for d in dofs]))
    starts = np.searchsorted(keys, np.arange(size + 1, dtype=np.int64) * size)
    return Pattern(starts.astype(np.int32), (keys % size).astype(np.int32))


class FixedForm:
    """`∫ c b(u, v)` for any coefficient c on one basis, assembled into the values of one pattern.

    `form` is a scikit-fem form without the coefficient. `where` the coefficient lives: "element", one value each
    `(E,)`; or "point", at the quadrature points, `(E, Q)`. The map needs k² numbers per coefficient value.
    """

    def __init__(
        self, form: BilinearForm, basis: AbstractBasis, dofs: Dofs, pattern: Pattern, where: Where = "element"
    ):
        check_choice("where", where, ("element", "point"))
        self.pattern = pattern
        local = _integrands(form, basis, where)
        self.shape = local.shape[2:]
        places = np.searchsorted(_keys(pattern), dofs.keys)
        if (places >= len(pattern.indices)).any() or not np.array_equal(_keys(pattern)[places], dofs.keys):
            raise InputError("the pattern lacks entries of this form; make it with pattern_of(dofs of every form)")
        self._map = _scatter(places, local, len(pattern.indices))

    def values(self, coefficient: Array) -> Real:
        """The entries `(nnz,)` for one coefficient, or `(B, nnz)` for a batch of them."""
        flat = _flat(coefficient, self.shape)
        return self._map @ flat if flat.ndim == 1 else np.ascontiguousarray((self._map @ flat.T).T)

    def matrix(self, coefficient: Array) -> sp.csr_array:
        """The matrix of one coefficient; its index arrays are the pattern's."""
        return self.pattern.matrix(self.values(coefficient))

    def part(self, coefficient: Array) -> sp.csr_array:
        """The matrix of a coefficient that vanishes in places, without the entries that belong to those alone.

        An entry of an element that is touched stays even where its value is zero: the pattern is symmetric.
        """
        flat = _flat(coefficient, self.shape)
        touched = sp.csr_array((np.ones(self._map.nnz), self._map.indices, self._map.indptr), self._map.shape)
        places = np.flatnonzero(touched @ (flat != 0).astype(np.float64))
        counts = np.bincount(self.pattern.rows[places], minlength=self.pattern.size)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        data = (self._map @ flat)[places]
        return sp.csr_array((data, self.pattern.indices[places], indptr), shape=(self.pattern.size,) * 2)

    @property
    def ones(self) -> Real:
        """The coefficient 1."""
        return np.ones(self.shape)


class FixedLoad:
    """`∫ c l(v)` for any coefficient c on one basis; see `FixedForm`."""

    def __init__(self, form: LinearForm, basis: AbstractBasis, dofs: Dofs, where: Where = "element"):
        check_choice("where", where, ("element", "point"))
        local = _test_integrands(form, basis, where)
        self.shape = local.shape[1:]
        self._map = _scatter(dofs.of_element.ravel(), local[:, None], dofs.size)

    def vector(self, coefficient: Array) -> Real:
        """The load `(N,)` for one coefficient, or `(B, N)` for a batch."""
        flat = _flat(coefficient, self.shape)
        return self._map @ flat if flat.ndim == 1 else np.ascontiguousarray((self._map @ flat.T).T)

    @property
    def ones(self) -> Real:
        """The coefficient 1."""
        return np.ones(self.shape)


class FreePart:
    """The entries of a pattern between free dofs: matrices on the free dofs without slicing."""

    def __init__(self, pattern: Pattern, free: Mask):
        self._free = np.asarray(free, dtype=bool)
        self._whole = pattern

    @cached_property
    def places(self) -> Array:
        """Positions of the entries that remain."""
        return np.flatnonzero(self._free[self._whole.rows] & self._free[self._whole.indices])

    @cached_property
    def pattern(self) -> Pattern:
        """The pattern on the free dofs."""
        number = np.cumsum(self._free) - 1
        counts = np.bincount(number[self._whole.rows[self.places]], minlength=int(self._free.sum()))
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return Pattern(indptr.astype(np.int32), number[self._whole.indices[self.places]].astype(np.int32))

    def matrix(self, values: Array) -> sp.csr_array:
        """The matrix on the free dofs with these values of the whole pattern."""
        return self.pattern.matrix(values[self.places])


def _keys(pattern: Pattern) -> Array:
    return pattern.rows.astype(np.int64) * pattern.size + pattern.indices


def _flat(coefficient: Array, shape: tuple[int, ...]) -> Real:
    """The coefficient as `(c,)` or `(B, c)`. Raises InputError for another shape."""
    values = np.asarray(coefficient, dtype=np.float64)
    if values.shape == shape:
        return values.ravel()
    if values.shape[1:] == shape:
        return values.reshape(len(values), -1)
    raise InputError(f"the coefficient has shape {values.shape}, expected {shape} or a batch (B, {shape})")


def _parameters(basis: AbstractBasis) -> FormExtraParams:
    return FormExtraParams(basis.default_parameters())


def _integrands(form: BilinearForm, basis: AbstractBasis, where: Where) -> Real:
    """Weighted integrands of every pair of basis functions, test function first: `(k, k, E)` or `(k, k, E, Q)`."""
    w, count = _parameters(basis), basis.Nbfun
    rows = [[form.form(*basis.basis[j], *basis.basis[i], w) for j in range(count)] for i in range(count)]
    return _weighted(rows, basis, where)


def _test_integrands(form: LinearForm, basis: AbstractBasis, where: Where) -> Real:
    """Weighted integrands of every test function: `(k, E)` or `(k, E, Q)`."""
    w = _parameters(basis)
    return _weighted([form.form(*basis.basis[i], w) for i in range(basis.Nbfun)], basis, where)


def _weighted(integrands: Sequence[Any], basis: AbstractBasis, where: Where) -> Real:
    # a P1 gradient, and so its integrand, may be given once for all points
    values = np.broadcast_to(np.asarray(integrands), (*np.shape(integrands)[:-2], *basis.dx.shape)) * basis.dx
    return values.sum(axis=-1) if where == "element" else values


def _scatter(places: Array, local: Real, size: int) -> sp.csr_array:
    """The matrix `(size, coefficients)` that adds `local (..., *coefficient)` up at `places (..., E)`."""
    shape = local.shape[2:]
    points = int(np.prod(shape[1:]))
    flat = local.reshape(-1, points)
    rows = np.repeat(places, points)
    coefficients = np.arange(shape[0] * points).reshape(shape[0], points)
    columns = np.broadcast_to(coefficients, (len(places) // shape[0], *coefficients.shape)).ravel()
    matrix = sp.csr_array((flat.ravel(), (rows, columns)), shape=(size, shape[0] * points))
    matrix.sum_duplicates()
    return matrix
