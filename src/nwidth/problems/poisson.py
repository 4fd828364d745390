"""Diffusion with a known solution: what solvers, bounds and orders of convergence are tested on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, batch_size, check_choice
from nwidth.problems.base import Resizable
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.problems.grid_systems import FaceRule
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Boundaries, Grid, Side
from nwidth.spaces.grid_axis import Centring

#: The κ of Robin ends.
_TRANSFER = 2.0


@dataclass(frozen=True)
class Poisson(GridDiffusion, Resizable, Storable):
    """`-∇·(a ∇u) = f` in (0, 1)^dim, `u = g` on the boundary, with a solution in closed form:

        u(x) = Π_d cos(ω x_d) + Σ_d x_d,     a(x) = 1 + κ |x|² / dim,

    f and g to match. Parameters: `slope` κ in [0, 3] (0: constant coefficient, 3: contrast 4) and `frequency` ω in
    [1, 4]. The differences are exact for the linear part and of second order for the rest.

    `boundary_type`, `centring`: any of `Grid`, with the data of the same solution; Robin ends give `a ∂u/∂n + 2 u`. In
    a periodic direction cos(2π x_d), 0 and sin²(π x_d) stand for cos(ω x_d), x_d and x_d². Where no end is Dirichlet or
    Robin, the solution is the one of mean zero.
    """

    kind: ClassVar[str] = "poisson"

    resolution: int = 64
    dim: int = 2
    face: FaceRule = "arithmetic"
    boundary_type: Boundaries = "dirichlet"
    centring: Centring = "node"

    balance = True  # data that balance up to the error of the discretisation

    def __post_init__(self) -> None:
        check_choice("face", self.face, ("arithmetic", "harmonic"))
        object.__setattr__(self, "boundary_type", self.space.boundary)  # raises what is wrong with the grid

    @property
    def parameters(self) -> Box:
        return Box(("slope", "frequency"), low=(0.0, 1.0), high=(3.0, 4.0))

    @cached_property
    def space(self) -> Grid:
        return Grid((self.resolution,) * self.dim, 1.0, self.boundary_type, self.centring)

    def at(self, resolution: int) -> "Poisson":
        return replace(self, resolution=resolution)

    def exact(self, mu: Mu | Array) -> Real:
        """The solution of the differential equation at the values of the grid, `(B, *space.shape)`."""
        u = self._at_values(mu).u
        if self.space.floating:
            volumes = self.space.volumes()
            u = u - (np.sum(u * volumes, axis=tuple(range(1, u.ndim)), keepdims=True) / volumes.sum())
        return u

    def coefficient(self, mu: Mu | Array) -> Real:
        return self._at_values(mu).a

    def source(self, mu: Mu | Array) -> Real:
        """f = -∇a·∇u - a Δu."""
        given = self._at_values(mu)
        drift = sum(da * du for da, du in zip(given.slopes_a, given.slopes_u, strict=True))
        return -drift - given.a * given.laplacian

    def boundary(self, mu: Mu | Array) -> Real:
        return self._at_values(mu).u

    def boundary_data(self, mu: Mu, side: Side) -> Real:
        given = self._solution(mu, np.moveaxis(side.points(), -1, 0))
        flux = (2 * side.end - 1) * given.a * given.slopes_u[side.axis]
        if side.word == "dirichlet":
            return given.u
        return flux if side.word == "neumann" else flux + _TRANSFER * given.u

    def transfer(self, mu: Mu, side: Side) -> Real:
        return np.broadcast_to(_TRANSFER, (batch_size(mu), *side.shape))

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return verify(cls(**config), arrays["check"])

    def _at_values(self, mu: Mu | Array) -> "_Solution":
        return self._solution(mu, np.stack(np.meshgrid(*self.space.axes(), indexing="ij")))

    def _solution(self, mu: Mu | Array, points: Real) -> "_Solution":
        """Everything at the points `(dim, *shape)`, each `(B, *shape)`."""
        values = as_mu(mu, self.parameters.names)
        kappa, omega = (np.asarray(values[n], np.float64).reshape(-1, *(1,) * (points.ndim - 1)) for n in values)
        waves, linear, squares = [], [], []  # value, first and second derivative (of the wave) in each direction
        for x, direction in zip(points[:, None], self.space.directions, strict=True):
            w = np.full_like(omega, 2.0 * np.pi) if direction.periodic else omega
            waves.append((np.cos(w * x), -w * np.sin(w * x), -(w**2) * np.cos(w * x)))
            angle = np.pi * x
            linear.append((0.0 * x, 0.0) if direction.periodic else (x, 1.0))
            squares.append((np.sin(angle) ** 2, np.pi * np.sin(2 * angle)) if direction.periodic else (x**2, 2.0 * x))
        others = [np.prod([c for e, (c, _, _) in enumerate(waves) if e != d], axis=0) for d in range(self.dim)]
        pairs = list(zip(waves, others, strict=True))
        return _Solution(
            u=np.prod([c for c, _, _ in waves], axis=0) + sum(v for v, _ in linear),
            slopes_u=[dc * rest + slope for (_, dc, _), rest, (_, slope) in zip(waves, others, linear, strict=True)],
            laplacian=np.asarray(sum(ddc * rest for (_, _, ddc), rest in pairs)),
            a=1.0 + kappa / self.dim * sum(v for v, _ in squares),
            slopes_a=[kappa / self.dim * slope for _, slope in squares],
        )


@dataclass(frozen=True)
class _Solution:
    """u, its derivatives, a and its derivatives at given points."""

    u: Real
    slopes_u: list[Real]
    laplacian: Real
    a: Real
    slopes_a: list[Real]
