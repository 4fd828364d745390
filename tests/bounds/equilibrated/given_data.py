"""Diffusion problems with any data at all, and references that share no code with the bounds."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from scipy.spatial import Delaunay

from nwidth.core.prediction import uncertified
from nwidth.problems.base import Coercive, Stability, System
from nwidth.problems.cell_data import CellData, CellDiffusive
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.mesh import Form, MeshSpace


class Fields(ParameterSpace):
    """Names only."""

    kind = "fields"

    def __init__(self, *names):
        self._names = names

    @property
    def names(self):
        return self._names

    def sample(self, indices, seed):
        raise AssertionError("given, not drawn")

    def contains(self, mu):
        return np.ones(len(next(iter(mu.values()))), dtype=bool)

    def to_parts(self):
        raise AssertionError("not stored")

    from_parts = to_parts


class GivenGrid(GridDiffusion):
    """Coefficient, source and boundary values are the parameters."""

    def __init__(self, grid: Grid, face="arithmetic"):
        self._grid, self.face = grid, face

    @property
    def space(self):
        return self._grid

    @property
    def parameters(self):
        return Fields("a", "f", "g")

    def coefficient(self, mu):
        return mu["a"]

    def source(self, mu):
        return mu["f"]

    def boundary(self, mu):
        return mu["g"]


def random_data(rng, grid, batch, contrast, jumps=True):
    """Coefficients of a contrast, sources of any sign, boundary values."""
    shape = (batch, *grid.shape)
    share = rng.random(shape)
    a = contrast ** (np.round(share) if jumps else share) * 10.0 ** rng.integers(-3, 4)
    return {"a": a, "f": rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4), "g": rng.standard_normal(shape)}


def answer(problem, mu, v):
    """Fields as a prediction."""
    return uncertified(mu, v, problem.space, np.ones(len(v), dtype=bool))


def solved(problem, mu):
    """Discrete solutions, each by one factorisation."""
    found = []
    for i in range(len(next(iter(mu.values())))):
        system = problem.assemble({name: x[i : i + 1] for name, x in mu.items()})
        inner, u = np.flatnonzero(system.free), system.lift.copy()
        u[inner] += sla.spsolve(sp.csc_array(system.matrix)[inner][:, inner], system.load[inner])
        found.append(u)
    return problem.space.unflatten(np.stack(found))


def on_halves(values):
    """Values of nodes on the halved cells that each node owns, by looking every middle up."""
    index = [np.floor(np.arange(2 * (n - 1)) / 2 + 0.25 + 0.5).astype(int) for n in values.shape[1:]]
    return values[(slice(None), *np.ix_(*index))]


def line_error(a, f, v, length):
    """The exact `‖u - v‖_a` in one dimension in extended precision, `(B,)`: data constant on halved cells `(B, M)`, v
    linear on cells, nodal values `(B, N + 1)`, u = v at both ends."""
    wide = np.longdouble
    a, f, v = a.astype(wide), f.astype(wide), v.astype(wide)
    h = wide(length) / wide(a.shape[1])
    slope = np.repeat(np.diff(v, axis=1) / (2 * h), 2, axis=1)
    # a u' = c - F(x), F the integral of the source
    left = np.concatenate([np.zeros((len(a), 1), dtype=wide), np.cumsum(f * h, axis=1)], axis=1)
    rise = v[:, -1] - v[:, 0]
    lost = ((left[:, :-1] + left[:, 1:]) / 2 * h / a).sum(axis=1)
    c = (rise + lost) / (h / a).sum(axis=1)
    low, high = c[:, None] - left[:, :-1] - a * slope, c[:, None] - left[:, 1:] - a * slope
    return np.sqrt((h / a * (low * low + low * high + high * high) / 3).sum(axis=1))


def plane_errors(a, f, v, lengths, between, levels=3):
    """`‖u_k - v‖_a` for Galerkin solutions u_k on finer and finer grids, bilinear: lower bounds of `‖u - v‖_a`.

    a and f are those of the halved cells (nodal values where they are linear), v is bilinear there, one sample.
    """
    found = []
    for _ in range(levels):
        found.append(_galerkin_distance(a, f, v, lengths, between))
        v = _refined(v)
        a, f = (_refined(x) if between == "linear" else np.repeat(np.repeat(x, 2, 0), 2, 1) for x in (a, f))
    return np.array(found)


def extrapolated(distances):
    """The limit of distances to solutions on finer and finer grids."""
    squares = np.asarray(distances) ** 2
    steps = np.diff(squares[-3:])
    rate = steps[1] / steps[0] if steps[0] > 0 else 0.5
    return float(np.sqrt(squares[-1] + steps[1] * rate / (1 - rate))) if 0 < rate < 0.95 else float(distances[-1])


def _refined(x):
    for axis in (0, 1):
        x = np.moveaxis(x, axis, 0)
        fine = np.empty((2 * len(x) - 1, *x.shape[1:]))
        fine[::2], fine[1::2] = x, (x[:-1] + x[1:]) / 2
        x = np.moveaxis(fine, 0, axis)
    return x


def _galerkin_distance(a, f, v, lengths, between):
    rows, columns = v.shape[0] - 1, v.shape[1] - 1
    hx, hy = lengths[0] / rows, lengths[1] / columns
    index = np.arange(v.size).reshape(v.shape)
    corner = [index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]]
    corners = np.stack([c.ravel() for c in corner], axis=1)
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


@dataclass(frozen=True, eq=False)
class GivenMesh(CellDiffusive, Coercive):
    """Linear triangles; coefficient and source (one value or three per triangle), boundary values as parameters."""

    nodes: np.ndarray
    triangles: np.ndarray

    @property
    def parameters(self):
        return Fields("a", "f", "g")

    @cached_property
    def geometry(self):
        """Areas and gradients of hat functions, by solving for them."""
        p = self.nodes[self.triangles]
        ones = np.ones((len(p), 3, 1))
        inverse = np.linalg.inv(np.concatenate([ones, p], axis=2))
        return np.abs(np.linalg.det(np.concatenate([ones, p], axis=2))) / 2, np.moveaxis(inverse[:, 1:], 1, 2)

    def matrix(self, a):
        areas, slopes = self.geometry
        local = (a * areas)[:, None, None] * slopes @ np.moveaxis(slopes, 1, 2)
        t = self.triangles
        entries = (local.ravel(), (np.repeat(t, 3, axis=1).ravel(), np.tile(t, (1, 3)).ravel()))
        return sp.csr_array(entries, shape=(len(self.nodes),) * 2)

    @cached_property
    def free(self):
        t = self.triangles
        pairs = np.sort(np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]]), axis=1)
        edges, counts = np.unique(pairs, axis=0, return_counts=True)
        mask = np.ones(len(self.nodes), dtype=bool)
        mask[edges[counts == 1]] = False
        return mask

    @cached_property
    def space(self):
        areas, _ = self.geometry
        stiff = self.matrix(np.ones(len(areas)))
        stiff = (stiff + stiff.T) / 2
        inner = np.flatnonzero(self.free)
        smallest = 0.99 * np.linalg.eigvalsh(stiff[inner][:, inner].toarray())[0]
        form = Form(sp.csr_array(stiff), float(smallest))
        return MeshSpace(
            self.nodes, self.triangles, self.free, form, Form(sp.eye_array(len(self.nodes), format="csr"), 1.0)
        )

    def assemble(self, mu):
        areas, _ = self.geometry
        f = mu["f"][0] if mu["f"].ndim == 3 else np.repeat(mu["f"][0][:, None], 3, axis=1)
        parts = areas[:, None] * (f.sum(axis=1, keepdims=True) + f) / 12
        matrix = self.matrix(mu["a"][0])
        lift = np.where(self.free, 0.0, mu["g"][0])
        load = np.bincount(self.triangles.ravel(), parts.ravel(), minlength=len(lift)) - matrix @ lift
        return System((matrix + matrix.T) / 2, np.where(self.free, load, 0.0), self.free, lift)

    def constant(self, mu, field=None):
        return Stability(mu["a"].min(axis=1) * (1 - 1e-9), mu["a"].max(axis=1) * (1 + 1e-9))

    def cell_data(self, mu):
        return CellData(mu["a"], mu["f"])

    def solved(self, mu):
        return solved(self, mu)

    def halved(self, *values):
        """Every triangle cut into four by the middles of its edges: the mesh, and nodal values on it."""
        t = self.triangles
        pairs = np.sort(np.stack([t[:, [1, 2]], t[:, [2, 0]], t[:, [0, 1]]], axis=1).reshape(-1, 2), axis=1)
        edges, place = np.unique(pairs, axis=0, return_inverse=True)
        m = place.reshape(-1, 3) + len(self.nodes)
        fine = np.stack(
            [
                np.stack([t[:, 0], m[:, 2], m[:, 1]], axis=1),
                np.stack([m[:, 2], t[:, 1], m[:, 0]], axis=1),
                np.stack([m[:, 1], m[:, 0], t[:, 2]], axis=1),
                m,
            ],
            axis=1,
        ).reshape(-1, 3)
        nodes = np.concatenate([self.nodes, self.nodes[edges].mean(axis=1)])
        lifted = [np.concatenate([v, v[:, edges].mean(axis=2)], axis=1) for v in values]
        return GivenMesh(nodes, fine), lifted

    def finer(self, mu):
        """The same problem on the mesh cut once: constant sources only."""
        mesh, (g,) = self.halved(mu["g"])
        return mesh, {"a": np.repeat(mu["a"], 4, axis=1), "f": np.repeat(mu["f"], 4, axis=1), "g": g}

    def norm(self, v, mu):
        """`‖v‖_a`, `(B,)`."""
        return np.array([np.sqrt(max(x @ (self.matrix(a) @ x), 0.0)) for x, a in zip(v, mu["a"], strict=True)])


def random_mesh(rng, inside, corners=((0, 0), (1.3, 0), (1, 1), (0, 0.8))):
    """Delaunay triangles of random points in a convex polygon, some of them clockwise, numbered at random."""
    polygon = np.array(corners, dtype=float)
    weights = rng.dirichlet(np.ones(len(polygon)), size=inside)
    sides = [(1 - s) * polygon[i] + s * polygon[i - 1] for i in range(len(polygon)) for s in (0.3, 0.7)]
    nodes = np.concatenate([polygon, sides, weights @ polygon])
    triangles = Delaunay(nodes).simplices.astype(np.int32)
    p = nodes[triangles]
    area = np.abs(np.linalg.det(p[:, 1:] - p[:, :1]))
    triangles = triangles[area > 1e-9]  # slivers along straight sides
    triangles[::3] = triangles[::3, ::-1]
    return GivenMesh(nodes, triangles)
