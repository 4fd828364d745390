"""Heat conduction in time with a known solution, on grids and on triangles: what implicit steppers are tested on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import scipy.sparse as sp
from skfem import BilinearForm, LinearForm, MeshTri
from skfem.helpers import dot, grad

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, batch_size, check_choice
from nwidth.problems.base import Resizable, Stability, Stable
from nwidth.problems.evolution import LinearEvolution, Marching, checked_times
from nwidth.problems.poisson import Poisson
from nwidth.problems.stored_evolution import check_numbers, verify_numbers
from nwidth.problems.thermal_block import criss_cross
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.box import Box
from nwidth.spaces.fixed_assembly import FixedForm, FixedLoad, pattern_of
from nwidth.spaces.grid import Grid
from nwidth.spaces.mesh import Form, MeshSpace
from nwidth.spaces.nodal import Nodal

#: How far the inner nodes of the triangles are moved.
_SHIFT = 0.04
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Heat(LinearEvolution, Stable, Resizable, Storable):
    """`∂t u = ∇·(κ a ∇u) + f` in (0, 1)^dim, u = g(t) on the boundary, with a solution in closed form:

        u(x, t) = e^-t Π_d cos(ω x_d) + (1 - t/2) Σ_d x_d,     a(x) = 1 + s |x|² / dim,

    f, g and the initial state to match. Parameters: `conductivity` κ in [0.1, 1], `slope` s in [0, 3], `frequency` ω in
    [1, 4]. `elements`: "grid" (second-order differences on `resolution` cells per direction, lumped mass) or
    "triangles" (linear elements on 4 `resolution`² triangles of two dimensions, no two of one shape, consistent mass).
    `levels`: the stored times. Linear in x, the second term is exact on grids for a constant a.
    """

    kind: ClassVar[str] = "heat"

    resolution: int = 32
    dim: int = 2
    elements: Literal["grid", "triangles"] = "grid"
    levels: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(float(t) for t in np.atleast_1d(self.levels)))
        checked_times(self.times, "Heat")
        check_choice("elements", self.elements, ("grid", "triangles"))
        if self.elements == "triangles" and self.dim != 2:
            raise InputError(f"triangles in {self.dim} dimensions; they need dim=2")
        if self.elements == "grid":
            _ = self.space  # raises what is wrong with the grid
        elif self.resolution < 2:
            raise InputError(f"resolution = {self.resolution}; take at least 2 cells per direction")

    @property
    def parameters(self) -> Box:
        return Box(("conductivity", "slope", "frequency"), low=(0.1, 0.0, 1.0), high=(1.0, 3.0, 4.0))

    @property
    def space(self) -> FunctionSpace:
        return self._discrete.space

    @property
    def times(self) -> Real:
        return np.array(self.levels)

    def at(self, resolution: int) -> "Heat":
        return replace(self, resolution=resolution)

    def initial(self, mu: Mu | Array) -> Real:
        return self._at(mu, 0.0)

    def exact(self, mu: Mu | Array) -> Real:
        """The solution of the differential equation at nodes and stored times, `(B, T, *space.shape)`."""
        return np.stack([self._at(mu, float(t)) for t in self.times], axis=1)

    def marching(self, mu: Mu | Array) -> Marching:
        """Matrices and loads of one parameter. Raises InputError for a batch of another size."""
        values = as_mu(mu, self.parameters.names)
        if batch_size(values) != 1:
            raise InputError(f"marching takes one parameter, got {batch_size(values)}; call it for each")
        kappa, slope, omega = (float(np.asarray(values[n]).ravel()[0]) for n in self.parameters.names)
        if not (kappa > 0 and slope > -1):
            raise InputError(f"conductivity = {kappa:g}, slope = {slope:g}; heat needs κ > 0 and 1 + s |x|²/dim > 0")
        parts, nodes = self._discrete, self.space.points()
        waves, drift, rest = (parts.load(part) for part in self._sources(kappa, slope, omega))
        cosines, line = np.prod(np.cos(omega * nodes), axis=1), nodes.sum(axis=1)
        return Marching(
            parts.mass,
            kappa * parts.stiffness(slope),
            parts.free,
            load=lambda t: np.exp(-t) * waves + (1 - t / 2) * drift + rest,
            lift=lambda t: np.exp(-t) * cosines + (1 - t / 2) * line,
        )

    def constant(self, mu: Mu | Array, field: Array | None = None) -> Stability:
        """`κ min(1, 1 + s) X <= A <= κ max(1, 1 + s) X`: 1 + s |x|²/dim lies between these, and so do its means.

        What rounding in the assembly can change is taken off. Raises InputError where A is not positive.
        """
        values = as_mu(mu, self.parameters.names)
        kappa, slope = (np.asarray(values[n], dtype=np.float64).ravel() for n in ("conductivity", "slope"))
        if not ((kappa > 0) & (slope > -1)).all():
            row = int(np.argmin((kappa > 0) & (slope > -1)))
            raise InputError(f"sample {row}: κ = {kappa[row]:g}, s = {slope[row]:g}; heat needs κ > 0 and s > -1")
        low, high = np.minimum(1.0, 1.0 + slope), np.maximum(1.0, 1.0 + slope)
        slack = self._discrete.rounding * high
        return Stability(kappa * (low - slack), kappa * (high + slack))

    def _sources(self, kappa: float, slope: float, omega: float) -> tuple["Place", "Place", "Place"]:
        """f = e^-t f_1 + (1 - t/2) f_2 + f_3 as functions of points `(..., dim)`."""
        factor = 2 * slope / self.dim

        def waves(x: Real) -> Real:
            cosines = np.cos(omega * x)
            product = np.prod(cosines, axis=-1)
            a = 1 + slope / self.dim * np.sum(x**2, axis=-1)
            # ∇a·∇Π cos = -(2s/dim) ω Σ_d x_d sin(ω x_d) Π_{e≠d} cos(ω x_e)
            others = [np.prod(np.delete(cosines, d, axis=-1), axis=-1) for d in range(self.dim)]
            slopes = sum(x[..., d] * np.sin(omega * x[..., d]) * o for d, o in enumerate(others))
            return -product + kappa * (a * self.dim * omega**2 * product + factor * omega * slopes)

        return waves, lambda x: -kappa * factor * x.sum(axis=-1), lambda x: -0.5 * x.sum(axis=-1)

    def _at(self, mu: Mu | Array, t: float) -> Real:
        omega = np.asarray(as_mu(mu, self.parameters.names)["frequency"], dtype=np.float64).reshape(-1, 1, 1)
        nodes = self.space.points()
        u = np.exp(-t) * np.prod(np.cos(omega * nodes), axis=-1) + (1 - t / 2) * nodes.sum(axis=1)
        return u.reshape(len(omega), *self.space.shape)

    @cached_property
    def _discrete(self) -> "_OnGrid | _OnTriangles":
        return _OnGrid(self.resolution, self.dim) if self.elements == "grid" else _OnTriangles(self.resolution)

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {"check": check_numbers(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return verify_numbers(cls(**config), arrays["check"])


class Place(Protocol):
    """A function of points `(..., dim)`."""

    def __call__(self, x: Real, /) -> Real:
        """Its values `(...)`."""


class _OnGrid:
    """Differences on the nodes of a grid, lumped mass."""

    def __init__(self, resolution: int, dim: int):
        self.space = Grid((resolution,) * dim)
        self.free: Mask = self.space.free
        ends = np.where(np.arange(resolution + 1) % resolution == 0, 0.5, 1.0) / resolution
        weights = np.ones(1)
        for _ in range(dim):
            weights = np.multiply.outer(weights, ends).reshape(-1)
        self._weights = weights
        # entries are sums over 2 dim faces; X is exact
        self.rounding = 64 * _EPS * 8 * float(sum(self.space.face_weights)) / self.space.inner("energy").lambda_min
        self.mass = sp.csr_array(sp.diags_array(weights))
        self._poisson = Poisson(resolution, dim)

    def stiffness(self, slope: float) -> sp.csr_array:
        """`∫ a ∇u·∇v` over all nodes."""
        system = self._poisson.assemble({"slope": np.array([slope]), "frequency": np.ones(1)})
        return sp.csr_array(system.matrix)

    def load(self, source: Place) -> Real:
        """`∫ f v`."""
        return self._weights * source(self.space.points())


class _OnTriangles:
    """Linear elements on moved triangles, consistent mass."""

    def __init__(self, resolution: int):
        points, triangles = criss_cross(resolution)
        bump = np.sin(np.pi * points[0]) * np.sin(np.pi * points[1])
        moved = points + _SHIFT * np.stack([bump * np.cos(3 * points[1]), bump * np.sin(5 * points[0])])
        nodal = Nodal(MeshTri(moved, triangles), intorder=4)
        dofs = nodal.dofs()
        self._form = FixedForm(_stiffness, nodal.basis, dofs, pattern_of(dofs), "point")
        self._load = FixedLoad(_source, nodal.basis, dofs, "point")
        self._points = np.moveaxis(np.asarray(nodal.basis.global_coordinates()), 0, -1)
        self.free = ~nodal.on_facets(nodal.mesh.boundary_facets())
        self.mass, smallest = nodal.mass()
        # Friedrichs on the unit square: |∇v|² >= 2 π² |v|² for v = 0 on the boundary
        energy = Form(self._form.matrix(self._form.ones), (1 - 1e-6) * 2 * np.pi**2 * smallest)
        # entries are sums over a few elements, of a matrix whose absolute row sums are those of X times at most max a
        largest = float(abs(energy.matrix).sum(axis=1).max())
        self.rounding = 128 * _EPS * largest / energy.lambda_min
        self.space = MeshSpace(nodal.nodes, nodal.elements, self.free, energy, Form(self.mass, smallest), nodal.cell)

    def stiffness(self, slope: float) -> sp.csr_array:
        """`∫ a ∇u·∇v` over all nodes."""
        return self._form.matrix(1 + slope / 2 * np.sum(self._points**2, axis=-1))

    def load(self, source: Place) -> Real:
        """`∫ f v`, by quadrature."""
        return self._load.vector(source(self._points))


@BilinearForm
def _stiffness(u: Any, v: Any, _: Any) -> Any:
    return dot(grad(u), grad(v))


@LinearForm
def _source(v: Any, _: Any) -> Any:
    return 1.0 * v
