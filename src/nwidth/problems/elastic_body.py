"""Linear elasticity on a mesh: the forms, loads and spaces that all problems of elasticity share.

    -div σ = f,     σ = λ tr(ε) I + 2 μ ε,     ε = (∇u + ∇uᵀ) / 2,
    λ = E ν / ((1 + ν)(1 - 2 ν)),     μ = E / (2 (1 + ν)),

in three dimensions, or in two as plane strain. Young's modulus E varies, Poisson's ratio ν is one number, so that the
matrix is linear in E: `A = Σ E_i A_i` with the entries computed once (`nwidth.spaces.fixed_assembly`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from skfem import BilinearForm, LinearForm, MeshTet, MeshTri
from skfem.helpers import ddot, div, sym_grad

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.problems.near_null import rigid_modes
from nwidth.spaces.fixed_assembly import Dofs, FixedForm, FixedLoad, Where, pattern_of
from nwidth.spaces.mesh import Form, MeshSpace
from nwidth.spaces.nodal import Nodal

#: A part in a million pays for rounding in the matrices.
_SLACK = 1 - 1e-6


def lame(young: float, poisson: float) -> tuple[float, float]:
    """Lamé's constants (λ, μ) from Young's modulus and Poisson's ratio.

    Raises InputError unless E > 0 and 0 <= ν < 1/2 (the limit is an incompressible material, which these elements
    cannot represent: they lock).
    """
    if not (young > 0 and 0 <= poisson < 0.5):
        raise InputError(f"Young's modulus {young} and Poisson's ratio {poisson}; expected E > 0 and 0 <= ν < 0.5")
    return young * poisson / ((1 + poisson) * (1 - 2 * poisson)), young / (2 * (1 + poisson))


def young(lam: float, mu: float) -> tuple[float, float]:
    """Young's modulus and Poisson's ratio from Lamé's constants, the inverse of `lame`.

    Raises InputError unless μ > 0 and λ >= 0.
    """
    if not (mu > 0 and lam >= 0):
        raise InputError(f"Lamé's constants λ = {lam}, μ = {mu}; expected λ >= 0 and μ > 0")
    return mu * (3 * lam + 2 * mu) / (lam + mu), lam / (2 * (lam + mu))


def box_mesh(lengths: Sequence[float], cells: Sequence[int]) -> MeshTri | MeshTet:
    """A box cut into cells, each into two triangles or six tetrahedra."""
    axes = [np.linspace(0.0, length, count + 1) for length, count in zip(lengths, cells, strict=True)]
    return MeshTri.init_tensor(*axes) if len(axes) == 2 else MeshTet.init_tensor(*axes)


@dataclass(frozen=True, eq=False)
class ElasticBody:
    """A mesh with elements and Poisson's ratio ν; `where` Young's modulus has its values: per element or per point."""

    nodal: Nodal
    poisson: float = 0.3
    where: Where = "element"

    def __post_init__(self) -> None:
        lame(1.0, self.poisson)
        if self.nodal.components != self.nodal.dim:
            raise InputError(
                f"displacements in {self.nodal.dim} dimensions need as many components, got {self.nodal.components}"
            )

    @property
    def dim(self) -> int:
        """Dimensions of space, and components of the displacement."""
        return self.nodal.dim

    @cached_property
    def dofs(self) -> Dofs:
        """The unknowns of the elements."""
        return self.nodal.dofs()

    @cached_property
    def stiffness(self) -> FixedForm:
        """The matrix as a function of Young's modulus."""
        lam, mu = lame(1.0, self.poisson)

        @BilinearForm
        def form(u: Any, v: Any, _: Any) -> Any:
            return lam * div(u) * div(v) + 2 * mu * ddot(sym_grad(u), sym_grad(v))

        return FixedForm(form, self.nodal.basis, self.dofs, pattern_of(self.dofs), self.where)

    @cached_property
    def body_loads(self) -> tuple[FixedLoad, ...]:
        """`∫ f v_c` for each component c; densities are given at the quadrature points, `(E, Q)`."""
        return tuple(FixedLoad(_component(c), self.nodal.basis, self.dofs, "point") for c in range(self.dim))

    def tractions(self, facets: Array) -> tuple[FixedLoad, ...]:
        """`∫ t v_c` over some facets for each component c, tractions at their quadrature points `(facets, Q)`."""
        basis = self.nodal.boundary(facets)
        return tuple(FixedLoad(_component(c), basis, self.nodal.dofs(basis), "point") for c in range(self.dim))

    def rigid_modes(self) -> Real:
        """Translations and rotations, `(3 or 6, N)`: the kernel of the matrix where nothing is held."""
        return rigid_modes(self.nodal.nodes)

    def held(self, facets: Array) -> Mask:
        """The free dofs where the displacement of some facets is prescribed, `(N,)`."""
        return ~np.tile(self.nodal.on_facets(facets), self.dim)

    def clamped_space(self, lengths: Sequence[float]) -> MeshSpace:
        """The space of displacements of a box that is clamped at x = 0; energy with E = 1.

        Its smallest eigenvalue: `energy >= 2 μ ‖ε‖² >= 2 μ / C ‖v‖² >= 2 μ / C λ_min(mass) |v|²`, see `korn_constant`.
        """
        mass, smallest = self.nodal.mass()
        _, mu = lame(1.0, self.poisson)
        return MeshSpace(
            nodes=self.nodal.nodes,
            elements=self.nodal.elements,
            free=self.held(self.end(0.0)),
            energy=Form(
                self.stiffness.matrix(self.stiffness.ones), _SLACK * 2 * mu * smallest / korn_constant(lengths)
            ),
            mass=Form(mass, smallest),
            cell=self.nodal.cell,
            names=("ux", "uy", "uz")[: self.dim],
        )

    def end(self, place: float) -> Array:
        """The facets in the plane x = place."""
        middle = self.nodal.mesh.p[0, self.nodal.mesh.facets].mean(axis=0)
        return self.nodal.facets(np.abs(middle - place) < 1e-9 * (1 + abs(place)))


def korn_constant(lengths: Sequence[float]) -> float:
    """C with `‖v‖² <= C ‖ε(v)‖²` in L² for every v on the box (0, L) x (0, W_1) ... that vanishes at x = 0.

    Along a straight line in direction p the derivative of v·p is pᵀ ε p, so v·p at a point is the integral of pᵀ ε p
    from where the line meets the clamped end. With p along x this bounds v_x: ‖v_x‖² <= L²/2 ‖ε‖². From the half of the
    box with x_i < W_i/2 the line p = (-L, W_i/2) reaches the clamped end inside the box, and from the other half its
    mirror image: ‖v·p‖² <= |p|⁴ ‖ε‖² over both halves. Hence ‖v_i‖ <= (2 / W_i) (|p|² + L²/√2) ‖ε‖.
    """
    length, widths = lengths[0], lengths[1:]
    lateral = [2 / w * (length**2 + w**2 / 4 + length**2 / np.sqrt(2)) for w in widths]
    return float(length**2 / 2 + sum(part**2 for part in lateral))


def _component(c: int) -> LinearForm:
    @LinearForm
    def load(v: Any, _: Any) -> Any:
        return v[c]

    return load
