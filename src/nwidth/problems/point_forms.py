"""What coefficients given at quadrature points act on: matrices and loads that are linear in these values.

The matrix of a coefficient g is `Σ_k g(x_k) A_k` over the quadrature points, each A_k semidefinite and fixed. So with X
the matrix of the coefficient 1, `min_k g(x_k) X <= A <= max_k g(x_k) X`, and for two coefficients

    |vᵀ (A - Ã) w| <= max_k |g - g̃|(x_k) ‖v‖_X ‖w‖_X,

both exactly for the discrete matrices, without an error of quadrature: Cauchy-Schwarz for the sum over k.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from skfem import BilinearForm, LinearForm
from skfem.helpers import dot, grad

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.spaces.fixed_assembly import FixedForm, FixedLoad, FreePart, pattern_of
from nwidth.spaces.mesh import Form, MeshSpace
from nwidth.spaces.nodal import Nodal

_EPS = float(np.finfo(np.float64).eps)
#: A part in a million pays for rounding in the matrices.
_SLACK = 1 - 1e-6


@dataclass(frozen=True, eq=False)
class PointForms:
    """`∫ a ∇u·∇v`, `∫ c u v` and `∫ f v` on scalar elements, for values of a, c, f at the quadrature points, `(n,)`.

    `free (N,)`: the dofs that are not prescribed; `lift (N,)`: the prescribed values, zero at free dofs. `friedrichs`:
    C with `∫ v² <= C ∫ |∇v|²` for every v that vanishes where values are prescribed (an inequality, not a computed
    eigenvalue; 1 / (2 π²) on the unit square with all sides prescribed). The quadrature must integrate v² exactly.

    Raises InputError for vector elements or a quadrature that is too coarse.
    """

    nodal: Nodal
    free: Mask
    lift: Real
    friedrichs: float

    def __post_init__(self) -> None:
        if self.nodal.components or (self.nodal.intorder or 0) < 2 * self.nodal.degree:
            raise InputError(
                f"got {self.nodal.components} components and a quadrature of order {self.nodal.intorder}; expected "
                f"scalar elements and at least intorder={2 * self.nodal.degree}, which integrates v² exactly"
            )
        if self.free.all() or not self.free.any() or self.lift[self.free].any():
            raise InputError("some dofs must be prescribed and some free, and the lift must vanish at the free ones")

    @cached_property
    def points(self) -> Real:
        """The quadrature points, `(n, dim)`."""
        places = np.asarray(self.nodal.basis.global_coordinates())
        return np.ascontiguousarray(places.reshape(self.nodal.dim, -1).T)

    @cached_property
    def weights(self) -> Real:
        """Their weights, `(n,)`."""
        return np.ascontiguousarray(self.nodal.basis.dx.ravel())

    @cached_property
    def stiffness(self) -> FixedForm:
        """`∫ a ∇u·∇v`."""
        dofs = self.nodal.dofs()
        return FixedForm(_stiffness, self.nodal.basis, dofs, pattern_of(dofs), "point")

    @cached_property
    def mass(self) -> FixedForm:
        """`∫ c u v`, on the same pattern."""
        return FixedForm(_mass, self.nodal.basis, self.nodal.dofs(), self.stiffness.pattern, "point")

    @cached_property
    def load(self) -> FixedLoad:
        """`∫ f v`."""
        return FixedLoad(_load, self.nodal.basis, self.nodal.dofs(), "point")

    @cached_property
    def gradients(self) -> tuple[sp.csr_array, ...]:
        """From dofs to each component of the gradient at the points, `(n, N)` each."""
        dim = self.nodal.dim
        return tuple(self._at_points([part[0].grad[d] for part in self.nodal.basis.basis]) for d in range(dim))

    @cached_property
    def evaluation(self) -> sp.csr_array:
        """From dofs to the values at the points, `(n, N)`."""
        return self._at_points([part[0].value for part in self.nodal.basis.basis])

    def _at_points(self, shapes: list[Array]) -> sp.csr_array:
        elements, (count, per) = self.nodal.basis.element_dofs, self.stiffness.shape
        values = np.stack([np.broadcast_to(np.asarray(shape), (count, per)).ravel() for shape in shapes], axis=1)
        columns = np.repeat(elements.T, per, axis=0)
        starts = np.arange(len(values) + 1) * len(shapes)
        return sp.csr_array((values.ravel(), columns.ravel(), starts), shape=(len(values), len(self.free)))

    def shaped(self, values: Real) -> Real:
        """Values at the points `(B, n)` as the forms take them."""
        return values.reshape(len(values), *self.stiffness.shape)

    @cached_property
    def free_part(self) -> FreePart:
        """The entries between free dofs."""
        return FreePart(self.stiffness.pattern, self.free)

    @cached_property
    def space(self) -> MeshSpace:
        """The finite-element space; energy inner product: a = 1.

        Its smallest eigenvalue: `∫|∇v|² >= ∫v² / C >= λ_min(mass) |v|² / C`.
        """
        mass, smallest = self.nodal.mass()
        stiffness = self.stiffness.matrix(self.stiffness.ones)
        return MeshSpace(
            nodes=self.nodal.nodes,
            elements=self.nodal.elements,
            free=self.free,
            energy=Form(stiffness, _SLACK * smallest / self.friedrichs),
            mass=Form(mass, smallest),
            cell=self.nodal.cell,
        )

    @cached_property
    def slack(self) -> float:
        """What rounding in the matrices can shift their comparison with X, relative to the size of the coefficient: see
        `min_theta.rounding_slack`."""
        return 64 * _EPS * self.stiffness_norm / self.space.energy.lambda_min

    @property
    def operations(self) -> int:
        """At least the number of rounded operations behind one entry of a matrix or a load."""
        elements = np.bincount(self.nodal.elements.ravel())
        return int(elements.max()) * self.stiffness.shape[1] + 4

    @cached_property
    def stiffness_norm(self) -> float:
        """A bound of `‖ Σ_k |A_k| ‖₂` over the quadrature points: `|A_k|_ij <= (A_k,ii + A_k,jj) / 2`, by rows."""
        return _row_bound(self.space.energy)

    @cached_property
    def mass_norm(self) -> float:
        """The same for `∫ c u v`."""
        return _row_bound(self.space.mass)

    @cached_property
    def load_norm(self) -> float:
        """A bound of `‖ Σ_k w_k |φ(x_k)| ‖₂`: Cauchy-Schwarz on the support of each basis function."""
        corners = self.nodal.elements
        volumes = np.repeat(self.weights.reshape(len(corners), -1).sum(axis=1), corners.shape[1])
        support = np.bincount(corners.ravel(), volumes, minlength=len(self.free))
        return float(np.sqrt(support @ self.space.mass.matrix.diagonal())) * (1 + 1e-9)


def _row_bound(form: Form) -> float:
    return int(np.diff(form.matrix.indptr).max()) * float(np.abs(form.matrix.diagonal()).max())


@BilinearForm
def _stiffness(u: Any, v: Any, _: Any) -> Any:
    return dot(grad(u), grad(v))


@BilinearForm
def _mass(u: Any, v: Any, _: Any) -> Any:
    return u * v


@LinearForm
def _load(v: Any, _: Any) -> Any:
    return 1.0 * v
