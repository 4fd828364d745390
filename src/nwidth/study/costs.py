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
from nwidth.online.refine import refine
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Linear, Outputs, Problem, Resizable, is_coercive
from nwidth.reports.worth import CostPoint, Family
from nwidth.snapshots.base import Snapshots
from nwidth.solvers.base import Solver
from nwidth.solvers.choose import default_solver
from nwidth.solvers.direct import Direct
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.spaces.grid import Grid, interpolate
from nwidth.study.errors import relative_errors
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
    ways = [*_surrogates(certified, problem, rtol), *_solvers(problem, error, rtol), *_coarser(problem, part, error)]
    mu, truth = {name: np.asarray(values) for name, values in part.mu.items()}, np.asarray(part.fields)
    errors = {way.name: float(np.median(relative_errors(problem, mu, truth, way.answer(mu)))) for way in ways}
    return _timed(ways, errors, mu, 1), _timed(ways, errors, mu, len(part))


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
        name = f"surrogate, refined to {rtol:g}"
        ways.append(Way(name, lambda mu: refine(certified.predict(mu), problem, rtol).field, "refined", True))
    return ways


def _solvers(problem: Problem, error: float, rtol: float | None) -> list[Way]:
    """The problem's own solver at its usual tolerance, and iterations that stop where the surrogate is."""
    chosen = default_solver(problem)
    ways = [Way("full-order solver", _solve_with(chosen, problem, None))]
    if isinstance(problem, Linear) and not isinstance(chosen, Direct):
        ways.append(Way("sparse direct solver", _solve_with(Direct(), problem, None)))
    if is_coercive(problem):
        for tolerance in sorted({_tidy(error), *([rtol] if rtol else [])}, reverse=True):
            answer = _solve_with(RieszCG(), problem, Tolerance("energy", tolerance))
            ways.append(Way(f"conjugate gradients to {tolerance:g}", answer, guaranteed=True))
    return ways


def _tidy(error: float) -> float:
    """A tolerance with two digits, from rounding level to one half."""
    return float(f"{min(max(error, 1e-9), 0.5):.2g}")


def _solve_with(solver: Solver, problem: Problem, stop: Tolerance | None) -> Callable[[Queries], Array]:
    state = solver.prepare(problem)
    return lambda mu: solver.solve(state, mu, stop=stop).field


def _coarser(problem: Problem, runs: Snapshots, error: float) -> list[Way]:
    """The same samples on grids of half and a quarter of the cells, and both extrapolated (order two)."""
    if not (isinstance(problem, Resizable) and isinstance(problem.space, Grid)):
        return []
    cells = problem.space.cells
    if len(set(cells)) > 1 or runs.index is None or "seed" not in runs.provenance:
        return []
    grids = [cells[0] // k for k in (2, 4) if cells[0] % k == 0 and cells[0] // k >= _COARSEST]
    solved = [_solve_coarse(problem.space, problem.at(n), runs, _tidy(error / 3)) for n in grids]
    ways = [Way(f"{n} cells instead of {cells[0]}", answer) for n, answer in zip(grids, solved, strict=True)]
    if len(solved) == 2:
        half, quarter = solved
        name = f"{grids[0]} and {grids[1]} cells, extrapolated"
        ways.append(Way(name, lambda mu: (4 * half(mu) - quarter(mu)) / 3))
    return ways


def _solve_coarse(fine: Grid, coarse: Problem, runs: Snapshots, tolerance: float) -> Callable[[Queries], Array]:
    """Fields on the fine grid from a coarse one; the queries are the first rows of the runs."""
    samples = coarse.parameters.sample(np.asarray(runs.index).tolist(), int(runs.provenance["seed"]))
    stop = Tolerance("energy", tolerance) if is_coercive(coarse) else None
    solve = _solve_with(default_solver(coarse), coarse, stop)
    grid = coarse.space
    if not isinstance(grid, Grid):
        raise InputError(f"{type(coarse).__name__}.at changed the kind of its space; it must stay on a grid")
    return lambda mu: interpolate(solve(select(samples, slice(0, batch_size(mu)))), grid, fine)
