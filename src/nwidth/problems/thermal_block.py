"""The thermal block: a square of n x n materials, the standard test of reduced bases."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from skfem import Basis, BilinearForm, ElementTriP1, LinearForm, MeshTri
from skfem.helpers import dot, grad

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.expressions import Expression
from nwidth.core.storable import Parts, Storable
from nwidth.problems.base import AffineTerms, Outputs, Quantity
from nwidth.problems.cell_data import CellData, CellDiffusive
from nwidth.problems.formulas import Formulas
from nwidth.problems.min_theta import MinTheta, ThetaStable, positive, rounding_slack
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.box import Box
from nwidth.spaces.bricks import mass_lambda_min
from nwidth.spaces.mesh import Form, MeshSpace


@dataclass(frozen=True)
class ThermalBlock(Formulas, ThetaStable, Outputs, CellDiffusive, Storable):
    """`-∇·(κ(mu) ∇u) = 1` on the unit square, u = 0 on its boundary, κ = mu_i on block i of `blocks` x `blocks`.

    P1 triangles: each of the `resolution`² square cells is cut into four by its diagonals, which gives 20,201 nodes at
    the default. Blocks are numbered row by row from the lower left, `mu_1` ... A triangle belongs to the block that
    holds its centre. Parameters in [0.1, 1]. Output: the mean of u. Energy inner product: all mu_i = 1.
    """

    kind: ClassVar[str] = "thermal_block"

    blocks: int = 2
    resolution: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.blocks <= self.resolution:
            raise InputError(
                f"got {self.blocks} x {self.blocks} blocks on {self.resolution} cells per side; choose at least one "
                "block and one cell per block"
            )

    @cached_property
    def parameters(self) -> Box:
        """One conductivity per block."""
        return Box(tuple(f"mu_{i + 1}" for i in range(self.blocks**2)), low=0.1, high=1.0)

    @cached_property
    def _mesh(self) -> MeshTri:
        return MeshTri(*criss_cross(self.resolution))

    @cached_property
    def space(self) -> MeshSpace:
        """P1 on the mesh."""
        basis, terms = Basis(self._mesh, ElementTriP1()), self.terms()
        corners = self._mesh.t.T.astype(np.int32)
        area = 0.25 / self.resolution**2
        smallest = mass_lambda_min(len(terms.free), corners, np.full(len(corners), area / 12))
        # Friedrichs on the unit square: |∇v|² >= 2 π² |v|² for v = 0 on the boundary; then the element mass matrices
        # area/12 (1 + δ_ij), whose smallest eigenvalue is area/12. A part in 1e6 pays for rounding in the matrices
        return MeshSpace(
            nodes=np.ascontiguousarray(self._mesh.p.T),
            elements=corners,
            free=terms.free,
            energy=Form(sp.csr_array(sum(terms.matrices)), (1 - 1e-6) * 2 * np.pi**2 * smallest),
            mass=Form(sp.csr_array(_mass.assemble(basis)), (1 - 1e-6) * smallest),
        )

    @cached_property
    def _owner(self) -> Array:
        """The block of each triangle, `(T,)`."""
        mesh = self._mesh
        column, row = np.minimum((mesh.p[:, mesh.t].mean(axis=1) * self.blocks).astype(int), self.blocks - 1)
        return column + self.blocks * row

    @cached_property
    def _terms(self) -> AffineTerms:
        mesh, owner = self._mesh, self._owner
        parts = [Basis(mesh, ElementTriP1(), elements=np.flatnonzero(owner == i)) for i in range(self.blocks**2)]
        free = np.ones(mesh.p.shape[1], dtype=bool)
        free[mesh.boundary_nodes()] = False
        return AffineTerms(
            matrices=tuple(sp.csr_array(_stiffness.assemble(part)) for part in parts),
            loads=_load.assemble(Basis(mesh, ElementTriP1()))[None],
            free=free,
            lift=np.zeros(len(free)),
        )

    def terms(self) -> AffineTerms:
        """One stiffness matrix per block, one load."""
        return self._terms

    def formulas(self) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
        """θ = mu and φ = 1."""
        names = self.parameters.names
        return tuple(Expression.parse(name, names) for name in names), (Expression.parse(1.0, names),)

    def coefficients(self, mu: Mu | Array) -> tuple[Real, Real]:
        """θ = mu and φ = 1. Raises InputError for a conductivity that is not above zero."""
        theta = positive(mu, self.parameters.names, self.parameters.names)
        return theta, np.ones((len(theta), 1))

    @cached_property
    def stability(self) -> MinTheta:
        """`min mu` and `max mu`."""
        ones = np.ones(self.blocks**2)
        return MinTheta(ones, rounding_slack(self.terms(), ones, self.space.inner("energy").lambda_min))

    def cell_data(self, mu: Mu | Array) -> CellData:
        """The conductivity of each triangle's block, and the source 1."""
        theta, _ = self.coefficients(mu)
        return CellData(theta[:, self._owner], np.ones((len(theta), len(self._owner))))

    def quantities(self) -> Mapping[str, Quantity]:
        """The mean of u over the square (its area is 1)."""
        return {"mean": Quantity(self.terms().loads[0])}

    def to_parts(self) -> Parts:
        """The configuration, and numbers that must come out again."""
        return Parts({"blocks": self.blocks, "resolution": self.resolution}, {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again. Raises InputError where this version would solve another problem."""
        return verify(cls(**config), arrays["check"])


@BilinearForm
def _stiffness(u: Any, v: Any, _: Any) -> Any:
    return dot(grad(u), grad(v))


@BilinearForm
def _mass(u: Any, v: Any, _: Any) -> Any:
    return u * v


@LinearForm
def _load(v: Any, _: Any) -> Any:
    return 1.0 * v


def criss_cross(cells: int) -> tuple[Real, Array]:
    """Nodes `(2, n)` and triangles `(3, 4 cells²)` of the unit square, each cell cut into four by its diagonals."""
    line = np.linspace(0.0, 1.0, cells + 1)
    centre = (line[:-1] + line[1:]) / 2
    corners = np.stack(np.meshgrid(line, line, indexing="xy")).reshape(2, -1)
    middles = np.stack(np.meshgrid(centre, centre, indexing="xy")).reshape(2, -1)
    lower = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    ring = np.stack([lower, lower + 1, lower + cells + 2, lower + cells + 1])
    middle = corners.shape[1] + np.arange(cells**2)
    sides = [np.stack([ring[i], ring[(i + 1) % 4], middle]) for i in range(4)]
    return np.concatenate([corners, middles], axis=1), np.concatenate(sides, axis=1)
