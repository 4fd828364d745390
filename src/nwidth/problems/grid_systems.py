"""Diffusion on the nodes of a grid with prescribed boundary values: face coefficients and matrix-free systems."""

from itertools import accumulate
from math import prod
from typing import Literal

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import check_batched
from nwidth.problems._diffusion import (
    add_boundary_flux,
    edge_coefficients,
    inner_loads,
    inner_stencils,
    within,
)
from nwidth.problems.base import Systems
from nwidth.problems.stencils import Stencils
from nwidth.spaces._layout import AXES, padded
from nwidth.spaces._stencils import edge_energy, variable_differences
from nwidth.spaces.grid import Grid

FaceRule = Literal["arithmetic", "harmonic"]
Rule = Literal["positive", "zero or positive", "finite"]

#: Coefficients of the edges along each of three axes, `(B, N0 - 1, N1, N2)`, `(B, N0, N1 - 1, N2)`, ...
Edges = tuple[Real, Real, Real]


def check_coefficient(a: Array, grid: Grid, name: str = "coefficient") -> Real:
    """Nodal values `(B, *grid.shape)`, float64, all positive and finite.

    Raises InputError for another shape, and for a zero, negative or undefined value with its sample and place.
    """
    a = np.ascontiguousarray(check_batched(name, a, grid.shape), dtype=np.float64)
    if within(a, 0.0, False):
        return a
    hint = " (values interpolated by splines undershoot at jumps)"
    return check_values(name, a, grid.shape, "positive", grid.axes(), hint=hint)


def check_values(
    name: str,
    values: Array,
    shape: tuple[int, ...],
    rule: Rule,
    axes: tuple[Real, ...] = (),
    batch: int | None = None,
    hint: str = "",
) -> Real:
    """Values `(B, *shape)`, float64, all finite and of the sign that `rule` asks for.

    Raises InputError for another shape or batch, and for a wrong value with its sample, node and place (with `axes`).
    """
    values = np.asarray(check_batched(name, values, shape), dtype=np.float64)
    if batch is not None and len(values) != batch:
        raise InputError(f"{name} has {len(values)} rows for {batch} samples; give one per sample")
    low = -np.inf if rule == "finite" else 0.0
    if within(np.ascontiguousarray(shared(values)), low, rule == "zero or positive"):
        return values
    bad = ~((values >= low if rule == "zero or positive" else values > low) & (values < np.inf))
    row, *node = (int(i) for i in np.argwhere(bad)[0])
    place = ", ".join(f"{axis[i]:.4g}" for axis, i in zip(axes, node, strict=True)) if axes else ""
    rows = int(bad.reshape(len(values), -1).any(axis=1).sum())
    raise InputError(
        f"{name}: sample {row} is {values[row, *node]:g} at node {tuple(node)}{place and f', x = ({place})'}; expected "
        f"{rule}{'' if rule == 'finite' else ', finite'} values everywhere ({int(bad.sum())} values in {rows} of "
        f"{len(values)} samples are not): repair or remove these samples{hint}"
    )


def check_boundary(g: Array, grid: Grid, batch: int) -> Real:
    """Values `(B, *grid.shape)` that are finite at the nodes of every side; what they are inside is not looked at.

    Raises InputError for another shape or batch, and for a wrong value with its sample, node and side.
    """
    g = check_batched("boundary", g, grid.shape)
    for side in grid.sides:
        check_values(f"boundary on the {side}", g[side.layer()], side.shape, "finite", batch=batch)
    return g


def edges(a: Real, grid: Grid, rule: FaceRule) -> Edges:
    """Face coefficient times (area / spacing) of every edge; a missing axis has no edges."""
    nodal = on_axes(a, grid)
    n0, n1, n2 = nodal.shape[1:]
    shapes = (n0 - 1, n1, n2), (n0, n1 - 1, n2), (n0, n1, n2 - 1)
    e0, e1, e2 = (np.empty((len(a), *shape)) for shape in shapes)
    edge_coefficients(nodal, *weights(grid), rule == "harmonic", e0, e1, e2)
    return e0, e1, e2


def weights(grid: Grid) -> tuple[float, float, float]:
    """Area over spacing of the faces along three axes; 0 for a missing axis."""
    given = dict(zip(AXES[grid.dim], grid.face_weights, strict=True))
    return given.get(0, 0.0), given.get(1, 0.0), given.get(2, 0.0)


def on_axes(values: Real, grid: Grid) -> Real:
    """Nodal values `(B, *grid.shape)` as a contiguous array `(B, N0, N1, N2)`, a copy where they are read-only."""
    # compiled loops would be compiled once more for arrays that must not be written
    nodal = np.require(values, np.float64, ["C_CONTIGUOUS", "WRITEABLE"])
    return nodal.reshape(len(values), *padded(grid.shape))


def shared(values: Real) -> Real:
    """One row instead of a batch of views of it (`np.broadcast_to`): what all samples share is not copied."""
    return values[:1] if len(values) and values.strides[0] == 0 else values


