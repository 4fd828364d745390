"""Fluxes on a grid of boxes: from the fluxes of finite volumes (local), or from one dual problem (global).

Local. The difference scheme is a balance over the control volume of every node, so that the fluxes of its solution
through their faces are in balance already: interpolated inside each control volume, they are a flux of lowest order,
and nothing is solved. What the field at hand misses of the balance is carried by the fluxes of one fast transform.

Global. The scheme for the values in the middles of the halved cells, harmonic means at their faces, is the mixed method
of lowest order with its mass matrix lumped (Russell and Wheeler 1983): one solve for a flux close to the best one. It
is stopped early, and the transform balances the rest, so that the bound holds at any accuracy of the solve.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwidth.bounds.equilibrated.boxes import Boxes, Flux, outflow
from nwidth.bounds.equilibrated.conjugate import conjugate_gradients
from nwidth.core.arrays import Array, Real
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.grid import Grid
from nwidth.spaces.grid_axis import Boundary


@dataclass(frozen=True, eq=False)
class Scheme:
    """The difference scheme of a batch: the grid, the means of a at faces across each direction, and X."""

    grid: Grid
    faces: tuple[Real, ...]
    inner: InnerProduct

    def flux(self, v: Real) -> Flux:
        """`-a ∂v/∂x_k` at the faces between neighbouring nodes, `(B, ..., N_k, ...)`, from nodal values."""
        return tuple(
            -a * np.diff(v, axis=k + 1) / h for k, (a, h) in enumerate(zip(self.faces, self.grid.spacings, strict=True))
        )


def local_flux(v: Real, boxes: Boxes, scheme: Scheme) -> Flux:
    """A flux in balance over every control volume, on the halved cells, from nodal values v `(B, *N + 1)`."""
    grid, groups = scheme.grid, control_volumes(scheme.grid)
    source = boxes.volume * boxes.middle(boxes.f)
    for axis, first in enumerate(groups, start=1):
        source = np.add.reduceat(source, first, axis=axis)
    inner = scheme.flux(v)
    missing = source - _leaving(inner, grid)
    z = grid.unflatten(scheme.inner.riesz(grid.flatten(missing)))
    inner = tuple(q - np.diff(z, axis=k + 1) / h for k, (q, h) in enumerate(zip(inner, grid.spacings, strict=True)))
    return _on_halves(_with_ends(inner, source, grid))


def control_volumes(grid: Grid) -> tuple[Array, ...]:
    """The first halved cell of each node's control volume, in every direction."""
    return tuple(np.maximum(2 * np.arange(n + 1) - 1, 0) for n in grid.cells)


def _areas(grid: Grid, axis: int) -> Real:
    """Areas of the faces across an axis, `(1, ...)` with length 1 along it."""
    widths = [d.widths for d in grid.directions]
    area = np.ones((1,) * (grid.dim + 1))
    for other, width in enumerate(widths):
        if other != axis:
            area = area * width.reshape(-1, *(1,) * (grid.dim - 1 - other))
    return area


def _leaving(inner: Flux, grid: Grid) -> Real:
    """What leaves every control volume through the faces inside the box, `(B, *N + 1)`."""
    total = np.zeros((len(inner[0]), *grid.shape))
    for k, q in enumerate(inner):
        pad = [(0, 0)] * q.ndim
        pad[k + 1] = (1, 1)
        total += np.diff(np.pad(q, pad), axis=k + 1) * _areas(grid, k)
    return total


def _with_ends(inner: Flux, source: Real, grid: Grid) -> Flux:
    """The same with fluxes through the boundary: first those of the next faces inside, then, shared by the outer faces
    of each control volume, what its balance still misses. Nothing crosses insulated ends."""
    crossed = [(float(d.low == "dirichlet"), float(d.high == "dirichlet")) for d in grid.directions]
    flux = tuple(
        np.concatenate([low * _end(q, k, 0), q, high * _end(q, k, -1)], axis=k + 1)
        for k, (q, (low, high)) in enumerate(zip(inner, crossed, strict=True))
    )
    outer, leaving = np.zeros(grid.shape), np.zeros_like(source)
    for k, (q, n) in enumerate(zip(flux, grid.shape, strict=True)):
        ends = np.zeros(n)
        ends[[0, -1]] = crossed[k]
        outer += _areas(grid, k)[0] * ends.reshape(-1, *(1,) * (grid.dim - 1 - k))
        leaving += np.diff(q, axis=k + 1) * _areas(grid, k)
    more = np.where(outer > 0, (source - leaving) / np.where(outer > 0, outer, 1.0), 0.0)
    for k, q in enumerate(flux):
        across = np.moveaxis(q, k + 1, 0)
        low, high = crossed[k]
        across[0] -= np.take(more, 0, axis=k + 1) * low
        across[-1] += np.take(more, -1, axis=k + 1) * high
    return flux


def _end(values: Real, k: int, which: int) -> Real:
    """The first or last layer across direction k."""
    return np.take(values, [which], axis=k + 1)


def _on_halves(flux: Flux) -> Flux:
    """Fluxes on control volumes as fluxes on the halved cells."""
    return tuple(_on_halves_along(q, k + 1) for k, q in enumerate(flux))


def _on_halves_along(q: Real, axis: int) -> Real:
    # along: ends, faces of control volumes, and between two of those the node's own plane
    count = q.shape[axis]
    place = np.arange(1, 2 * count - 4, 2)
    middle = 0.5 * (np.take(q, np.arange(1, count - 2), axis) + np.take(q, np.arange(2, count - 1), axis))
    shape = list(q.shape)
    shape[axis] = 2 * count - 3
    fine = np.empty(shape)
    slots: list[slice | Array] = [slice(None)] * q.ndim

    def put(where: Array, values: Real) -> None:
        slots[axis] = where
        fine[tuple(slots)] = values

    put(place, np.take(q, np.arange(1, count - 1), axis))
    put(place[:-1] + 1, middle)
    put(np.array([0, 2 * count - 4]), np.take(q, [0, -1], axis))
    # across: two halved cells to every control volume but the outermost
    for other in range(1, q.ndim):
        if other != axis:
            fine = np.repeat(fine, 2, axis=other)
            fine = np.take(fine, np.arange(1, fine.shape[other] - 1), axis=other)
    return fine


