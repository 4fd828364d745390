"""What each way to answer costs, one query at a time and in batches, at the error that it reaches.

Contestants are timed in turn on the same queries. Solvers keep their prepared state, stop at the surrogate's own error
where they can, and may use coarser grids: a surrogate pays only where none of this reaches the same error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.solution import Tolerance
from nwidth.core.validation import batch_size, select
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Linear, Outputs, Problem, Resizable, is_coercive
from nwidth.reports.worth import CostPoint, Family
from nwidth.snapshots.base import Snapshots
from nwidth.solvers.base import Solver
from nwidth.solvers.choose import default_solver
from nwidth.solvers.direct import Direct
from nwidth.solvers.multigrid import Multigrid, suits
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.solvers.structure.solver import Structured
from nwidth.spaces.grid import Grid, interpolate
from nwidth.study.errors import relative_errors
from nwidth.study.matching import loosest_residual
from nwidth.study.measure import alternate

#: Queries that are answered together in the batched comparison, and rounds of timing.
BATCH, ROUNDS = 32, 5
#: The coarsest grid that is tried.
_COARSEST = 4

Queries = Mapping[str, Array]


@dataclass(frozen=True)
class Way:
    """A way to answer: parameters of a batch to fields. `timed` is called instead where people need less."""

    name: str
    answer: Callable[[Queries], Array]
    family: Family = "solver"
    guaranteed: bool = False
    timed: Callable[[Queries], Any] | None = None


def costs(
    certified: Certified, problem: Problem, runs: Snapshots, error: float, rtol: float | None
) -> tuple[tuple[CostPoint, ...], tuple[CostPoint, ...]]:
    """One query at a time, and in batches. `error` is the relative error that the surrogate reaches."""
    part = runs.take(slice(0, min(BATCH, len(runs))))
    mu, truth = {name: np.asarray(values) for name, values in part.mu.items()}, np.asarray(part.fields)
    ways = [*_surrogates(certified, problem, rtol), *_solvers(problem), *_stopped(problem, mu, truth, error, rtol)]
    ways += _coarser(problem, part, error)
    errors = {way.name: _median_error(problem, mu, truth, way.answer(mu)) for way in ways}
    return _timed(ways, errors, mu, 1), _timed(ways, errors, mu, len(part))


def _median_error(problem: Problem, mu: Queries, truth: Array, fields: Array) -> float:
    return float(np.median(relative_errors(problem, mu, truth, fields)))


def _timed(ways: list[Way], errors: Mapping[str, float], mu: Queries, count: int) -> tuple[CostPoint, ...]:
    queries = select(mu, slice(0, count))
    timings = alternate({way.name: partial(way.timed or way.answer, queries) for way in ways}, ROUNDS)
    return tuple(
        CostPoint(w.name, timings[w.name].median / count, errors[w.name], count, w.family, w.guaranteed) for w in ways
    )


def _surrogates(certified: Certified, problem: Problem, rtol: float | None) -> list[Way]:
    def fields(mu: Queries) -> Array:
        return certified.predict(mu).field

    enough = certified.predict if isinstance(problem, Outputs) else fields
    ways = [Way("surrogate with its limit", fields, "surrogate", True, enough)]
    if rtol is not None and is_coercive(problem):
        solver = Multigrid() if suits(problem) else RieszCG()
        name = f"surrogate, refined to {rtol:g}"
        solve = _solve_with(solver, problem, Tolerance("energy", rtol))
        ways.append(Way(name, lambda mu: solve(mu, fields(mu)), "refined", True))
    return ways


def _solvers(problem: Problem) -> list[Way]:
    """The problem's own solver, and a factorisation where that is something else; both at their usual tolerance."""
    chosen = default_solver(problem)
    ways = [Way("full-order solver", _solve_with(chosen, problem, None))]
    if isinstance(problem, Linear) and not _factorises(chosen):
        ways.append(Way("sparse direct solver", _solve_with(Direct(), problem, None)))
    return ways


def _factorises(solver: Solver) -> bool:
    """Whether this is the sparse direct solver, perhaps with a look for structure in front of it."""
    return isinstance(solver.base if isinstance(solver, Structured) else solver, Direct)


