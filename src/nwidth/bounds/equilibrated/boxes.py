"""Data, fields and fluxes on a grid of equal boxes: integrals that are exact for what is given at nodes and faces.

Every cell of the problem's grid is halved in each direction, so that each part belongs to one value of the data. A
field is multilinear on the grid, a flux is of Raviart and Thomas's lowest order: its component k is linear in direction
k, constant in the others, and given by its densities at the faces, `(B, M_0, ..., M_k + 1, ...)`.
"""

from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from typing import Literal

import numpy as np

from nwidth.bounds.equilibrated._plane import squares, tau
from nwidth.bounds.equilibrated.majorant import EPS, Majorant
from nwidth.bounds.equilibrated.units import underflow, vanished
from nwidth.core.arrays import Array, Real

#: What the data is between the nodes: constant on the control volume of each, or multilinear.
Between = Literal["constant", "linear"]
#: For every direction, whether its low and its high end are insulated.
Insulated = tuple[tuple[bool, bool], ...]
#: Densities of a flux through the faces across each direction.
Flux = tuple[Real, ...]
#: Rounded operations behind one number of the integrand.
_OPERATIONS = 64


@dataclass(frozen=True, eq=False)
class Boxes:
    """Cells `M` of a box with sides `lengths`, and the data there.

    `a`: cell values `(B, *M)` (constant) or nodal values `(B, *M + 1)` (multilinear). `f`: the same for the source.
    `insulated`: the low and high ends of every direction that nothing crosses; () for none. Values are prescribed on
    the others.
    """

    lengths: tuple[float, ...]
    a: Real
    f: Real
    between: Between
    insulated: Insulated = ()

    @property
    def cells(self) -> tuple[int, ...]:
        """Cells in each direction."""
        return tuple(n - int(self.between == "linear") for n in self.a.shape[1:])

    @property
    def dim(self) -> int:
        """Directions."""
        return len(self.lengths)

    @property
    def spacings(self) -> tuple[float, ...]:
        """Edges of a cell."""
        return tuple(length / n for length, n in zip(self.lengths, self.cells, strict=True))

    @property
    def volume(self) -> float:
        """Of a cell."""
        return float(np.prod(self.spacings))

    @property
    def friedrichs(self) -> float:
        """`‖w‖ <= C_F ‖∇w‖` for w = 0 where values are prescribed: `C_F = 1 / (π √(Σ 1/L²))`, attained by a product of
        sines; a direction with one insulated end counts as twice as long, one with two does not count."""
        waves = {0: 1.0, 1: 0.5, 2: 0.0}
        counts = [waves[int(low) + int(high)] for low, high in self.ends]
        return float(1.0 / (np.pi * np.sqrt(sum((c / n) ** 2.0 for c, n in zip(counts, self.lengths, strict=True)))))

    @property
    def ends(self) -> Insulated:
        """Whether the low and the high end of every direction are insulated."""
        return self.insulated or ((False, False),) * self.dim

    @property
    def smallest(self) -> Real:
        """Of the coefficient, `(B,)`."""
        return self.a.reshape(len(self.a), -1).min(axis=1)

    @property
    def underflow(self) -> Real:
        """What squares that underflow may take from an energy norm, `(B,)`; for a of at most 1."""
        return underflow(float(np.prod(self.lengths)), max(self.lengths), self.smallest)

    def take(self, rows: slice) -> "Boxes":
        """The chosen samples."""
        return replace(self, a=self.a[rows], f=self.f[rows])

    def middle(self, values: Real) -> Real:
        """Means over the cells of `a` or `f`, `(B, *M)`."""
        return values if self.between == "constant" else blend(values, (0.5,) * self.dim)

    def at(self, values: Real, place: tuple[float, ...]) -> Real:
        """`a`, `f` (or 1/a, an upper bound of it between the nodes) at one place of every cell, `(B, *M)`."""
        return values if self.between == "constant" else blend(values, place)

    def extreme(self, values: Real, largest: bool) -> Real:
        """Largest or smallest value in each cell, `(B, *M)`."""
        if self.between == "constant":
            return values
        pick = np.maximum if largest else np.minimum
        return reduce(lambda x, axis: pick(*_ends(x, axis)), range(1, self.dim + 1), values)

    def line(self) -> tuple[Real, Real]:
        """Nodes and weights of the rule along one direction, on (0, 1)."""
        nodes, weights = np.polynomial.legendre.leggauss(3 if self.between == "linear" else 2)
        return (nodes + 1) / 2, weights / 2

    def gauss(self) -> list[tuple[float, tuple[float, ...]]]:
        """Weights and places of a rule that integrates every integrand here exactly."""
        # 1/a is multilinear (as bounded), a ∇v has degree 2 in the other directions: 1 + 2·2 = 5; constant: 2
        line = list(zip(*self.line()[::-1], strict=True))
        return [
            (float(np.prod([w for w, _ in p])), tuple(float(s) for _, s in p)) for p in product(line, repeat=self.dim)
        ]