def one_block(*shapes: tuple[int, ...]) -> list[Real]:
    """Uninitialised arrays side by side in one piece of memory.

    The allocator keeps one large piece for the next call, where it hands several back to the system and gets them
    again page by page (measured at 256²: five arrays in pieces 0.7 ms, in one block 0.2 ms).
    """
    # every array starts at a multiple of a cache line's eight numbers
    ends = list(accumulate(-(-prod(shape) // 8) * 8 for shape in shapes))
    block = np.empty(ends[-1])
    begins = [0, *ends[:-1]]
    return [block[at : at + prod(shape)].reshape(shape) for at, shape in zip(begins, shapes, strict=True)]


def dirichlet_stencils(grid: Grid, a: Real, f: Real, g: Real, rule: FaceRule) -> Stencils:
    """The stencils of `GridSystems` on the inner nodes: one pass over a, one over f, and the boundary data of g."""
    nodal, batch = on_axes(a, grid), len(a)
    n0, n1, n2 = (max(n - 2, 1) for n in nodal.shape[1:])
    shape = (batch, n0, n1, n2)
    plus = (shape if d in AXES[grid.dim] else (batch, 0, 0, 0) for d in range(3))
    centre, load, p0, p1, p2 = one_block(shape, shape, *plus)
    harmonic, (w0, w1, w2) = rule == "harmonic", weights(grid)
    inner_stencils(nodal, w0, w1, w2, harmonic, centre, p0, p1, p2)
    inner_loads(on_axes(shared(f), grid), float(np.prod(grid.spacings)), load)
    edge = on_axes(shared(g), grid)
    if edge.any():
        add_boundary_flux(nodal, edge, w0, w1, w2, harmonic, load)
    return Stencils(centre, (p0, p1, p2), None, load, (False, False, False), np.zeros(batch, dtype=bool))


class GridSystems(Systems):
    """`-∇·(a ∇u) = f` for a batch on one grid, by fluxes through the faces between neighbouring nodes.

    `a` nodal coefficients, `f` nodal sources, `g` the boundary data, each `(B, *grid.shape)` and finite, a positive.
    The matrix of a sample is `Σ_faces (area / spacing) a_face (v_i - v_j)²`, with the mean of its two nodes at a
    face; nothing is assembled.
    """

    def __init__(self, grid: Grid, a: Real, f: Real, g: Real, rule: FaceRule = "arithmetic"):
        self.free = grid.free
        self._nodes = padded(grid.shape)
        self._edges = edges(a, grid, rule)
        self.lift = np.where(self.free, 0.0, grid.flatten(g))
        self.load = np.where(self.free, grid.flatten(f) * np.prod(grid.spacings), 0.0)
        if self.lift.any():
            self.load += _boundary_flux(self._edges, self._nodal(self.lift)).reshape(self.load.shape)

    def apply(self, w: Array) -> Array:
        return self._differences(w, -1.0)

    def magnitude(self, w: Array) -> Real:
        return self._differences(np.abs(w), 1.0) + np.abs(self.load)

    def residual(self, v: Array) -> Array:
        # The lift vanishes inside and the product ignores the boundary: no difference has to be formed.
        product = self._differences(v, -1.0)
        return np.subtract(self.load, product, out=product)

    @property
    def terms(self) -> int:
        # each of two faces per direction: a difference, a product, a sum; the load with its boundary fluxes
        return 8 + 6 * sum(n > 1 for n in self._nodes)

    def energy(self, v: Array) -> Real:
        v, (e0, e1, e2) = self._nodal(self._checked(v)), self._edges
        out = np.empty(len(v))
        edge_energy(v, e0, e1, e2, out)
        return out

    def take(self, rows: Array | slice) -> "GridSystems":
        part = object.__new__(GridSystems)
        part.free, part._nodes = self.free, self._nodes
        part._edges = self._edges[0][rows], self._edges[1][rows], self._edges[2][rows]
        part.lift, part.load = self.lift[rows], self.load[rows]
        return part

    def _differences(self, w: Array, sign: float) -> Real:
        w, (e0, e1, e2) = self._nodal(self._checked(w)), self._edges
        out = np.empty_like(w)
        variable_differences(w, e0, e1, e2, sign, out)
        return out.reshape(len(w), -1)

    def _checked(self, w: Array) -> Array:
        w = check_batched("dofs", w, self.free.shape)
        if len(w) != len(self.load):
            raise InputError(f"{len(w)} vectors for {len(self.load)} systems; give one vector per system")
        return w

    def _nodal(self, w: Array) -> Real:
        return np.ascontiguousarray(w, dtype=np.float64).reshape(len(w), *self._nodes)


def _boundary_flux(edge: Edges, g: Real) -> Real:
    """Σ over the edges to boundary nodes of e g, at the inner nodes; g is zero inside."""
    flux = np.zeros_like(g)
    for axis, e in enumerate(edge, start=1):
        if g.shape[axis] > 1:
            for inside, end in ((1, 0), (-2, -1)):
                flux[_layer(g.shape, axis, inside)] += e[_layer(g.shape, axis, end)] * g[_layer(g.shape, axis, end)]
    return flux


def _layer(shape: tuple[int, ...], axis: int, index: int) -> tuple[int | slice, ...]:
    """The inner part of one layer of nodes across `axis`, for arrays `(B, N0, N1, N2)` of this shape."""
    inner = [slice(1, -1) if n > 1 else slice(None) for n in shape[1:]]
    return (slice(None), *(index if d == axis else s for d, s in enumerate(inner, start=1)))