@dataclass(frozen=True, eq=False)
class Middles:
    """The scheme for values in the middles of cells, with values given on the boundary: fluxes and their balance."""

    boxes: Boxes
    steps: tuple[Real, ...]
    inner: InnerProduct

    @classmethod
    def of(cls, boxes: Boxes, coefficient: Real | None = None) -> "Middles":
        """For the data's own coefficient, or another one, `(B, *M)`."""
        a = boxes.middle(boxes.a) if coefficient is None else coefficient
        words: list[tuple[Boundary, ...]] = [
            tuple("neumann" if still else "dirichlet" for still in pair) for pair in boxes.ends
        ]
        inner = Grid(boxes.cells, boxes.lengths, words, "cell").inner("energy")
        steps = (_conductances(a, k + 1, boxes.ends[k]) / h for k, h in enumerate(boxes.spacings))
        return cls(boxes, tuple(steps), inner)

    def flux(self, p: Real, ends: Sequence[tuple[Real, Real]] | None = None) -> Flux:
        """`-a ∂p/∂x_k` at all faces for p `(B, *M)`; `ends` holds the values at both ends of every direction."""
        found = []
        for k, step in enumerate(self.steps):
            shape = list(p.shape)
            shape[k + 1] = 1
            low, high = ends[k] if ends is not None else (np.zeros(shape), np.zeros(shape))
            found.append(-step * np.diff(np.concatenate([low, p, high], axis=k + 1), axis=k + 1))
        return tuple(found)

    def apply(self, p: Real) -> Real:
        """The scheme's matrix on `(B, cells)`, values zero on the boundary."""
        return outflow(self.flux(p.reshape(-1, *self.boxes.cells)), self.boxes).reshape(p.shape)


def _conductances(a: Real, axis: int, insulated: tuple[bool, bool]) -> Real:
    """Harmonic means at the faces across an axis; half a cell at the ends, nothing at insulated ones."""
    low, high = np.take(a, range(a.shape[axis] - 1), axis), np.take(a, range(1, a.shape[axis]), axis)
    first, last = (np.take(a, [at], axis) * (not still) for at, still in zip((0, -1), insulated, strict=True))
    return np.concatenate([2 * first, 2 * low * (high / (low + high)), 2 * last], axis=axis)


@dataclass(frozen=True, eq=False)
class GlobalFlux:
    """The flux of one dual problem, the nodal field that comes with it, and the steps of the solve, `(B,)`."""

    flux: Flux
    field: Real
    steps: Array


def global_flux(v: Real, boxes: Boxes, accuracy: float, limit: int) -> GlobalFlux:
    """From nodal values v `(B, *M + 1)` on the halved cells, which give the boundary data and the start.

    `accuracy`: the energy of what the solve leaves to the transform, relative to that of the field.
    """
    scheme = Middles.of(boxes)
    ends = [_end_values(v, k) for k in range(boxes.dim)]
    start = _means(v)
    source = boxes.volume * boxes.middle(boxes.f)
    missing = (source - outflow(scheme.flux(start, ends), boxes)).reshape(len(v), -1)
    smallest = boxes.a.reshape(len(v), -1).min(axis=1)
    wanted = accuracy * _size(v, boxes) * np.sqrt(smallest)
    found = conjugate_gradients(scheme.apply, scheme.inner.riesz, missing, wanted, limit)
    p = start + found.x.reshape(start.shape)
    flux = scheme.flux(p, ends)
    plain = Middles.of(boxes, np.ones((1, *boxes.cells)))
    for _ in range(2):  # the second time for the rounding of the first
        rest = (source - outflow(flux, boxes)).reshape(len(v), -1)
        z = scheme.inner.riesz(rest).reshape(start.shape)
        flux = tuple(q + dq for q, dq in zip(flux, plain.flux(z), strict=True))
    return GlobalFlux(flux, _to_nodes(p, v, boxes), found.steps)


def _size(v: Real, boxes: Boxes) -> Real:
    """About `‖v‖_a`, `(B,)`."""
    slopes = sum(_means(np.diff(v, axis=k + 1) / h, k) ** 2 for k, h in enumerate(boxes.spacings))
    total = (boxes.middle(boxes.a) * slopes).reshape(len(v), -1).sum(axis=1) * boxes.volume
    return np.sqrt(total + np.finfo(np.float64).tiny)


def _means(values: Real, but: int | None = None) -> Real:
    """Means over neighbours along every direction but one."""
    for axis in range(1, values.ndim):
        if axis - 1 != but:
            n = values.shape[axis]
            values = 0.5 * (np.take(values, range(n - 1), axis) + np.take(values, range(1, n), axis))
    return values


def _end_values(v: Real, k: int) -> tuple[Real, Real]:
    """Means of nodal values over the faces at both ends of direction k."""
    return _means(np.take(v, [0], k + 1), k), _means(np.take(v, [-1], k + 1), k)


def _to_nodes(p: Real, v: Real, boxes: Boxes) -> Real:
    """Cell values at the nodes inside, weighted with the coefficient; the boundary values are those of v."""
    a = boxes.middle(boxes.a)
    w = v.copy()
    inside = (slice(None), *(slice(1, -1),) * boxes.dim)
    w[inside] = _means(a * p) / _means(a)
    return w
