"""Bounds against the exact solution for diffusion on a grid with values prescribed on its sides, or some insulated."""

from dataclasses import dataclass, field

import numpy as np

from nwidth.bounds.equilibrated.box_flux import Scheme, control_volumes, global_flux, local_flux
from nwidth.bounds.equilibrated.boxes import Between, Boxes, Insulated, energy, halved, majorant
from nwidth.bounds.equilibrated.majorant import lower_from
from nwidth.bounds.equilibrated.pieces import FLUXES, Equilibration, FluxKind, Found
from nwidth.bounds.equilibrated.relax import relaxed_field, relaxed_flux
from nwidth.bounds.equilibrated.units import Units
from nwidth.core.arrays import Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu, check_choice
from nwidth.problems.base import Problem
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.problems.grid_systems import FaceRule, check_coefficient, check_values
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.grid import Grid

#: Halved cells of the samples that are worked on together.
_TOGETHER = 300_000


@dataclass(frozen=True, eq=False)
class GridEquilibration(Equilibration):
    """The field is multilinear on the cells of the grid; the data between its nodes is as `between` says.

    "constant": a and f have one value on the control volume of each node (cells that reach half way to the neighbours),
    which is what the difference scheme balances: right for coefficients that jump. "linear": both are multilinear on
    the cells: right for smooth coefficients. Boundary values are multilinear on its faces either way.

    `sweeps`: relaxations of the local flux, and of the field that bounds from below (in the plane); `accuracy`,
    `limit`: of the global one.
    Raises InputError for another problem.
    """

    problem: GridDiffusion
    flux: FluxKind = "local"
    between: Between = "constant"
    sweeps: int = 2
    accuracy: float = 1e-3
    limit: int = 200
    inner: InnerProduct = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_choice("flux", self.flux, FLUXES)
        check_choice("data", self.between, ("constant", "linear"))
        _check(self.problem)
        object.__setattr__(self, "inner", self.problem.space.inner("energy"))

    @property
    def galerkin(self) -> bool:  # type: ignore[override]
        return False

    @property
    def reference(self) -> str:  # type: ignore[override]
        where = {"constant": "constant on the control volume of each node", "linear": "linear between the nodes"}
        return f"the exact solution of the equation with data {where[self.between]}"

    @property
    def together(self) -> int:
        return max(1, _TOGETHER // (self.problem.space.size * 2**self.problem.space.dim))

    def boxes(self, mu: Mu) -> Boxes:
        """The data of a batch on the halved cells."""
        return self._boxes(*self._data(mu))

    def _boxes(self, a: Real, f: Real) -> Boxes:
        lengths = tuple(d.length for d in self.problem.space.directions)
        spread = halved if self.between == "linear" else _doubled
        return Boxes(lengths, spread(a), spread(f), self.between, _insulated(self.problem.space))

    def _data(self, mu: Mu) -> tuple[Real, Real]:
        """Nodal values of a and f, `(B, *shape)`."""
        problem, grid = self.problem, self.problem.space
        _check_insulated(problem, mu)
        a = check_coefficient(problem.coefficient(mu), grid)
        return a, check_values("source", problem.source(mu), grid.shape, "finite", grid.axes(), len(a))

    def bounds(self, mu: Mu, v: Real, nearest: Real) -> Found:
        mu, grid = as_mu(mu, self.problem.parameters.names), self.problem.space
        a, f = self._data(mu)
        units = Units.of(a, f, (v, nearest), min(d.length for d in grid.directions))
        a, v, nearest = units.coefficient(a), units.field(v), units.field(nearest)
        boxes = self._boxes(a, units.source(f))
        scheme = Scheme(grid, _face_means(a, self.problem.face), self.inner)
        fine, other = halved(grid.unflatten(v)), halved(grid.unflatten(nearest))
        groups, best, steps = None, other, np.zeros(len(v), dtype=int)
        if self.flux == "local":
            flux = relaxed_flux(other, local_flux(grid.unflatten(nearest), boxes, scheme), boxes, self.sweeps)
            # data that is linear is balanced over control volumes, data that is constant in every part of them too
            groups = control_volumes(grid) if self.between == "linear" else None
        else:
            solved = global_flux(other, boxes, self.accuracy, self.limit)
            flux, best, steps = solved.flux, solved.field, solved.steps
        best = relaxed_field(best, boxes, self.sweeps)
        mine, its, better = (majorant(w, flux, boxes, groups) for w in (fine, other, best))
        moved = energy(fine - other, boxes)
        known = lower_from(mine, its, moved), lower_from(mine, better, energy(fine - best, boxes))
        return Found(
            field=mine,
            nearest=its,
            lower=np.maximum(*known),
            nearest_lower=lower_from(its, better, energy(other - best, boxes)),
            moved=moved,
            norm=energy(fine, boxes),
            lost=boxes.underflow,
            factor=_factor(boxes, scheme),
            steps=steps,
            unit=units.energy,
        ).where(units.usable)


def _check(problem: Problem) -> None:
    if not applies(problem):
        raise InputError(
            f"{type(problem).__name__} on {problem.space!r}: this bound needs a GridDiffusion problem on the nodes of "
            "a grid with values prescribed on its whole boundary, or on some sides while the others are insulated "
            '("neumann")'
        )


def applies(problem: Problem) -> bool:
    """Whether the problem is diffusion on nodes, every side with values or insulated, and one with values at least."""
    if not (isinstance(problem, GridDiffusion) and isinstance(problem.space, Grid)):
        return False
    words = {side.word for side in problem.space.sides} | {d.low for d in problem.space.directions}
    return problem.space.centring == "node" and {"dirichlet"} <= words <= {"dirichlet", "neumann"}


def _check_insulated(problem: GridDiffusion, mu: Mu) -> None:
    """Nothing crosses the sides without values."""
    if problem.space.inside:
        return
    given = {side: problem.boundary_data(mu, side) for side in problem.space.sides if side.word == "neumann"}
    crossed = [str(side) for side, g in given.items() if g is not None and np.any(g)]
    if crossed:
        raise InputError(
            f"{type(problem).__name__} prescribes a flux on the {crossed[0]}; this bound is for sides that nothing "
            "crosses (boundary_data None or zero) beside those with prescribed values"
        )


def _insulated(grid: Grid) -> Insulated:
    return tuple((d.low == "neumann", d.high == "neumann") for d in grid.directions)


def _doubled(nodal: Real) -> Real:
    """Nodal values on the halved cells of their control volumes."""
    for axis in range(1, nodal.ndim):
        nodal = np.repeat(nodal, 2, axis=axis)
        nodal = np.take(nodal, range(1, nodal.shape[axis] - 1), axis=axis)
    return np.ascontiguousarray(nodal, dtype=np.float64)


def _face_means(a: Real, rule: FaceRule) -> tuple[Real, ...]:
    """The means of a at the faces between neighbours, as the scheme takes them."""
    found = []
    for axis in range(1, a.ndim):
        n = a.shape[axis]
        low, high = np.take(a, range(n - 1), axis), np.take(a, range(1, n), axis)
        found.append(0.5 * (low + high) if rule == "arithmetic" else 2 * low * (high / (low + high)))
    return tuple(found)


def _factor(boxes: Boxes, scheme: Scheme) -> Real:
    """c with `‖w‖_a <= c ‖w‖_A` for all w that vanish on the boundary, `(B,)`.

    Across its own direction a slope is a convex combination of those of the edges around, so that `∫ a (∂_k w)²` is at
    most the sum over the edges of slope² times `∫ a φ` with the hat function φ of the edge; its weight on the four
    halved cells of each other direction is 1/8, 3/8, 3/8, 1/8. A counts slope² times the mean at the face.
    """
    largest = np.zeros(len(boxes.a))
    high = boxes.extreme(boxes.a, True)
    for k, face in enumerate(scheme.faces):
        weight = _pairs(high, k + 1)
        for other in range(boxes.dim):
            if other != k:
                first, last = boxes.ends[other]
                weight = _hats(weight, other + 1, first, last)
                face = np.take(face, range(1 - first, face.shape[other + 1] - 1 + last), axis=other + 1)
        if weight.size:
            largest = np.maximum(largest, (weight / face).reshape(len(weight), -1).max(axis=1))
    return np.sqrt(largest) * (1 + 1e-12)


def _pairs(values: Real, axis: int) -> Real:
    n = values.shape[axis]
    return 0.5 * (np.take(values, range(0, n, 2), axis) + np.take(values, range(1, n, 2), axis))


def _hats(values: Real, axis: int, first: bool, last: bool) -> Real:
    """At the nodes inside; with `first` and `last` also at the ends, relative to half the area there."""
    n = values.shape[axis]
    low, left, right, high = (np.take(values, range(s, n - 3 + s, 2), axis) for s in range(4))
    parts = [(low + 3 * left + 3 * right + high) / 8]
    if first:
        parts.insert(0, (3 * np.take(values, [0], axis) + np.take(values, [1], axis)) / 4)
    if last:
        parts.append((3 * np.take(values, [n - 1], axis) + np.take(values, [n - 2], axis)) / 4)
    return np.concatenate(parts, axis=axis)
