"""A race over the same systems: nwidth and its contestants in turn, in one process, every true residual recomputed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from _contestants import RTOL, Solve, contestants, missing, repeatable
from _harness import Row, absent
from _krylov import similar_order
from threadpoolctl import threadpool_info

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.solution import Tolerance
from nwidth.core.validation import select
from nwidth.problems.base import Linear, Resizable
from nwidth.solvers.choose import default_solver, explain
from nwidth.spaces.factor import restricted
from nwidth.study.measure import one_thread

OURS = "nwidth"
#: Parameters are compared on a grid of this many cells when the related systems are put side by side.
_COARSE = 16


class Sparse(NamedTuple):
    """One system on the free dofs, assembled; what makes it the system of a whole field."""

    matrix: sp.csr_array
    load: Real
    free: Mask
    lift: Real

    def residual(self, x: Real) -> float:
        """The true relative residual of a solution on the free dofs."""
        return float(np.linalg.norm(self.load - self.matrix @ x) / np.linalg.norm(self.load))


@dataclass(frozen=True)
class Race:
    """One problem and who solves it: `rounds` name -> how many samples that contestant is given.

    The samples are the first of `pool` draws after sorting them by similarity, the order that recycling wants; nwidth
    solves `batch` of them at once, as generation does, in every round.
    """

    name: str
    problem: Linear
    rounds: Mapping[str, int]
    definite: bool = True
    batch: int = 16
    pool: int = 256
    seed: int = 0


@dataclass
class Times:
    """Seconds per sample, true relative residuals and iterations of one contestant."""

    seconds: list[float] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)

    @property
    def milliseconds(self) -> float:
        """Median per sample."""
        return 1e3 * median(self.seconds)

    @property
    def exact(self) -> bool:
        """Whether every sample was solved to RTOL (with 1 % of slack for the residual of a residual)."""
        return max(self.residuals) <= 1.01 * RTOL

    def detail(self) -> dict[str, Any]:
        """What the row keeps."""
        return {
            "ms": self.milliseconds,
            "fastest_ms": 1e3 * min(self.seconds),
            "spread": max(self.seconds) / min(self.seconds),
            "samples": len(self.seconds),
            "largest_residual": max(self.residuals),
            "iterations": median(self.iterations),
        }


def run(race: Race) -> dict[str, Times]:
    """The results by contestant, nwidth first. Sample 0 is solved by all beforehand, outside all timings: kernels are
    compiled, libraries loaded, the pattern analysed, and recycling has a space to start from."""
    rows = _similar(race)[: 1 + max(race.batch, *race.rounds.values())]
    mu = race.problem.parameters.sample(rows, race.seed)
    warm, *systems = (_assembled(race.problem, select(mu, slice(i, i + 1))) for i in range(len(rows)))
    others = contestants(tuple(race.rounds), race.definite, race.problem.space.points().shape[1])
    for solve in others.values():
        solve(warm.matrix, warm.load)
    solver, stop = default_solver(race.problem), Tolerance("residual", RTOL)
    state, batch = solver.prepare(race.problem), select(mu, slice(1, 1 + race.batch))
    answer = solver.solve(state, batch, stop=stop)
    results = {name: Times() for name in (OURS, *others)}
    for k in range(max(race.rounds.values())):
        begin = perf_counter()
        answer = solver.solve(state, batch, stop=stop)
        results[OURS].seconds.append((perf_counter() - begin) / race.batch)
        for name, solve in others.items():
            if k < race.rounds[name]:
                _time(results[name], solve, systems[k])
    dofs = race.problem.space.flatten(answer.field)
    results[OURS].residuals = [s.residual((v - s.lift)[s.free]) for v, s in zip(dofs, systems, strict=False)]
    results[OURS].iterations = np.asarray(answer.stats["iterations"]).tolist()
    return results


def _time(times: Times, solve: Solve, system: Sparse) -> None:
    begin = perf_counter()
    answer = solve(system.matrix, system.load)
    times.seconds.append(perf_counter() - begin)
    times.residuals.append(system.residual(answer.x))
    times.iterations.append(answer.products)


def _similar(race: Race) -> Array:
    """Draws of the pool in an order in which neighbours have similar parameters, compared on a coarse grid."""
    problem = race.problem
    coarse = problem.at(_COARSE) if isinstance(problem, Resizable) else problem
    mu = coarse.parameters.sample(range(race.pool), race.seed)
    return similar_order(np.concatenate([_scaled(values) for values in mu.values()], axis=1))


def _scaled(values: Array) -> Real:
    """Rows of unit mean size; the logarithm of what is positive."""
    flat = np.asarray(values, dtype=float).reshape(len(values), -1)
    flat = np.log(flat) if (flat > 0).all() else flat
    flat = flat - flat.mean(axis=0)
    return flat / max(float(np.linalg.norm(flat)), 1e-300)


def _assembled(problem: Linear, mu: Mu) -> Sparse:
    system = problem.assemble(mu)
    matrix = restricted(sp.csr_array(system.matrix), system.free)
    return Sparse(matrix, system.load[system.free], system.free, system.lift)


def rows(race: Race, targets: Mapping[str, float]) -> list[Row]:
    """One row per contestant: its time over that of nwidth, against a target where there is one.

    A contestant that is not installed has a row that does not hold; so has a race in which somebody missed the
    tolerance, or the linear algebra has more than one thread: its ratio is NaN.
    """
    with one_thread():
        results = run(race)
        threads = max((pool["num_threads"] for pool in threadpool_info()), default=1)
    ours, why = results[OURS], explain(race.problem)
    detail: dict[str, Any] = {**ours.detail(), "why": why, "threads_of_linear_algebra": threads}
    out = [Row(f"{race.name}: nwidth, samples/s", 1e3 / ours.milliseconds, "1/s", detail=detail)]
    for name in race.rounds:
        title, target = f"{race.name}: {name} / nwidth", targets.get(name)
        if name in results:
            theirs = results[name]
            fair = ours.exact and theirs.exact and threads == 1
            ratio = theirs.milliseconds / ours.milliseconds if fair else float("nan")
            detail = {"nwidth": ours.detail(), name: theirs.detail()}
            detail |= {"mkl_repeatable": repeatable()} if name.startswith("Pardiso") else {}
            detail |= {} if fair else {"reason": f"a residual is above {RTOL:g}, or a library has {threads} threads"}
            out.append(Row(title, ratio, "x", target, ">=", detail))
        else:
            out.append(absent(title, missing([name])[name], target))
    return out
