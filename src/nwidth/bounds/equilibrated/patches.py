"""A flux from the patches of triangles around each node: small problems, solved in closed form.

On the patch of node i with hat function φ, the flux σ_i of lowest order with

    ∇·σ_i = φ f - ∇φ·a ∇v - r_i / |patch|       (mean values on each triangle),

nothing through the outer edges, follows from a walk round the node but for one number, a circulation, which minimises
`‖a^{-1/2} (σ_i + φ a ∇v)‖`. `r_i = (f, φ) - (a ∇v, ∇φ)` is what a field that is not the Galerkin solution leaves; where
values are prescribed the walk ends open and needs no such term. Where nothing crosses the boundary it begins or ends
with zero, and there is no circulation to choose. Their sum is a flux with `∇·σ = f - Σ_i r_i / |patch_i|` on each
triangle: in balance for the Galerkin solution.

References: Braess and Schöberl, Math. Comp. 77 (2008); Ern and Vohralík, SIAM J. Numer. Anal. 53 (2015); for fields
that are not the Galerkin solution Papež, Rüde, Vohralík and Wohlmuth, Comput. Methods Appl. Mech. Engrg. 371 (2020).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nwidth.bounds.equilibrated.triangles import Triangles
from nwidth.core.arrays import Array, Mask, Real
from nwidth.problems.cell_data import CellData


@dataclass(frozen=True, eq=False)
class Patches:
    """Triangles round each node, counterclockwise: `ring (n, D)` (padded with 0 where not `there`), `corner (n, D)`.

    At a boundary node the first triangle follows the boundary edge.
    """

    mesh: Triangles
    ring: Array
    corner: Array
    there: Mask

    @classmethod
    def of(cls, mesh: Triangles) -> "Patches":
        """Sorted by angle: a patch is star-shaped as seen from its node."""
        triangles, corners = np.divmod(np.arange(mesh.corners.size), 3)
        node = mesh.corners.ravel()
        # the edge that the walk crosses into a triangle is opposite its second next corner
        begins = mesh.outer[mesh.edge_of[triangles, (corners + 2) % 3]]
        to = mesh.nodes[mesh.corners].mean(axis=1)[triangles] - mesh.nodes[node]
        angle = np.arctan2(to[:, 1], to[:, 0])
        first = np.zeros(len(mesh.nodes))
        first[node[begins]] = angle[begins]
        order = np.lexsort((np.where(begins, -1.0, np.mod(angle - first[node], 2 * np.pi)), node))
        degree = np.bincount(node)
        place = np.arange(len(node)) - np.repeat(np.cumsum(degree) - degree, degree)
        ring, corner = (np.zeros((len(degree), degree.max()), dtype=np.int64) for _ in range(2))
        there = np.zeros(ring.shape, dtype=bool)
        at = (node[order], place)
        ring[at], corner[at], there[at] = triangles[order], corners[order], True
        return cls(mesh, ring, corner, there)

    def flux(self, v: Real, data: CellData) -> Real:
        """Edge values `(B, E)` from nodal values v `(B, n)`."""
        mesh, ring, corner = self.mesh, self.ring, self.corner
        slope = mesh.gradient(v)
        sources = mesh.weighted_sources(data)
        work = data.a[:, :, None] * mesh.areas[:, None] * np.einsum("btd,tcd->btc", slope, mesh.gradients)
        goal = np.where(self.there, (sources - work)[:, ring, corner], 0.0)
        area = np.where(self.there, mesh.areas[ring], 0.0)
        closed = ~mesh.open_nodes
        goal -= np.where(closed, goal.sum(axis=2), 0.0)[:, :, None] * (area / area.sum(axis=1, keepdims=True))
        walk = np.concatenate([np.zeros((len(v), len(ring), 1)), np.cumsum(goal, axis=2)], axis=2)
        walk += np.where(self._held, -self._at_natural(walk), self._circulation(walk, slope, data))[:, :, None]
        return np.where(mesh.natural, 0.0, self._gathered(walk))

    @cached_property
    def _ends(self) -> tuple[Mask, Mask]:
        """Whether nothing crosses the edge with which the walk round each node begins, and that with which it ends."""
        mesh, node, last = self.mesh, np.arange(len(self.ring)), self.there.sum(axis=1) - 1
        first = mesh.edge_of[self.ring[:, 0], (self.corner[:, 0] + 2) % 3]
        final = mesh.edge_of[self.ring[node, last], (self.corner[node, last] + 1) % 3]
        return mesh.natural[first], mesh.natural[final]

    @property
    def _held(self) -> Mask:
        """Nodes on an edge that nothing crosses: there is no circulation to choose."""
        begins, ends = self._ends
        return begins | ends

    def _at_natural(self, walk: Real) -> Real:
        """What the walk says that crosses that edge, `(B, n)`; it begins with zero."""
        begins, _ = self._ends
        return np.where(begins, walk[:, :, 0], walk[:, np.arange(len(self.ring)), self.there.sum(axis=1)])

    def _circulation(self, walk: Real, slope: Real, data: CellData) -> Real:
        """What to add to every crossing of each patch, `(B, n)`."""
        mesh, ring, corner = self.mesh, self.ring, self.corner
        p = mesh.nodes[mesh.corners]
        centre, b, c = p.mean(axis=1)[ring], p[ring, (corner + 1) % 3], p[ring, (corner + 2) % 3]
        double = (2 * mesh.areas[ring])[:, :, None]
        turn = (c - b) / double
        # ∫ t·(σ + φ a ∇v) / a, with σ at the centre of the triangle
        arms = (
            np.einsum("nkd,nkd->nk", turn, (c - centre) / double),
            np.einsum("nkd,nkd->nk", turn, (centre - b) / double),
        )
        weight = np.where(self.there, mesh.areas[ring], 0.0)
        inverse = 1.0 / data.a
        first = (walk[:, :, :-1] * arms[0] + walk[:, :, 1:] * arms[1]) * (inverse[:, ring] * weight)
        third = np.einsum("bnkd,nkd->bnk", slope[:, ring], turn) * (weight / 3)
        curvature = inverse[:, ring] * (np.einsum("nkd,nkd->nk", turn, turn) * weight)
        return -(first + third).sum(axis=2) / curvature.sum(axis=2)

    def _gathered(self, walk: Real) -> Real:
        """The sum of all patches, `(B, E)`: what enters each triangle leaves the one before it."""
        mesh, (node, place) = self.mesh, np.nonzero(self.there)
        triangle, corner = self.ring[node, place], self.corner[node, place]
        entry = (corner + 2) % 3
        last = np.flatnonzero(mesh.outer[mesh.edge_of[triangle, (corner + 1) % 3]])
        edge = np.concatenate([mesh.edge_of[triangle, entry], mesh.edge_of[triangle[last], (corner[last] + 1) % 3]])
        sign = np.concatenate([-mesh.signs[triangle, entry], mesh.signs[triangle[last], (corner[last] + 1) % 3]])
        values = np.concatenate([walk[:, node, place], walk[:, node[last], place[last] + 1]], axis=1) * sign
        return np.stack([np.bincount(edge, row, minlength=len(mesh.edges)) for row in values])
