"""A grid of nodes or cells on an interval, a rectangle or a box."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.core.validation import check_batched, check_choice
from nwidth.spaces.base import FunctionSpace, InnerProduct
from nwidth.spaces.grid_axis import BOUNDARIES, CENTRINGS, Boundary, Centring, GridAxis
from nwidth.spaces.grid_modes import GridModes
from nwidth.spaces.grid_products import GridEnergy, GridMass

#: A word for the whole boundary, or one entry per direction: a word, or a pair for its low and its high end.
Boundaries: TypeAlias = Boundary | Sequence[Boundary | Sequence[Boundary]]


@dataclass(frozen=True)
class Grid(FunctionSpace):
    """`cells` cells per direction on `(0, lengths_1) × ...`, 1-D to 3-D, with values at their corners or middles.

    "64 x 64" means 64² cells. `centring`: "node" keeps values at the corners, boundary included, `(B, cells_1 + 1,
    ...)`; "cell" in the middles, `(B, cells_1, ...)`. One length serves all directions.

    `boundary`: "dirichlet" (values are prescribed), "neumann" (the flux), "robin" (a combination) or "periodic" (both
    ends of a direction; its corners are stored once, `cells` values), for the whole boundary or for each direction, as
    a word or as a pair for the low and the high end: `boundary=("periodic", ("dirichlet", "neumann"))`. `free` are
    the values that do not lie on a Dirichlet end: 63² of 65² nodes in the usual case, all cells.

    `inner("energy")` is X with `vᵀ X v = Σ_faces (area / spacing) (v_i - v_j)² ≈ ∫ |∇v|²`; cells next to a Dirichlet
    end count the difference to it, a Robin end counts `∫ v² / length` with the length of its direction.
    `inner("mass")` is the lumped L² form. Where no end is Dirichlet or Robin, X is a form on functions up to constants:
    its Riesz map takes loads of mean zero (others are refused) and returns the solution of mean zero.

    Raises InputError for fewer than 2 cells, lengths that are not positive, and boundaries that make no sense.
    """

    kind: ClassVar[str] = "grid"

    cells: tuple[int, ...] = (64, 64)
    lengths: float | Sequence[float] = 1.0
    boundary: Boundaries = "dirichlet"
    centring: Centring = "node"

    def __post_init__(self) -> None:
        cells = tuple(int(n) for n in np.atleast_1d(self.cells))
        lengths = tuple(float(v) for v in np.atleast_1d(self.lengths))
        lengths = lengths * len(cells) if len(lengths) == 1 else lengths
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "lengths", lengths)
        check_choice("centring", self.centring, CENTRINGS)
        if len(cells) not in (1, 2, 3) or min(cells) < 2:
            raise InputError(f"cells = {cells}; expected 1 to 3 directions with at least 2 cells each")
        if len(lengths) != len(cells) or not all(0 < v < np.inf for v in lengths):
            raise InputError(f"lengths = {lengths} for cells {cells}; give one positive length per direction")
        sides = _sides(self.boundary, len(cells))
        object.__setattr__(self, "boundary", _short(sides))
        if any(low == "periodic" and n < 3 for n, (low, _) in zip(cells, sides, strict=True)):
            raise InputError(f"cells = {cells}; a periodic direction needs at least 3, or neighbours coincide")

    @property
    def dim(self) -> int:
        """Number of directions."""
        return len(self.cells)

    @cached_property
    def directions(self) -> tuple[GridAxis, ...]:
        """What the grid is along each direction."""
        lengths, ends = np.atleast_1d(self.lengths).tolist(), _sides(self.boundary, self.dim)
        return tuple(
            GridAxis(n, length, low, high, self.centring)
            for n, length, (low, high) in zip(self.cells, lengths, ends, strict=True)
        )

    @property
    def inside(self) -> bool:
        """Whether the grid is the usual one: nodes, with values prescribed on the whole boundary."""
        return self.centring == "node" and self.boundary == "dirichlet"

    @property
    def floating(self) -> bool:
        """Whether no end fixes the level of a solution: X does not see constants."""
        return not any(axis.fixed for axis in self.directions)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in self.directions)

    @cached_property
    def spacings(self) -> tuple[float, ...]:
        """Distance of neighbouring values in each direction."""
        return tuple(axis.spacing for axis in self.directions)

    @cached_property
    def face_weights(self) -> tuple[float, ...]:
        """Area of a face over the spacing across it, for each direction."""
        return tuple(float(np.prod(self.spacings)) / h**2 for h in self.spacings)

    @property
    def free(self) -> Mask:
        """The dofs whose values are not prescribed `(N,)`."""
        mask = np.zeros(self.shape, dtype=bool)
        mask[self.free_box] = True
        return mask.ravel()

    @cached_property
    def free_box(self) -> tuple[slice, ...]:
        """The free values as a slice of each direction."""
        return tuple(axis.free for axis in self.directions)

    def axes(self) -> tuple[Real, ...]:
        """The coordinates along each direction, `(shape_d,)`."""
        return tuple(axis.coordinates for axis in self.directions)

    def points(self, mu: Mu | None = None) -> Array:
        """Coordinates of the values `(N, dim)`, in the order of the dofs."""
        return np.stack(np.meshgrid(*self.axes(), indexing="ij"), axis=-1).reshape(-1, self.dim)

    @cached_property
    def sides(self) -> tuple["Side", ...]:
        """The parts of the boundary: the low and the high end of each direction that is not periodic."""
        return tuple(
            Side(self, axis, end, (d.low, d.high)[end])
            for axis, d in enumerate(self.directions)
            if not d.periodic
            for end in (0, 1)
        )

    def volumes(self) -> Real:
        """Volumes of the control volumes around the values, of `shape`: what a lumped integral sums with."""
        return np.asarray(np.prod(np.meshgrid(*(axis.widths for axis in self.directions), indexing="ij"), axis=0))

    def inner(self, kind: str) -> InnerProduct:
        """'energy' or 'mass'; hold it where it is used more than once: it keeps the transforms.

        Raises InputError for another word.
        """
        check_choice("inner product", kind, ("energy", "mass"))
        if kind == "mass":
            return GridMass(self.free, self.volumes().ravel())
        return GridEnergy(self.shape, self.face_weights) if self.inside else GridModes(self.directions)

    def to_parts(self) -> Parts:
        config = {
            "cells": self.cells,
            "lengths": self.lengths,
            "boundary": self.boundary,
            "centring": self.centring,
        }
        return Parts(config, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        centring = config.get("centring", "node")  # files of versions before it do not have the word
        return cls(tuple(config["cells"]), tuple(config["lengths"]), config["boundary"], centring)


@dataclass(frozen=True)
class Side:
    """One side of the box: the low (`end` 0) or high (1) end of direction `axis`, of the type `word`."""

    grid: Grid
    axis: int
    end: int
    word: Boundary

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of values on the side: that of the grid without its own direction."""
        return tuple(n for d, n in enumerate(self.grid.shape) if d != self.axis)

    def points(self) -> Array:
        """Where boundary data is given, `(*shape, dim)`: each value of the grid next to the side, moved onto it."""
        axes = list(self.grid.axes())
        axes[self.axis] = np.array([self.grid.directions[self.axis].length * self.end])
        return np.squeeze(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1), axis=self.axis)

    def layer(self, index: int = 0) -> tuple[slice | int, ...]:
        """Index of a field `(B, *grid.shape)`: the values next to the side, or those `index` steps inside."""
        place = -1 - index if self.end else index
        return (slice(None), *(place if d == self.axis else slice(None) for d in range(self.grid.dim)))

    def __str__(self) -> str:
        return f"{('low', 'high')[self.end]} end of direction {self.axis} ({self.word})"


