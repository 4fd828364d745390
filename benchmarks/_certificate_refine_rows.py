"""Refinement to a guaranteed tolerance: steps and time from an operator's answer, effectivity, violations, contrast.

The operator is the demo's Fourier neural operator for Darcy flow (coefficient 12 / 3 on 64 x 64 cells), trained here.
Violations are counted against references in extended precision, at every step of the iteration.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from time import perf_counter
from typing import Any

import numpy as np
from _harness import Row

from nwidth.bounds.gauss_radau import GaussRadau
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import WorkError
from nwidth.core.prediction import Prediction, uncertified
from nwidth.core.solution import Tolerance
from nwidth.core.validation import batch_size, select
from nwidth.online.refine import Refiner
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.problems.base import Coercive, Linear
from nwidth.problems.darcy import Darcy
from nwidth.problems.poisson import Poisson
from nwidth.snapshots.generate import generate
from nwidth.solvers.base import Solver
from nwidth.solvers.deflation import DeflatedCG
from nwidth.solvers.direct import Direct
from nwidth.solvers.guaranteed import Guaranteed
from nwidth.solvers.multigrid import Multigrid
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.spaces.factor import best_backend
from nwidth.study.demo_darcy import QUICK, DarcyDemo
from nwidth.study.demo_reduced import Prepared
from nwidth.study.measure import alternate, one_thread, recorded
from nwidth.testing.dense import DenseProblem

LONG = np.longdouble
RTOL = 1e-4
NEVER = Tolerance("energy", 1e-16)
#: Steps after which conjugate gradients are stopped and their bounds are checked.
STEPS = (0, 1, 2, 3, 5, 8, 13, 30)
#: Pairs of a parameter and a starting field in each family, and the parameters of one problem.
CASES, BATCH = 10_000, 40
#: The factorisation that is at hand: without pypardiso it is SciPy's.
DIRECT = {"pardiso": "Pardiso", "superlu": "SuperLU"}[best_backend()]


def rows(quick: bool, seed: int) -> list[Row]:
    """All rows of this part; a quick run has small sizes and the same targets but that of the operator's quality."""
    first = [*_violations(quick, seed), *_high_contrast(quick, seed), *_deadline(quick, seed)]
    return [*first, *_operator(quick, seed)]


# From an operator's answer ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """The operator and unseen cases with its answers."""

    problem: Darcy
    surrogate: NeuralSurrogate
    mu: Mu
    answers: Prediction


def _operator(quick: bool, seed: int) -> list[Row]:
    config = QUICK if quick else DarcyDemo()
    problem, size = Darcy(config.resolution), 20 if quick else 200
    train, test = generate(problem, config.train + size, seed).split(config.train, size)
    surrogate = config.fno.fit(train, problem, seed=seed)
    with one_thread():
        case = Case(problem, surrogate, dict(test.mu), surrogate.predict(test.mu))
        return [*_steps(case, quick), *_effectivity(case), *_older(case), *_route(case, 2 if quick else 5)]


def _steps(case: Case, quick: bool) -> list[Row]:
    """Iterations from the operator's answers over those from zero, by solver; a quick training proves nothing."""
    found = []
    for name, solver in {"transform CG": RieszCG(), "multigrid": Multigrid()}.items():
        solve = Prepared(solver, case.problem, Tolerance("energy", RTOL))
        warm, cold = solve(case.mu, case.answers.field), solve(case.mu)
        ratio = float(warm.stats["iterations"].mean() / cold.stats["iterations"].mean())
        detail = {
            "warm": warm.stats["iterations"].mean(),
            "cold": cold.stats["iterations"].mean(),
            "reached": bool(warm.converged.all() and cold.converged.all()),
            "samples": len(case.answers),
        }
        target = 0.8 if name == "transform CG" and not quick else None
        found.append(Row(f"iterations to 1e-4, operator over zero, {name}", ratio, "", target, "<=", detail))
    return found


def _effectivity(case: Case) -> list[Row]:
    """Bound over error at the start and after three steps, against solutions to rounding."""
    problem, mu = case.problem, case.mu
    truth = Prepared(Multigrid(), problem, Tolerance("residual", 1e-12))(mu).field
    systems, flat = problem.systems(mu), problem.space.flatten
    constants = problem.constant(mu)
    root = float(np.sqrt(constants.upper / constants.lower).max())
    found = []
    for steps, limit in ((0, root), (3, 1.15), (6, None)):
        solver = RieszCG(max_iterations=steps, restarts=1)
        answer = solver.solve(solver.prepare(problem), mu, case.answers.field, NEVER)
        error = np.sqrt(systems.energy(flat(truth - answer.field)))
        ratio, below = answer.stats["bound"] / error, answer.stats["lower"] / error
        detail = _quantiles(ratio) | {"lower": _quantiles(below), "relative_error": _relative(error, systems, truth)}
        name = f"effectivity from the operator's answer, {steps} steps (largest)"
        found.append(Row(name, float(ratio.max()), "", limit, "<=", detail))
    return found


