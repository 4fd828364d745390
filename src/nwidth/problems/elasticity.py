"""A clamped elastic block of several materials, pulled and sheared at its end: affine, with proven constants."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, check_finite
from nwidth.problems.base import Affine, AffineTerms, Outputs, Quantity, Stability, Stable
from nwidth.problems.elastic_body import ElasticBody, box_mesh
from nwidth.problems.min_theta import min_theta, positive, rounding_slack
from nwidth.problems.near_null import NearNull
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.box import Box
from nwidth.spaces.mesh import MeshSpace
from nwidth.spaces.nodal import Nodal


@dataclass(frozen=True)
class Elasticity(Affine, Stable, Outputs, NearNull, Storable):
    """`-div σ(u) = 0` in a block (0, `length`) x (0, 1) (x (0, 1)), u = 0 at x = 0, traction t at x = `length`.

    Plane strain for `dim` 2. Young's modulus is E_i on region i: the block is cut into `blocks` x `blocks` regions in x
    and y, numbered along x first. Lagrange elements of `degree` 1 or 2 on `resolution` cells per unit length, each cut
    into triangles or tetrahedra; an element belongs to the region that holds its centre. Poisson's ratio `poisson`.

    Parameters: E_1 ... in GPa from 1 to 10 (drawn on a logarithmic scale), the traction's components t_x, t_y (t_z) in
    MPa from -1 to 1. Lengths in m give displacements in mm, `(B, dim, nodes)`. Outputs: the mean displacement of the
    loaded end. Energy inner product: all E_i = 1.
    """

    kind: ClassVar[str] = "elasticity"

    dim: int = 2
    blocks: int = 2
    resolution: int = 16
    degree: int = 1
    poisson: float = 0.3
    length: float = 2.0

    def __post_init__(self) -> None:
        if self.dim not in (2, 3) or not 1 <= self.blocks <= self.resolution or not self.length > 0:
            raise InputError(
                f"{self}: expected dim 2 or 3, a length above zero, and at least one cell per region and direction "
                "(blocks <= resolution)"
            )
        _ = self._body  # raises what is wrong with the elements or the material

    @cached_property
    def parameters(self) -> Box:
        """Moduli and tractions."""
        count = self.blocks**2
        return Box(
            tuple(f"E_{i + 1}" for i in range(count)) + self._loads,
            low=[1.0] * count + [-1.0] * self.dim,
            high=[10.0] * count + [1.0] * self.dim,
            units=["GPa"] * count + ["MPa"] * self.dim,
            log=[True] * count + [False] * self.dim,
        )

    @property
    def _loads(self) -> tuple[str, ...]:
        return ("t_x", "t_y", "t_z")[: self.dim]

    @property
    def lengths(self) -> tuple[float, ...]:
        """Edges of the block, in m."""
        return (self.length, 1.0, 1.0)[: self.dim]

    @cached_property
    def _body(self) -> ElasticBody:
        cells = [max(1, round(self.resolution * edge)) for edge in self.lengths]
        return ElasticBody(Nodal(box_mesh(self.lengths, cells), self.degree, self.dim), self.poisson)

    @cached_property
    def space(self) -> MeshSpace:
        """Displacements, in mm."""
        return self._body.clamped_space(self.lengths)

    @cached_property
    def _terms(self) -> AffineTerms:
        body = self._body
        centre = body.nodal.mesh.p[:, body.nodal.mesh.t].mean(axis=1)
        along, across = (
            np.minimum((centre[d] / self.lengths[d] * self.blocks).astype(int), self.blocks - 1) for d in (0, 1)
        )
        owner = along + self.blocks * across
        tractions = body.tractions(body.end(self.length))
        return AffineTerms(
            matrices=tuple(body.stiffness.part(owner == i) for i in range(self.blocks**2)),
            loads=np.stack([traction.vector(traction.ones) for traction in tractions]),
            free=body.held(body.end(0.0)),
            lift=np.zeros(body.nodal.size),
        )

    def terms(self) -> AffineTerms:
        """One matrix per region, one load per component of the traction."""
        return self._terms

    def coefficients(self, mu: Mu | Array) -> tuple[Real, Real]:
        """θ = E and φ = t. Raises InputError for a modulus that is not above zero or a traction that is not finite."""
        mu = as_mu(mu, self.parameters.names)
        theta = positive(mu, self.parameters.names[: self.blocks**2], self.parameters.names)
        phi = np.stack([np.asarray(mu[name], dtype=np.float64) for name in self._loads], axis=1)
        check_finite("the traction", phi)
        return theta, phi

    @cached_property
    def _slack(self) -> float:
        return rounding_slack(self.terms(), np.ones(self.blocks**2), self.space.energy.lambda_min)

    def constant(self, mu: Mu | Array, field: Array | None = None) -> Stability:
        """Smallest and largest modulus."""
        theta, _ = self.coefficients(mu)
        return min_theta(theta, np.ones(theta.shape[1]), self._slack)

    def near_null(self) -> Real:
        """Rigid motions."""
        return self._body.rigid_modes()

    def quantities(self) -> Mapping[str, Quantity]:
        """The mean displacement of the loaded end (its area is 1), in mm."""
        loads = self.terms().loads
        return {name: Quantity(loads[c], unit="mm") for c, name in enumerate(self.space.components)}

    def at(self, resolution: int) -> "Elasticity":
        """The same block on another mesh."""
        return Elasticity(**{**asdict(self), "resolution": resolution})

    def to_parts(self) -> Parts:
        """The configuration, and numbers that must come out again."""
        return Parts(asdict(self), {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again. Raises InputError where this version would solve another problem."""
        return verify(cls(**config), arrays["check"])
