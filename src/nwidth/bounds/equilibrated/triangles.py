"""Triangles with straight edges: Raviart-Thomas fluxes of lowest order, given by what crosses each edge.

`σ(x) = Σ_i out_i (x - p_i) / (2 |T|)` on a triangle with corners p_i, `out_i` being what leaves through the edge
opposite p_i. Edges have a direction of their own, so that one number per edge `(B, E)` is a flux whose normal
component is continuous, whatever the numbers are.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from nwidth.bounds.equilibrated.majorant import EPS, Majorant
from nwidth.bounds.equilibrated.tree_constant import tree_constant
from nwidth.bounds.equilibrated.units import underflow, vanished
from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.problems.cell_data import CellData

#: Rounded operations behind one number of the integrand, for a triangle of good shape.
_OPERATIONS = 64


@dataclass(frozen=True, eq=False)
class EdgeFlux:
    """A flux in H(div): what crosses each edge in its direction, `(B, E)`, and `curl Σ_e c_e 4 λ_i λ_j`, `c (B, E)`,
    which changes neither what crosses an edge in all nor the divergence."""

    through: Real
    turning: Real | None = None


@dataclass(frozen=True, eq=False)
class Triangles:
    """Nodes `(n, 2)` and corners `(T, 3)`; all that follows from them. `free (n,)`: the nodes without a prescribed
    value, by default those inside.

    Values are prescribed on the edges of the boundary between two nodes that are not free; nothing crosses the others.
    Raises InputError for a triangle without area, an edge with more than two triangles, or a node of none.
    """

    nodes: Real
    corners: Array
    free: Mask | None = None

    def __post_init__(self) -> None:
        corners = np.array(self.corners, dtype=np.int64)
        if self.nodes.ndim != 2 or self.nodes.shape[1] != 2 or corners.ndim != 2 or corners.shape[1] != 3:
            raise InputError(
                f"nodes {self.nodes.shape} and corners {corners.shape}: this bound is for triangles in the plane, "
                "nodes (n, 2) and corners (T, 3)"
            )
        p = self.nodes[corners]
        turn = np.linalg.det(np.stack([p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]], axis=1))
        if not (np.abs(turn) > 0).all():
            raise InputError(f"triangle {int(np.argmin(np.abs(turn)))} has no area; remove it from the mesh")
        corners[turn < 0] = corners[turn < 0][:, [0, 2, 1]]
        object.__setattr__(self, "corners", corners)
        counts = np.bincount(self.edge_of.ravel())
        if counts.max() > 2 or len(np.unique(corners)) != len(self.nodes):
            raise InputError("an edge belongs to more than two triangles, or a node to none; repair the mesh")

    @cached_property
    def _edges(self) -> tuple[Array, Array]:
        pairs = np.sort(self.corners[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), axis=1)
        edges, place = np.unique(pairs, axis=0, return_inverse=True)
        return edges, place.reshape(-1, 3)

    @property
    def edges(self) -> Array:
        """End nodes of each edge, the smaller first, `(E, 2)`."""
        return self._edges[0]

    @property
    def edge_of(self) -> Array:
        """The edge opposite each corner, `(T, 3)`."""
        return self._edges[1]

    @cached_property
    def signs(self) -> Real:
        """+1 where an edge's direction leaves the triangle, `(T, 3)`: the boundary, run round, follows the edge."""
        follows = self.corners[:, [1, 2, 0]] < self.corners[:, [2, 0, 1]]
        return np.where(follows, 1.0, -1.0)

    @cached_property
    def outer(self) -> Mask:
        """Which edges lie on the boundary, `(E,)`."""
        return np.bincount(self.edge_of.ravel(), minlength=len(self.edges)) == 1

    @cached_property
    def natural(self) -> Mask:
        """Which edges nothing crosses: those of the boundary with a free end, `(E,)`."""
        if self.free is None:
            return np.zeros_like(self.outer)
        return np.asarray(self.outer & self.free[self.edges].any(axis=1))

    @cached_property
    def open_nodes(self) -> Mask:
        """The ends of edges with prescribed values, `(n,)`."""
        mask = np.zeros(len(self.nodes), dtype=bool)
        mask[self.edges[self.outer & ~self.natural]] = True
        return mask

    @cached_property
    def boundary_nodes(self) -> Mask:
        """Which nodes lie on the boundary, `(n,)`."""
        mask = np.zeros(len(self.nodes), dtype=bool)
        mask[self.edges[self.outer]] = True
        return mask

    @cached_property
    def areas(self) -> Real:
        """`(T,)`."""
        p = self.nodes[self.corners]
        return 0.5 * np.linalg.det(np.stack([p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]], axis=1))

    @cached_property
    def gradients(self) -> Real:
        """Gradients of the hat functions of the corners, `(T, 3, 2)`."""
        p = self.nodes[self.corners]
        along = p[:, [2, 0, 1]] - p[:, [1, 2, 0]]
        return np.stack([-along[..., 1], along[..., 0]], axis=2) / (2 * self.areas)[:, None, None]

    @cached_property
    def diameters(self) -> Real:
        """Longest edges, `(T,)`."""
        p = self.nodes[self.corners]
        return np.linalg.norm(p[:, [2, 0, 1]] - p[:, [1, 2, 0]], axis=2).max(axis=1)

    @cached_property
    def sides(self) -> Real:
        """Of the bounding box, `(2,)`."""
        return np.asarray(self.nodes.max(axis=0) - self.nodes.min(axis=0))

    @cached_property
    def friedrichs(self) -> float:
        """`‖w‖ <= C_F ‖∇w‖` for w = 0 where values are prescribed: on the whole boundary that of the bounding box, in
        which w is continued by zero."""
        if self.natural.any():
            return tree_constant(self.areas, self.diameters, self.edge_of, self.outer, self.natural)
        return float(1.0 / (np.pi * np.sqrt((self.sides**-2.0).sum())))

    def underflow(self, data: CellData) -> Real:
        """What squares that underflow may take from an energy norm, `(B,)`; for a of at most 1."""
        return underflow(float(np.prod(self.sides)), float(self.sides.max()), data.a.min(axis=1))

    @cached_property
    def _collect(self) -> sp.csr_array:
        """From what leaves each triangle by its edges `(T 3)` to edges, their directions counted: `(E, 3 T)`."""
        count = self.edge_of.size
        return sp.csr_array(
            (self.signs.ravel(), (self.edge_of.ravel(), np.arange(count))), shape=(len(self.edges), count)
        )

    def gradient(self, v: Real) -> Real:
        """`∇v` on each triangle for nodal values `(B, n)`, `(B, T, 2)`."""
        return np.einsum("btc,tcd->btd", v[:, self.corners], self.gradients)

    def leaving(self, flux: Real) -> Real:
        """What leaves each triangle by each edge, `(B, T, 3)`, for edge values `(B, E)`."""
        return flux[:, self.edge_of] * self.signs

    def joined(self, leaving: Real, halves: bool = True) -> Real:
        """Edge values from what leaves by each edge as seen from both sides: their mean, zero where nothing crosses, or
        their sum."""
        total = (self._collect @ leaving.reshape(len(leaving), -1).T).T
        share = np.where(self.natural, 0.0, np.where(self.outer, 1.0, 0.5))
        return np.ascontiguousarray(total * share if halves else total)

    @cached_property
    def _slopes(self) -> sp.csr_array:
        """Nodal values to `√|T| ∇v` on each triangle: `(2 T, n)`."""
        values = (np.sqrt(self.areas)[:, None, None] * self.gradients).transpose(0, 2, 1)
        rows = np.broadcast_to(np.arange(2 * len(values)).reshape(-1, 2, 1), values.shape)
        columns = np.broadcast_to(self.corners[:, None], values.shape)
        size = (2 * len(values), len(self.nodes))
        return sp.csr_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=size)

    def residual(self, v: Real, data: CellData) -> Real:
        """`(f, φ_i) - (a ∇v, ∇φ_i)` for every node, boundary included, `(B, n)`."""
        return self.residual_and_size(v, data)[0]

    def diagonal(self, data: CellData) -> Real:
        """`(a ∇φ_i, ∇φ_i)` for every node, `(B, n)`."""
        return np.asarray((self._slopes.power(2).T @ np.repeat(data.a, 2, axis=1).T).T)

    def residual_and_size(self, v: Real, data: CellData) -> tuple[Real, Real]:
        """The residual, and what its terms add up to without their signs, both `(B, n)`."""
        slopes, weights = self._slopes, np.repeat(data.a, 2, axis=1).T
        sizes = abs(slopes)
        work, size = slopes.T @ (weights * (slopes @ v.T)), sizes.T @ (weights * (sizes @ np.abs(v).T))
        load = self.weighted_sources(data)
        return self._at_nodes(load) - work.T, self._at_nodes(np.abs(load)) + size.T

    def _at_nodes(self, values: Real) -> Real:
        """Sums over the triangles round each node of values at corners `(B, T, 3)`, `(B, n)`."""
        rows, count = values.reshape(len(values), -1), len(self.nodes)
        return np.stack([np.bincount(self.corners.ravel(), row, minlength=count) for row in rows])

    def weighted_sources(self, data: CellData) -> Real:
        """`∫_T f φ` for the hat functions of the three corners, `(B, T, 3)`."""
        f = np.broadcast_to(data.f[:, :, None], (*data.a.shape, 3)) if data.f.ndim == 2 else data.f
        return self.areas[:, None] * (f.sum(axis=2, keepdims=True) + f) / 12

    def missing(self, flux: Real, data: CellData) -> Real:
        """`∫_T f - ∇·σ`, `(B, T)`."""
        return self.sources(data) - self.leaving(flux).sum(axis=2)

    def sources(self, data: CellData) -> Real:
        """`∫_T f`, `(B, T)`."""
        return self.areas * (data.f if data.f.ndim == 2 else data.f.mean(axis=2))

    def energy(self, v: Real, data: CellData) -> Real:
        """`‖v‖_a`, `(B,)`."""
        return np.sqrt(np.einsum("bt,btd,btd->b", data.a * self.areas, *(self.gradient(v),) * 2))

    @cached_property
    def bubble(self) -> sp.csr_array:
        """Edge values c to the gradient of `Σ_e c_e 4 λ_i λ_j` in the middle of every edge of every triangle, times
        `√(|T| / 3)`: `(6 T, E)`, rows by triangle, middle and direction."""
        share = np.where(np.eye(3, dtype=bool), 0.0, 2.0)  # 4 λ_k in the middle of the edge opposite corner m: [m, k]
        i, j, g = np.array([1, 2, 0]), np.array([2, 0, 1]), self.gradients
        # ∇(4 λ_i λ_j) = 4 λ_i ∇λ_j + 4 λ_j ∇λ_i, edge e being opposite corner e: (T, m, e, direction)
        values = share[:, i, None] * g[:, None, j] + share[:, j, None] * g[:, None, i]
        values = values.transpose(0, 1, 3, 2) * np.sqrt(self.areas / 3)[:, None, None, None]
        rows = np.broadcast_to(np.arange(6 * len(g)).reshape(-1, 3, 2, 1), values.shape)
        columns = np.broadcast_to(self.edge_of[:, None, None], values.shape)
        size = (6 * len(g), len(self.edges))
        return sp.csr_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=size)

    def slopes(self, v: Real, bubbles: Real | None) -> Real:
        """`∇v` in the middle of every edge, `(B, T, 3, 2)`, with quadratic parts `Σ_e c_e 4 λ_i λ_j` added."""
        linear = np.broadcast_to(self.gradient(v)[:, :, None], (len(v), len(self.corners), 3, 2))
        if bubbles is None:
            return linear
        return linear + self._bubble_slopes(bubbles)

    def _bubble_slopes(self, bubbles: Real) -> Real:
        scaled = np.ascontiguousarray((self.bubble @ bubbles.T).T).reshape(len(bubbles), -1, 3, 2)
        return scaled / np.sqrt(self.areas / 3)[:, None, None]

    def densities(self, flux: "EdgeFlux") -> Real:
        """The flux in the middle of every edge of every triangle, `(B, T, 3, 2)`."""
        p = self.nodes[self.corners]
        middles = (p[:, [1, 2, 0]] + p[:, [2, 0, 1]]) / 2
        arms = (middles[:, :, None] - p[:, None]) / (2 * self.areas)[:, None, None, None]
        linear = np.einsum("btc,tmcd->btmd", self.leaving(flux.through), arms)
        if flux.turning is None:
            return linear
        slopes = self._bubble_slopes(flux.turning)
        return linear + np.stack([slopes[..., 1], -slopes[..., 0]], axis=3)

    def majorant(self, v: Real, flux: "EdgeFlux", data: CellData, bubbles: Real | None = None) -> Majorant:
        """The bound of `‖u - v‖_a` for nodal values v `(B, n)` (and bubbles `(B, E)`) and a flux."""
        out = self.leaving(flux.through)
        both = self.densities(flux) + data.a[:, :, None, None] * self.slopes(v, bubbles)
        gap = np.sqrt(np.einsum("btmd,btmd->bt", both, both) * (self.areas / 3) / data.a)
        rest, scale = (
            self.missing(flux.through, data),
            _OPERATIONS * EPS * (np.abs(out).sum(axis=2) + np.abs(self.sources(data))),
        )
        total = np.sqrt(((np.abs(rest) + scale) ** 2 / self.areas).sum(axis=1) + vanished(self.areas))
        return Majorant.of(
            gap,
            np.sqrt((gap**2).sum(axis=1)),
            self._oscillation(data),
            self.friedrichs * total / np.sqrt(data.a.min(axis=1)),
            self._noise(v, flux, data, bubbles) + self.underflow(data),
        )

    def _oscillation(self, data: CellData) -> Real:
        """`h_T / π · ‖f - mean‖_T / √a_T`; for f linear on the triangle the norm is `√(|T| Σ (f_i - mean)² / 12)`."""
        if data.f.ndim == 2:
            return np.zeros(data.a.shape)
        spread = ((data.f - data.f.mean(axis=2, keepdims=True)) ** 2).sum(axis=2)
        scale = 8 * EPS * np.abs(data.f).max(axis=2)
        return (
            self.diameters / np.pi * (np.sqrt(self.areas / 12 * spread) + scale * np.sqrt(self.areas)) / np.sqrt(data.a)
        )

    def _noise(self, v: Real, flux: "EdgeFlux", data: CellData, bubbles: Real | None) -> Real:
        """Rounding in ‖τ‖: that of its integrand; a flat triangle loses as many digits as it is flat."""
        flat = self.diameters**2 / self.areas
        sizes = np.abs(flux.through[:, self.edge_of]).sum(axis=2) * self.diameters / (2 * self.areas)
        steep = np.linalg.norm(self.gradients, axis=2)
        slope = np.einsum("btc,tc->bt", np.abs(v[:, self.corners]), steep)
        if bubbles is not None:
            slope = slope + 4 * np.abs(bubbles[:, self.edge_of]).sum(axis=2) * steep.max(axis=1)
        if flux.turning is not None:
            sizes = sizes + 4 * np.abs(flux.turning[:, self.edge_of]).sum(axis=2) * steep.max(axis=1)
        square = (flat * (sizes + data.a * slope)) ** 2 * self.areas / data.a
        return _OPERATIONS * EPS * np.sqrt(square.sum(axis=1))
