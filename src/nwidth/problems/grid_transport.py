"""Diffusion, transport and reaction on a grid, with any boundary: what a problem writes is its coefficients."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu, batch_size, check_batched
from nwidth.problems._flow import stream_velocity
from nwidth.problems.base import System, Systems
from nwidth.problems.grid_stencil_systems import GridPattern, StencilSystems, column_sums, multiply
from nwidth.problems.grid_systems import FaceRule, Rule, check_values
from nwidth.problems.grid_terms import GridTerms, Scheme, prescribed
from nwidth.problems.stencils import Stencilled, Stencils
from nwidth.spaces.grid import Grid, Side

#: Divergence of the velocity, and imbalance of a load, that count as rounding: relative to what is summed.
_ROUNDING = 1e-10


class GridTransport(Stencilled):
    """`-∇·(a ∇u) + ∇·(b u) + c u = f` in a box, by finite volumes around the values of a grid, 1-D to 3-D.

    A problem of this kind is `parameters`, `space` (a Grid), and

    - `coefficient` a > 0 and `source` f, `(B, *space.shape)`; `reaction` c >= 0 alike (or None: zero);
    - `velocity` b: its component across the faces of each direction, `(B, *face shape)` (or None: zero). The flux
      form conserves what is transported; where b is discretely free of divergence it is also `b·∇u`.
      `from_stream_function` makes such a field. `scheme`: "upwind" (first order, an M-matrix for any b) or "central"
      (second order, free of oscillations while a spacing times |b| stays below 2 a);
    - `boundary_data` on each side: the value g ("dirichlet"), `a ∂u/∂n = g` ("neumann") or `a ∂u/∂n + κ u = g`
      ("robin", with `transfer` κ > 0), n the outward normal; None: zero.

    At a face stands the mean of a at the two values that it separates, `face`: "arithmetic" or "harmonic". The order is
    two without transport or with the central scheme, for both centrings and all boundaries.

    Where no end is Dirichlet or Robin and c = 0, solutions are defined up to a constant (`Stencils.constants`): the
    velocity must then be free of divergence and closed. Sources and fluxes must balance, or there is no solution, which
    is for the solver to say; `balance` = True subtracts from f the constant that makes them do so (for data that
    balance in the continuous sense, and on the grid up to O(h²)).

    Raises InputError for coefficients that make no sense, naming sample and place.
    """

    face: FaceRule = "arithmetic"
    scheme: Scheme = "upwind"
    balance: bool = False

    @property
    @abstractmethod
    def space(self) -> Grid:
        """The grid."""

    @abstractmethod
    def coefficient(self, mu: Mu) -> Real:
        """Positive diffusion coefficient a, `(B, *space.shape)`."""

    @abstractmethod
    def source(self, mu: Mu) -> Real:
        """Source f, `(B, *space.shape)`."""

    def velocity(self, mu: Mu) -> tuple[Real, ...] | None:
        """For each direction d the component of b across its faces, `(B, ...)` with one more entry along d."""
        return None

    def reaction(self, mu: Mu) -> Real | None:
        """Reaction coefficient c >= 0, `(B, *space.shape)`."""
        return None

    def boundary_data(self, mu: Mu, side: Side) -> Real | None:
        """The data g at `side.points()`, `(B, *side.shape)`."""
        return None

    def transfer(self, mu: Mu, side: Side) -> Real:
        """κ > 0 at the points of a Robin side, `(B, *side.shape)`. Raises InputError unless a problem defines it."""
        raise InputError(f"{type(self).__name__} has the Robin side {side}; define transfer(mu, side), the κ there")

    @cached_property
    def pattern(self) -> GridPattern:
        """Where the entries of every matrix of this problem stand."""
        return GridPattern.of(self.space)

    def stencils(self, mu: Mu | Array) -> Stencils:
        """The systems of a batch on the free dofs."""
        return self._prepared(mu)[1]

    def systems(self, mu: Mu | Array) -> Systems:
        """The systems of a batch, as products."""
        return StencilSystems(*self._prepared(mu))

    def lift(self, mu: Mu | Array) -> Real:
        """The prescribed values at their nodes, dofs `(B, N)`, zero on the free ones."""
        mu = as_mu(mu, self.parameters.names)
        batch = batch_size(mu)
        held = [s for s in self.space.sides if s.word == "dirichlet" and self.space.centring == "node"]
        return prescribed(self.space, self._data_on(mu, held), batch)

    def assemble(self, mu: Mu | Array) -> System:
        """The system of a single parameter; its matrix has the pattern of every other."""
        mu = as_mu(mu, self.parameters.names)
        if batch_size(mu) != 1:
            raise InputError(f"assemble takes one parameter, got {batch_size(mu)}; use systems(mu) for a batch")
        terms, stencils = self._prepared(mu)
        load = np.zeros(self.space.shape)
        load[self.space.free_box] = stencils.load.reshape(load[self.space.free_box].shape)
        whole = stencils if self.space.free.all() else terms.stencils(whole=True)
        return System(self.pattern.matrix(whole), load.ravel(), self.space.free, terms.lift[0])

    def terms(self, mu: Mu | Array) -> GridTerms:
        """The checked coefficients and data of a batch."""
        mu = as_mu(mu, self.parameters.names)
        grid, batch = self.space, batch_size(mu)
        a = check_values("coefficient", self.coefficient(mu), grid.shape, "positive", grid.axes(), batch)
        velocity, reaction = self.velocity(mu), self.reaction(mu)
        if velocity is not None:
            velocity = _check_velocity(velocity, grid, batch)
        if reaction is not None:
            reaction = check_values("reaction", reaction, grid.shape, "zero or positive", grid.axes(), batch)
        source = check_values("source", self.source(mu), grid.shape, "finite", grid.axes(), batch)
        kappa = {
            side: _on_side("transfer", self.transfer(mu, side), side, "positive", batch)
            for side in grid.sides
            if side.word == "robin"
        }
        data = self._data_on(mu, grid.sides)
        return GridTerms(grid, a, source, velocity, reaction, data, kappa, self.face, self.scheme)

    def _data_on(self, mu: Mu, sides: Iterable[Side]) -> dict[Side, Real]:
        """The boundary data that there is on these sides, checked."""
        given = {side: self.boundary_data(mu, side) for side in sides}
        batch = batch_size(mu)
        return {s: _on_side("boundary_data", v, s, "finite", batch) for s, v in given.items() if v is not None}

    def _prepared(self, mu: Mu | Array) -> tuple[GridTerms, Stencils]:
        terms = self.terms(mu)
        stencils = terms.stencils()
        return terms, with_constants(terms, stencils, self.balance) if self.space.floating else stencils


def with_constants(terms: GridTerms, stencils: Stencils, balance: bool) -> Stencils:
    """The stencils with `constants` as it is, for a grid that holds no level.

    A load of a sample with constants that sums to zero but for rounding is made to do so, with `balance` any load.
    Raises InputError for a flow that is not closed or has divergence.
    """
    constants = np.ones(len(stencils), dtype=bool)
    if terms.reaction is not None:
        constants &= ~np.any(terms.reaction.reshape(len(stencils), -1), axis=1)
    if terms.velocity is not None:
        _check_closed(terms, stencils, constants)
    load, volumes = stencils.load, terms.grid.volumes().reshape(stencils.shape)
    total, size = load.sum(axis=(1, 2, 3)), np.abs(load).sum(axis=(1, 2, 3))
    spread = constants & (balance | (np.abs(total) <= _ROUNDING * size))
    load = load - np.where(spread, total / volumes.sum(), 0.0)[:, None, None, None] * volumes
    return replace(stencils, load=load, constants=constants)


def _check_closed(terms: GridTerms, stencils: Stencils, constants: Array) -> None:
    """Constants solve the homogeneous equation and its transpose only in a closed flow without divergence."""
    rows = multiply(stencils, np.ones((len(stencils), *stencils.shape)))
    worst = np.maximum(np.abs(rows), np.abs(column_sums(stencils))) / np.abs(stencils.centre)
    bad = constants & (worst.reshape(len(worst), -1).max(axis=1) > _ROUNDING)
    if bad.any():
        row = int(np.argmax(bad))
        place = np.unravel_index(int(np.argmax(worst[row])), terms.grid.shape)
        raise InputError(
            f"sample {row}: the velocity has divergence or crosses the boundary at {tuple(int(i) for i in place)}; "
            "where every end is Neumann or periodic and there is no reaction, it must be closed and discretely free "
            "of divergence: take it from a stream function that is constant on the boundary (from_stream_function)"
        )


def _check_velocity(velocity: tuple[Real, ...], grid: Grid, batch: int) -> tuple[Real, ...]:
    """Face velocities of every direction, finite; the two ends of a periodic direction are one face."""
    if len(velocity) != grid.dim:
        raise InputError(f"velocity(mu) has {len(velocity)} arrays; give one per direction of the grid, {grid.dim}")
    checked = []
    for axis, (values, direction) in enumerate(zip(velocity, grid.directions, strict=True)):
        shape = tuple(n + (d == axis) for d, n in enumerate(grid.shape))
        name = f"velocity across direction {axis}"
        values = check_values(name, values, shape, "finite", batch=batch)
        if direction.periodic and not _ends_agree(values, axis + 1):
            raise InputError(f"{name}: the first and the last face are one, but differ; the direction is periodic")
        checked.append(values)
    return tuple(checked)


def _ends_agree(values: Real, axis: int) -> bool:
    room = 1e-12 * float(np.abs(values).max(initial=0.0))
    return bool(np.all(np.abs(np.take(values, 0, axis) - np.take(values, -1, axis)) <= room))


def from_stream_function(psi: Real, grid: Grid) -> tuple[Real, Real]:
    """The velocity `b = (∂ψ/∂y, -∂ψ/∂x)` across the faces of a 2-D grid, exactly free of discrete divergence.

    psi at the corners of the control volumes (`GridAxis.faces` of both directions), `(B, n_0 + 1, n_1 + 1)`: a face
    carries the difference of ψ between its ends. ψ constant along a side: nothing crosses it.

    Raises InputError for a grid that is not 2-D and another shape.
    """
    if grid.dim != 2:
        raise InputError(f"a stream function gives a flow in two dimensions; the grid has {grid.dim}")
    psi = check_batched("psi", psi, (grid.shape[0] + 1, grid.shape[1] + 1))
    w0, w1 = (direction.widths for direction in grid.directions)
    psi = np.require(psi, np.float64, ["C_CONTIGUOUS", "WRITEABLE"])
    return stream_velocity(psi, 1.0 / w0, 1.0 / w1)


def _on_side(name: str, values: Real, side: Side, rule: Rule, batch: int) -> Real:
    return check_values(f"{name} on the {side}", values, side.shape, rule, batch=batch)
