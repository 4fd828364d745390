"""Exact errors of fields on small problems: dense matrices, solutions and norms in extended precision, in batches.

The matrices are formed here from the data of a case, by another route than the package's own.
"""

from dataclasses import dataclass

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.problems.base import Affine, Outputs, Problem
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.grid import Grid

LONG = np.longdouble
_STEPS = 10


@dataclass(frozen=True, eq=False)
class Truth:
    """Matrices `(B, n, n)` on the free dofs, mass `(n, n)`, solutions `(B, N)`: extended precision."""

    a: Array
    mass: Array
    free: Mask
    u: Array

    @classmethod
    def of(cls, a: Array, mass: Array, free: Mask, load: Array, lift: Array) -> "Truth":
        """By float64 inverses and residuals in the wide type."""
        rough = np.linalg.inv(a.astype(np.float64)).astype(LONG)
        f, w = load[:, free].astype(LONG), np.zeros(a.shape[:2], dtype=LONG)
        for _ in range(_STEPS):
            w = w + np.einsum("bij,bj->bi", rough, f - np.einsum("bij,bj->bi", a, w))
        u = lift.astype(LONG)
        u[:, free] += w
        return cls(a, mass, free, u)

    def errors(self, v: Real) -> tuple[Array, Array]:
        """`‖u - v‖_A` and `‖u - v‖_M` for dofs `(B, N)` that carry the prescribed values."""
        e = (self.u - v.astype(LONG))[:, self.free]
        energy = np.einsum("bi,bij,bj->b", e, self.a, e, optimize=["einsum_path", (0, 1), (0, 1)])
        return np.sqrt(np.maximum(energy, 0)), np.sqrt(np.einsum("bi,bi->b", e @ self.mass, e))

    def outputs(self, problem: Problem) -> dict[str, Array]:
        """The true quantities of interest `(B,)` by name; none without Outputs."""
        known = problem.quantities() if isinstance(problem, Outputs) else {}
        return {name: self.u @ q.functional.astype(LONG) + LONG(q.offset) for name, q in known.items()}


class Fields(ParameterSpace):
    """Coefficient a, source f, data g and transfer coefficient of a problem on a grid, as they come."""

    names = ("a", "f", "g", "kappa")

    def sample(self, indices: object, seed: int) -> dict[str, Array]:
        """Cases are drawn by the benchmark."""
        return {}

    def contains(self, mu: Mu) -> Mask:
        """Everything."""
        return np.ones(len(mu["a"]), dtype=bool)

    def to_parts(self):  # type: ignore[no-untyped-def]
        """Not stored."""

    @classmethod
    def from_parts(cls, config, arrays, children):  # type: ignore[no-untyped-def]
        """Not stored."""


@dataclass(frozen=True)
class Diffusion(GridDiffusion):
    """`-∇·(a ∇u) = f` on any grid, every datum a parameter: g and kappa one number per sample."""

    grid: Grid
    rule: str = "arithmetic"
    parameters = Fields()

    @property
    def face(self) -> str:  # type: ignore[override]
        return self.rule

    @property
    def space(self) -> Grid:
        return self.grid

    def coefficient(self, mu: Mu) -> Real:
        return np.asarray(mu["a"])

    def source(self, mu: Mu) -> Real:
        return np.asarray(mu["f"])

    def boundary(self, mu: Mu) -> Real:
        return np.broadcast_to(mu["g"].reshape(-1, *[1] * self.grid.dim), (len(mu["g"]), *self.grid.shape))

    def boundary_data(self, mu: Mu, side: object) -> Real:
        return np.broadcast_to(mu["g"].reshape(-1, *[1] * len(side.shape)), (len(mu["g"]), *side.shape))

    def transfer(self, mu: Mu, side: object) -> Real:
        return np.broadcast_to(mu["kappa"].reshape(-1, *[1] * len(side.shape)), (len(mu["g"]), *side.shape))


def of_grid(problem: Diffusion, mu: Mu) -> Truth:
    """Sums over faces and walls, one direction at a time."""
    grid, a = problem.grid, mu["a"].astype(LONG)
    batch, size = len(a), grid.size
    index, whole = np.arange(size).reshape(grid.shape), np.zeros((batch, size, size), dtype=LONG)
    widths = [_widths(axis) for axis in grid.directions]
    for d, axis in enumerate(grid.directions):
        h = LONG(axis.length) / axis.cells
        others = [w if k != d else np.ones(1, dtype=LONG) for k, w in enumerate(widths)]
        area = np.broadcast_to(_outer(others), [1 if k == d else n for k, n in enumerate(grid.shape)])
        pairs = [(i, i + 1) for i in range(axis.size - 1)] + ([(axis.size - 1, 0)] if axis.periodic else [])
        for i, j in pairs:
            left, right = np.take(a, i, d + 1), np.take(a, j, d + 1)
            mean = (left + right) / 2 if problem.rule == "arithmetic" else 2 * left * right / (left + right)
            _couple(whole, np.take(index, i, d), np.take(index, j, d), np.take(area, 0, d) / h * mean)
        for word, end in ((axis.low, 0), (axis.high, -1)):
            wall = _wall(word, grid.centring, np.take(a, end, d + 1), mu["kappa"].astype(LONG), h)
            places = np.take(index, end, d).ravel()
            whole[:, places, places] += (np.take(area, 0, d) * wall).reshape(batch, -1)
    free = grid.free
    systems = problem.systems(mu)
    mass = np.diag(_outer(widths).ravel()[free])
    return Truth.of(whole[:, free][:, :, free], mass, free, systems.load, systems.lift)


def of_affine(problem: Affine, mu: Mu) -> Truth:
    """Sums of the terms."""
    terms, (theta, phi) = problem.terms(), problem.coefficients(mu)
    free = terms.free
    parts = np.stack([m.toarray()[np.ix_(free, free)] for m in terms.matrices]).astype(LONG)
    a = np.einsum("bq,qij->bij", theta.astype(LONG), parts)
    load = phi.astype(LONG) @ terms.loads.astype(LONG)
    lift = np.broadcast_to(terms.lift, load.shape)
    return Truth.of(a, _mass(problem.space)[np.ix_(free, free)], free, load, lift)


def _mass(space: FunctionSpace) -> Array:
    return space.mass.matrix.toarray().astype(LONG)  # type: ignore[attr-defined]


def _widths(axis: object) -> Array:
    widths = np.full(axis.size, LONG(axis.length) / axis.cells)
    if axis.centring == "node" and not axis.periodic:
        widths[[0, -1]] /= 2
    return widths


def _outer(parts: list[Array]) -> Array:
    total = np.ones((1,) * len(parts), dtype=LONG)
    for k, part in enumerate(parts):
        total = total * part.reshape([-1 if k == d else 1 for d in range(len(parts))])
    return total


def _couple(whole: Array, left: Array, right: Array, weight: Array) -> None:
    """Adds `w (v_i - v_j)²`."""
    i, j, w = left.ravel(), right.ravel(), weight.reshape(len(whole), -1)
    whole[:, i, i] += w
    whole[:, j, j] += w
    whole[:, i, j] -= w
    whole[:, j, i] -= w


def _wall(word: str, centring: str, a: Array, kappa: Array, h: Array) -> Array:
    """Coupling of the values next to an end to what stands there, per unit of area."""
    kappa = kappa.reshape(-1, *[1] * (a.ndim - 1))
    if word == "robin":
        return kappa + 0 * a if centring == "node" else 1 / (h / (2 * a) + 1 / kappa)
    return 2 * a / h if word == "dirichlet" and centring == "cell" else 0 * a
