"""Systems and sparse matrices from matrices of nearest neighbours."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import check_batched
from nwidth.problems._assembly import fill
from nwidth.problems._transport import stencil_product
from nwidth.problems.base import Systems
from nwidth.problems.grid_terms import GridTerms
from nwidth.problems.stencils import Stencils
from nwidth.spaces._layout import AXES, padded
from nwidth.spaces.grid import Grid


def multiply(stencils: Stencils, w: Real, absolute: bool = False) -> Real:
    """`A_i w_i`, or `|A_i| w_i`, for vectors `(B, N0, N1, N2)`, contiguous."""
    out, none = np.empty_like(w), np.empty((len(w), 0, 0, 0))
    minus = stencils.minus or (none, none, none)
    stencil_product(stencils.centre, stencils.plus, minus, stencils.periodic, 0.0 if absolute else 1.0, w, out)
    return out


def column_sums(stencils: Stencils) -> Real:
    """`Aᵀ 1` of every sample, `(B, N0, N1, N2)`."""
    sums = stencils.centre.copy()
    for axis in range(3):
        if stencils.plus[axis].size:
            below = _below(stencils, axis)
            sums += np.roll(stencils.plus[axis], 1, axis + 1) + np.roll(below, -1, axis + 1)
    return sums


class StencilSystems(Systems):
    """The systems of `GridTerms` as products of their stencils."""

    def __init__(self, terms: GridTerms, stencils: Stencils):
        self.free = terms.grid.free
        self.lift = terms.lift
        self.stencils = stencils
        self._terms = terms
        self._box = (slice(None), *terms.grid.free_box)
        self.load = self._everywhere(stencils.load)

    def apply(self, w: Array) -> Array:
        return self._everywhere(multiply(self.stencils, self._inside(w)))

    def magnitude(self, w: Array) -> Real:
        inside = np.abs(self._inside(w))
        return self._everywhere(multiply(self.stencils, inside, absolute=True)) + np.abs(self.load)

    def residual(self, v: Array) -> Array:
        r = super().residual(v)
        return self._without_rounded_mean(r, v) if self.stencils.constants.any() else r

    @property
    def terms(self) -> int:
        # entries of the matrix: a mean, a flux and their sums over the faces; then a product and a sum per neighbour
        return 16 + 10 * self._terms.grid.dim

    def energy(self, v: Array) -> Real:
        whole = self._terms.stencils(whole=True)
        nodal = np.ascontiguousarray(v, dtype=np.float64).reshape(len(v), *whole.shape)
        return np.einsum("bijk,bijk->b", nodal, multiply(whole, nodal))

    def take(self, rows: Array | slice) -> Self:
        return type(self)(self._terms.take(rows), self.stencils.take(rows))

    def _without_rounded_mean(self, r: Array, v: Array) -> Array:
        """A residual of mean zero, where its mean is no more than the rounding of its entries."""
        room = self.terms * np.finfo(np.float64).eps * self.magnitude(v - self.lift).sum(axis=1)
        mean = r.sum(axis=1)
        small = self.stencils.constants & (np.abs(mean) <= room)
        return r - np.where(small, mean / r.shape[1], 0.0)[:, None]

    def _inside(self, w: Array) -> Real:
        w = check_batched("dofs", w, self.free.shape)
        if len(w) != len(self.load):
            raise InputError(f"{len(w)} vectors for {len(self.load)} systems; give one vector per system")
        inside = w.reshape(len(w), *self._terms.grid.shape)[self._box]
        return np.ascontiguousarray(inside, dtype=np.float64).reshape(len(w), *self.stencils.shape)

    def _everywhere(self, inside: Real) -> Real:
        grid = self._terms.grid
        if bool(self.free.all()):
            return inside.reshape(len(inside), grid.size)
        out = np.zeros((len(inside), *grid.shape))
        out[self._box] = inside.reshape(out[self._box].shape)
        return out.reshape(len(inside), grid.size)


@dataclass(frozen=True, eq=False)
class GridPattern:
    """Where the entries of a grid's stencils stand in a sparse matrix over all dofs: made once for a grid.

    places `(1 + 2 axes, N)`: for the centre, then plus and minus of each axis, the position of every row's entry in
    the data of the matrix, -1 where it has none.
    """

    places: Array
    indices: Array
    pointers: Array

    @classmethod
    def of(cls, grid: Grid) -> "GridPattern":
        """The pattern of nearest neighbours, columns in order."""
        nodes = padded(grid.shape)
        index = np.arange(grid.size, dtype=np.int64).reshape(nodes)
        columns = [index]
        for axis, direction in zip(AXES[grid.dim], grid.directions, strict=True):
            for step, end in ((-1, -1), (1, 0)):
                neighbour = np.roll(index, step, axis)
                if not direction.periodic:
                    neighbour[tuple(end if d == axis else slice(None) for d in range(3))] = -1
                columns.append(neighbour)
        table = np.stack(columns).reshape(len(columns), -1).T
        order = np.argsort(np.where(table < 0, grid.size, table), axis=1, kind="stable")
        counts = (table >= 0).sum(axis=1)
        pointers = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        places = np.full(table.shape, -1, dtype=np.int32)
        ranks = np.argsort(order, axis=1)
        places[table >= 0] = (pointers[:-1, None] + ranks)[table >= 0]
        indices = np.empty(pointers[-1], dtype=np.int32)
        indices[places[table >= 0]] = table[table >= 0]
        return cls(np.ascontiguousarray(places.T), indices, pointers)

    def matrix(self, stencils: Stencils) -> sp.csr_matrix:
        """The matrix `(N, N)` of one sample given on all dofs; all matrices of a grid share indices and pointers."""
        size, data = len(self.pointers) - 1, np.empty(len(self.indices))
        slots = [stencils.centre]
        for axis in range(3):
            if stencils.plus[axis].size:
                slots.append(stencils.plus[axis])
                slots.append(_below(stencils, axis))
        for slot, places in zip(slots, self.places, strict=True):
            fill(slot.reshape(-1), places, data)
        return sp.csr_matrix((data, self.indices, self.pointers), shape=(size, size))


def _below(stencils: Stencils, axis: int) -> Real:
    """The entries for the neighbours below: of symmetric matrices, those that the neighbours have above."""
    if stencils.minus is not None:
        return stencils.minus[axis]
    return np.roll(stencils.plus[axis], 1, axis + 1)
