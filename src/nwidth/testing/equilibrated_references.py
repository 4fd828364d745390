"""Diffusion problems whose data are their parameters, and references for bounds of their total error.

    -∇·(a ∇u) = f,  u = g on the boundary

on a grid (`GivenGrid`) or on triangles (`GivenMesh`, `random_mesh`): a, f and g are named "a", "f" and "g" in mu and
may be anything that has the right shape. The references share no code with `nwidth.bounds.equilibrated`: the exact
error in one dimension (`line_error`), and distances to Galerkin solutions on finer and finer grids (`plane_errors`),
which never exceed the distance to the exact solution and tend to it (`extrapolated`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from scipy.spatial import Delaunay

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.problems.base import Coercive, Linear, Stability, System
from nwidth.problems.cell_data import CellData, CellDiffusive
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.problems.grid_systems import FaceRule
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.mesh import Form, MeshSpace


class GivenData(ParameterSpace):
    """Coefficient a, source f and boundary values g: given, never drawn, and always inside."""

    kind: ClassVar[str] = "testing-given-data"
    names = ("a", "f", "g")

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Raises InputError."""
        raise InputError("a, f and g are given, not drawn; make arrays of your own")

    def contains(self, mu: Mu) -> Mask:
        """Everything, `(B,)`."""
        return np.ones(len(mu["a"]), dtype=bool)

    def to_parts(self) -> Parts:
        """Nothing to store."""
        return Parts({}, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The same."""
        return cls()


class GivenGrid(GridDiffusion):
    """Differences on a grid; a, f and g are `(B, *grid.shape)`, and g counts at the prescribed nodes."""

    def __init__(self, grid: Grid, face: FaceRule = "arithmetic"):
        self._grid, self.face = grid, face

    @property
    def space(self) -> Grid:
        """The grid."""
        return self._grid

    @property
    def parameters(self) -> GivenData:
        """a, f and g."""
        return GivenData()

    def coefficient(self, mu: Mu) -> Real:
        """a."""
        return np.asarray(mu["a"])

    def source(self, mu: Mu) -> Real:
        """f."""
        return np.asarray(mu["f"])

    def boundary(self, mu: Mu) -> Real:
        """g."""
        return np.asarray(mu["g"])


@dataclass(frozen=True, eq=False)
class GivenMesh(CellDiffusive, Coercive):
    """Linear triangles: a `(B, T)`, f `(B, T)` or linear on each, `(B, T, 3)`, g `(B, N)` at the nodes.

    `nodes` `(N, 2)`; `triangles` `(T, 3)`, in either orientation. Small: λ_min(X) is found by a dense decomposition.
    """

    nodes: Real
    triangles: Array

    @property
    def parameters(self) -> GivenData:
        """a, f and g."""
        return GivenData()

    @cached_property
    def geometry(self) -> tuple[Real, Real]:
        """Areas `(T,)` and gradients of the hat functions `(T, 3, 2)`, by solving for them."""
        p = self.nodes[self.triangles]
        whole = np.concatenate([np.ones((len(p), 3, 1)), p], axis=2)
        return np.abs(np.linalg.det(whole)) / 2, np.moveaxis(np.linalg.inv(whole)[:, 1:], 1, 2)

    def matrix(self, a: Real) -> sp.csr_array:
        """`∫ a ∇u·∇v` for a of one sample, `(T,)`; all nodes, exactly symmetric."""
        areas, slopes = self.geometry
        local = (a * areas)[:, None, None] * slopes @ np.moveaxis(slopes, 1, 2)
        entries = (local.ravel(), (np.repeat(self.triangles, 3, 1).ravel(), np.tile(self.triangles, 3).ravel()))
        found = sp.csr_array(entries, shape=(len(self.nodes),) * 2)
        return sp.csr_array((found + found.T) / 2)

    @cached_property
    def free(self) -> Mask:
        """Nodes inside: those on no edge of a single triangle."""
        pairs = np.sort(self.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        edges, counts = np.unique(pairs, axis=0, return_counts=True)
        mask = np.ones(len(self.nodes), dtype=bool)
        mask[edges[counts == 1]] = False
        return mask

    @cached_property
    def space(self) -> MeshSpace:
        """The mesh with `∫ ∇u·∇v` as its energy."""
        stiffness, inner = self.matrix(np.ones(len(self.triangles))), np.flatnonzero(self.free)
        smallest = 0.99 * np.linalg.eigvalsh(stiffness[inner][:, inner].toarray())[0]
        unit = Form(sp.eye_array(len(self.nodes), format="csr"), 1.0)
        return MeshSpace(self.nodes, self.triangles, self.free, Form(stiffness, float(smallest)), unit)

    def assemble(self, mu: Mu) -> System:
        """The system of a single sample."""
        areas, _ = self.geometry
        f = np.broadcast_to(mu["f"][0].reshape(len(areas), -1), (len(areas), 3))
        parts = areas[:, None] * (f.sum(axis=1, keepdims=True) + f) / 12
        matrix, lift = self.matrix(mu["a"][0]), np.where(self.free, 0.0, mu["g"][0])
        load = np.bincount(self.triangles.ravel(), parts.ravel(), minlength=len(lift)) - matrix @ lift
        return System(matrix, np.where(self.free, load, 0.0), self.free, lift)

    def constant(self, mu: Mu, field: Array | None = None) -> Stability:
        """The smallest and the largest a, with room for rounding: proven."""
        return Stability(mu["a"].min(axis=1) * (1 - 1e-9), mu["a"].max(axis=1) * (1 + 1e-9))

    def cell_data(self, mu: Mu) -> CellData:
        """a and f."""
        return CellData(mu["a"], mu["f"])

    def solved(self, mu: Mu) -> Real:
        """Discrete solutions `(B, N)`."""
        return solved(self, mu)

    def halved(self, *values: Real) -> tuple["GivenMesh", list[Real]]:
        """Every triangle cut into four by the middles of its edges: the mesh, and nodal values `(B, N)` on it.

        The parts of triangle t are 4 t, ..., 4 t + 3: `np.repeat(a, 4, axis=1)` is its coefficient.
        """
        t = self.triangles
        pairs = np.sort(np.stack([t[:, [1, 2]], t[:, [2, 0]], t[:, [0, 1]]], axis=1).reshape(-1, 2), axis=1)
        edges, place = np.unique(pairs, axis=0, return_inverse=True)
        m = place.reshape(-1, 3) + len(self.nodes)
        parts = [(t[:, 0], m[:, 2], m[:, 1]), (m[:, 2], t[:, 1], m[:, 0]), (m[:, 1], m[:, 0], t[:, 2]), tuple(m.T)]
        fine = np.stack([np.stack(part, axis=1) for part in parts], axis=1).reshape(-1, 3)
        nodes = np.concatenate([self.nodes, self.nodes[edges].mean(axis=1)])
        return GivenMesh(nodes, fine), [np.concatenate([v, v[:, edges].mean(axis=2)], axis=1) for v in values]

    def finer(self, mu: Mu) -> tuple["GivenMesh", dict[str, Array]]:
        """The same problem on the mesh cut once, for sources with one value per triangle."""
        mesh, (g,) = self.halved(mu["g"])
        return mesh, {"a": np.repeat(mu["a"], 4, axis=1), "f": np.repeat(mu["f"], 4, axis=1), "g": g}

    def norm(self, v: Real, mu: Mu) -> Real:
        """`‖v‖_a` of nodal values `(B, N)`, `(B,)`."""
        return np.array([np.sqrt(max(x @ (self.matrix(a) @ x), 0.0)) for x, a in zip(v, mu["a"], strict=True)])


def random_mesh(
    rng: np.random.Generator,
    inside: int,
    corners: Sequence[tuple[float, float]] = ((0.0, 0.0), (1.3, 0.0), (1.0, 1.0), (0.0, 0.8)),
) -> GivenMesh:
    """Delaunay triangles of `inside` random points in a convex polygon, every third of them clockwise."""
    polygon = np.array(corners, dtype=np.float64)
    sides = [(1 - s) * polygon[i] + s * polygon[i - 1] for i in range(len(polygon)) for s in (0.3, 0.7)]
    nodes = np.concatenate([polygon, sides, rng.dirichlet(np.ones(len(polygon)), size=inside) @ polygon])
    triangles = Delaunay(nodes).simplices.astype(np.int32)
    p = nodes[triangles]
    triangles = triangles[np.abs(np.linalg.det(p[:, 1:] - p[:, :1])) > 1e-9]  # slivers along straight sides
    triangles[::3] = triangles[::3, ::-1]
    return GivenMesh(nodes, triangles)


def solved(problem: Linear, mu: Mu) -> Real:
    """Discrete solutions `(B, *shape)`, each by one factorisation of its assembled matrix."""
    found = []
    for i in range(len(next(iter(mu.values())))):
        system = problem.assemble({name: values[i : i + 1] for name, values in mu.items()})
        inner, u = np.flatnonzero(system.free), np.array(system.lift)
        u[inner] += sla.spsolve(sp.csc_array(system.matrix)[inner][:, inner], system.load[inner])
        found.append(u)
    return np.asarray(problem.space.unflatten(np.stack(found)))


def on_halves(values: Real) -> Real:
    """Nodal values `(B, N + 1, ...)` on the halved cells `(B, 2 N, ...)` that each node owns."""
    for axis in range(1, values.ndim):
        values = np.take(values, (np.arange(2 * values.shape[axis] - 2) + 1) // 2, axis=axis)
    return values


def line_error(a: Real, f: Real, v: Real, length: float) -> Array:
    """The exact `‖u - v‖_a` in one dimension, `(B,)`, in extended precision.

    a and f `(B, 2 N)` are constant on halved cells; v is linear on cells, nodal values `(B, N + 1)`; u = v at both
    ends of an interval of this `length`. From a u' = c - ∫f.
    """
    wide, source, field = (np.asarray(x, dtype=np.longdouble) for x in (a, f, v))
    h = np.longdouble(length) / np.longdouble(a.shape[1])
    slope = np.repeat(np.diff(field, axis=1) / (2 * h), 2, axis=1)
    left = np.concatenate([np.zeros((len(a), 1), dtype=wide.dtype), np.cumsum(source * h, axis=1)], axis=1)
    lost = ((left[:, :-1] + left[:, 1:]) / 2 * h / wide).sum(axis=1)
    c = (field[:, -1] - field[:, 0] + lost) / (h / wide).sum(axis=1)
    low, high = c[:, None] - left[:, :-1] - wide * slope, c[:, None] - left[:, 1:] - wide * slope
    return np.asarray(np.sqrt((h / wide * (low * low + low * high + high * high) / 3).sum(axis=1)))


def plane_errors(
    a: Real,
    f: Real,
    v: Real,
    lengths: tuple[float, float] = (1.0, 1.0),
    between: Literal["constant", "linear"] = "constant",
    levels: int = 3,
) -> Real:
    """`‖u_k - v‖_a` for bilinear Galerkin solutions u_k on grids cut k = 0, 1, ... times, `(levels,)`, one sample.

    v `(N0 + 1, N1 + 1)` are nodal values, and the boundary values of u. a and f are "constant" on cells, `(N0, N1)`, or
    bilinear ("linear") with nodal values `(N0 + 1, N1 + 1)`. Each is a lower bound of `‖u - v‖_a` up to round-off.
    """
    found = []
    for level in range(levels):
        if level:
            v = refined(v)
            a, f = (refined(x) if between == "linear" else np.repeat(np.repeat(x, 2, 0), 2, 1) for x in (a, f))
        found.append(_galerkin_distance(a, f, v, lengths, between))
    return np.array(found)


def extrapolated(distances: Real) -> float:
    """The limit of distances to solutions on finer and finer grids (Aitken, of the squares)."""
    squares = np.asarray(distances)[-3:] ** 2
    first, second = np.diff(squares)
    rate = second / first if first > 0 else 0.5
    return float(np.sqrt(squares[-1] + second * rate / (1 - rate))) if 0 < rate < 0.95 else float(distances[-1])


def refined(x: Real) -> Real:
    """Nodal values `(N0 + 1, N1 + 1)` of the same bilinear field on halved cells, `(2 N0 + 1, 2 N1 + 1)`."""
    for axis in (0, 1):
        x = np.moveaxis(x, axis, 0)
        fine = np.empty((2 * len(x) - 1, *x.shape[1:]))
        fine[::2], fine[1::2] = x, (x[:-1] + x[1:]) / 2
        x = np.moveaxis(fine, 0, axis)
    return x


def _galerkin_distance(a: Real, f: Real, v: Real, lengths: tuple[float, float], between: str) -> float:
    """By Gauss quadrature that is exact for bilinear a and f."""
    rows, columns = v.shape[0] - 1, v.shape[1] - 1
    hx, hy = lengths[0] / rows, lengths[1] / columns
    index = np.arange(v.size).reshape(v.shape)
    corners = np.stack([c.ravel() for c in (index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:])], axis=1)
    matrix, load = np.zeros((rows * columns, 4, 4)), np.zeros((rows * columns, 4))
    nodes, weights = np.polynomial.legendre.leggauss(3)
    for s, p in zip((nodes + 1) / 2, weights / 2, strict=True):
        for t, q in zip((nodes + 1) / 2, weights / 2, strict=True):
            hats = np.array([(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t])
            slopes = np.array([[t - 1, s - 1], [1 - t, -s], [-t, 1 - s], [t, s]]) / (hx, hy)
            here = [x.ravel() if between == "constant" else x.ravel()[corners] @ hats for x in (a, f)]
            matrix += p * q * hx * hy * here[0][:, None, None] * (slopes @ slopes.T)
            load += p * q * hx * hy * here[1][:, None] * hats
    entries = (matrix.ravel(), (np.repeat(corners, 4, axis=1).ravel(), np.tile(corners, (1, 4)).ravel()))
    whole = sp.csr_array(entries, shape=(v.size, v.size))
    free = np.zeros(v.shape, dtype=bool)
    free[1:-1, 1:-1] = True
    inner = np.flatnonzero(free)
    rest = (np.bincount(corners.ravel(), load.ravel(), minlength=v.size) - whole @ v.ravel())[inner]
    return float(np.sqrt(max(rest @ sla.spsolve(sp.csc_array(whole[inner][:, inner]), rest), 0.0)))
