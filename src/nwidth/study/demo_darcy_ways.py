"""Demo, part 3: every way to answer, plain or learned, measured against the same solutions with the same clock."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.prediction import Prediction
from nwidth.core.solution import Tolerance
from nwidth.core.validation import select
from nwidth.online.wrappers import Certified
from nwidth.problems.darcy import Darcy
from nwidth.reports import words
from nwidth.reports.worth import CostPoint
from nwidth.solvers.base import Solver
from nwidth.solvers.direct import Direct
from nwidth.solvers.multigrid import Multigrid
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.spaces.grid import interpolate
from nwidth.study.demo_reduced import Prepared
from nwidth.study.matching import loosest_residual
from nwidth.study.measure import alternate

RTOL = 1e-4
#: How far solutions are solved that others are measured against.
ROUNDING = Tolerance("residual", 1e-10)
#: Single queries are short: this many are timed together.
SINGLE = 10
POD, FOURIER = "POD + regression", "neural operator"


@dataclass(frozen=True)
class Errors:
    """Relative errors of fields against the grid solution, in the mean square and in the energy norm, `(B,)`."""

    l2: Real
    energy: Real


@dataclass(frozen=True)
class Yardstick:
    """The test cases with their solutions: everything is measured against them."""

    problem: Darcy
    mu: Mu
    solution: Array

    def errors(self, fields: Array) -> Errors:
        """Of fields `(B, *shape)` for the first B cases."""
        count = len(fields)
        space, exact = self.problem.space, self.solution[:count]
        error = space.flatten(exact - fields)
        mass = space.inner("mass")
        energy = np.sqrt(self.problem.systems(select(self.mu, slice(0, count))).energy(error))
        return Errors(mass.norm(error) / mass.norm(space.flatten(exact)), energy / self.energy[:count])

    @cached_property
    def energy(self) -> Real:
        """Energy norms of the solutions."""
        return np.sqrt(self.problem.systems(self.mu).energy(self.problem.space.flatten(self.solution)))

    def __len__(self) -> int:
        return len(self.solution)


@dataclass(frozen=True)
class Learned:
    """A surrogate with its limit, what it cost, and how it did on the test cases."""

    certified: Certified
    seconds: float
    prediction: Prediction
    errors: Errors
    yardstick: Yardstick

    @property
    def limits(self) -> Real:
        """Relative guaranteed limits in the energy norm."""
        return self.prediction.bound / self.yardstick.energy

    @property
    def effectivity(self) -> Real:
        """Limit over true error."""
        return self.limits / self.errors.energy

    @property
    def violations(self) -> int:
        """Cases whose error exceeds its limit."""
        return int((~(self.errors.energy <= self.limits)).sum())


@dataclass(frozen=True)
class Way:
    """A way to answer: parameters to fields."""

    name: str
    solve: Callable[[Mu], Array]
    family: Any = "solver"
    guaranteed: bool = False
    batched: bool = True


def ways(fno: Learned, pod: Learned) -> list[Way]:
    """Plain solvers at full and reduced resolution, the surrogates with their limit, and the operator refined."""
    problem = fno.yardstick.problem
    found = [
        Way("sparse factorisation", _fields(Prepared(Direct(), problem)), batched=False),
        Way("multigrid to rounding", _fields(Prepared(Multigrid(), problem, ROUNDING))),
        Way("multigrid, stopped early", _fields(Prepared(Multigrid(), problem, as_accurate(fno)))),
        _guaranteed("multigrid", Multigrid(), problem, RTOL),
        *(_guaranteed("conjugate gradients", RieszCG(), problem, rtol) for rtol in (3e-2, RTOL)),
    ]
    half, quarter = coarse_solution(problem, 2), coarse_solution(problem, 4)
    found += [
        Way("half the grid", half),
        Way("a quarter of the grid", quarter),
        Way("half and quarter, extrapolated", lambda mu: _richardson(half(mu), quarter(mu))),
        Way(POD, _answers(pod.certified), "surrogate", True),
        Way(FOURIER, _answers(fno.certified), "surrogate", True),
        Way(
            f"neural operator, refined to {words.percent(RTOL, 1)}", _refining(fno.certified, problem), "refined", True
        ),
    ]
    return found


def _guaranteed(name: str, solver: Solver, problem: Darcy, rtol: float) -> Way:
    """To a guaranteed relative energy error."""
    solve = Prepared(solver, problem, Tolerance("energy", rtol))
    return Way(f"{name} to {words.percent(rtol, 1)}", _fields(solve), guaranteed=True)


def as_accurate(fno: Learned) -> Tolerance:
    """The loosest residual with which multigrid is at most as far off as the network, in both norms."""
    yardstick = fno.yardstick

    def enough(stop: Tolerance) -> bool:
        found = yardstick.errors(Prepared(Multigrid(), yardstick.problem, stop)(yardstick.mu).field)
        return bool(found.l2.mean() <= fno.errors.l2.mean() and found.energy.mean() <= fno.errors.energy.mean())

    return loosest_residual(enough)


def _fields(solve: Prepared) -> Callable[[Mu], Array]:
    return lambda mu: solve(mu).field


def _answers(certified: Certified) -> Callable[[Mu], Array]:
    return lambda mu: certified.predict(mu).field


def _refining(certified: Certified, problem: Darcy) -> Callable[[Mu], Array]:
    """What `nw.refine` does, with a solver that stays prepared."""
    solve = Prepared(Multigrid(), problem, Tolerance("energy", RTOL))
    return lambda mu: solve(mu, certified.predict(mu).field).field


def coarse_solution(problem: Darcy, factor: int) -> Callable[[Mu], Array]:
    """Solve on every `factor`-th node and interpolate: what a coarser grid gives, on the fine one."""
    coarse = problem.at(problem.resolution // factor)
    solve = Prepared(Multigrid(), coarse, Tolerance("residual", 1e-2))  # 0.03 % off: the grid is the error
    return lambda mu: interpolate(solve({"a": mu["a"][:, ::factor, ::factor]}).field, coarse.space, problem.space)


def _richardson(half: Array, quarter: Array) -> Array:
    """The solution on the full grid from two coarser ones, for an error that falls like h²."""
    return half + (half - quarter) / 4


Points: TypeAlias = dict[str, tuple[CostPoint, ...]]


def costs(fno: Learned, pod: Learned, yardstick: Yardstick, repeats: int) -> tuple[Points, float]:
    """Norm -> ways with time and mean error, one case at a time and all test cases together."""
    one, size = select(yardstick.mu, slice(0, 1)), len(yardstick)
    found = ways(fno, pod)
    calls = {(w.name, 1): _call(w, one, SINGLE) for w in found}
    calls |= {(w.name, size): _call(w, yardstick.mu) for w in found if w.batched}
    timing = alternate({f"{name}|{batch}": call for (name, batch), call in calls.items()}, repeats)
    errors = {w.name: yardstick.errors(w.solve(yardstick.mu)) for w in found}
    points: Points = {"energy": (), "l2": ()}
    for norm in points:
        for way in found:
            error = float(np.mean(getattr(errors[way.name], norm)))
            for batch in (1, size) if way.batched else (1,):
                seconds = timing[f"{way.name}|{batch}"].median / (batch if batch > 1 else SINGLE)
                points[norm] += (CostPoint(way.name, seconds, error, batch, way.family, way.guaranteed),)
    return points, max(t.spread for t in timing.values())


def _call(way: Way, mu: Mu, times: int = 1) -> Callable[[], Any]:
    return lambda: [way.solve(mu) for _ in range(times)]
