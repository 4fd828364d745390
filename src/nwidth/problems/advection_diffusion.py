"""Transport by a random flow, with a little diffusion: the test of solvers for matrices that are not symmetric."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, batch_size, check_batched, check_choice
from nwidth.problems._flow import stream_corners
from nwidth.problems.base import Resizable
from nwidth.problems.grid_terms import Scheme
from nwidth.problems.grid_transport import GridTransport, from_stream_function
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Boundaries, Grid, Side
from nwidth.spaces.grid_axis import Centring
from nwidth.spaces.stream_function import StreamFunction


@dataclass(frozen=True)
class AdvectionDiffusion(GridTransport, Resizable, Storable):
    """`-(1 / Pe) Δu + ∇·(b u) + c u = f` in (0, 1)^dim with `|b| <= 1`: Pe, `peclet`, is `|b|_max L / a` with L = 1.

    `flow` "random" (2-D): the parameter is a stream function ψ by its nodal values, drawn as in `StreamFunction`
    (`modes`, `walls`), and `b = (∂ψ/∂y, -∂ψ/∂x)`, discretely free of divergence on every grid; then f = 1 and boundary
    values and fluxes are zero. `flow` "uniform": the parameters are the direction of a constant b of length 1, an
    `angle` in the plane of the first two directions (and in 3-D an `elevation` from it), and f and the boundary data
    belong to the solution in closed form

        u(x) = Π_d sin(π x_d) + x_1    (`exact`).

    `scheme`: "upwind" (first order, keeps the maximum principle) or "central" (second order; oscillates where the
    solution has layers and Pe / resolution exceeds 2). `reaction_rate`: the constant c >= 0. `boundary_type`,
    `centring`: as in `Grid`; Robin ends have κ = 1. `resolution`: cells per direction.
    """

    kind: ClassVar[str] = "advection_diffusion"

    resolution: int = 64
    peclet: float = 128.0
    scheme: Scheme = "upwind"
    flow: Literal["random", "uniform"] = "random"
    dim: int = 2
    reaction_rate: float = 0.0
    boundary_type: Boundaries = "dirichlet"
    centring: Centring = "node"
    modes: int = 8
    walls: bool = False

    def __post_init__(self) -> None:
        check_choice("scheme", self.scheme, ("upwind", "central"))
        check_choice("flow", self.flow, ("random", "uniform"))
        if not 0 < self.peclet < np.inf or not 0 <= self.reaction_rate < np.inf:
            raise InputError(
                f"peclet = {self.peclet:g}, reaction_rate = {self.reaction_rate:g}; expected a positive and a "
                "non-negative finite number"
            )
        if self.dim not in ((2,) if self.flow == "random" else (2, 3)):
            raise InputError(
                f"dim = {self.dim} with flow {self.flow!r}; a random flow has 2 dimensions, a uniform one 2 or 3"
            )
        object.__setattr__(self, "boundary_type", self.space.boundary)
        if self.flow == "random" and any(d.periodic for d in self.space.directions):
            raise InputError("a random flow is not periodic; take other boundaries, or flow='uniform'")
        if self.flow == "uniform" and any(d.periodic for d in self.space.directions):
            raise InputError("the solution in closed form is not periodic; take other boundaries")
        if self.space.floating and not self.reaction_rate:
            raise InputError(
                "no end of the box is Dirichlet or Robin and the reaction is zero: with a source of 1 there is no "
                "solution; give reaction_rate > 0, or another boundary"
            )
        _ = self.parameters  # raises what is wrong with the field

    @cached_property
    def parameters(self) -> ParameterSpace:
        if self.flow == "random":
            return StreamFunction("psi", self.resolution, self.modes, walls=self.walls)
        names = ("angle", "elevation")[: self.dim - 1]
        return Box(names, low=(0.0, -np.pi / 2)[: self.dim - 1], high=(2 * np.pi, np.pi / 2)[: self.dim - 1])

    @cached_property
    def space(self) -> Grid:
        return Grid((self.resolution,) * self.dim, 1.0, self.boundary_type, self.centring)

    def at(self, resolution: int) -> "AdvectionDiffusion":
        return replace(self, resolution=resolution)

    def exact(self, mu: Mu | Array) -> Real:
        """The solution of the differential equation at the values of the grid, `(B, *shape)`; for flow "uniform".

        Raises InputError for a random flow, whose solution has no closed form.
        """
        if self.flow != "uniform":
            raise InputError("a random flow has no solution in closed form; take flow='uniform', or a finer grid")
        batch = batch_size(as_mu(mu, self.parameters.names))
        return np.broadcast_to(_solution(self._places), (batch, *self.space.shape))

    def coefficient(self, mu: Mu) -> Real:
        return np.broadcast_to(1.0 / self.peclet, (batch_size(mu), *self.space.shape))

    def reaction(self, mu: Mu) -> Real | None:
        shape = (batch_size(mu), *self.space.shape)
        return np.broadcast_to(self.reaction_rate, shape) if self.reaction_rate else None

    def source(self, mu: Mu) -> Real:
        if self.flow == "random":
            return np.broadcast_to(1.0, (batch_size(mu), *self.space.shape))
        x = self._places
        waves = np.prod(np.sin(np.pi * x), axis=-1)
        still = self.dim * np.pi**2 / self.peclet * waves + self.reaction_rate * _solution(x)
        return still + np.einsum("bd,...d->b...", self._direction(mu), _gradient(x))

    def velocity(self, mu: Mu) -> tuple[Real, ...]:
        if self.flow == "random":
            psi = np.require(mu["psi"], np.float64, ["C_CONTIGUOUS", "WRITEABLE"])
            check_batched("psi", psi, (self.resolution + 1,) * 2)
            corners = psi if self.centring == "cell" else stream_corners(psi)
            return from_stream_function(corners, self.space)
        b, shape = self._direction(mu), self.space.shape
        shapes = [tuple(n + (d == axis) for d, n in enumerate(shape)) for axis in range(self.dim)]
        return tuple(
            np.broadcast_to(b[:, d].reshape(-1, *(1,) * self.dim), (len(b), *shapes[d])) for d in range(self.dim)
        )

    def boundary_data(self, mu: Mu, side: Side) -> Real | None:
        if self.flow == "random":
            return None
        x, batch = side.points(), batch_size(mu)
        values, flux = _solution(x), (2 * side.end - 1) / self.peclet * _gradient(x)[..., side.axis]
        given = {"dirichlet": values, "neumann": flux, "robin": flux + values}[side.word]
        return np.broadcast_to(given, (batch, *side.shape))

    def transfer(self, mu: Mu, side: Side) -> Real:
        return np.broadcast_to(1.0, (batch_size(mu), *side.shape))

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return verify(cls(**config), arrays["check"])

    @cached_property
    def _places(self) -> Real:
        return self.space.points().reshape(*self.space.shape, self.dim)

    def _direction(self, mu: Mu) -> Real:
        """b `(B, dim)`, of length 1."""
        angle = np.asarray(mu["angle"], dtype=np.float64)
        plane = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        if self.dim == 2:
            return plane
        up = np.asarray(mu["elevation"], dtype=np.float64)
        return np.concatenate([np.cos(up)[:, None] * plane, np.sin(up)[:, None]], axis=1)


def _solution(x: Real) -> Real:
    return np.asarray(np.prod(np.sin(np.pi * x), axis=-1) + x[..., 0])


def _gradient(x: Real) -> Real:
    sines, cosines = np.sin(np.pi * x), np.pi * np.cos(np.pi * x)
    parts = [cosines[..., d] * np.prod(np.delete(sines, d, axis=-1), axis=-1) for d in range(x.shape[-1])]
    parts[0] = parts[0] + 1.0
    return np.stack(parts, axis=-1)