def _older(case: Case) -> list[Row]:
    """What the usual bounds would have said of the same fields: that of the residual alone, at the start, and
    Gauss-Radau with the lower end of the spectrum, after three steps of conjugate gradients that are written out here.

    They are what is compared with: no rounding is counted.
    """
    problem, mu = case.problem, case.mu
    truth = Prepared(Multigrid(), problem, Tolerance("residual", 1e-12))(mu).field
    systems, inner, alpha = problem.systems(mu), problem.space.inner("energy"), problem.constant(mu).lower
    u, v = (problem.space.flatten(field) for field in (truth, case.answers.field.astype(np.float64)))
    v = systems.impose(v)
    r = np.where(systems.free, systems.load - systems.apply(v - systems.lift), 0.0)
    z = inner.riesz(r)
    p, rho, rule, ratios = z, np.einsum("bn,bn->b", r, z), GaussRadau(alpha), []
    for _ in range(4):
        error = np.sqrt(systems.energy(u - v))
        ratios.append(np.sqrt(rule.factor * rho) / error)
        q = np.where(systems.free, systems.apply(p), 0.0)
        step = rho / np.einsum("bn,bn->b", p, q)
        v, r = v + step[:, None] * p, r - step[:, None] * q
        z = inner.riesz(r)
        new = np.einsum("bn,bn->b", r, z)
        rule.advance(step, new / rho)
        p, rho = z + (new / rho)[:, None] * p, new
    names = {"the residual bound alone, 0 steps": ratios[0], "Gauss-Radau, 3 steps": ratios[3]}
    return [
        Row(f"effectivity from the operator's answer, {name} (largest)", float(x.max()), "x", detail=_quantiles(x))
        for name, x in names.items()
    ]


def _relative(error: Real, systems: Any, truth: Array) -> float:
    return float(np.mean(error / np.sqrt(systems.energy(truth.reshape(len(truth), -1)))))


def _route(case: Case, repeats: int) -> list[Row]:
    """Time of operator + limit + refinement over that of the fastest solver from zero to the same guarantee."""
    problem, mu, size = case.problem, case.mu, len(case.answers)
    stop, refiner = Tolerance("energy", RTOL), Refiner(problem)
    certificate = ResidualCertificate(problem)
    certified = certificate.bound(case.answers)
    calls: dict[str, Callable[[], Any]] = {
        "operator": lambda: case.surrogate.predict(mu),
        "limit": lambda: certificate.bound(case.answers),
        "refinement": lambda: refiner.refine(certified, RTOL),
        "whole route": lambda: refiner.refine(certificate.bound(case.surrogate.predict(mu)), RTOL),
    }
    solvers: Mapping[str, Solver] = {
        "multigrid": Multigrid(),
        "transform CG": RieszCG(),
        "cheaper of both": Guaranteed(),
        DIRECT: Direct(),
    }
    for name, solver in solvers.items():
        calls[f"zero, {name}"] = _call(Prepared(solver, problem, stop), mu)
    timing = alternate(calls, repeats)
    seconds = {name: t.median / size for name, t in timing.items()}
    fastest = min((name for name in seconds if name.startswith("zero")), key=lambda name: seconds[name])
    detail = {"seconds": seconds, "fastest": fastest, "samples": size, **recorded(timing)}
    return [
        Row(f"time, whole route over {fastest}", seconds["whole route"] / seconds[fastest], "x", detail=detail),
        Row(f"time, refinement alone over {fastest}", seconds["refinement"] / seconds[fastest], "x", detail=detail),
    ]


def _call(solve: Prepared, mu: Mu) -> Callable[[], Any]:
    return lambda: solve(mu)


# High contrast ------------------------------------------------------------------------------------------------------


