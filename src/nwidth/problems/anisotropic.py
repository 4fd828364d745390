"""Anisotropic diffusion with a cross term: an affine problem whose constant is no comparison of coefficients."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from skfem import Basis, BilinearForm, ElementTriP1, LinearForm, MeshTri
from skfem.helpers import grad

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.expressions import Expression
from nwidth.core.storable import Parts, Storable
from nwidth.problems.base import AffineTerms, Outputs, Quantity
from nwidth.problems.formulas import Formulas
from nwidth.problems.stored import check_vector, verify
from nwidth.problems.thermal_block import criss_cross
from nwidth.spaces.box import Box
from nwidth.spaces.bricks import mass_lambda_min
from nwidth.spaces.mesh import Form, MeshSpace


@dataclass(frozen=True)
class Anisotropic(Formulas, Outputs, Storable):
    """`-∇·(K ∇u) + c u = 1` on the unit square, u = 0 on its boundary, K = [[1, m], [m, k]].

    P1 triangles on `resolution`² cells, each cut into four by its diagonals. Parameters: m in [-0.5, 0.5], the cross
    term; k in [0.5, 2]; c in [-3, 3], a reaction or, below zero, a source that grows with u. Coercive everywhere in
    that box, although two of the four terms are indefinite or have a coefficient that changes sign: comparing
    coefficients one by one proves nothing here, and the class knows no constant. Prove one with
    `nw.rb.with_stability`. Outputs: the mean of u, and its mean over the quarter x, y > 1/2. Energy inner product:
    m = 0, k = 1, c = 0.
    """

    kind: ClassVar[str] = "anisotropic"

    resolution: int = 60

    def __post_init__(self) -> None:
        if self.resolution < 2 or self.resolution % 2:
            raise InputError(
                f"resolution is {self.resolution}; choose an even number of cells per side, so that the quarter of the "
                "second output ends on grid lines"
            )

    @cached_property
    def parameters(self) -> Box:
        """m, k and c."""
        return Box(("m", "k", "c"), low=(-0.5, 0.5, -3.0), high=(0.5, 2.0, 3.0))

    @cached_property
    def _basis(self) -> Basis:
        return Basis(MeshTri(*criss_cross(self.resolution)), ElementTriP1())

    @cached_property
    def space(self) -> MeshSpace:
        """P1 on the mesh."""
        mesh, mass = self._basis.mesh, self.terms().matrices[3]
        corners = mesh.t.T.astype(np.int32)
        area = 0.25 / self.resolution**2
        smallest = mass_lambda_min(mesh.p.shape[1], corners, np.full(len(corners), area / 12))
        along, _, across, _ = self.terms().matrices
        # Friedrichs: |∇v|² >= 2 π² |v|² for v = 0 on the boundary; a part in 1e6 pays for rounding in the matrices
        return MeshSpace(
            nodes=np.ascontiguousarray(mesh.p.T),
            elements=corners,
            free=self.terms().free,
            energy=Form(sp.csr_array(along + across), (1 - 1e-6) * 2 * np.pi**2 * smallest),
            mass=Form(mass, (1 - 1e-6) * smallest),
        )

    @cached_property
    def _terms(self) -> AffineTerms:
        basis = self._basis
        free = np.ones(basis.mesh.p.shape[1], dtype=bool)
        free[basis.mesh.boundary_nodes()] = False
        forms = (_along, _cross, _across, _mass)
        return AffineTerms(
            matrices=tuple(sp.csr_array(form.assemble(basis)) for form in forms),
            loads=_load.assemble(basis)[None],
            free=free,
            lift=np.zeros(len(free)),
        )

    def terms(self) -> AffineTerms:
        """`(u_x, v_x)`, `(u_x, v_y) + (u_y, v_x)`, `(u_y, v_y)`, `(u, v)`; one load."""
        return self._terms

    def formulas(self) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
        """θ = (1, m, k, c) and φ = 1."""
        names = self.parameters.names
        theta = tuple(Expression.parse(text, names) for text in ("1", "m", "k", "c"))
        return theta, (Expression.parse("1", names),)

    def quantities(self) -> Mapping[str, Quantity]:
        """The mean of u, and its mean over the quarter x, y > 1/2 (which is not a load)."""
        centre = self._basis.mesh.p[:, self._basis.mesh.t].mean(axis=1)
        quarter = np.flatnonzero((centre > 0.5).all(axis=0))
        part = Basis(self._basis.mesh, ElementTriP1(), elements=quarter)
        return {"mean": Quantity(self.terms().loads[0]), "quarter": Quantity(4.0 * _load.assemble(part))}

    def at(self, resolution: int) -> "Anisotropic":
        """The same problem on another grid."""
        return Anisotropic(resolution)

    def to_parts(self) -> Parts:
        """The configuration, and numbers that must come out again."""
        return Parts({"resolution": self.resolution}, {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again. Raises InputError where this version would solve another problem."""
        return verify(cls(**config), arrays["check"])


@BilinearForm
def _along(u: Any, v: Any, _: Any) -> Any:
    return grad(u)[0] * grad(v)[0]


@BilinearForm
def _cross(u: Any, v: Any, _: Any) -> Any:
    return grad(u)[0] * grad(v)[1] + grad(u)[1] * grad(v)[0]


@BilinearForm
def _across(u: Any, v: Any, _: Any) -> Any:
    return grad(u)[1] * grad(v)[1]


@BilinearForm
def _mass(u: Any, v: Any, _: Any) -> Any:
    return u * v


@LinearForm
def _load(v: Any, _: Any) -> Any:
    return 1.0 * v
