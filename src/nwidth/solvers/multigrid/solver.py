"""Multigrid-preconditioned conjugate gradients and BiCGStab for matrices of nearest neighbours on a grid."""

from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar

import numpy as np

from nwidth.bounds.residual import energy_bounds, reference_norm, relative_bound, solvable, undriven
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_finite, select
from nwidth.problems.base import Problem, Stable
from nwidth.problems.stencils import Stencilled
from nwidth.solvers.base import Solver
from nwidth.solvers.multigrid.plan import COARSEST, coarsest, schedule
from nwidth.solvers.multigrid.work import Limits, MultigridState, Work
from nwidth.spaces.grid import Grid

_DEFAULT = Tolerance("residual", 1e-8)
#: Float64 numbers of the matrices that are formed at a time.
_PIECE = 2_000_000
#: Residuals between which a guaranteed energy tolerance is looked for; the first is this over the root of the contrast,
#: relative to the tolerance (measured: bound over residual is 0.04 to 0.35 at contrast 4, at most 11 at 4e5).
_FIRST, _LAST = 4.0, 1e-15
#: Fraction of the tolerance that a second attempt aims at.
_AIM = 0.3


def suits(problem: Problem) -> bool:
    """Whether `Multigrid` solves the problem: stencils on a grid that can be coarsened to a small one."""
    if not isinstance(problem, Stencilled) or not isinstance(problem.space, Grid):
        return False
    axes = problem.space.directions
    shape = tuple(axis.free.stop - axis.free.start for axis in axes)
    boxes = schedule(shape, tuple(axis.periodic for axis in axes), [1.0] * len(axes))
    return coarsest(boxes) <= COARSEST