def blend(values: Real, place: tuple[float, ...]) -> Real:
    """Multilinear interpolation at one place of every cell: `(B, *M + 1)` to `(B, *M)`."""
    for axis, s in enumerate(place, start=1):
        low, high = _ends(values, axis)
        values = (1.0 - s) * low + s * high
    return values


def halved(nodal: Real) -> Real:
    """Nodal values of a multilinear field on the grid with halved cells, `(B, *2 N + 1)`."""
    for axis in range(1, nodal.ndim):
        shape = list(nodal.shape)
        shape[axis] = 2 * shape[axis] - 1
        fine = np.empty(shape)
        even, odd = _every(nodal.ndim, axis, 0), _every(nodal.ndim, axis, 1)
        low, high = _ends(nodal, axis)
        fine[even], fine[odd] = nodal, 0.5 * (low + high)
        nodal = fine
    return nodal


def gradient(v: Real, boxes: Boxes, axis: int, place: tuple[float, ...]) -> Real:
    """`∂v/∂x_axis` at one place of every cell for nodal values v, `(B, *M)`."""
    slope = np.diff(v, axis=axis + 1) / boxes.spacings[axis]
    for other, s in enumerate(place):
        if other != axis:
            low, high = _ends(slope, other + 1)
            slope = (1.0 - s) * low + s * high
    return slope


def outflow(flux: Flux, boxes: Boxes) -> Real:
    """What leaves each cell, `(B, *M)`."""
    volume = boxes.volume
    return np.asarray(sum(np.diff(q, axis=k + 1) * (volume / boxes.spacings[k]) for k, q in enumerate(flux)))


def energy(v: Real, boxes: Boxes) -> Real:
    """`‖v‖_a`, `(B,)`, for nodal values of a field of any level; an upper bound but for rounding."""
    if boxes.dim == 2:
        hx, hy = boxes.spacings
        total = squares(_solid(v), _solid(boxes.a), boxes.between == "linear", hx, hy, *boxes.line()) * boxes.volume
        return np.asarray(np.sqrt(total))
    total = np.zeros(len(v))
    for weight, place in boxes.gauss():
        a = boxes.at(boxes.a, place)
        slopes = sum(gradient(v, boxes, k, place) ** 2 for k in range(boxes.dim))
        total += weight * boxes.volume * _total(a * slopes)
    return np.sqrt(total)


def majorant(v: Real, flux: Flux, boxes: Boxes, groups: tuple[Array, ...] | None = None) -> Majorant:
    """The bound of `‖u - v‖_a` for nodal values v `(B, *M + 1)` and a flux.

    The balance is taken over single cells, or over bricks of cells: `groups` holds the first cell of each in every
    direction.
    """
    gap, least, size = _tau_plane(v, flux, boxes) if boxes.dim == 2 else _tau(v, flux, boxes)
    oscillation, rest = _balance(flux, boxes, groups)
    cells = _grouped(gap, groups).reshape(len(v), -1) * boxes.volume
    noise = _OPERATIONS * EPS * np.sqrt(boxes.volume * size) + boxes.underflow
    return Majorant.of(np.sqrt(cells), np.sqrt(np.maximum(least, 0.0) * boxes.volume), oscillation, rest, noise)


def _tau_plane(v: Real, flux: Flux, boxes: Boxes) -> tuple[Real, Real, Real]:
    gap, (hx, hy), (x, y) = np.empty((len(v), *boxes.cells)), boxes.spacings, flux
    linear = boxes.between == "linear"
    return gap, *tau(_solid(v), _solid(x), _solid(y), _solid(boxes.a), linear, hx, hy, *boxes.line(), gap)


