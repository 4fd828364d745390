"""A grid of nodes on an interval, a rectangle or a box."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.core.validation import check_batched, check_choice
from nwidth.spaces.base import FunctionSpace, InnerProduct
from nwidth.spaces.grid_products import GridEnergy, GridMass


@dataclass(frozen=True)
class Grid(FunctionSpace):
    """Nodes of `cells` cells per direction on `(0, lengths_1) × ...`, 1-D to 3-D, boundary nodes included.

    "64 x 64" means 64² cells, 65² nodes and 63² unknowns: `Grid((64, 64))`. `boundary`: the values on the whole
    boundary are prescribed ("dirichlet"). Fields are `(B, cells_1 + 1, ...)`. One length serves all directions.

    `inner("energy")` is X with `vᵀ X v = Σ_faces (area / spacing) (v_i - v_j)² ≈ ∫ |∇v|²`, `inner("mass")` the lumped
    L² form. Raises InputError for fewer than 2 cells or lengths that are not positive.
    """

    kind: ClassVar[str] = "grid"

    cells: tuple[int, ...] = (64, 64)
    lengths: float | Sequence[float] = 1.0
    boundary: str = "dirichlet"

    def __post_init__(self) -> None:
        cells = tuple(int(n) for n in np.atleast_1d(self.cells))
        lengths = tuple(float(v) for v in np.atleast_1d(self.lengths))
        lengths = lengths * len(cells) if len(lengths) == 1 else lengths
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "lengths", lengths)
        check_choice("boundary", self.boundary, ("dirichlet",))
        if len(cells) not in (1, 2, 3) or min(cells) < 2:
            raise InputError(f"cells = {cells}; expected 1 to 3 directions with at least 2 cells each")
        if len(lengths) != len(cells) or not all(0 < v < np.inf for v in lengths):
            raise InputError(f"lengths = {lengths} for cells {cells}; give one positive length per direction")

    @property
    def dim(self) -> int:
        """Number of directions."""
        return len(self.cells)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(n + 1 for n in self.cells)

    @cached_property
    def spacings(self) -> tuple[float, ...]:
        """Distance of neighbouring nodes in each direction."""
        return tuple(v / n for v, n in zip(np.atleast_1d(self.lengths).tolist(), self.cells, strict=True))

    @cached_property
    def face_weights(self) -> tuple[float, ...]:
        """Area of a face over the spacing across it, for each direction."""
        return tuple(float(np.prod(self.spacings)) / h**2 for h in self.spacings)

    @property
    def free(self) -> Mask:
        """The dofs inside the domain `(N,)`."""
        mask = np.zeros(self.shape, dtype=bool)
        mask[(slice(1, -1),) * self.dim] = True
        return mask.ravel()

    def axes(self) -> tuple[Real, ...]:
        """The coordinates along each direction, `(cells_d + 1,)`."""
        return tuple(np.arange(n + 1) * (v / n) for v, n in zip(np.atleast_1d(self.lengths), self.cells, strict=True))

    def points(self, mu: Mu | None = None) -> Array:
        """Node coordinates `(N, dim)`, in the order of the dofs."""
        return np.stack(np.meshgrid(*self.axes(), indexing="ij"), axis=-1).reshape(-1, self.dim)

    def inner(self, kind: str) -> InnerProduct:
        """'energy' or 'mass'; hold it where it is used more than once: it keeps the transforms.

        Raises InputError for another word.
        """
        check_choice("inner product", kind, ("energy", "mass"))
        return GridEnergy(self.shape, self.face_weights) if kind == "energy" else GridMass(self.free, self.spacings)

    def to_parts(self) -> Parts:
        config = {"cells": self.cells, "lengths": self.lengths, "boundary": self.boundary}
        return Parts(config, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(tuple(config["cells"]), tuple(config["lengths"]), config["boundary"])


def interpolate(fields: Array, source: Grid, target: Grid) -> Array:
    """Fields `(B, *source.shape)` at the nodes of another grid of the same domain, linear in each direction.

    Raises InputError where the domains differ.
    """
    if source.lengths != target.lengths:
        raise InputError(f"the grids cover {source.lengths} and {target.lengths}; interpolate within one domain")
    fields = check_batched("fields", fields, source.shape)
    for axis, (n, m) in enumerate(zip(source.cells, target.cells, strict=True), start=1):
        # Integers decide the cell, so that shared nodes are copied to the last bit.
        cell, rest = np.divmod(np.arange(m + 1) * n, m)
        cell, rest = np.append(cell[:-1], n - 1), np.append(rest[:-1], m)
        weight = (rest / m).reshape(-1, *(1,) * (fields.ndim - axis - 1))
        left, right = np.take(fields, cell, axis), np.take(fields, cell + 1, axis)
        fields = left * (1.0 - weight) + right * weight
    return fields
