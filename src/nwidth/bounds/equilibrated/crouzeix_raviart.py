"""The mixed method of lowest order on triangles by nonconforming elements: one symmetric positive definite problem.

With u_CR the Crouzeix-Raviart solution (one unknown per edge), `σ = -a ∇u_CR + f_T (x - x_T) / 2` is the flux of the
mixed method (Marini, SIAM J. Numer. Anal. 22 (1985); data constant on each triangle). What leaves T through the edge of
basis function ψ is `∫_T f ψ - a ∇u_CR·∇ψ`, in balance by construction; both sides of an edge agree where u_CR solves
its equation. An unfinished solve leaves a difference: their mean is taken, and the same problem with a = 1, factorised
once per mesh, carries what the balance then misses.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from nwidth.bounds.equilibrated.conjugate import conjugate_gradients
from nwidth.bounds.equilibrated.triangles import Triangles
from nwidth.core.arrays import Array, Real
from nwidth.problems.cell_data import CellData
from nwidth.spaces.factor import Factor, factorised


@dataclass(frozen=True, eq=False)
class EdgeProblem:
    """The nonconforming problem of a mesh; its factorisation for a = 1 is made at the first use and held here."""

    mesh: Triangles

    @cached_property
    def inner_edges(self) -> Array:
        """Edges without prescribed values: the unknowns."""
        return np.flatnonzero(~self.mesh.outer | self.mesh.natural)

    @cached_property
    def gradient(self) -> sp.csr_array:
        """Edge values to `√|T| ∇u` on each triangle, `(2 T, E)`: the gradient of a basis function is -2 ∇λ."""
        mesh = self.mesh
        values = -2 * np.sqrt(mesh.areas)[:, None, None] * mesh.gradients
        rows = 2 * np.arange(len(mesh.corners))[:, None, None] + np.arange(2)
        columns = np.broadcast_to(mesh.edge_of[:, :, None], values.shape)
        entries = (values.ravel(), (np.broadcast_to(rows, values.shape).ravel(), columns.ravel()))
        return sp.csr_array(entries, shape=(2 * len(mesh.corners), len(mesh.edges)))

    @cached_property
    def _inner_gradient(self) -> sp.csr_array:
        return sp.csr_array(self.gradient[:, self.inner_edges])

    @cached_property
    def _factor(self) -> Factor:
        matrix = sp.csr_array(self._inner_gradient.T @ self._inner_gradient)
        return factorised(sp.csr_array((matrix + matrix.T) / 2))

    def riesz(self, r: Real) -> Real:
        """`X⁻¹ r`, X being the matrix for a = 1, `(B, inner edges)`."""
        return self._factor.solve(r)

    def slopes(self, p: Real) -> Real:
        """`√|T| ∇p` for edge values `(B, E)`, `(B, T, 2)`."""
        return np.ascontiguousarray((self.gradient @ p.T).T).reshape(len(p), -1, 2)

    def outflow(self, p: Real, a: Real, source: Real) -> Real:
        """`∫_T f ψ - a ∇p·∇ψ` for the three edges of every triangle, `(B, T, 3)`; a, source `(B, T)`."""
        mesh = self.mesh
        slope = a[:, :, None] * self.slopes(p) / np.sqrt(mesh.areas)[:, None]
        return source[:, :, None] / 3 + 2 * mesh.areas[:, None] * np.einsum("btd,tcd->btc", slope, mesh.gradients)

    def lifted(self, missing: Real) -> Real:
        """Edge values of a flux with `∇·σ = missing / |T|`, `(B, E)`, from `missing (B, T)`."""
        mesh = self.mesh
        load = np.repeat(missing / 3, 3, axis=1)
        rhs = np.stack([np.bincount(mesh.edge_of.ravel(), row, minlength=len(mesh.edges)) for row in load], dtype=float)
        z = np.zeros_like(rhs)
        z[:, self.inner_edges] = self.riesz(np.ascontiguousarray(rhs[:, self.inner_edges]))
        return mesh.joined(self.outflow(z, np.ones_like(missing), missing))

    def balanced(self, flux: Real, data: CellData) -> Real:
        """The flux with what its balance misses, twice: the second time for the rounding of the first."""
        for _ in range(2):
            flux = flux + self.lifted(self.mesh.missing(flux, data))
        return flux


def global_flux(v: Real, data: CellData, edges: EdgeProblem, accuracy: float, limit: int) -> tuple[Real, Array]:
    """Edge values of the mixed method's flux and the steps of the solve, started from nodal values v `(B, n)`.

    `accuracy`: the energy of what the solve leaves to `balanced`, relative to that of the field.
    """
    mesh, inner, source = edges.mesh, edges.inner_edges, edges.mesh.sources(data)
    start = v[:, mesh.edges].mean(axis=2)
    rhs = mesh.joined(edges.outflow(start, data.a, source) * mesh.signs, halves=False)[:, inner]
    stiffness, weights = edges._inner_gradient, np.repeat(data.a, 2, axis=1)

    def apply(p: Real) -> Real:
        return np.ascontiguousarray((stiffness.T @ (weights.T * (stiffness @ p.T))).T)

    wanted = accuracy * mesh.energy(v, data) * np.sqrt(data.a.min(axis=1)) + np.finfo(np.float64).tiny
    found = conjugate_gradients(apply, edges.riesz, np.ascontiguousarray(rhs), wanted, limit)
    start[:, inner] += found.x
    return edges.balanced(mesh.joined(edges.outflow(start, data.a, source)), data), found.steps
