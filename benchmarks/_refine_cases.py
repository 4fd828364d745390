"""Violations of the bounds of refinement: random problems and starts, at every step, against extended precision."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import numpy as np
from _harness import Row

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import WorkError
from nwidth.core.prediction import Prediction, uncertified
from nwidth.core.solution import Tolerance
from nwidth.core.validation import batch_size, select
from nwidth.online.refine import Refiner
from nwidth.problems.base import Coercive, Linear
from nwidth.problems.darcy import Darcy
from nwidth.problems.poisson import Poisson
from nwidth.solvers.base import Solver
from nwidth.solvers.deflation import DeflatedCG
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.testing.dense import DenseProblem

LONG = np.longdouble
#: A tolerance that is not reached: conjugate gradients stop at their last step.
NEVER = Tolerance("energy", 1e-16)
#: Steps after which conjugate gradients are stopped and their bounds are checked.
STEPS = (0, 1, 2, 3, 5, 8, 13, 30)
#: Pairs of a parameter and a starting field in each family, and the parameters of one problem.
CASES, BATCH = 10_000, 40


class Exact:
    """Solutions and energy errors in extended precision, from dense matrices."""

    def __init__(self, problem: Linear, mu: Mu):
        systems = [problem.assemble(select(mu, slice(i, i + 1))) for i in range(batch_size(mu))]
        self.free = systems[0].free
        matrices = [s.matrix.toarray()[np.ix_(self.free, self.free)] for s in systems]
        self._matrices = [a.astype(LONG) for a in matrices]
        self.u = np.stack([s.lift.astype(LONG) for s in systems])
        for row, (system, a, wide) in enumerate(zip(systems, matrices, self._matrices, strict=True)):
            inverse, f = np.linalg.inv(a), system.load[self.free].astype(LONG)
            w = np.zeros(len(f), dtype=LONG)
            for _ in range(4):
                w = w + (inverse @ (f - wide @ w).astype(np.float64)).astype(LONG)
            self.u[row, self.free] += w

    def error(self, v: Array) -> Real:
        """`‖u - v‖_A` of fields or dofs."""
        e = (self.u - v.reshape(self.u.shape).astype(LONG))[:, self.free]
        values = [x @ (a @ x) for x, a in zip(e, self._matrices, strict=True)]
        return np.asarray(np.sqrt(np.maximum(np.array(values, dtype=LONG), 0)).astype(np.float64))


@dataclass
class Count:
    """Cases are distinct pairs of a parameter and a starting field; every step at which bounds are looked at is a
    check of such a case. Checks that failed, by what was checked; `untold` had no bounds of the error before."""

    problems: int = 0
    parameters: int = 0
    cases: int = 0
    checks: int = 0
    above: int = 0
    below: int = 0
    untold: int = 0

    def add(self, error: Real, lower: Real, upper: Real) -> None:
        """One batch: `0 <= lower <= error <= upper`, the latter a positive number."""
        self.checks += len(error)
        self.above += int((~((error <= upper) & (upper > 0))).sum())
        self.below += int((~((lower <= error) & (lower >= 0))).sum())

    def row(self, name: str) -> Row:
        """All failures, none of which may be."""
        detail = {**asdict(self), "fields": self.cases, "steps": STEPS}
        return Row(f"violations, {name}", self.above + self.below, "", 0, "==", detail)


def lower_of(answer: Prediction) -> Real:
    return np.zeros(len(answer)) if answer.lower is None else answer.lower


def violations(quick: bool, seed: int) -> list[Row]:
    found = []
    for name, cases in _families(seed).items():
        tally = Count()
        while tally.cases < (200 if quick else CASES):
            problem, mu = next(cases)
            _check_case(tally, problem, mu, np.random.default_rng(seed + tally.checks))
        found.append(tally.row(name))
    return found


def _families(seed: int) -> dict[str, Iterator[tuple[Coercive, Mu]]]:
    return {
        "random matrices of size 1 to 200, contrast to 1e6": _dense(seed),
        "two-valued coefficient on grids": _darcy(seed, "two-valued"),
        "log-normal coefficient, contrast to 1e4 and above": _darcy(seed, "log-normal"),
        "every boundary type that holds the level": _poisson(seed),
    }


def _dense(seed: int) -> Iterator[tuple[Coercive, Mu]]:
    rng = np.random.default_rng(seed)
    for i in count():
        size = int(rng.integers(1, 201 if i % 4 == 0 else 60))
        contrast, load = 10 ** rng.uniform(0, 6), float(rng.choice([0.0, 1e-120, 1.0, 1.0, 1e100]))
        g = 0.5 * load if load else 0.0
        yield DenseProblem(size, seed + i, contrast, g, load), {"t": rng.uniform(size=BATCH)}


def _darcy(seed: int, law: Any) -> Iterator[tuple[Coercive, Mu]]:
    for i in count():
        cells, dim = ((12, 2), (10, 2), (5, 3), (60, 1))[i % 4]
        problem = Darcy(cells, law=law, sigma=(0.5, 1.0, 2.0, 3.0)[i // 4 % 4], dim=dim, modes=16)
        yield problem, problem.parameters.sample(range(BATCH), seed + i)


def _poisson(seed: int) -> Iterator[tuple[Coercive, Mu]]:
    types: tuple[tuple[Any, Any], ...] = (
        ("dirichlet", "node"),
        (("periodic", ("dirichlet", "neumann")), "node"),
        ("robin", "node"),
        ("dirichlet", "cell"),
    )
    for i in count():
        boundary, centring = types[i % 4]
        problem = Poisson(resolution=10, boundary_type=boundary, centring=centring)
        yield problem, problem.parameters.sample(range(BATCH), seed + i)


def _check_case(tally: Count, problem: Coercive, mu: Mu, rng: np.random.Generator) -> None:
    """Every start, every number of steps, with and without a basis; whole refinements with the error before."""
    exact, size = Exact(problem, mu), batch_size(mu)
    scale = float(np.abs(exact.u).max()) or 1.0
    noise = rng.normal(size=exact.u.shape)
    starts = {
        "zero": np.zeros(exact.u.shape),
        "solution": exact.u.astype(np.float64),
        "rough, wrong boundary values": (exact.u + 10 ** rng.uniform(-8, 0) * scale * noise).astype(np.float64),
        "huge": 1e8 * scale * noise,
    }
    shaped = {name: v.reshape(size, *problem.space.shape) for name, v in starts.items()}
    tally.problems, tally.parameters = tally.problems + 1, tally.parameters + size
    # without a load and given values zero is the solution, and counts once
    tally.cases += size * (len(starts) - int(not exact.u.any()))
    for start in shaped.values():
        for steps in STEPS:
            _stopped(tally, exact, RieszCG(steps, restarts=1), problem, mu, start)
    modes = rng.normal(size=(5, problem.space.size))
    _stopped(tally, exact, DeflatedCG(4, restarts=1, modes=modes), problem, mu, shaped["huge"])
    _refined(tally, exact, problem, mu, shaped["rough, wrong boundary values"])


def _stopped(tally: Count, exact: Exact, solver: Solver, problem: Coercive, mu: Mu, start: Array) -> None:
    answer = solver.solve(solver.prepare(problem), mu, start, NEVER)
    tally.add(exact.error(answer.field), answer.stats["lower"], answer.stats["bound"])


def _refined(tally: Count, exact: Exact, problem: Coercive, mu: Mu, start: Array) -> None:
    """To three tolerances, as far as rounding allows; the error before, of the start with its values imposed, is told
    where no deadline was set: by those that reach the tolerance."""
    begin = uncertified(mu, start, problem.space, np.ones(len(start), dtype=bool))
    imposed = exact.error(problem.systems(mu).impose(problem.space.flatten(start)))
    refiner = Refiner(problem)
    for rtol in (1e-1, 1e-4, 1e-9):
        answer = refiner.refine(begin, rtol, deadline=1e3)
        tally.add(exact.error(answer.field), lower_of(answer), answer.bound)
        met = np.flatnonzero(answer.stats["met"])
        if not len(met):
            continue
        try:
            told = refiner.refine(begin.take(met), rtol).stats
        except WorkError:  # just at the floor of rounding: the other way to the tolerance misses it
            tally.untold += len(met)
        else:
            tally.add(imposed[met], told["before_lower"], told["before_upper"])
