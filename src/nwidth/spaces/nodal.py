"""Lagrange elements of degree 1 and 2 on simplices, scalar or vector: from scikit-fem's meshes to the spaces here.

Fields here are `(C, nodes)`, component by component; scikit-fem numbers the components of each node one after the
other. `Nodal.order` leads from its numbers to ours.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from skfem import (
    AbstractBasis,
    Basis,
    BilinearForm,
    ElementTetP1,
    ElementTetP2,
    ElementTriP1,
    ElementTriP2,
    ElementVector,
    FacetBasis,
    Mesh,
    MeshTet,
    MeshTri,
)

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.spaces.fixed_assembly import Dofs, FixedForm, pattern_of

_ELEMENTS = {(2, 1): ElementTriP1, (2, 2): ElementTriP2, (3, 1): ElementTetP1, (3, 2): ElementTetP2}
_CELLS = {(2, 1): "triangle", (2, 2): "triangle6", (3, 1): "tetra", (3, 2): "tetra10"}
#: What rounding in the mass matrix may take from a computed bound.
_SLACK = 1 - 1e-6


@dataclass(frozen=True, eq=False)
class Nodal:
    """Continuous piecewise polynomials of `degree` 1 or 2 on triangles or tetrahedra, with `components` values per node
    (0: a scalar field). `intorder` is the degree that the quadrature integrates exactly."""

    mesh: Mesh
    degree: int = 1
    components: int = 0
    intorder: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.mesh, MeshTri | MeshTet) or (self.mesh.dim(), self.degree) not in _ELEMENTS:
            raise InputError(
                f"got a {type(self.mesh).__name__} and degree {self.degree}; expected triangles or tetrahedra with "
                "straight edges, and degree 1 or 2"
            )

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return int(self.mesh.dim())

    @property
    def cell(self) -> str:
        """The element's name as VTK has it."""
        return _CELLS[self.dim, self.degree]

    @cached_property
    def basis(self) -> Basis:
        """scikit-fem's basis on the elements."""
        return Basis(self.mesh, self._element(self.components), intorder=self.intorder)

    def boundary(self, facets: Array) -> FacetBasis:
        """scikit-fem's basis on some facets."""
        return FacetBasis(self.mesh, self._element(self.components), facets=facets, intorder=self.intorder)

    @cached_property
    def _scalar(self) -> Basis:
        return self.basis if not self.components else Basis(self.mesh, self._element(0), intorder=1)

    @cached_property
    def nodes(self) -> Real:
        """Coordinates of the nodes, `(n, dim)`."""
        return np.ascontiguousarray(self._scalar.doflocs.T)

    @cached_property
    def elements(self) -> Array:
        """Nodes of the elements, `(E, corners)`."""
        return np.ascontiguousarray(self._scalar.element_dofs.T.astype(np.int32))

    @cached_property
    def order(self) -> Array:
        """Our number of each of scikit-fem's dofs."""
        if not self.components:
            return np.arange(self.basis.N)
        order, nodes = np.empty(self.basis.N, dtype=np.int64), len(self.nodes)
        for kind in ("nodal_dofs", "edge_dofs", "facet_dofs", "interior_dofs"):
            scalar, vector = getattr(self._scalar, kind), getattr(self.basis, kind)
            if scalar is not None and np.size(scalar):
                for c in range(self.components):
                    order[vector[c]] = c * nodes + scalar[0]
        return order

    @property
    def size(self) -> int:
        """Number of dofs N."""
        return int(self.basis.N)

    def dofs(self, basis: AbstractBasis | None = None) -> Dofs:
        """The unknowns of the elements, or of a basis on facets, in our numbers."""
        return Dofs.of(self.basis if basis is None else basis, self.order)

    def mass(self) -> tuple[sp.csr_array, float]:
        """`∫ u·v` over all dofs and a proven lower bound of its smallest eigenvalue.

        `vᵀ M v = Σ_e v_eᵀ M_e v_e >= min_i (Σ_{e∋i} λ_e) |v|²`, with λ_e the smallest eigenvalue of the element matrix,
        which on a straight simplex is its volume times a constant.
        """
        exact = Nodal(self.mesh, self.degree, self.components, 2 * self.degree)
        dofs = exact.dofs()
        form = FixedForm(_mass, exact.basis, dofs, pattern_of(dofs))
        volumes = exact.basis.dx.sum(axis=1)
        smallest = np.repeat(volumes * _reference_eigenvalue(exact), self.elements.shape[1])
        bound = np.bincount(self.elements.ravel(), smallest, minlength=len(self.nodes)).min()
        return form.matrix(form.ones), float(_SLACK * bound)

    def facets(self, inside: Mask) -> Array:
        """The boundary facets with a true entry in `inside`, one for each of all facets."""
        return np.intersect1d(self.mesh.boundary_facets(), np.flatnonzero(inside))

    def on_facets(self, facets: Array) -> Mask:
        """Which nodes lie on the given facets, `(n,)`."""
        mask = np.zeros(len(self.nodes), dtype=bool)
        mask[self._scalar.get_dofs(facets).all()] = True
        return mask

    def _element(self, components: int) -> Any:
        scalar = _ELEMENTS[self.dim, self.degree]()
        return ElementVector(scalar, components) if components else scalar


def _reference_eigenvalue(nodal: Nodal) -> float:
    """The smallest eigenvalue of a scalar element's mass matrix of unit volume."""
    scalar = Basis(nodal.mesh.restrict(np.array([0])), nodal._element(0), intorder=2 * nodal.degree)
    local = _mass.assemble(scalar).toarray() / scalar.dx.sum()
    return float(np.linalg.eigvalsh(local)[0])


@BilinearForm
def _mass(u: Any, v: Any, _: Any) -> Any:
    return u * v if u.ndim == 2 else (u * v).sum(axis=0)
