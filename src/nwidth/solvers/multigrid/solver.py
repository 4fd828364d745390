"""Multigrid-preconditioned conjugate gradients and BiCGStab for matrices of nearest neighbours on a grid."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import ClassVar

import numpy as np

from nwidth.bounds.residual import energy_bounds, reference_norm, relative_bound
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_finite, select
from nwidth.problems.base import Problem, is_coercive
from nwidth.problems.stencils import Stencilled, Stencils
from nwidth.solvers.base import Solver
from nwidth.solvers.multigrid.krylov import solve_batch
from nwidth.solvers.multigrid.plan import COARSEST, Plan, coarsest, make_plan, schedule
from nwidth.spaces._layout import AXES
from nwidth.spaces.grid import Grid

_DEFAULT = Tolerance("residual", 1e-8)
#: Float64 numbers of the matrices that are formed at a time.
_PIECE = 2_000_000
#: Relative size of a load's mean beyond which a pure Neumann or periodic problem has no solution.
_BALANCED = 1e-9
#: Contrast of the couplings beyond which float32 loses the smallest eigenvalues, and the cycle runs in float64.
_CONTRAST = 2e4
#: Steps of a sample's history that are kept.
_KEPT = 256


def suits(problem: Problem) -> bool:
    """Whether `Multigrid` solves the problem: stencils on a grid that can be coarsened to a small one."""
    if not isinstance(problem, Stencilled) or not isinstance(problem.space, Grid):
        return False
    axes = problem.space.directions
    shape = tuple(axis.free.stop - axis.free.start for axis in axes)
    boxes = schedule(shape, tuple(axis.periodic for axis in axes), [1.0] * len(axes))
    return coarsest(boxes) <= COARSEST


@dataclass
class MultigridState:
    """What the solves of a problem share, held by the caller: plans by anisotropy, and one workspace.

    For one thread at a time.
    """

    problem: Stencilled
    plans: dict[tuple[object, ...], Plan] = field(default_factory=dict)
    workspaces: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Multigrid(Solver):
    """Krylov iteration in float64, preconditioned by one V-cycle in float32 (float64 at high contrast), for problems that are `Stencilled`.

    Symmetric matrices: conjugate gradients; others: BiCGStab. The cycle: `sweeps` Gauss-Seidel sweeps by colours before
    and after, interpolation that follows the operator, Galerkin coarse matrices (see `hierarchy`); axes with weak
    couplings are not coarsened until the others have caught up. Sizes need not be powers of two; a periodic axis needs
    an even number of cells for every halving. Where all rows sum to zero (pure Neumann, periodic), the solution of mean
    zero is found and a load that does not sum to zero has none: status SINGULAR.

    `Tolerance("residual", r)`: the recomputed residual relative to the load; `Tolerance("energy", r)`: a guaranteed
    relative energy error (problems with a stability constant), by tightening the residual until bound 1 meets it.
    Statistics: `iterations`, `residual`, `seconds`; with an energy tolerance `bound` and `norm` too. `note` tells the
    history of a sample that failed.
    """

    releases_gil: ClassVar[bool] = True

    max_iterations: int = 200
    restarts: int = 4
    sweeps: int = 2

    def prepare(self, problem: Problem) -> MultigridState:
        """The state to hand to `solve`. Raises InputError without the capability Stencilled on a Grid."""
        if not isinstance(problem, Stencilled) or not isinstance(problem.space, Grid):
            raise InputError(
                f"{type(problem).__name__} does not give stencils on a Grid; inherit Stencilled (GridDiffusion and "
                "GridTransport do), or use nwidth.solvers.direct.Direct"
            )
        return MultigridState(problem)

    def solve(self, state: MultigridState, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Solutions `(B, *shape)`; a sample that did not converge is a status, and its best field is returned."""
        problem, stop = state.problem, stop or _DEFAULT
        mu = as_mu(mu, problem.parameters.names)
        start = None if x0 is None else problem.space.flatten(np.asarray(x0, dtype=np.float64))
        if start is not None:
            check_finite("x0", start)
        if stop.kind == "energy" and not is_coercive(problem):
            raise InputError(
                f"{type(problem).__name__} has no stability constant, so no energy error can be guaranteed; use "
                "Tolerance('residual', ...) or inherit Stable"
            )
        size = batch_size(mu)
        piece = max(1, _PIECE // (problem.space.size * (3 + 2 * len(problem.space.shape))))
        parts = [
            self._piece(state, select(mu, slice(i, i + piece)), None if start is None else start[i : i + piece], stop)
            for i in range(0, size, piece)
        ]
        names = parts[0][2].keys() if parts else ()
        return Solution(
            field=problem.space.unflatten(np.concatenate([p[0] for p in parts])),
            status=np.concatenate([p[1] for p in parts]),
            stats={name: np.concatenate([p[2][name] for p in parts]) for name in names},
            note="; ".join(filter(None, (p[3] for p in parts))),
        )

    def _piece(
        self, state: MultigridState, mu: Mu, start: Array | None, stop: Tolerance
    ) -> tuple[Real, Array, dict[str, Array], str]:
        begin = perf_counter()
        problem = state.problem
        stencils = problem.stencils(mu)
        check_finite("load", stencils.load)
        work = _Work.of(stencils, _inside(problem, start))
        goal = stop.value if stop.kind == "residual" else min(stop.value, 1e-6)
        work.run(self, state, goal, np.ones(len(work.x), dtype=bool))
        v = _fields(problem, mu, work.x)
        stats = {"iterations": work.iterations, "residual": work.residual}
        if stop.kind == "energy":
            v, more = self._to_energy(state, mu, work, v, stop, goal)
            stats |= more
        stats["seconds"] = np.full(len(v), (perf_counter() - begin) / max(len(v), 1))
        return v, work.status, stats, work.note()

    def _to_energy(
        self, state: MultigridState, mu: Mu, work: "_Work", v: Real, stop: Tolerance, goal: float
    ) -> tuple[Real, dict[str, Array]]:
        """Tightens the residual of the samples whose guaranteed bound misses the tolerance."""
        problem = state.problem
        if not is_coercive(problem):
            raise InputError(f"{type(problem).__name__} is not Coercive")
        systems, inner, stability = problem.systems(mu), problem.space.inner("energy"), problem.constant(mu)
        while True:
            bound = energy_bounds(systems, v, inner, stability).upper
            norm = reference_norm(systems, v)
            missed = ~(relative_bound(bound, norm) <= stop.value)
            again = missed & (work.status == Status.CONVERGED)
            if not again.any() or goal < 1e-15:
                break
            goal *= 0.1
            work.run(self, state, goal, again)
            v = _fields(problem, mu, work.x)
        work.status[missed & (work.status == Status.CONVERGED)] = Status.MAX_ITERATIONS
        return v, {"bound": bound, "norm": norm}


@dataclass
class _Work:
    """The systems of one piece and how far their solution has come."""

    stencils: Stencils
    x: Real
    status: Array
    iterations: Array
    residual: Real
    history: Real
    unbalanced: Mask

    @classmethod
    def of(cls, stencils: Stencils, x: Real | None) -> "_Work":
        size, unknowns = len(stencils), int(np.prod(stencils.shape))
        x = np.zeros((size, unknowns)) if x is None else x
        flat = stencils.load.reshape(size, -1)
        unbalanced = stencils.constants & (np.abs(flat.sum(axis=1)) > _BALANCED * np.abs(flat).sum(axis=1))
        return cls(
            stencils,
            x,
            np.full(size, int(Status.MAX_ITERATIONS)),
            np.zeros(size, dtype=np.int64),
            np.full(size, np.inf),
            np.full((size, _KEPT), np.nan),
            unbalanced,
        )

    def run(self, solver: Multigrid, state: MultigridState, tolerance: float, rows: Mask) -> None:
        """Iterate the chosen samples, those with the same plan together."""
        self.status[self.unbalanced] = Status.SINGULAR
        self.x[self.unbalanced] = np.nan
        for group in _groups(self.stencils, solver.sweeps, state):
            chosen = group.rows[rows[group.rows] & ~self.unbalanced[group.rows]]
            if len(chosen) == len(self.x):
                self._run(solver, state, group, tolerance, self.stencils, slice(None))
            elif len(chosen):
                self._run(solver, state, group, tolerance, self.stencils.take(chosen), chosen)

    def _run(
        self,
        solver: Multigrid,
        state: MultigridState,
        group: "_Group",
        tolerance: float,
        part: Stencils,
        rows: Array | slice,
    ) -> None:
        plan = group.plan
        x, status, iterations = self.x[rows], self.status[rows], self.iterations[rows]
        residual, history = self.residual[rows], self.history[rows]
        size = len(x)
        solve_batch(
            part.centre, part.plus, part.minus or part.plus, part.symmetric, part.constants, part.periodic,
            part.load.reshape(size, -1), x, tolerance, solver.max_iterations, solver.restarts,
            _workspace(state, group), plan.fill, plan.read, plan.write, plan.setup, plan.cycle, plan.entries,
            plan.places, status, iterations, residual, history,
        )  # fmt: skip
        self.x[rows], self.status[rows], self.iterations[rows] = x, status, iterations
        self.residual[rows], self.history[rows] = residual, history

    def note(self) -> str:
        """What happened to the samples that failed."""
        said = []
        for i in np.flatnonzero(self.status != Status.CONVERGED)[:3]:
            if self.unbalanced[i]:
                total = self.stencils.load[i].sum()
                said.append(
                    f"sample {i}: the load sums to {total:.3g}, and nothing holds the level of the solution: there is "
                    "none; balance the sources and boundary fluxes"
                )
            else:
                steps = self.history[i][~np.isnan(self.history[i])]
                shown = ", ".join(f"{r:.1e}" for r in steps[:: max(1, len(steps) // 6)])
                said.append(f"sample {i}: {Status(self.status[i]).name.lower()}, residuals {shown}")
        return "; ".join(said)


@dataclass(frozen=True)
class _Group:
    """Samples that run on the same plan in the same precision."""

    plan: Plan
    precision: str
    rows: Array


def _groups(stencils: Stencils, sweeps: int, state: MultigridState) -> list[_Group]:
    """The samples by the strength of their couplings along the axes, and by contrast; each plan is made once."""
    axes = AXES[sum(n > 1 for n in stencils.shape) or 1]
    shape, periodic = (tuple(values[a] for a in axes) for values in (stencils.shape, stencils.periodic))
    # every third unknown is enough to tell
    parts = [np.abs(stencils.plus[a][:, ::3, ::3, ::3]).reshape(len(stencils), -1) for a in axes]
    strength = np.stack([part.mean(axis=1) for part in parts], axis=1)
    strength = np.maximum(strength, strength.max(axis=1, keepdims=True) * 1e-9) + np.finfo(float).tiny
    contrast = np.max([part.max(axis=1) / np.where(part > 0, part, np.inf).min(axis=1) for part in parts], axis=0)
    # to the power of two: samples that differ by less share a plan
    classes = np.round(np.log2(strength / strength.max(axis=1, keepdims=True)))
    classes = np.column_stack([classes, contrast > _CONTRAST])
    groups = []
    for kind in np.unique(classes, axis=0):
        boxes = tuple(schedule(shape, periodic, [float(2.0**k) for k in kind[:-1]]))
        key = (boxes, stencils.symmetric, sweeps)
        if key not in state.plans:
            state.plans[key] = make_plan(boxes, stencils.symmetric, sweeps)
        rows = np.flatnonzero((classes == kind).all(axis=1))
        groups.append(_Group(state.plans[key], "float64" if kind[-1] else "float32", rows))
    return groups


def _workspace(state: MultigridState, group: _Group) -> Array:
    """The workspace, zero but for the constant vectors of the plan."""
    plan, ws = group.plan, state.workspaces.get(group.precision)
    if ws is None or len(ws) < plan.size:
        ws = state.workspaces[group.precision] = np.empty(plan.size, dtype=group.precision)
    ws[:] = 0.0
    ws[plan.one : plan.one + plan.ones] = 1.0
    ws[plan.minus : plan.minus + plan.ones] = -1.0
    return ws


def _inside(problem: Stencilled, start: Array | None) -> Real | None:
    """The free dofs of starting fields."""
    return None if start is None else np.array(start[:, problem.space.free], dtype=np.float64, order="C")


def _fields(problem: Stencilled, mu: Mapping[str, Array], w: Real) -> Real:
    """Dofs `(B, N)` from the free ones."""
    free = problem.space.free
    if free.all():
        return w.copy()
    v = problem.lift(mu).copy()
    v[:, free] = w
    return v
