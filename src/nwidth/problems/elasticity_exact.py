"""Elasticity with a known solution: what orders of convergence are tested on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, batch_size
from nwidth.problems.base import Linear, System
from nwidth.problems.elastic_body import ElasticBody, box_mesh, lame
from nwidth.problems.near_null import NearNull
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.box import Box
from nwidth.spaces.mesh import MeshSpace
from nwidth.spaces.nodal import Nodal

#: Directions a_c and phases of the waves in the components of the displacement.
_WAVES = np.array([[1.0, 0.6, -0.4], [-0.5, 0.8, 0.7], [0.3, -0.9, 0.5]])
_PHASES = np.array([0.3, 1.1, 2.0])


@dataclass(frozen=True)
class ElasticityExact(Linear, NearNull, Storable):
    """`-div σ(u) = f` in the unit square (plane strain) or cube with a solution in closed form:

        u_c(x) = sin(ω a_c·x + p_c) + x_c / 2,     E(x) = 1 + κ |x|² / dim,

    f to match; u is prescribed at x = 0, the traction σ n of the solution acts on all other sides. Elements of `degree`
    1 or 2, E taken at the quadrature points. Parameters: `slope` κ in [0, 3] and `frequency` ω in [1, 4]. Orders: 2 and
    3 in L², 1 and 2 in the energy.
    """

    kind: ClassVar[str] = "elasticity_exact"

    dim: int = 2
    resolution: int = 16
    degree: int = 1
    poisson: float = 0.3

    def __post_init__(self) -> None:
        if self.dim not in (2, 3):
            raise InputError(f"dim is {self.dim}; choose 2 (plane strain) or 3")
        _ = self._body  # raises what is wrong with the elements or the material

    @property
    def parameters(self) -> Box:
        """Slope of the modulus and frequency of the solution."""
        return Box(("slope", "frequency"), low=(0.0, 1.0), high=(3.0, 4.0))

    @cached_property
    def _body(self) -> ElasticBody:
        mesh = box_mesh((1.0,) * self.dim, (self.resolution,) * self.dim)
        return ElasticBody(Nodal(mesh, self.degree, self.dim, intorder=2 * self.degree + 1), self.poisson, "point")

    @cached_property
    def space(self) -> MeshSpace:
        """Displacements."""
        return self._body.clamped_space((1.0,) * self.dim)

    def exact(self, mu: Mu | Array) -> Real:
        """The solution of the differential equation at the nodes, `(B, dim, nodes)`."""
        mu = as_mu(mu, self.parameters.names)
        return np.stack([self._displacement(self.space.nodes.T, omega) for omega in mu["frequency"]])

    def assemble(self, mu: Mu) -> System:
        """The system of one parameter, integrals by quadrature."""
        mu = as_mu(mu, self.parameters.names)
        if batch_size(mu) != 1:
            raise InputError(f"assemble takes one parameter, got {batch_size(mu)}; use systems(mu) for a batch")
        kappa, omega = float(mu["slope"][0]), float(mu["frequency"][0])
        body, points = self._body, np.asarray(self._body.nodal.basis.global_coordinates())
        matrix = body.stiffness.matrix(self._modulus(points, kappa))
        force = self._force(points, kappa, omega)
        load = np.sum([form.vector(force[c]) for c, form in enumerate(body.body_loads)], axis=0)
        load = load + self._traction_load(kappa, omega)
        free = self.space.free
        lift = np.where(free, 0.0, self._displacement(self.space.nodes.T, omega).ravel())
        return System(matrix, load - matrix @ lift, free, lift)

    @cached_property
    def _loaded(self) -> Array:
        return np.setdiff1d(self._body.nodal.mesh.boundary_facets(), self._body.end(0.0))

    @cached_property
    def _tractions(self) -> tuple:
        return self._body.tractions(self._loaded)

    def _traction_load(self, kappa: float, omega: float) -> Real:
        basis = self._body.nodal.boundary(self._loaded)
        points, normals = np.asarray(basis.global_coordinates()), np.asarray(basis.normals)
        traction = np.einsum("ij...,j...->i...", self._stress(points, kappa, omega), normals)
        return np.sum([form.vector(traction[c]) for c, form in enumerate(self._tractions)], axis=0)

    def _modulus(self, x: Real, kappa: float) -> Real:
        return 1.0 + kappa / self.dim * (x**2).sum(axis=0)

    def _phase(self, x: Real, omega: float) -> Real:
        """ω a_c·x + p_c, `(dim, ...)`."""
        phases = _PHASES[: self.dim].reshape(-1, *(1,) * (x.ndim - 1))
        return omega * np.einsum("cj,j...->c...", _WAVES[: self.dim, : self.dim], x) + phases

    def _displacement(self, x: Real, omega: float) -> Real:
        return np.sin(self._phase(x, omega)) + x / 2

    def _unit_stress(self, x: Real, omega: float) -> Real:
        """The stress for E = 1, `(dim, dim, ...)`."""
        lam, mu = lame(1.0, self.poisson)
        waves, eye = _WAVES[: self.dim, : self.dim], np.eye(self.dim)
        gradient = np.einsum("cj,c...->cj...", omega * waves, np.cos(self._phase(x, omega)))
        gradient = gradient + (eye / 2).reshape(*eye.shape, *(1,) * (x.ndim - 1))
        trace = np.einsum("cc...->...", gradient)
        return lam * np.einsum("ij,...->ij...", eye, trace) + mu * (gradient + np.swapaxes(gradient, 0, 1))

    def _stress(self, x: Real, kappa: float, omega: float) -> Real:
        return self._modulus(x, kappa) * self._unit_stress(x, omega)

    def _force(self, x: Real, kappa: float, omega: float) -> Real:
        """`f = -E div σ₁ - σ₁ ∇E` with `div σ₁ = (λ + μ) ∇(div u) + μ Δu` for E = 1."""
        lam, mu = lame(1.0, self.poisson)
        waves, curve = _WAVES[: self.dim, : self.dim], -(omega**2) * np.sin(self._phase(x, omega))
        slope = np.einsum("c...,cc,ck->k...", curve, waves, waves)
        bending = np.einsum("c...,cj,cj->c...", curve, waves, waves)
        steep = 2 * kappa / self.dim * x
        divergence = (lam + mu) * slope + mu * bending
        return -self._modulus(x, kappa) * divergence - np.einsum("ij...,j...->i...", self._unit_stress(x, omega), steep)

    def near_null(self) -> Real:
        """Rigid motions."""
        return self._body.rigid_modes()

    def at(self, resolution: int) -> "ElasticityExact":
        """The same problem on another mesh."""
        return ElasticityExact(**{**asdict(self), "resolution": resolution})

    def to_parts(self) -> Parts:
        """The configuration, and numbers that must come out again."""
        return Parts(asdict(self), {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again. Raises InputError where this version would solve another problem."""
        return verify(cls(**config), arrays["check"])
