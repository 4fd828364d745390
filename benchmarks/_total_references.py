"""References for bounds of the total error: closed forms in extended precision, finer grids, random meshes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from scipy.spatial import Delaunay

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction, uncertified
from nwidth.core.storable import Parts
from nwidth.problems.base import Coercive, Problem, Stability, System
from nwidth.problems.cell_data import CellData, CellDiffusive
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.mesh import Form, MeshSpace


class Fields(ParameterSpace):
    """Parameters that are given, never drawn."""

    kind = "given-fields"

    @property
    def names(self) -> tuple[str, ...]:
        return ("a", "f", "g")

    def sample(self, indices: Any, seed: int) -> dict[str, Array]:
        raise InputError("these parameters are given, not drawn")

    def contains(self, mu: Mu) -> Mask:
        return np.ones(len(mu["a"]), dtype=bool)

    def to_parts(self) -> Parts:
        raise InputError("these parameters are not stored")

    @classmethod
    def from_parts(cls, config: Any, arrays: Any, children: Any) -> Self:
        raise InputError("these parameters are not stored")


class GivenGrid(GridDiffusion):
    """Diffusion on a grid; coefficient, source and boundary values are the parameters."""

    def __init__(self, grid: Grid):
        self._grid = grid

    @property
    def parameters(self) -> Fields:
        return Fields()

    @property
    def space(self) -> Grid:
        return self._grid

    def coefficient(self, mu: Any) -> Real:
        return np.asarray(mu["a"])

    def source(self, mu: Any) -> Real:
        return np.asarray(mu["f"])

    def boundary(self, mu: Any) -> Real:
        return np.asarray(mu["g"])


def prediction(problem: Problem, mu: Mu, v: Array) -> Prediction:
    """Fields as answers."""
    return uncertified(mu, v, problem.space, np.ones(len(v), dtype=bool))


def on_halves(values: Array) -> Array:
    """Nodal values on the halved cells of the control volumes."""
    for axis in range(1, values.ndim):
        place = (np.arange(2 * values.shape[axis] - 2) + 1) // 2
        values = np.take(values, place, axis=axis)
    return values


def line_error(a: Array, f: Array, v: Array, length: float) -> Array:
    """The exact `‖u - v‖_a` in one dimension, in extended precision: data constant on halved cells `(B, 2 N)`."""
    a, f, v = (x.astype(np.longdouble) for x in (a, f, v))
    h = np.longdouble(length) / np.longdouble(a.shape[1])
    slope = np.repeat(np.diff(v, axis=1) / (2 * h), 2, axis=1)
    left = np.concatenate([np.zeros((len(a), 1), dtype=a.dtype), np.cumsum(f * h, axis=1)], axis=1)
    lost = ((left[:, :-1] + left[:, 1:]) / 2 * h / a).sum(axis=1)
    c = (v[:, -1] - v[:, 0] + lost) / (h / a).sum(axis=1)
    low, high = c[:, None] - left[:, :-1] - a * slope, c[:, None] - left[:, 1:] - a * slope
    return np.asarray(np.sqrt((h / a * (low * low + low * high + high * high) / 3).sum(axis=1)))


def square_error(v: Array, a: Array) -> Array:
    """The exact `‖u - v‖_a` on the unit square for a constant a `(B,)`, f = 1, u = 0 on the boundary, v bilinear.

    `∫ u = 1/12 - 16/π⁵ Σ tanh(kπ/2) / k⁵` over odd k for a = 1: the torsion of the square, in extended precision.
    """
    odd, wide = np.arange(1, 20001, 2).astype(np.longdouble), v.astype(np.longdouble)
    pi = np.longdouble("3.14159265358979323846264338327950288")
    torsion = np.longdouble(1) / 12 - 16 / pi**5 * (np.tanh(odd * pi / 2) / odd**5)[::-1].sum()
    n = v.shape[1] - 1
    corners = [wide[:, i : n + i, j : n + j] for i in (0, 1) for j in (0, 1)]
    mean = sum(c.sum(axis=(1, 2)) for c in corners) / (4 * np.longdouble(n) ** 2)
    v00, v01, v10, v11 = corners
    energy = sum(
        ((p * p + p * q + q * q) / 3).sum(axis=(1, 2)) for p, q in ((v10 - v00, v11 - v01), (v01 - v00, v11 - v10))
    )
    wide_a = a.astype(np.longdouble)
    return np.asarray(np.sqrt(torsion / wide_a - 2 * mean + wide_a * energy))


def refined(x: Array) -> Array:
    """Nodal values `(N0 + 1, N1 + 1)` of the same bilinear field on halved cells."""
    for axis in (0, 1):
        x = np.moveaxis(x, axis, 0)
        fine = np.empty((2 * len(x) - 1, *x.shape[1:]))
        fine[::2], fine[1::2] = x, (x[:-1] + x[1:]) / 2
        x = np.moveaxis(fine, 0, axis)
    return x


def plane_errors(a: Array, f: Array, v: Array, levels: int) -> Array:
    """`‖u_k - v‖_a` for bilinear Galerkin solutions on finer and finer grids of the unit square, one sample.

    a, f constant on cells, v nodal values there. Each is a lower bound of the error, up to round-off.
    """
    found = []
    for level in range(levels):
        if level:
            v, a, f = refined(v), *(np.repeat(np.repeat(x, 2, 0), 2, 1) for x in (a, f))
        found.append(_distance(a, f, v))
    return np.array(found)


def extrapolated(distances: Array) -> float:
    """The limit of distances to the solutions on finer and finer grids (Aitken)."""
    squares = np.asarray(distances)[-3:] ** 2
    first, second = np.diff(squares)
    rate = second / first if first > 0 else 0.5
    return float(np.sqrt(squares[-1] + second * rate / (1 - rate))) if 0 < rate < 0.95 else float(distances[-1])


def _distance(a: Array, f: Array, v: Array) -> float:
    rows, columns = a.shape
    hx, hy = 1 / rows, 1 / columns
    index = np.arange(v.size).reshape(v.shape)
    corners = np.stack([c.ravel() for c in (index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:])], axis=1)
    k, m = np.array([[1.0, -1], [-1, 1]]), np.array([[2.0, 1], [1, 2]]) / 6
    local = np.kron(m, k) * hy / hx + np.kron(k, m) * hx / hy
    entries = ((a.reshape(-1, 1, 1) * local).ravel(), (np.repeat(corners, 4, 1).ravel(), np.tile(corners, 4).ravel()))
    matrix = sp.csr_array(entries, shape=(v.size, v.size))
    load = np.bincount(corners.ravel(), np.repeat(f.ravel() * hx * hy / 4, 4), minlength=v.size)
    free = np.zeros(v.shape, dtype=bool)
    free[1:-1, 1:-1] = True
    inner = np.flatnonzero(free)
    rest = (load - matrix @ v.ravel())[inner]
    return float(np.sqrt(max(rest @ sla.spsolve(sp.csc_array(matrix[inner][:, inner]), rest), 0.0)))


@dataclass(frozen=True, eq=False)
class GivenMesh(CellDiffusive, Coercive):
    """Linear triangles; coefficient and source of each triangle and boundary values are the parameters."""

    nodes: Real
    triangles: Array

    @property
    def parameters(self) -> Fields:
        return Fields()

    @cached_property
    def geometry(self) -> tuple[Real, Real]:
        """Areas, and gradients of the hat functions."""
        p = self.nodes[self.triangles]
        whole = np.concatenate([np.ones((len(p), 3, 1)), p], axis=2)
        return np.abs(np.linalg.det(whole)) / 2, np.moveaxis(np.linalg.inv(whole)[:, 1:], 1, 2)

    def matrix(self, a: Real) -> sp.csr_array:
        """`∫ a ∇u·∇v`."""
        areas, slopes = self.geometry
        local = (a * areas)[:, None, None] * slopes @ np.moveaxis(slopes, 1, 2)
        entries = (local.ravel(), (np.repeat(self.triangles, 3, 1).ravel(), np.tile(self.triangles, 3).ravel()))
        found = sp.csr_array(entries, shape=(len(self.nodes),) * 2)
        return sp.csr_array((found + found.T) / 2)

    @cached_property
    def free(self) -> Mask:
        """Nodes inside."""
        pairs = np.sort(self.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        edges, counts = np.unique(pairs, axis=0, return_counts=True)
        mask = np.ones(len(self.nodes), dtype=bool)
        mask[edges[counts == 1]] = False
        return mask

    @cached_property
    def space(self) -> MeshSpace:
        stiffness, inner = self.matrix(np.ones(len(self.triangles))), np.flatnonzero(self.free)
        smallest = 0.99 * np.linalg.eigvalsh(stiffness[inner][:, inner].toarray())[0]
        unit = Form(sp.eye_array(len(self.nodes), format="csr"), 1.0)
        return MeshSpace(self.nodes, self.triangles, self.free, Form(stiffness, float(smallest)), unit)

    def assemble(self, mu: Mu) -> System:
        areas, _ = self.geometry
        matrix, lift = self.matrix(mu["a"][0]), np.where(self.free, 0.0, mu["g"][0])
        load = np.bincount(self.triangles.ravel(), np.repeat(areas * mu["f"][0] / 3, 3), minlength=len(lift))
        return System(matrix, np.where(self.free, load - matrix @ lift, 0.0), self.free, lift)

    def constant(self, mu: Mu, field: Array | None = None) -> Stability:
        return Stability(mu["a"].min(axis=1) * (1 - 1e-9), mu["a"].max(axis=1) * (1 + 1e-9))

    def cell_data(self, mu: Mu) -> CellData:
        return CellData(mu["a"], mu["f"])

    def halved(self, v: Real) -> tuple["GivenMesh", Real]:
        """Every triangle cut into four, and nodal values of the same field."""
        t = self.triangles
        pairs = np.sort(np.stack([t[:, [1, 2]], t[:, [2, 0]], t[:, [0, 1]]], axis=1).reshape(-1, 2), axis=1)
        edges, place = np.unique(pairs, axis=0, return_inverse=True)
        m = place.reshape(-1, 3) + len(self.nodes)
        parts = [(t[:, 0], m[:, 2], m[:, 1]), (m[:, 2], t[:, 1], m[:, 0]), (m[:, 1], m[:, 0], t[:, 2]), tuple(m.T)]
        fine = np.stack([np.stack(part, axis=1) for part in parts], axis=1).reshape(-1, 3)
        nodes = np.concatenate([self.nodes, self.nodes[edges].mean(axis=1)])
        return GivenMesh(nodes, fine), np.concatenate([v, v[:, edges].mean(axis=2)], axis=1)

    def distances(self, mu: Mu, v: Real, levels: int) -> Real:
        """`‖u_k - v‖_a` of one sample for Galerkin solutions on the mesh cut k = 0, 1, ... times."""
        mesh, found = self, []
        for level in range(levels):
            if level:
                mesh, v = mesh.halved(v)
                mu = {"a": np.repeat(mu["a"], 4, axis=1), "f": np.repeat(mu["f"], 4, axis=1), "g": v}
            system = mesh.assemble(mu)
            inner = np.flatnonzero(system.free)
            rest = (system.load - system.matrix @ (v[0] - system.lift))[inner]
            step = sla.spsolve(sp.csc_array(system.matrix[inner][:, inner]), rest)
            found.append(np.sqrt(max(rest @ step, 0.0)))
        return np.array(found)


def random_mesh(rng: np.random.Generator, inside: int) -> GivenMesh:
    """Delaunay triangles of random points in a trapezium."""
    polygon = np.array([[0.0, 0.0], [1.3, 0.0], [1.0, 1.0], [0.0, 0.8]])
    sides = [(1 - s) * polygon[i] + s * polygon[i - 1] for i in range(4) for s in (0.25, 0.5, 0.75)]
    nodes = np.concatenate([polygon, sides, rng.dirichlet(np.ones(4), size=inside) @ polygon])
    triangles = Delaunay(nodes).simplices.astype(np.int32)
    p = nodes[triangles]
    return GivenMesh(nodes, triangles[np.abs(np.linalg.det(p[:, 1:] - p[:, :1])) > 1e-9])
