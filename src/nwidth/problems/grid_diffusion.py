"""What every diffusion problem on a grid shares: systems, matrix and stability from its nodal data."""

from abc import abstractmethod
from dataclasses import replace

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu
from nwidth.problems.base import Coercive, Diffusive, Stability, System, Systems
from nwidth.problems.grid_range import energy_range
from nwidth.problems.grid_systems import (
    FaceRule,
    GridSystems,
    check_boundary,
    check_coefficient,
    check_values,
    dirichlet_stencils,
)
from nwidth.problems.grid_terms import GridTerms
from nwidth.problems.grid_transport import GridTransport
from nwidth.problems.stencils import Stencils
from nwidth.spaces.grid import Grid, Side

_EPS = float(np.finfo(np.float64).eps)


class GridDiffusion(GridTransport, Diffusive, Coercive):
    """`-∇·(a ∇u) = f` in a box by differences of second order, with values or fluxes given on its boundary.

    A problem of this kind is `parameters`, `space` (a Grid) and the fields `coefficient`, `source` and `boundary`, each
    `(B, *space.shape)`; `boundary` carries prescribed values at the nodes of Dirichlet ends. Other ends (and the ends
    of a grid of cells) take `boundary_data` and `transfer`, see `GridTransport`. At a face stands the mean of a at its
    two nodes, `face`: "arithmetic" or "harmonic".

    The matrix and X = space.inner("energy") are sums of squares over the same faces and ends, so that the smallest and
    the largest ratio of their coefficients prove `lower X <= A <= upper X`.

    There is no transport and no reaction here: inherit GridTransport for those.

    Raises InputError where a coefficient is not positive and finite at every node, naming sample and node, and where a
    problem defines `velocity` or `reaction` all the same.
    """

    face: FaceRule = "arithmetic"

    @property
    @abstractmethod
    def space(self) -> Grid:
        """The grid."""

    def boundary_data(self, mu: Mu, side: Side) -> Real | None:
        """The values of `boundary` at the nodes of a Dirichlet side; None on others."""
        if side.word == "dirichlet" and self.space.centring == "node":
            return self.boundary(mu)[side.layer()]
        return None

    def systems(self, mu: Mu | Array) -> Systems:
        """The systems of a batch, as products."""
        if not self.space.inside:
            return super().systems(mu)
        mu = self._plain(mu)
        a = self._positive(mu)
        return GridSystems(self.space, a, *self._data(mu, len(a)), self.face)

    def stencils(self, mu: Mu | Array) -> Stencils:
        """The systems of a batch on the free dofs, `load` with the boundary data."""
        if not self.space.inside:
            return super().stencils(mu)
        mu = self._plain(mu)
        a = self._positive(mu)
        return dirichlet_stencils(self.space, a, *self._data(mu, len(a)), self.face)

    def terms(self, mu: Mu | Array) -> GridTerms:
        """The checked coefficients and data of a batch."""
        return super().terms(self._plain(mu))

    def assemble(self, mu: Mu | Array) -> System:
        """The system of a single parameter; its matrix has the pattern of every other."""
        system = super().assemble(mu)
        if not self.space.inside:
            return system
        batch = self.systems(mu)
        return replace(system, load=batch.load[0], lift=batch.lift[0])

    def lift(self, mu: Mu | Array) -> Real:
        """The prescribed values, dofs `(B, N)`, zero on the free ones."""
        if not self.space.inside:
            return super().lift(mu)
        return np.where(self.space.free, 0.0, self.space.flatten(self.boundary(as_mu(mu, self.parameters.names))))

    def constant(self, mu: Mu | Array, field: Array | None = None) -> Stability:
        """Smallest and largest coefficient of A relative to X, with room for their own rounding: proven."""
        low, high = energy_range(self.terms(mu))
        return Stability(low * (1 - 8 * _EPS), high * (1 + 8 * _EPS))

    def _data(self, mu: Mu, batch: int) -> tuple[Real, Real]:
        """Source and boundary data. Raises InputError for another shape or batch, and values that are not finite."""
        grid = self.space
        f = check_values("source", self.source(mu), grid.shape, "finite", grid.axes(), batch)
        return f, check_boundary(self.boundary(mu), grid, batch)

    def _plain(self, mu: Mu | Array) -> Mu:
        """The parameters by name. Raises InputError for a problem with transport or reaction."""
        mu = as_mu(mu, self.parameters.names)
        for name, values in (("velocity", self.velocity(mu)), ("reaction", self.reaction(mu))):
            if values is not None:
                raise InputError(
                    f"{type(self).__name__} defines a {name}, but is a GridDiffusion, -∇·(a ∇u) = f: products, limits "
                    "and stability constants would leave it out; inherit GridTransport instead"
                )
        return mu

    def _positive(self, mu: Mu) -> Real:
        return check_coefficient(self.coefficient(mu), self.space)
