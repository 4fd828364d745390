"""What each way to answer costs, one query at a time and in batches, at the error that it reaches.

Contestants are timed in turn on the same queries; solvers keep their prepared state, as a careful user would.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.solution import Tolerance
from nwidth.core.validation import select
from nwidth.online.refine import refine
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Linear, Outputs, Problem, is_coercive
from nwidth.reports.worth import CostPoint, Family
from nwidth.snapshots.base import Snapshots
from nwidth.solvers.base import Solver
from nwidth.solvers.choose import default_solver
from nwidth.solvers.direct import Direct
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.study.errors import relative_errors
from nwidth.study.measure import alternate

#: Queries that are answered together in the batched comparison, and rounds of timing.
BATCH, ROUNDS = 32, 5

Answer = Callable[[Mapping[str, Array]], Array]


@dataclass(frozen=True)
class Way:
    """A way to answer: parameters of a batch to fields. `timed` is called instead where people need less."""

    name: str
    answer: Answer
    family: Family = "solver"
    guaranteed: bool = False
    timed: Callable[[Mapping[str, Array]], Any] | None = None


def costs(
    certified: Certified, problem: Problem, runs: Snapshots, error: float, rtol: float | None
) -> tuple[tuple[CostPoint, ...], tuple[CostPoint, ...]]:
    """One query at a time, and in batches. `error` is what the surrogate reaches: solvers stop there too."""
    ways = [*_surrogates(certified, problem, rtol), *_solvers(problem, error, rtol)]
    count = min(BATCH, len(runs))
    mu = {name: np.asarray(values[:count]) for name, values in runs.mu.items()}
    truth = np.asarray(runs.fields[:count])
    errors = {way.name: _median_error(way, problem, mu, truth) for way in ways}
    return _timed(ways, errors, mu, 1), _timed(ways, errors, mu, count)


def _timed(ways: list[Way], errors: Mapping[str, float], mu: Mapping[str, Array], count: int) -> tuple[CostPoint, ...]:
    queries = select(mu, slice(0, count))
    timings = alternate({way.name: _call(way, queries) for way in ways}, ROUNDS)
    return tuple(
        CostPoint(w.name, timings[w.name].median / count, errors[w.name], count, w.family, w.guaranteed) for w in ways
    )


def _call(way: Way, queries: Mapping[str, Array]) -> Callable[[], Any]:
    return partial(way.timed or way.answer, queries)


def _median_error(way: Way, problem: Problem, mu: Mapping[str, Array], truth: Array) -> float:
    return float(np.median(relative_errors(problem, mu, truth, way.answer(mu))))


def _surrogates(certified: Certified, problem: Problem, rtol: float | None) -> list[Way]:
    def fields(mu: Mapping[str, Array]) -> Array:
        return certified.predict(mu).field

    enough = certified.predict if isinstance(problem, Outputs) else fields
    ways = [Way("surrogate with its limit", fields, "surrogate", True, enough)]
    if rtol is not None and is_coercive(problem):
        ways.append(
            Way(f"surrogate, refined to {rtol:g}", lambda mu: refine(certified.predict(mu), problem, rtol).field,
                "refined", True)
        )  # fmt: skip
    return ways


def _solvers(problem: Problem, error: float, rtol: float | None) -> list[Way]:
    """The problem's own solver, at the surrogate's error where it can stop there, and at its usual tolerance."""
    chosen = default_solver(problem)
    ways = [Way("full-order solver", _solve_with(chosen, problem, None))]
    if isinstance(problem, Linear) and not isinstance(chosen, Direct):
        ways.append(Way("sparse direct solver", _solve_with(Direct(), problem, None)))
    if is_coercive(problem):
        for tolerance in sorted({_tidy(error), *([rtol] if rtol else [])}, reverse=True):
            stop = Tolerance("energy", tolerance)
            ways.append(Way(f"conjugate gradients to {tolerance:g}", _solve_with(RieszCG(), problem, stop),
                            guaranteed=True))  # fmt: skip
    return ways


def _tidy(error: float) -> float:
    """A tolerance with two digits, from rounding level to one half."""
    return float(f"{min(max(error, 1e-9), 0.5):.2g}")


def _solve_with(solver: Solver, problem: Problem, stop: Tolerance | None) -> Answer:
    state = solver.prepare(problem)
    return lambda mu: solver.solve(state, mu, stop=stop).field
