"""What every diffusion problem on a grid shares: systems, matrix and stability from its nodal data."""

from abc import abstractmethod

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu, batch_size
from nwidth.problems.base import Coercive, Diffusive, Stability, System, Systems
from nwidth.problems.grid_systems import (
    FaceRule,
    GridSystems,
    assemble,
    check_coefficient,
    dirichlet_stencils,
    face_range,
)
from nwidth.problems.stencils import Stencilled, Stencils
from nwidth.spaces.grid import Grid

_EPS = float(np.finfo(np.float64).eps)


class GridDiffusion(Diffusive, Coercive, Stencilled):
    """`-∇·(a ∇u) = f` in a box, `u = g` on its boundary, by differences of second order on the nodes of a grid.

    A problem of this kind is `parameters`, `space` (a Grid) and the nodal fields `coefficient`, `source` and
    `boundary`, each `(B, *space.shape)`. At a face stands the mean of a at its two nodes, `face`: "arithmetic" or
    "harmonic". With the smallest and largest of these, `lower X <= A <= upper X` for X = space.inner("energy")
    (both are sums of squares over the same faces), which proves the constants.

    Raises InputError where a coefficient is not positive and finite at every node, naming sample and node.
    """

    face: FaceRule = "arithmetic"

    @property
    @abstractmethod
    def space(self) -> Grid:
        """The grid."""

    def systems(self, mu: Mu | Array) -> Systems:
        """The systems of a batch, as products."""
        mu = as_mu(mu, self.parameters.names)
        a = self._positive(mu)
        return GridSystems(self.space, a, *self._data(mu, len(a)), self.face)

    def stencils(self, mu: Mu | Array) -> Stencils:
        """The systems of a batch on the inner nodes, `load` with the boundary data."""
        mu = as_mu(mu, self.parameters.names)
        a = self._positive(mu)
        return dirichlet_stencils(self.space, a, *self._data(mu, len(a)), self.face)

    def assemble(self, mu: Mu | Array) -> System:
        """The system of a single parameter."""
        mu = as_mu(mu, self.parameters.names)
        if batch_size(mu) != 1:
            raise InputError(f"assemble takes one parameter, got {batch_size(mu)}; use systems(mu) for a batch")
        batch = self.systems(mu)
        matrix = assemble(self._positive(mu), self.space, self.face)
        return System(matrix, batch.load[0], batch.free, batch.lift[0])

    def constant(self, mu: Mu | Array, field: Array | None = None) -> Stability:
        """Smallest and largest face coefficient of each sample, with room for their own rounding: proven."""
        low, high = face_range(self._positive(as_mu(mu, self.parameters.names)), self.face)
        return Stability(low * (1 - 4 * _EPS), high * (1 + 4 * _EPS))

    def _data(self, mu: Mu, batch: int) -> tuple[Real, Real]:
        """Source and boundary data. Raises InputError for another shape."""
        f, g = self.source(mu), self.boundary(mu)
        for name, values in (("source", f), ("boundary", g)):
            if values.shape != (batch, *self.space.shape):
                raise InputError(f"{name}(mu) has shape {values.shape}; expected {(batch, *self.space.shape)}")
        return f, g

    def _positive(self, mu: Mu) -> Real:
        return check_coefficient(self.coefficient(mu), self.space)
