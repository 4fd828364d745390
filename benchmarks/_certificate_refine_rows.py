"""Refinement to a guaranteed tolerance: steps and time from an operator's answer, effectivity, violations, contrast.

The operator is the demo's Fourier neural operator for Darcy flow (coefficient 12 / 3 on 64 x 64 cells), trained here.
Violations are counted against references in extended precision, at every step of the iteration.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from _harness import Row
from _refine_cases import NEVER, Count, lower_of, violations

from nwidth.bounds.gauss_radau import GaussRadau
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.prediction import Prediction, uncertified
from nwidth.core.solution import Tolerance
from nwidth.core.validation import select
from nwidth.online.refine import Refiner
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.problems.darcy import Darcy
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

RTOL = 1e-4
#: The factorisation that is at hand: without pypardiso it is SciPy's.
DIRECT = {"pardiso": "Pardiso", "superlu": "SuperLU"}[best_backend()]


def rows(quick: bool, seed: int) -> list[Row]:
    """All rows of this part; a quick run has small sizes and the same targets but that of the operator's quality."""
    first = [*violations(quick, seed), *_high_contrast(quick, seed), *_deadline(quick, seed)]
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
    tally.add(error, lower_of(answer), answer.bound)
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


def _quantiles(values: Real) -> dict[str, float]:
    names, at = ("smallest", "median", "q95", "largest"), (0.0, 0.5, 0.95, 1.0)
    return {name: float(np.quantile(values, q)) for name, q in zip(names, at, strict=True)}
