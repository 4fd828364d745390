"""A conducting spot that moves through a square: the coefficient is not affine in its place."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import check_choice
from nwidth.problems.base import Outputs, Quantity
from nwidth.problems.elastic_body import box_mesh
from nwidth.problems.functions import Bump, Constant
from nwidth.problems.non_affine import Coefficients, NonAffine
from nwidth.problems.point_forms import PointForms
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.box import Box
from nwidth.spaces.nodal import Nodal


@dataclass(frozen=True)
class MovingBump(NonAffine, Outputs, Storable):
    """`-∇·((1 + height exp(-|x - mu|² / (2 width²))) ∇u) = f` on the unit square, u = 0 on its boundary.

    `source` "uniform": f = 1; "moving": f = exp(-|x - mu|² / (2 width²)), heat that moves with the spot. Parameters:
    the place mu_1, mu_2 in [0.2, 0.8]. Triangles of `degree` 1 or 2, `resolution`² squares cut in two. Output: the mean
    of u.
    """

    kind: ClassVar[str] = "moving_bump"

    resolution: int = 40
    height: float = 4.0
    width: float = 0.25
    source: str = "uniform"
    degree: int = 1

    def __post_init__(self) -> None:
        check_choice("source", self.source, ("uniform", "moving"))
        if not self.height > -1:
            raise InputError(f"height is {self.height}; it must be above -1: a conductivity lies above zero")
        _ = self.functions, self.forms

    @cached_property
    def parameters(self) -> Box:
        """The place of the spot."""
        return Box(("mu_1", "mu_2"), low=0.2, high=0.8)

    @cached_property
    def functions(self) -> Coefficients:
        """a and f."""
        moving = Bump(0.0, 1.0, self.width)
        return Coefficients(Bump(1.0, self.height, self.width), Constant(1.0) if self.source == "uniform" else moving)

    @cached_property
    def forms(self) -> PointForms:
        return unit_square(self.resolution, self.degree)

    def quantities(self) -> Mapping[str, Quantity]:
        """The mean of u over the square (its area is 1)."""
        return {"mean": Quantity(self.forms.load.vector(self.forms.load.ones))}

    def to_parts(self) -> Parts:
        """The configuration, and numbers that must come out again."""
        return Parts(asdict(self), {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again. Raises InputError where this version would solve another problem."""
        return verify(cls(**config), arrays["check"])


def unit_square(resolution: int, degree: int) -> PointForms:
    """The unit square with zero on its boundary. Friedrichs: `∫ |∇v|² >= 2 π² ∫ v²`."""
    nodal = Nodal(box_mesh((1.0, 1.0), (resolution, resolution)), degree, intorder=2 * degree)
    free = ~nodal.on_facets(nodal.mesh.boundary_facets())
    return PointForms(nodal, free, np.zeros(nodal.size), 1 / (2 * np.pi**2))
