"""Flow through a random porous medium: the standard test of neural operators."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, check_choice
from nwidth.problems.base import Resizable
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.problems.grid_systems import FaceRule, check_coefficient
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.grid import Grid
from nwidth.spaces.random_field import LogNormalField, RandomField, TwoValuedField


@dataclass(frozen=True)
class Darcy(GridDiffusion, Resizable, Storable):
    """`-∇·(a ∇u) = 1` in a box, `u = 0` on the boundary; the parameter is the coefficient field a.

    `law`: "two-valued" (`high` where a Gaussian field is positive, `low` elsewhere: 12 and 3 as in the
    data of Li et al. 2020) or "log-normal" (`sigma`: mean standard deviation of log a). `tau`, `alpha`, `modes`: the
    Gaussian field, see `CosineSeries` (`modes` None: 128 per direction, 32 in three dimensions). `resolution`: cells
    per direction. `face`: the mean at a face. `dim`: 1 to 3 directions. `lengths`: the sides of the box, (0, 1)^dim as
    it comes; a draw is stretched with it. Stretching is also how to get anisotropy along the axes: with the
    coefficient diag(d) a on the unit box, divide its sides by √d (lengths (1, 31.6) couple 1000 times more strongly
    along the first direction than along the second).

    Everything lives on the nodes i / resolution, boundary included. The published files differ: there the field is
    drawn on cell centres, a spline carries it to the nodes (and overshoots at jumps, below zero at times), and
    another one carries the solution back. The error of the discretisation is large either way, since the jumps cross
    the cells: about 9 % in energy at 64 cells, falling like the root of the cell (`nwidth.bounds.two_grid`).
    """

    kind: ClassVar[str] = "darcy"

    resolution: int = 64
    law: Literal["two-valued", "log-normal"] = "two-valued"
    low: float = 3.0
    high: float = 12.0
    sigma: float = 1.0
    tau: float = 3.0
    alpha: float = 2.0
    modes: int | None = None
    face: FaceRule = "arithmetic"
    dim: int = 2
    lengths: float | Sequence[float] = 1.0

    def __post_init__(self) -> None:
        if self.modes is None:
            object.__setattr__(self, "modes", 32 if self.dim == 3 else 128)
        object.__setattr__(self, "lengths", _sides(self.lengths))
        check_choice("law", self.law, ("two-valued", "log-normal"))
        check_choice("face", self.face, ("arithmetic", "harmonic"))
        _ = self.parameters, self.space  # raise what is wrong with the field or the box

    @cached_property
    def parameters(self) -> RandomField:
        shared: dict[str, Any] = {
            "name": "a",
            "resolution": self.resolution,
            "tau": self.tau,
            "alpha": self.alpha,
            "modes": self.modes,
            "dim": self.dim,
        }
        if self.law == "two-valued":
            return TwoValuedField(low=self.low, high=self.high, **shared)
        return LogNormalField(sigma=self.sigma, **shared)

    @cached_property
    def space(self) -> Grid:
        return Grid((self.resolution,) * self.dim, self.lengths)

    def at(self, resolution: int) -> "Darcy":
        return replace(self, resolution=resolution)

    def coefficient(self, mu: Mu | Array) -> Real:
        return check_coefficient(as_mu(mu, ("a",))["a"], self.space, "a")

    def source(self, mu: Mu | Array) -> Real:
        return np.broadcast_to(1.0, (len(as_mu(mu, ("a",))["a"]), *self.space.shape))

    def boundary(self, mu: Mu | Array) -> Real:
        return np.broadcast_to(0.0, (len(as_mu(mu, ("a",))["a"]), *self.space.shape))

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return verify(cls(**config), arrays["check"])


def _sides(lengths: float | Sequence[float]) -> float | tuple[float, ...]:
    """One number or a tuple, so that a problem that was read back from a file compares equal."""
    sides = tuple(float(v) for v in np.atleast_1d(lengths))
    return sides[0] if len(sides) == 1 else sides
