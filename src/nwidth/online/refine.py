"""`refine`: take an answer from anywhere to a requested guaranteed tolerance with the full-order solver."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nwidth.bounds.outputs import problem_outputs
from nwidth.bounds.residual import EPS
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.prediction import Prediction, Source
from nwidth.core.solution import Solution, Tolerance
from nwidth.problems.base import BlackBox, Coercive, Problem, is_coercive
from nwidth.solvers.base import Solver
from nwidth.solvers.choose import solve
from nwidth.solvers.riesz_cg import RieszCG


def refine(prediction: Prediction, problem: Problem, rtol: float = 1e-4, *, solver: Solver | None = None) -> Prediction:
    """The answers, each within a guaranteed relative energy error of the full-order solution.

    `rtol` means `Δ / (‖v‖_A - Δ) <= rtol` with Δ the guaranteed bound, where ‖v‖_A is the smaller energy of the field
    and of its change from the boundary lift. The solver starts from the answers, so a good surrogate saves steps; a
    sample that already meets the tolerance is returned as it is (`source` stays, zero iterations). `stats` holds
    `iterations` and `seconds` per sample.

    A black box is solved afresh: its own solution is the reference. Raises InputError for a problem without a
    stability constant, WorkError where the tolerance is missed (round-off puts a floor under every bound).
    """
    if not 0 < rtol < 1:
        raise InputError(f"rtol is {rtol}; it is a relative tolerance: choose a number between 0 and 1")
    if isinstance(problem, BlackBox):
        return _solved_afresh(prediction, problem)
    if not is_coercive(problem):
        raise InputError(
            f"{type(problem).__name__} has no stability constant, so no tolerance can be guaranteed; inherit Stable, "
            "or solve it with nw.solve(problem, mu)"
        )
    start = _usable_start(np.asarray(prediction.field), problem, prediction)
    solution = solve(problem, prediction.mu, solver or RieszCG(), x0=start, stop=Tolerance("energy", rtol))
    _require(solution, rtol)
    return _refined(prediction, problem, solution)


def _usable_start(fields: Array, problem: Problem, prediction: Prediction) -> Array:
    """The fields in float64; a field that is not finite is replaced by zero: it costs steps, not the answer."""
    fields = problem.space.unflatten(problem.space.flatten(fields)).astype(np.float64)
    finite = np.isfinite(fields).reshape(len(fields), -1).all(axis=1)
    return np.where(finite.reshape(-1, *[1] * (fields.ndim - 1)), fields, 0.0)


def _require(solution: Solution, rtol: float) -> None:
    missed = np.flatnonzero(~solution.converged)
    if len(missed):
        worst = float((solution.stats["bound"] / np.maximum(solution.stats["norm"], 1e-300))[missed].max())
        raise WorkError(
            f"{len(missed)} of {len(solution.status)} answers missed rtol = {rtol:g} (the best reached for the worst "
            f"of them is {worst:.2g}; first: sample {missed[0]}); ask for a larger rtol or allow more steps: "
            "solver=RieszCG(max_iterations=...)"
        )


def _refined(prediction: Prediction, problem: Coercive, solution: Solution) -> Prediction:
    stability = problem.constant(prediction.mu)
    worked = solution.stats["iterations"] > 0
    guarantee: Guarantee = Rigorous("energy norm", ("reduction", "algebraic", "round-off"))
    if not stability.proven:
        guarantee = Estimate("energy norm", "a proven stability constant")
    return replace(
        prediction,
        values=solution.field,
        space=problem.space,
        bound=solution.stats["bound"],
        lower=None,
        guarantee=guarantee,
        source=np.where(worked, Source.REFINED.value, prediction.source),
        outputs=problem_outputs(problem, prediction.mu, solution.field, solution.stats["bound"]),
        reason=np.full(len(prediction), "", dtype=object),
        stats={name: solution.stats[name] for name in ("iterations", "seconds", "norm")},
    )


def _solved_afresh(prediction: Prediction, problem: BlackBox) -> Prediction:
    solution = solve(problem, prediction.mu)
    failed = np.flatnonzero(~solution.converged)
    if len(failed):
        raise WorkError(
            f"the problem's own solver failed for {len(failed)} of {len(prediction)} samples, first {failed[0]}"
        )
    return replace(
        prediction,
        values=solution.field,
        space=problem.space,
        bound=_rounding(solution.field),
        lower=None,
        guarantee=Estimate("Euclidean norm", "the error of your own solver, which is the reference here"),
        source=np.full(len(prediction), Source.FULL_ORDER.value, dtype="<U10"),
        outputs=_no_limits(prediction, problem, solution),
        reason=np.full(len(prediction), "", dtype=object),
        stats=dict(solution.stats),
    )


def _rounding(fields: Array) -> Real:
    """Round-off of storing the reference itself: never exactly zero."""
    return EPS * np.linalg.norm(fields.reshape(len(fields), -1), axis=1) + np.finfo(np.float64).tiny


def _no_limits(prediction: Prediction, problem: Problem, solution: Solution) -> Mapping:
    return problem_outputs(problem, prediction.mu, solution.field, _rounding(solution.field))
