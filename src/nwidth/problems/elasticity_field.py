"""A clamped elastic block whose stiffness is a random field: one parameter per point, not affine in few."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, check_batched
from nwidth.problems.base import Stability, Stable
from nwidth.problems.elastic_body import ElasticBody, box_mesh
from nwidth.problems.fixed_pattern import Filled, FixedPattern
from nwidth.problems.near_null import NearNull
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.factor import Pattern
from nwidth.spaces.fixed_assembly import FreePart
from nwidth.spaces.mesh import MeshSpace
from nwidth.spaces.nodal import Nodal
from nwidth.spaces.random_field import LogNormalField

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class ElasticityField(FixedPattern, Stable, NearNull, Storable):
    """`-div σ(u) = 0` in the unit square (plane strain) or cube, u = 0 at x = 0, traction (0, -1(, 0)) at x = 1.

    Young's modulus E is a log-normal field given at the nodes of a grid with `resolution` cells per direction, the
    parameter `E`: `sigma` is the standard deviation of its logarithm, 1 / `tau` its correlation length. Elements of
    `degree` 1 or 2 on the same cells, each cut into triangles or tetrahedra; each takes E at its centre. Energy inner
    product: E = 1.
    """

    kind: ClassVar[str] = "elasticity_field"

    dim: int = 2
    resolution: int = 32
    degree: int = 1
    poisson: float = 0.3
    sigma: float = 1.0
    tau: float = 3.0

    def __post_init__(self) -> None:
        if self.dim not in (2, 3):
            raise InputError(f"dim is {self.dim}; choose 2 (plane strain) or 3")
        _ = self._body, self.parameters  # raises what is wrong with the elements, the material or the law

    @cached_property
    def parameters(self) -> LogNormalField:
        """The modulus at the nodes of the grid."""
        return LogNormalField(
            "E",
            self.resolution,
            self.tau,
            0.5 + self.dim / 2 + 0.5,
            64 if self.dim == 2 else 16,
            self.dim,
            sigma=self.sigma,
        )

    @cached_property
    def _body(self) -> ElasticBody:
        mesh = box_mesh((1.0,) * self.dim, (self.resolution,) * self.dim)
        return ElasticBody(Nodal(mesh, self.degree, self.dim), self.poisson)

    @cached_property
    def space(self) -> MeshSpace:
        """Displacements."""
        return self._body.clamped_space((1.0,) * self.dim)

    @cached_property
    def _centres(self) -> sp.csr_array:
        """Multilinear interpolation from the grid's nodes to the centres of the elements, `(E, nodes)`."""
        mesh = self._body.nodal.mesh
        place = mesh.p[:, mesh.t].mean(axis=1) * self.resolution
        cell = np.minimum(place.astype(int), self.resolution - 1)
        share, rows, shape = place - cell, np.arange(place.shape[1]), (self.resolution + 1,) * self.dim
        total = sp.csr_array((len(rows), int(np.prod(shape))))
        for corner in np.ndindex(*(2,) * self.dim):
            upper = np.array(corner)[:, None]
            weight = np.prod(np.where(upper, share, 1 - share), axis=0)
            total = total + sp.csr_array(
                (weight, (rows, np.ravel_multi_index(tuple(cell + upper), shape))), total.shape
            )
        return total

    def modulus(self, mu: Mu | Array) -> Real:
        """E of every element, `(B, E)`. Raises InputError where a value is not a finite number above zero."""
        values = as_mu(mu, self.parameters.names)["E"]
        nodal = check_batched("E", np.asarray(values, dtype=np.float64), self.parameters.shape).reshape(len(values), -1)
        good = (nodal > 0) & (nodal < np.inf)
        if not good.all():
            row, node = np.argwhere(~good)[0]
            raise InputError(f"E is {nodal[row, node]} in row {row}; Young's modulus must be a number above zero")
        return np.ascontiguousarray((self._centres @ nodal.T).T)

    @cached_property
    def _load(self) -> Real:
        traction = self._body.tractions(self._body.end(1.0))[1]
        return -traction.vector(traction.ones)

    @cached_property
    def _free_part(self) -> FreePart:
        return FreePart(self._body.stiffness.pattern, self.free)

    @property
    def pattern(self) -> Pattern:
        return self._free_part.pattern

    @cached_property
    def free(self) -> Mask:
        return self._body.held(self._body.end(0.0))

    def fill(self, mu: Mu) -> Filled:
        """The systems of a batch; the pattern is never built again."""
        modulus = self.modulus(mu)
        values = self._body.stiffness.values(modulus)[:, self._free_part.places]
        load = np.tile(self._load[self.free], (len(modulus), 1))
        return Filled(values, load, np.zeros((len(modulus), len(self.free))))

    def constant(self, mu: Mu | Array, field: Array | None = None) -> Stability:
        """Smallest and largest modulus of an element: `A - E_min X = ∫ (E - E_min) σ₁ : ε` is semidefinite."""
        modulus = self.modulus(mu)
        low, high = modulus.min(axis=1), modulus.max(axis=1)
        return Stability(lower=low - self._slack * (low + high), upper=high + self._slack * (low + high))

    @cached_property
    def _slack(self) -> float:
        """What rounding in the assembly can shift, relative to the energy: see `min_theta.rounding_slack`."""
        form = self.space.energy
        width = int(np.diff(form.matrix.indptr).max())
        return 64 * _EPS * width * float(np.abs(form.matrix.diagonal()).max()) / form.lambda_min

    def near_null(self) -> Real:
        """Rigid motions."""
        return self._body.rigid_modes()

    def at(self, resolution: int) -> "ElasticityField":
        """The same block on another mesh; a draw is the same field."""
        return ElasticityField(**{**asdict(self), "resolution": resolution})

    def to_parts(self) -> Parts:
        """The configuration, and numbers that must come out again."""
        return Parts(asdict(self), {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again. Raises InputError where this version would solve another problem."""
        return verify(cls(**config), arrays["check"])
