"""The test case of the literature on empirical interpolation: a reaction 1 / |x - mu|."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from nwidth.core.arrays import Array
from nwidth.core.storable import Parts, Storable
from nwidth.problems.base import Outputs, Quantity
from nwidth.problems.functions import Constant, Reciprocal
from nwidth.problems.moving_bump import unit_square
from nwidth.problems.non_affine import Coefficients, NonAffine
from nwidth.problems.point_forms import PointForms
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.box import Box


@dataclass(frozen=True)
class ReciprocalDistance(NonAffine, Outputs, Storable):
    """`-Δu + g u = g` with `g = 1 / |x - mu|` on the unit square, u = 0 on its boundary, mu in [-1, -0.01]².

    The model problem of Grepl, Maday, Nguyen and Patera, "Efficient reduced-basis treatment of nonaffine and nonlinear
    partial differential equations", ESAIM: M2AN 41 (2007), section 3. Output: the mean of u.
    """

    kind: ClassVar[str] = "reciprocal_distance"

    resolution: int = 40
    degree: int = 1

    @cached_property
    def parameters(self) -> Box:
        """The place of the singularity, below and left of the square."""
        return Box(("mu_1", "mu_2"), low=-1.0, high=-0.01)

    @cached_property
    def functions(self) -> Coefficients:
        """a = 1, and g twice."""
        return Coefficients(Constant(1.0), Reciprocal(), Reciprocal())

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