def _sides(boundary: Boundaries, dim: int) -> tuple[tuple[Boundary, Boundary], ...]:
    """The two ends of each direction. Raises InputError for what cannot be read."""
    entries = (boundary,) * dim if isinstance(boundary, str) else tuple(boundary)
    if len(entries) != dim:
        raise InputError(
            f"boundary = {boundary!r} has {len(entries)} entries for {dim} directions; give one word, or one entry per "
            "direction (a word, or a pair for its low and high end)"
        )
    return tuple(_ends(entry) for entry in entries)


def _ends(entry: Boundary | Sequence[Boundary]) -> tuple[Boundary, Boundary]:
    """The words of one direction, low and high."""
    words = (entry, entry) if isinstance(entry, str) else tuple(entry)
    if len(words) != 2:
        raise InputError(f"boundary: {entry!r} for one direction; give a word, or a pair for its low and high end")
    for word in words:
        check_choice("boundary", word, BOUNDARIES)
    if (words[0] == "periodic") != (words[1] == "periodic"):
        raise InputError(f"boundary: {words} for one direction; periodic joins both ends, so give it alone")
    return words[0], words[1]


def _short(sides: tuple[tuple[Boundary, Boundary], ...]) -> Boundaries:
    """The shortest way to write the same boundaries, so that equal grids compare equal."""
    entries = tuple(low if low == high else (low, high) for low, high in sides)
    if len(set(entries)) == 1 and isinstance(entries[0], str):
        return entries[0]
    return entries


def interpolate(fields: Array, source: Grid, target: Grid) -> Array:
    """Fields `(B, *source.shape)` at the places of another grid of the same domain, linear in each direction.

    Values between the outermost middles of cells and the boundary continue the line through the two next cells. Raises
    InputError where the domains differ.
    """
    if source.lengths != target.lengths:
        raise InputError(f"the grids cover {source.lengths} and {target.lengths}; interpolate within one domain")
    fields = check_batched("fields", fields, source.shape)
    for number, (old, new) in enumerate(zip(source.directions, target.directions, strict=True), start=1):
        left, right, weight = _between(old, new)
        weight = weight.reshape(-1, *(1,) * (fields.ndim - number - 1))
        fields = np.take(fields, left, number) * (1.0 - weight) + np.take(fields, right, number) * weight
    return fields


def _between(old: GridAxis, new: GridAxis) -> tuple[Array, Array, Real]:
    """For every new value: the two old ones that it lies between, and the share of the second."""
    # Integers decide, so that shared places are copied to the last bit: the distance from the first old value is
    # number / unit of the old spacing.
    unit, shift = 2 * new.cells, {"node": 0, "cell": 1}
    number = (2 * np.arange(new.size) + shift[new.centring]) * old.cells - shift[old.centring] * new.cells
    left = number // unit
    if not old.periodic:
        left = np.clip(left, 0, old.size - 2)
    return left % old.size, (left + 1) % old.size, (number - left * unit) / unit