def _high_contrast(quick: bool, seed: int) -> list[Row]:
    """A log-normal coefficient of contrast 1e4 and more: a guarantee still, and what it costs beside a factorisation.

    The start is the solution on half the grid, interpolated: what a fair surrogate would give.
    """
    size, repeats = (4, 1) if quick else (16, 3)
    problem = Darcy(32 if quick else 64, law="log-normal", sigma=1.7)
    mu = problem.parameters.sample(range(4 * size), seed)
    constants = problem.constant(mu)
    contrast = constants.upper / constants.lower
    hard = np.argsort(np.where(contrast >= 1e4, contrast, np.inf))[:size]  # the closest above 1e4
    mu, contrast = select(mu, hard), contrast[hard]
    refiner = Refiner(problem)
    start = uncertified(mu, _coarse(problem, mu), problem.space, np.ones(size, dtype=bool))
    solve = Prepared(Direct(), problem)
    with one_thread():
        timing = alternate({"refine": lambda: refiner.refine(start, RTOL), DIRECT: lambda: solve(mu)}, repeats)
        answer = refiner.refine(start, RTOL)
        truth = Prepared(Direct(), problem, Tolerance("residual", 1e-12))(mu).field
        error = np.sqrt(problem.systems(mu).energy(problem.space.flatten(truth - answer.field)))
        steps = _iterated(problem, mu, 2 if quick else 4)
    ratio = timing["refine"].median / timing[DIRECT].median
    tally = Count()
    tally.add(error, _lower(answer), answer.bound)
    detail = {
        "by": DIRECT,
        **recorded(timing),
        "contrast": _quantiles(contrast),
        "effectivity": _quantiles(answer.bound / error),
        "over_root_of_contrast": float((answer.bound / error / np.sqrt(contrast)).max()),
        "steps": answer.stats["iterations"].mean(),
        "steps_to_a_hundredth": steps,
    }
    name = f"contrast {np.median(contrast):.0e}: guaranteed 1e-4"
    broken = {"cases": size, "parameters": size, "fields": size, "above": tally.above, "below": tally.below}
    return [
        Row(f"{name} over a factorisation", ratio, "x", detail=detail),
        Row(f"{name}, violations", tally.above + tally.below, "", 0, "==", broken),
    ]


def _deadline(quick: bool, seed: int) -> list[Row]:
    """Elapsed time over the deadline: what a caller waits, from zero to a tolerance that takes longer than the shorter
    of two deadlines."""
    cells, batch, repeats = (32, 20, 2) if quick else (64, 20, 9)
    problem = Darcy(cells)
    mu = problem.parameters.sample(range(batch), seed)
    start = uncertified(mu, np.zeros((batch, *problem.space.shape)), problem.space, np.ones(batch, dtype=bool))
    refiner, found = Refiner(problem), []
    for deadline in (0.1, 0.02):
        elapsed, met = [], []
        with one_thread():
            for _ in range(repeats + 1):
                begin = perf_counter()
                answer = refiner.refine(start, 1e-10, deadline=deadline)
                elapsed.append((perf_counter() - begin) / deadline)
                met.append(float(np.mean(answer.stats["met"])))
        kept = np.array(elapsed[1:])  # the first one warms up
        detail = _quantiles(kept) | {"deadline": deadline, "share_that_met_1e-10": float(np.mean(met[1:]))}
        name = f"elapsed time over the deadline, {batch} fields at {cells}², {deadline:g} s"
        found.append(Row(name, float(np.median(kept)), "x", detail=detail))
    return found


def _iterated(problem: Darcy, mu: Mu, size: int) -> dict[str, float]:
    """Mean steps to a guaranteed hundredth of conjugate gradients alone, and beside a basis of other cases' solutions;
    infinite where one of them does not get there."""
    few, stop = select(mu, slice(0, size)), Tolerance("energy", 1e-2)
    others = problem.parameters.sample(range(1000, 1020), 0)
    modes = Prepared(Multigrid(), problem)(others).field
    found = {}
    for name, solver in {"transform CG": RieszCG(1500), "beside 20 solutions": DeflatedCG(1500, modes=modes)}.items():
        answer = solver.solve(solver.prepare(problem), few, None, stop)
        found[name] = float(answer.stats["iterations"].mean()) if answer.converged.all() else float("inf")
    return found


def _coarse(problem: Darcy, mu: Mu) -> Array:
    """The solution on every second node, linear in between."""
    from_half = problem.at(problem.resolution // 2)
    coarse = Prepared(Multigrid(), from_half)({"a": mu["a"][:, ::2, ::2]}).field
    fine = np.zeros((len(coarse), *problem.space.shape))
    fine[:, ::2, ::2] = coarse
    fine[:, 1::2, ::2] = (fine[:, :-2:2, ::2] + fine[:, 2::2, ::2]) / 2
    fine[:, :, 1::2] = (fine[:, :, :-2:2] + fine[:, :, 2::2]) / 2
    return fine


# Violations ---------------------------------------------------------------------------------------------------------


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


def _lower(answer: Prediction) -> Real:
    return np.zeros(len(answer)) if answer.lower is None else answer.lower


def _violations(quick: bool, seed: int) -> list[Row]:
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
        tally.add(exact.error(answer.field), _lower(answer), answer.bound)
        met = np.flatnonzero(answer.stats["met"])
        if not len(met):
            continue
        try:
            told = refiner.refine(begin.take(met), rtol).stats
        except WorkError:  # just at the floor of rounding: the other way to the tolerance misses it
            tally.untold += len(met)
        else:
            tally.add(imposed[met], told["before_lower"], told["before_upper"])


def _quantiles(values: Real) -> dict[str, float]:
    names, at = ("smallest", "median", "q95", "largest"), (0.0, 0.5, 0.95, 1.0)
    return {name: float(np.quantile(values, q)) for name, q in zip(names, at, strict=True)}
