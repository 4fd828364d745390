"""Fields known only by their values at points: results of a user's own program, without its equations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.spaces.base import FunctionSpace, InnerProduct


@dataclass(frozen=True)
class DiagonalProduct(InnerProduct):
    """`(v, w) = Σ_i d_i conj(v_i) w_i` with positive weights d `(N,)`."""

    weights: Real

    def apply(self, v: Array) -> Array:
        """`D v`, `(B, N)`."""
        return v * self.weights

    def riesz(self, r: Array) -> Array:
        """`D⁻¹ r`, `(B, N)`."""
        return r / self.weights

    @property
    def lambda_min(self) -> float:
        """The smallest weight: exact."""
        return float(self.weights.min())

    def rounding(self, size: int) -> float:
        """One product."""
        return 2 * float(np.finfo(np.float64).eps) * float(self.weights.max())


@dataclass(frozen=True, eq=False)
class Points(FunctionSpace):
    """Values at points: shape `(nodes,)`, `(C, nodes)` for C named components, or any grid-like shape.

    `coordinates` `(nodes, dim)` and `cells` `(cells, corners)` are optional. The mass form is diagonal: the measure of
    the cells shared out among their corners (triangles in the plane, tetrahedra in space; exact for linear fields),
    or 1 / nodes for each node where there are no such cells. There is no energy form: that takes an equation.

    Raises InputError where shapes do not fit together.
    """

    kind: ClassVar[str] = "points"

    shape: tuple[int, ...] = ()
    coordinates: Real | None = None
    names: Sequence[str] = ("u",)
    cells: Array | None = None
    type: str = "float64"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "names", tuple(self.names))
        if len(self.names) > 1 and (len(self.shape) < 2 or self.shape[0] != len(self.names)):
            raise InputError(f"{len(self.names)} components {self.names} need the shape (C, nodes), got {self.shape}")
        if self.coordinates is not None and (self.coordinates.ndim != 2 or len(self.coordinates) != self.nodes):
            raise InputError(f"coordinates have shape {self.coordinates.shape}, expected ({self.nodes}, dim)")
        if self.cells is not None and self.cells.size and not 0 <= self.cells.min() <= self.cells.max() < self.nodes:
            raise InputError(f"cells name nodes {self.cells.min()} to {self.cells.max()}, there are {self.nodes}")

    @property
    def nodes(self) -> int:
        """Number of points."""
        return int(np.prod(self.shape[1:] if len(self.names) > 1 else self.shape))

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.type)

    @property
    def components(self) -> Mapping[str, slice]:
        """Name -> slice of the flat dofs."""
        return {name: slice(i * self.nodes, (i + 1) * self.nodes) for i, name in enumerate(self.names)}

    def points(self, mu: Mu | None = None) -> Array:
        """Coordinates `(nodes, dim)`. Raises InputError where the data brought none."""
        if self.coordinates is None:
            raise InputError("these fields came without coordinates; give them with the data (an array 'coordinates')")
        return self.coordinates

    def inner(self, kind: str) -> InnerProduct:
        """The mass form. Raises InputError for the energy form."""
        if kind != "mass":
            raise InputError(f"a set of points has the inner product 'mass' only, not {kind!r}: it knows no equation")
        return DiagonalProduct(np.tile(self.node_measures(), len(self.names)))

    def node_measures(self) -> Real:
        """Length, area or volume that belongs to each node, `(nodes,)`; 1 / nodes where it is not known."""
        equal = np.full(self.nodes, 1.0 / max(1, self.nodes))
        if self.cells is None or self.coordinates is None or self.cells.shape[1] != self.coordinates.shape[1] + 1:
            return equal
        edges = self.coordinates[self.cells[:, 1:]] - self.coordinates[self.cells[:, :1]]
        dim = self.coordinates.shape[1]
        measure = np.abs(np.linalg.det(edges)) / float(np.prod(np.arange(1, dim + 1)))
        corners = np.broadcast_to(measure[:, None] / (dim + 1), self.cells.shape)
        shares = np.zeros(self.nodes)
        np.add.at(shares, self.cells, corners)
        return shares if shares.min() > 0 else equal

    def to_parts(self) -> Parts:
        arrays = {"coordinates": self.coordinates, "cells": self.cells}
        config = {"shape": self.shape, "names": self.names, "type": self.type}
        return Parts(config, {name: a for name, a in arrays.items() if a is not None}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(coordinates=arrays.get("coordinates"), cells=arrays.get("cells"), **config)