@dataclass(frozen=True)
class Multigrid(Solver):
    """Krylov iteration in float64, preconditioned by one V-cycle, for problems that are `Stencilled`.

    Symmetric matrices: conjugate gradients; others: BiCGStab. The cycle runs in float32, at high contrast in float64:
    `sweeps` Gauss-Seidel sweeps by colours before and after, interpolation that follows the operator, Galerkin coarse
    matrices (see `hierarchy`); axes with weak couplings are not coarsened until the others have caught up. Sizes need
    not be powers of two; a periodic axis needs an even number of cells for every halving. Where all rows sum to zero
    (pure Neumann, periodic), the solution of mean zero is found, and a load that does not sum to zero has none: status
    SINGULAR.

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
        start = free_values(problem, x0)
        size = batch_size(mu)
        piece = max(1, _PIECE // (problem.space.size * (3 + 2 * len(problem.space.shape))))
        parts = [
            self._piece(state, select(mu, rows), None if start is None else start[rows], stop, rows.start)
            for rows in (slice(i, i + piece) for i in range(0, size, piece))
        ]
        return _joined(problem, parts)

    def _piece(
        self, state: MultigridState, mu: Mu, start: Array | None, stop: Tolerance, first: int
    ) -> tuple[Real, Array, dict[str, Array], str]:
        begin = perf_counter()
        problem = state.problem
        stencils = problem.stencils(mu)
        if not np.isfinite(stencils.load.sum()):
            check_finite("load", stencils.load)
        work = Work.of(stencils, start)
        limits, more = Limits(self.max_iterations, self.restarts, self.sweeps), {}
        if stop.kind == "energy":
            more = self._to_energy(limits, state, mu, work, stop.value)
        else:
            work.run(limits, state, stop.value, np.ones(len(work.x), dtype=bool))
        v = free_fields(problem, mu, work.x, stencils.constants)
        shared = (perf_counter() - begin - work.seconds.sum()) / max(len(v), 1)
        stats = {"iterations": work.iterations, "residual": work.residual, "seconds": work.seconds + shared}
        return v, work.status, stats | more, work.note(first)

    def _to_energy(self, limits: Limits, state: MultigridState, mu: Mu, work: Work, rtol: float) -> dict[str, Array]:
        """Iterate until bound 1 of the recomputed residual meets the tolerance.

        Every attempt forms the coarse matrices anew, which costs more than a step: so the first goal is cautious, and
        the next ones follow from the ratio of bound to residual that each sample shows.
        """
        problem = state.problem
        if not isinstance(problem, Stable):
            raise InputError(
                f"{type(problem).__name__} has no stability constant, so no energy error can be guaranteed; use "
                "Tolerance('residual', ...) or inherit Stable"
            )
        systems, inner, stability = problem.systems(mu), problem.space.inner("energy"), problem.constant(mu)
        contrast = np.where(stability.lower > 0, stability.upper / stability.lower, np.inf)
        goals = np.maximum(rtol * np.minimum(1.0, _FIRST / np.sqrt(contrast)), 10 * _LAST)
        balanced = solvable(problem.space, systems)
        missed = balanced.copy()
        while True:
            goals = 0.5 ** np.ceil(-np.log2(goals))  # samples with nearly the same goal run together
            for goal in np.unique(goals[missed]):
                work.run(limits, state, float(goal), missed & (goals == goal))
            v = free_fields(problem, mu, work.x, work.stencils.constants)
            bounds, norm = energy_bounds(systems, v, inner, stability), reference_norm(systems, v)
            relative = relative_bound(bounds.upper, norm)
            met = ((relative <= rtol) | undriven(systems, v)) & balanced
            work.status[met] = Status.CONVERGED  # the bound decides, whatever became of the residual
            missed = balanced & ~met & (work.status == Status.CONVERGED)
            if not (missed & (goals > _LAST)).any():
                break
            goals = np.where(missed, work.residual * np.clip(_AIM * rtol / relative, 1e-3, 0.1), goals)
        work.status[missed] = Status.MAX_ITERATIONS
        work.status[~balanced] = Status.SINGULAR
        upper, lower = np.where(balanced, bounds.upper, np.inf), np.where(balanced, bounds.lower, 0.0)
        return {"bound": upper, "lower": lower, "norm": norm}


def _joined(problem: Stencilled, parts: list[tuple[Real, Array, dict[str, Array], str]]) -> Solution:
    if not parts:
        return Solution(np.empty((0, *problem.space.shape)), np.empty(0, dtype=int))
    fields = parts[0][0] if len(parts) == 1 else np.concatenate([p[0] for p in parts])
    return Solution(
        field=problem.space.unflatten(fields),
        status=np.concatenate([p[1] for p in parts]),
        stats={name: np.concatenate([p[2][name] for p in parts]) for name in parts[0][2]},
        note="; ".join(filter(None, (p[3] for p in parts))),
    )


def free_values(problem: Stencilled, fields: Array | None) -> Real | None:
    """The free dofs `(B, n)` of fields or dofs, float64, a copy; None for None. Raises InputError where not finite."""
    if fields is None:
        return None
    grid = _grid(problem)
    dofs = grid.flatten(np.asarray(fields, dtype=np.float64).reshape(len(fields), *grid.shape))
    check_finite("x0", dofs)
    inside = dofs.reshape(len(dofs), *grid.shape)[(slice(None), *grid.free_box)]
    return inside.reshape(len(dofs), -1).copy()


def free_fields(problem: Stencilled, mu: Mu, w: Real, constants: Mask) -> Real:
    """Dofs `(B, N)` from the free ones; of mean zero where only the mean is open (`constants`)."""
    grid = _grid(problem)
    if constants.any():
        volumes = grid.volumes()[grid.free_box].ravel()
        w = w - np.where(constants, w @ volumes / volumes.sum(), 0.0)[:, None]
    if w.shape[1] == grid.size:
        return w.copy()
    v = problem.lift(mu)
    inside = v.reshape(len(v), *grid.shape)[(slice(None), *grid.free_box)]
    inside[...] = w.reshape(inside.shape)
    return v


def _grid(problem: Problem) -> Grid:
    """The problem's grid. Raises InputError where its space is another."""
    if not isinstance(problem.space, Grid):
        raise InputError(f"{type(problem).__name__} lives on a {type(problem.space).__name__}; expected a Grid")
    return problem.space