def _tau(v: Real, flux: Flux, boxes: Boxes) -> tuple[Real, Real, Real]:
    """Over the volume of a cell: `‖τ‖²` on every cell, bounded from above `(B, *M)`; a lower bound of their sum `(B,)`;
    and the size of what is squared, `(B,)`, for its rounding."""
    gap, least = np.zeros((len(v), *boxes.cells)), np.zeros(len(v))
    inverse, middle = 1.0 / boxes.a, boxes.middle(boxes.a)
    for weight, place in boxes.gauss():
        a = boxes.at(boxes.a, place)
        square = weight * sum(
            ((1 - s) * low + s * high + a * gradient(v, boxes, k, place)) ** 2
            for k, s in enumerate(place)
            for low, high in [_ends(flux[k], k + 1)]
        )
        gap += boxes.at(inverse, place) * square
        # 1/a lies between its interpolant and its tangent in the middle, and both are multilinear
        least += _total((2 - a / middle) / middle * square)
    high, low = boxes.extreme(boxes.a, True), boxes.extreme(boxes.a, False)
    level = reduce(lambda x, axis: np.maximum(*_ends(x, axis)), range(1, boxes.dim + 1), np.abs(v))
    size = np.zeros(len(v))
    for k, q in enumerate(flux):
        sizes = np.maximum(*_ends(np.abs(q), k + 1))
        size += _total((sizes + 2 * high * level / boxes.spacings[k]) ** 2 / low)
    return gap, least, size


def _balance(flux: Flux, boxes: Boxes, groups: tuple[Array, ...] | None) -> tuple[Real, Real]:
    """`osc_K` of every piece `(B, K)`, and `C_F ‖mean(f - ∇·σ)‖ / √a_min` `(B,)` with rounding."""
    left, source = outflow(flux, boxes), boxes.volume * boxes.middle(boxes.f)
    sizes, longest = _pieces(boxes, groups)
    size = sum(np.abs(low) + np.abs(high) for k, q in enumerate(flux) for low, high in [_ends(q, k + 1)])
    faces = boxes.volume / min(boxes.spacings)
    scale = _grouped(_OPERATIONS * EPS * (size * faces + np.abs(source)), groups)
    rest = _grouped(source - left, groups)
    total = np.sqrt(_total((np.abs(rest) + scale) ** 2 / sizes) + vanished(sizes))
    oscillation = np.zeros_like(rest)
    if boxes.between == "linear" or groups is not None:  # else f - ∇·σ is one number in each piece
        weakest = _grouped(boxes.extreme(boxes.a, False), groups, np.minimum)
        oscillation = longest / np.pi * (_spread(left, boxes, groups, rest, sizes) + scale / np.sqrt(sizes))
        oscillation /= np.sqrt(weakest)
    return oscillation.reshape(len(left), -1), boxes.friedrichs * total / np.sqrt(boxes.smallest)


def _spread(left: Real, boxes: Boxes, groups: tuple[Array, ...] | None, rest: Real, sizes: Real) -> Real:
    """`‖f - ∇·σ - mean‖` on every piece."""
    square, divergence = np.zeros_like(left), left / boxes.volume
    for weight, place in boxes.gauss():
        square += weight * boxes.volume * (boxes.at(boxes.f, place) - divergence) ** 2
    square = np.maximum(_grouped(square, groups) - rest**2 / sizes, 0.0)
    # the difference cancels: below the root of its rounding it is nothing but that
    return np.sqrt(square) + np.sqrt(_OPERATIONS * EPS / sizes) * np.abs(rest)


def _pieces(boxes: Boxes, groups: tuple[Array, ...] | None) -> tuple[Real, Real]:
    """Volumes and longest edges of the pieces, `(1, *pieces)`."""
    edges = [np.full(n, h) for n, h in zip(boxes.cells, boxes.spacings, strict=True)]
    if groups is not None:
        edges = [np.add.reduceat(e, first) for e, first in zip(edges, groups, strict=True)]
    mesh = np.meshgrid(*edges, indexing="ij")
    return np.prod(mesh, axis=0)[None], np.max(mesh, axis=0)[None]


def _grouped(values: Real, groups: tuple[Array, ...] | None, pick: np.ufunc = np.add) -> Real:
    """Sums (or extremes) over the bricks of cells."""
    if groups is not None:
        for axis, first in enumerate(groups, start=1):
            values = pick.reduceat(values, first, axis=axis)
    return values


def _solid(values: Real) -> Real:
    """For compiled loops, which would be compiled once more for every other layout."""
    return np.require(values, np.float64, ["C_CONTIGUOUS", "WRITEABLE"])


def _ends(values: Real, axis: int) -> tuple[Real, Real]:
    """The values at the low and at the high end of every cell along an axis: two views."""
    low = [slice(None)] * values.ndim
    high = list(low)
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    return values[tuple(low)], values[tuple(high)]


def _every(ndim: int, axis: int, first: int) -> tuple[slice, ...]:
    return tuple(slice(first, None, 2) if d == axis else slice(None) for d in range(ndim))


def _total(values: Real) -> Real:
    return values.reshape(len(values), -1).sum(axis=1)
