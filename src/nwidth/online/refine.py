"""`refine`: take an answer from anywhere to a requested guaranteed tolerance with the full-order solver."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from nwidth.bounds.outputs import problem_outputs
from nwidth.bounds.residual import EPS, UNBALANCED, relative_bound, solvable
from nwidth.bounds.two_sided import error_before
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.prediction import Prediction, Source
from nwidth.core.solution import Solution, Tolerance
from nwidth.core.validation import select
from nwidth.online.refine_nonsymmetric import needs_nonsymmetric, refine_nonsymmetric
from nwidth.problems.base import BlackBox, Coercive, Linear, Problem, is_coercive
from nwidth.solvers.base import Solver
from nwidth.solvers.choose import solve
from nwidth.solvers.guaranteed import Guaranteed
from nwidth.solvers.timed import Timed

#: Dofs of a piece of a batch whose error before refinement is bounded.
_PIECE = 100_000
_TINY = float(np.finfo(np.float64).tiny)


def refine(
    prediction: Prediction,
    problem: Problem,
    rtol: float = 1e-4,
    *,
    solver: Solver | None = None,
    deadline: float | None = None,
) -> Prediction:
    """The answers, each within a guaranteed relative energy error of the full-order solution.

    `rtol` means `Δ / (‖v‖_A - Δ) <= rtol` with Δ the guaranteed bound, where ‖v‖_A is the smaller energy of the field
    and of its change from the boundary lift. The solver starts from the answers, so a good surrogate saves steps; a
    sample that already meets the tolerance is returned as it is (`source` stays, zero iterations). `lower` bounds the
    error from below. `stats` holds `iterations`, `seconds`, `norm`, `met` and, without a deadline, bounds of the energy
    error of the answer that came in, which the better field tells: `before_lower`, `before_upper`.

    `deadline`: seconds from the call on; what has been reached by then is returned with its limit (`met` says which
    samples have reached the tolerance). Preparation and a first bound of every answer, about one step, are not cut
    short: a deadline below them is missed by them.

    `Refiner` is prepared once for many batches. A black box is solved afresh: its own solution is the reference. Linear
    problems that are not symmetric, not definite or complex: see `refine_nonsymmetric`. Raises InputError for a problem
    without a stability constant, WorkError where the tolerance is missed (round-off puts a floor under every bound).
    """
    if isinstance(problem, BlackBox):
        _check(rtol, None)
        if deadline is not None or solver is not None:
            raise InputError(
                f"{type(problem).__name__} is solved by its own solver, as long as that takes; leave deadline= and "
                "solver= out"
            )
        return _solved_afresh(prediction, problem)
    if isinstance(problem, Linear) and needs_nonsymmetric(problem):
        return _without_symmetry(prediction, problem, rtol, solver, deadline)
    begin = perf_counter()
    _check(rtol, deadline)
    refiner = Refiner(_coercive(problem), solver)
    left = None if deadline is None else max(0.0, begin + deadline - perf_counter())
    return refiner.refine(prediction, rtol, deadline=left)


@dataclass(frozen=True)
class Refiner:
    """Takes answers to guaranteed tolerances; prepared once, used many times, by one thread at a time.

    `solver`: None for `Guaranteed`, which sends every sample to the cheaper of two iterations; or any that stops on
    `Tolerance("energy", rtol)`: `RieszCG`, `DeflatedCG` (with a reduced basis), `Multigrid`, `Direct`.

    Raises InputError for a problem without a stability constant.
    """

    problem: Coercive
    solver: Solver | None = None
    _state: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _coercive(self.problem)
        object.__setattr__(self, "_state", self._solver.prepare(self.problem))

    @cached_property
    def _solver(self) -> Solver:
        return self.solver or Guaranteed()

    def refine(self, prediction: Prediction, rtol: float = 1e-4, *, deadline: float | None = None) -> Prediction:
        """The answers within `rtol`, or what can be reached within `deadline` seconds; see `refine`."""
        begin = perf_counter()
        _check(rtol, deadline)
        if not len(prediction):
            return prediction
        start, usable = _start(np.asarray(prediction.field), self.problem)
        stop, mu = Tolerance("energy", rtol), prediction.mu
        if deadline is not None:
            solution = self._timed().solve_until(self._state, mu, start, stop, begin + deadline)
        elif isinstance(self._solver, Guaranteed):
            known = self._known(prediction, start)
            solution = self._solver.solve_until(self._state, mu, start, stop, np.inf, known)
        else:
            solution = self._solver.solve(self._state, mu, start, stop)
        if deadline is None:
            _require(solution, rtol)
        answer = self._answer(prediction, solution, start, usable)
        if deadline is not None:
            return answer
        before = _where(usable, self._before(prediction.mu, start, solution.field, *answer.interval))
        return replace(answer, stats={**answer.stats, **before})

    def _known(self, prediction: Prediction, start: Array) -> Real:
        """Relative bounds of the answers that came in, where a certificate in the energy norm gave some; else NaN."""
        if prediction.guarantee.norm != "energy norm" or not np.isfinite(prediction.bound).any():
            return np.full(len(prediction), np.nan)
        systems = self.problem.systems(prediction.mu)
        norm = np.sqrt(np.maximum(systems.energy(systems.impose(self.problem.space.flatten(start))), 0.0))
        relative = np.minimum(prediction.bound / np.maximum(norm, _TINY), 1e100)  # of the field zero: from nothing
        return np.where(np.isfinite(prediction.bound), relative, np.nan)

    def _timed(self) -> Timed:
        if isinstance(self._solver, Timed):
            return self._solver
        raise InputError(
            f"{type(self._solver).__name__} cannot be stopped by a clock; leave `solver` out for Guaranteed, or use "
            "RieszCG"
        )

    def _answer(self, prediction: Prediction, solution: Solution, start: Array, usable: Mask) -> Prediction:
        problem, stats, mu = self.problem, solution.stats, prediction.mu
        worked = (stats["iterations"] > 0) | ~usable | by_lift(solution, start)
        bound = np.where(np.isnan(stats["bound"]), np.inf, stats["bound"])
        lower = np.minimum(stats.get("lower", np.zeros(len(bound))), bound)
        return replace(
            prediction,
            values=solution.field,
            space=problem.space,
            bound=bound,
            lower=lower,
            guarantee=_promise(problem.constant(mu).proven),
            source=np.where(worked, Source.REFINED.value, prediction.source),
            outputs=problem_outputs(problem, mu, solution.field, bound),
            reason=_reasons(problem, mu, bound),
            stats={name: stats[name] for name in ("iterations", "seconds", "norm")} | {"met": solution.converged},
        )

    def _before(
        self, mu: Mapping[str, Array], start: Array, better: Array, lower: Real, upper: Real
    ) -> dict[str, Real]:
        """Bounds of the energy error of the answers that came in, with the prescribed values imposed."""
        space, low, high = self.problem.space, np.zeros(len(start)), np.full(len(start), np.inf)
        first, second = space.flatten(start), space.flatten(better)
        step = max(1, _PIECE // space.size)
        for rows in (slice(i, i + step) for i in range(0, len(start), step)):
            systems = self.problem.systems(select(mu, rows))
            found = error_before(systems, systems.impose(first[rows]), second[rows], lower[rows], upper[rows])
            low[rows], high[rows] = found
        return {"before_lower": low, "before_upper": high}


def _coercive(problem: Problem) -> Coercive:
    if is_coercive(problem):
        return problem
    raise InputError(
        f"{type(problem).__name__} has no stability constant, so no tolerance can be guaranteed; inherit Stable, or "
        "solve it with nw.solve(problem, mu)"
    )


def _check(rtol: float, deadline: float | None) -> None:
    if not 0 < rtol < 1:
        raise InputError(f"rtol is {rtol}; it is a relative tolerance: choose a number between 0 and 1")
    if deadline is not None and not 0 <= deadline < np.inf:
        raise InputError(f"deadline is {deadline}; give the seconds that refinement may take, or None for no limit")


def by_lift(solution: Solution, start: Array) -> Mask:
    """Samples that nothing drives, whose start was exchanged for the lift without a step, `(B,)`."""
    still = solution.converged & (solution.stats["norm"] == 0)
    return still & (solution.field != start).any(axis=tuple(range(1, start.ndim)))


def _reasons(problem: Coercive, mu: Mu, bound: Real) -> Array:
    """Why there is no bound, `(B,)`."""
    reason = np.full(len(bound), "", dtype=object)
    missing = np.flatnonzero(~np.isfinite(bound))
    if len(missing):
        balanced = solvable(problem.space, problem.systems(select(mu, missing)))
        reason[missing] = np.where(balanced, "no bound below infinity was reached", UNBALANCED)
    return reason


def _start(fields: Array, problem: Problem) -> tuple[Array, Mask]:
    """The fields in float64, and which are finite; one that is not is replaced by zero: it costs steps only."""
    if np.iscomplexobj(fields):
        raise InputError("fields are complex, but the problem is real and symmetric; hand over their real part")
    fields = problem.space.unflatten(problem.space.flatten(fields)).astype(np.float64)
    finite = np.asarray(np.isfinite(fields).all(axis=tuple(range(1, fields.ndim))))
    return np.where(finite.reshape(-1, *[1] * (fields.ndim - 1)), fields, 0.0), finite


def _where(usable: Mask, before: Mapping[str, Real]) -> dict[str, Real]:
    """A field that was not finite is infinitely far off."""
    return {name: np.where(usable, values, np.inf) for name, values in before.items()}


def _require(solution: Solution, rtol: float) -> None:
    missed = np.flatnonzero(~solution.converged)
    if len(missed):
        bound, norm = solution.stats["bound"][missed], solution.stats["norm"][missed]
        worst = float(relative_bound(bound, norm).max())
        raise WorkError(
            f"{len(missed)} of {len(solution.status)} answers missed rtol = {rtol:g} (the best reached for the worst "
            f"of them is {worst:.2g}; first: sample {missed[0]}); ask for a larger rtol, set a deadline to get the "
            "best limit that can be reached, or allow more steps: solver=RieszCG(max_iterations=...)"
        )


def _promise(proven: bool) -> Guarantee:
    if proven:
        return Rigorous("energy norm", ("reduction", "algebraic", "round-off"))
    return Estimate("energy norm", "a proven stability constant")


def _without_symmetry(
    prediction: Prediction, problem: Linear, rtol: float, solver: Solver | None, deadline: float | None
) -> Prediction:
    if deadline is not None:
        raise InputError(
            f"a deadline is for symmetric coercive problems; {type(problem).__name__} is not one: refine it without"
        )
    return refine_nonsymmetric(prediction, problem, rtol, solver=solver)


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
