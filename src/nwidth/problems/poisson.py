"""Diffusion with a known solution: what solvers, bounds and orders of convergence are tested on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, check_choice
from nwidth.problems.base import Resizable
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.problems.grid_systems import FaceRule
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid


@dataclass(frozen=True)
class Poisson(GridDiffusion, Resizable, Storable):
    """`-∇·(a ∇u) = f` in (0, 1)^dim, `u = g` on the boundary, with a solution in closed form:

        u(x) = Π_d cos(ω x_d) + Σ_d x_d,     a(x) = 1 + κ |x|² / dim,

    f and g to match. Parameters: `slope` κ in [0, 3] (0: constant coefficient, 3: contrast 4) and `frequency` ω in
    [1, 4]. The differences are exact for the linear part and of second order for the rest.
    """

    kind: ClassVar[str] = "poisson"

    resolution: int = 64
    dim: int = 2
    face: FaceRule = "arithmetic"

    def __post_init__(self) -> None:
        check_choice("face", self.face, ("arithmetic", "harmonic"))
        _ = self.space  # raises what is wrong with the grid

    @property
    def parameters(self) -> Box:
        return Box(("slope", "frequency"), low=(0.0, 1.0), high=(3.0, 4.0))

    @property
    def space(self) -> Grid:
        return Grid((self.resolution,) * self.dim)

    def at(self, resolution: int) -> "Poisson":
        return replace(self, resolution=resolution)

    def exact(self, mu: Mu | Array) -> Real:
        """The solution of the differential equation at the nodes, `(B, *space.shape)`."""
        x, _, omega = self._given(mu)
        return np.prod(np.cos(omega * x), axis=0) + np.sum(x, axis=0)

    def coefficient(self, mu: Mu | Array) -> Real:
        x, kappa, _ = self._given(mu)
        return 1.0 + kappa / self.dim * np.sum(x**2, axis=0)

    def source(self, mu: Mu | Array) -> Real:
        """f = -∇a·∇u - a Δu with ∇a = (2κ / dim) x, Δ Π cos(ω x_d) = -dim ω² Π cos(ω x_d)."""
        x, kappa, omega = self._given(mu)
        waves = np.cos(omega * x)
        product = np.prod(waves, axis=0)
        slopes = [
            1.0 - omega * np.sin(omega * x[d]) * np.prod(np.delete(waves, d, axis=0), axis=0) for d in range(self.dim)
        ]
        drift = 2.0 * kappa / self.dim * sum(x[d] * slopes[d] for d in range(self.dim))
        return self.coefficient(mu) * self.dim * omega**2 * product - drift

    def boundary(self, mu: Mu | Array) -> Real:
        return self.exact(mu)

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return verify(cls(**config), arrays["check"])

    def _given(self, mu: Mu | Array) -> tuple[Real, Real, Real]:
        """Coordinates `(dim, 1, *shape)`, and κ and ω `(B, 1, ...)`."""
        values = as_mu(mu, self.parameters.names)
        x = np.stack(np.meshgrid(*self.space.axes(), indexing="ij"))[:, None]
        kappa, omega = (np.asarray(values[n], dtype=np.float64).reshape(-1, *(1,) * self.dim) for n in values)
        return x, kappa, omega