def _stopped(problem: Problem, mu: Queries, truth: Array, error: float, rtol: float | None) -> list[Way]:
    """Iterations that stop where the surrogate is, without and with a limit of their own, and where it is refined to.

    A solver that misses a tolerance on some query states no limit there, and is no contestant at it.
    """
    ways = []
    if suits(problem):
        stop = _as_accurate(problem, Multigrid(), mu, truth, error)
        ways.append(Way(f"multigrid, residual {stop.value:g}", _solve_with(Multigrid(), problem, stop)))
    if not is_coercive(problem):
        return ways
    goals = sorted({_tidy(error), *([rtol] if rtol else [])}, reverse=True)
    tried: list[tuple[str, Solver, float]] = [("conjugate gradients", RieszCG(), goal) for goal in goals]
    if suits(problem):  # its guarantees begin at a residual of 1e-6: a looser one costs the same
        tried.append(("multigrid", Multigrid(), goals[-1]))
    for name, solver, goal in tried:
        stop = Tolerance("energy", goal)
        if solver.solve(solver.prepare(problem), mu, stop=stop).converged.all():
            ways.append(Way(f"{name} to {goal:g}", _solve_with(solver, problem, stop), guaranteed=True))
    return ways


def _as_accurate(problem: Problem, solver: Solver, mu: Queries, truth: Array, error: float) -> Tolerance:
    """The loosest residual tolerance with which the solver's median error is at most `error`."""
    state = solver.prepare(problem)
    return loosest_residual(
        lambda stop: _median_error(problem, mu, truth, solver.solve(state, mu, stop=stop).field) <= error
    )


def _tidy(error: float) -> float:
    """A tolerance with two digits, from rounding level to one half."""
    return float(f"{min(max(error, 1e-9), 0.5):.2g}")


def _solve_with(solver: Solver, problem: Problem, stop: Tolerance | None) -> Callable[..., Array]:
    """Parameters, and fields to start from if there are any, to fields; the solver stays prepared."""
    state = solver.prepare(problem)
    return lambda mu, x0=None: solver.solve(state, mu, x0, stop).field


def _coarser(problem: Problem, runs: Snapshots, error: float) -> list[Way]:
    """The same samples on grids of half and a quarter of the cells, and both extrapolated (order two)."""
    if not (isinstance(problem, Resizable) and isinstance(problem.space, Grid)):
        return []
    cells = problem.space.cells
    if len(set(cells)) > 1 or runs.index is None or "seed" not in runs.provenance:
        return []
    grids = [cells[0] // k for k in (2, 4) if cells[0] % k == 0 and cells[0] // k >= _COARSEST]
    solved = [_solve_coarse(problem.space, problem.at(n), runs, error / 3) for n in grids]
    ways = [Way(f"{n} cells instead of {cells[0]}", answer) for n, answer in zip(grids, solved, strict=True)]
    if len(solved) == 2:
        half, quarter = solved
        name = f"{grids[0]} and {grids[1]} cells, extrapolated"
        ways.append(Way(name, lambda mu: (4 * half(mu) - quarter(mu)) / 3))
    return ways


def _solve_coarse(fine: Grid, coarse: Problem, runs: Snapshots, error: float) -> Callable[[Queries], Array]:
    """Fields on the fine grid from a coarse one; the queries are the first rows of the runs. `error`: how far the
    coarse grid's solver may be from the coarse grid's solution."""
    samples = coarse.parameters.sample(np.asarray(runs.index).tolist(), int(runs.provenance["seed"]))
    solve = _solve_to(coarse, samples, error)
    grid = coarse.space
    if not isinstance(grid, Grid):
        raise InputError(f"{type(coarse).__name__}.at changed the kind of its space; it must stay on a grid")
    return lambda mu: interpolate(solve(select(samples, slice(0, batch_size(mu)))), grid, fine)


def _solve_to(problem: Problem, mu: Queries, error: float) -> Callable[[Queries], Array]:
    """The problem's own solver, stopped at this error where it iterates."""
    solver = default_solver(problem)
    stop = None
    if isinstance(solver, Multigrid):
        stop = _as_accurate(problem, solver, mu, _solve_with(solver, problem, None)(mu), error)
    elif isinstance(solver, RieszCG):
        stop = Tolerance("energy", _tidy(error))
    return _solve_with(solver, problem, stop)
