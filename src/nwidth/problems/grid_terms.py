"""The checked numbers behind a discretisation on a grid, and the matrices of nearest neighbours that they give."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.problems._transport import transport_stencils
from nwidth.problems.grid_systems import FaceRule, on_axes, one_block, shared
from nwidth.problems.stencils import Stencils
from nwidth.spaces._layout import AXES, padded
from nwidth.spaces.grid import Grid, Side
from nwidth.spaces.grid_axis import GridAxis

Scheme = Literal["upwind", "central"]

#: What an axis is that the grid does not have: one value in a volume of length 1.
_ABSENT = GridAxis(1, 1.0, "neumann", "neumann", "cell")


@dataclass(frozen=True, eq=False)
class GridTerms:
    """A batch of `-∇·(a ∇u) + ∇·(b u) + c u = f` on a grid: what a discretisation reads, all shapes checked.

    a, reaction c and source f `(B, *grid.shape)`; velocity: the component of b across the faces of each direction d,
    `(B, ...)` with one more entry along d (see `GridAxis.faces`). data: the value g, the flux `a ∂u/∂n` or
    `q = a ∂u/∂n + κ u` on each side, kappa: κ on Robin sides, `(B, *side.shape)`; a side that is missing has zeros.
    """

    grid: Grid
    a: Real
    source: Real
    velocity: tuple[Real, ...] | None
    reaction: Real | None
    data: Mapping[Side, Real]
    kappa: Mapping[Side, Real]
    face: FaceRule
    scheme: Scheme

    @cached_property
    def lift(self) -> Real:
        """The prescribed values at their nodes, zero elsewhere, `(B, N)`."""
        return prescribed(self.grid, self.data, len(self.a))

    def stencils(self, whole: bool = False) -> Stencils:
        """The matrices and loads on the free dofs; `whole`: on all dofs, nothing cut off, loads without prescribed
        values."""
        grid, batch = self.grid, len(self.a)
        axes = three(grid)
        start = (0, 0, 0) if whole else (axes[0].free.start, axes[1].free.start, axes[2].free.start)
        box = tuple(d.size if whole else d.free.stop - d.free.start for d in axes)
        present = [d in AXES[grid.dim] for d in range(3)]
        nodes, flows, empty = padded(grid.shape), self.velocity is not None, (batch, 0, 0, 0)
        shapes = [(batch, *box) if p else empty for p in present]
        centre, load, p0, p1, p2, m0, m1, m2 = one_block(
            (batch, *box), (batch, *box), *shapes, *(shapes if flows else [empty] * 3)
        )
        faces = [tuple(n + (d == axis) for d, n in enumerate(nodes)) for axis in range(3)]
        u0, u1, u2, *rest = one_block(*faces, *(faces if flows else []))
        none = np.empty(empty)
        walls, inflow = self._walls
        w0, w1, w2 = (d.widths for d in axes)
        periodic = (axes[0].periodic, axes[1].periodic, axes[2].periodic)
        transport_stencils(
            on_axes(shared(self.a), grid), self._flow, self._nodal(self.reaction), self._nodal(self.source),
            none if whole or not self.lift.any() else self.lift.reshape(batch, *nodes),
            (w0, w1, w2), _areas(w0, w1, w2, present),
            (1 / axes[0].spacing, 1 / axes[1].spacing, 1 / axes[2].spacing), periodic,
            (self.face == "harmonic", self.scheme == "central"), walls, inflow, start,
            (u0, u1, u2), _triple(rest) if flows else (u0, u1, u2), centre, (p0, p1, p2), (m0, m1, m2), load,
        )  # fmt: skip
        return Stencils(
            centre,
            (p0, p1, p2),
            (m0, m1, m2) if flows else None,
            load,
            periodic,
            np.zeros(batch, dtype=bool),
        )

    def take(self, rows: Array | slice) -> "GridTerms":
        """The chosen samples."""
        velocity, reaction = self.velocity, self.reaction
        return replace(
            self,
            a=self.a[rows],
            source=self.source[rows],
            velocity=None if velocity is None else tuple(v[rows] for v in velocity),
            reaction=None if reaction is None else reaction[rows],
            data={side: values[rows] for side, values in self.data.items()},
            kappa={side: values[rows] for side, values in self.kappa.items()},
        )

    @property
    def _flow(self) -> tuple[Real, Real, Real]:
        """The face velocities in the layout of three axes; none across an axis that the grid does not have."""
        if self.velocity is None:
            return _triple([np.empty((1, 0, 0, 0))] * 3)
        nodes, given = padded(self.grid.shape), dict(zip(AXES[self.grid.dim], self.velocity, strict=True))
        rows = {len(shared(v)) for v in self.velocity}
        flows = []
        for axis in range(3):
            shape = [n + (d == axis) for d, n in enumerate(nodes)]
            values = np.empty((0, *shape)) if axis not in given else given[axis]
            values = shared(values) if len(rows) == 1 else values
            values = np.require(values, np.float64, ["C_CONTIGUOUS", "WRITEABLE"])
            flows.append(values.reshape(len(values), *shape))
        return _triple(flows)

    def _nodal(self, values: Real | None) -> Real:
        return np.empty((1, 0, 0, 0)) if values is None else on_axes(shared(values), self.grid)

    @cached_property
    def _walls(self) -> tuple[tuple[Real, Real, Real], tuple[Real, Real, Real]]:
        """What leaves through both ends of each axis per unit of the value next to it, and what comes in."""
        batch, nodes = len(self.a), padded(self.grid.shape)
        across = [[n for d, n in enumerate(nodes) if d != axis] for axis in range(3)]
        leaves, enters = ([np.zeros((batch, 2, *shape)) for shape in across] for _ in range(2))
        for side in self.grid.sides:
            if side.word == "dirichlet" and self.grid.centring == "node":
                continue  # its own values are prescribed, and the next ones are inside
            axis = AXES[self.grid.dim][side.axis]
            for target, values in zip((leaves[axis], enters[axis]), self._wall(side), strict=True):
                target[:, side.end] = values.reshape(len(values), *target.shape[2:])
        return _triple(leaves), _triple(enters)

    def _wall(self, side: Side) -> tuple[Real, Real]:
        """Coefficient of the value next to one side, and the part of the flux that does not depend on it.

        Middles of cells lie half a cell from the wall, where the value is `fixed + slope · u`.
        """
        batch, direction = len(self.a), self.grid.directions[side.axis]
        widths = [d.widths for n, d in enumerate(self.grid.directions) if n != side.axis]
        area = np.prod(np.meshgrid(*widths, indexing="ij"), axis=0) if widths else np.ones(())
        zero = np.zeros((batch, *side.shape))
        data, kappa = self.data.get(side, zero), self.kappa.get(side, zero)
        out = zero if self.velocity is None else (2 * side.end - 1) * self.velocity[side.axis][side.layer()]
        if self.grid.centring == "node":
            return area * (kappa + out), area * data
        half = 2.0 * self.a[side.layer()] / direction.spacing
        if side.word == "dirichlet":
            fixed, slope = data, zero
        else:
            fixed, slope = data / (half + kappa), half / (half + kappa)
        # the part of the value on the wall that the flow carries out: its own side where it is upwind
        carried = (out > 0) if self.scheme == "upwind" else np.zeros_like(out, dtype=bool)
        leaves = half * (1 - slope) + np.where(carried, out, out * slope)
        return area * leaves, area * (half - np.where(carried, 0.0, out)) * fixed


def prescribed(grid: Grid, data: Mapping[Side, Real], batch: int) -> Real:
    """The values of Dirichlet sides at the nodes that lie on them, zero elsewhere, `(B, N)`."""
    field = np.zeros((batch, *grid.shape))
    for side, values in data.items():
        if side.word == "dirichlet" and grid.centring == "node":
            field[side.layer()] = values
    return grid.flatten(field)


def three(grid: Grid) -> tuple[GridAxis, GridAxis, GridAxis]:
    """The directions on three axes."""
    given = dict(zip(AXES[grid.dim], grid.directions, strict=True))
    return given.get(0, _ABSENT), given.get(1, _ABSENT), given.get(2, _ABSENT)


def _areas(w0: Real, w1: Real, w2: Real, present: list[bool]) -> tuple[Real, Real, Real]:
    """Areas of the faces across each axis, `(T1, T2)`; empty for an axis that is missing."""
    none = np.empty((0, 0))
    return (
        np.outer(w1, w2),
        np.outer(w0, w2) if present[1] else none,
        np.outer(w0, w1) if present[2] else none,
    )


def _triple(arrays: list[Real]) -> tuple[Real, Real, Real]:
    a, b, c = arrays
    return a, b, c
