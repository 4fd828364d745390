"""`refine` for matrices that are not symmetric, not definite, or complex: until the bound meets the tolerance."""

from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from nwidth.bounds.default_constants import default_constants, has_constants
from nwidth.bounds.dual_residual import Constants, Dual, residual_bounds
from nwidth.certificates.linear_residual import in_gradient_norm, limited_outputs, promise
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.prediction import Prediction, Source
from nwidth.core.solution import Tolerance
from nwidth.core.validation import select
from nwidth.problems.base import Linear, Problem, Stable, Systems
from nwidth.problems.fixed_pattern import FixedPattern
from nwidth.solvers.base import Solver
from nwidth.solvers.choose import default_solver
from nwidth.solvers.gmres import GMRESState, Piece, RieszGMRES
from nwidth.solvers.multigrid import suits

#: The next residual is asked for so far below what the bound says is needed, and never below the last of these.
_ASIDE, _ATTEMPTS, _LAST = 0.3, 8, 1e-15
#: A first residual where the start tells nothing (the field zero), as a part of the tolerance.
_FIRST = 0.1


def needs_nonsymmetric(problem: Problem | None) -> bool:
    """Whether refinement is for this module: linear, stationary, and without a coercivity constant of its own."""
    return has_constants(problem) and not isinstance(problem, Stable)


@dataclass(frozen=True)
class NonsymmetricRefiner:
    """Takes answers to guaranteed tolerances; prepared once, used many times.

    `constants`: where the stability comes from; by default what suits the problem (`default_constants`): transport on a
    grid has them from the entries of its matrix, waves from factorisations for each query. `solver`: by default the
    cheapest that was measured (`cheapest`). `RieszGMRES` minimises the bound from step to step and stops on it; any
    other solver starts from the answer too and is asked for the residual that the bound says is needed, until the
    bound of the recomputed residual, which always decides, agrees.

    Raises InputError for a problem that is not linear or has no constants.
    """

    problem: Linear
    constants: Constants | None = None
    solver: Solver | None = None

    def __post_init__(self) -> None:
        _ = self._state  # raises what is wrong with the problem

    @cached_property
    def _constants(self) -> Constants:
        return self.constants or default_constants(self.problem)

    @cached_property
    def _state(self) -> GMRESState:
        return replace(self._gmres, constants=self._constants).prepare(self.problem)

    @cached_property
    def _chosen(self) -> Solver:
        return self.solver or cheapest(self.problem)

    @cached_property
    def _gmres(self) -> RieszGMRES:
        return self._chosen if isinstance(self._chosen, RieszGMRES) else RieszGMRES()

    @cached_property
    def _prepared(self) -> tuple[Solver, Any]:
        """A solver for residuals, and its state: the chosen one, or what takes over where GMRES gives up."""
        solver = default_solver(self.problem) if isinstance(self._chosen, RieszGMRES) else self._chosen
        return solver, solver.prepare(self.problem)

    def refine(self, prediction: Prediction, rtol: float = 1e-4) -> Prediction:
        """The answers, each within a relative error of the full-order solution, in the norm of the constants.

        `rtol` means `Δ / (‖v‖ - Δ) <= rtol` with Δ the bound and ‖v‖ the norm of the change from the prescribed values.
        A sample that meets it already is returned as it is (`source` stays, zero iterations). `stats` holds
        `iterations`, `seconds` and `norm`.

        Raises InputError for a tolerance that is not one, WorkError where it is missed or a query has no constant.
        """
        if not 0 < rtol < 1:
            raise InputError(f"rtol is {rtol}; it is a relative tolerance: choose a number between 0 and 1")
        problem, mu, begin = self.problem, prediction.mu, perf_counter()
        v = _start(problem, prediction)
        pieces = self._gmres.pieces(problem.space, len(v))
        found = _Refined.joined([self._part(select(mu, rows), v[rows], rtol) for rows in pieces])
        _require(found, rtol)
        seconds = np.full(len(v), (perf_counter() - begin) / max(len(v), 1))
        return replace(
            prediction,
            values=problem.space.unflatten(found.v),
            space=problem.space,
            bound=found.bound,
            lower=found.lower,
            guarantee=promise(self._constants),
            source=np.where(found.iterations > 0, Source.REFINED.value, prediction.source),
            outputs=limited_outputs(problem, mu, found.v, found.gradient, self._state.metric),
            reason=np.full(len(v), "", dtype=object),
            stats={"iterations": found.iterations, "seconds": seconds, "norm": found.norm},
        )

    def _part(self, mu: Mu, v: Array, rtol: float) -> "_Refined":
        systems, metric = self.problem.systems(mu), self._state.metric
        dual = self._state.constants(mu, systems)
        stop, v = Tolerance("energy", rtol), systems.impose(v)
        if isinstance(self._chosen, RieszGMRES):
            found = self._chosen.run(systems, metric, dual, v, stop)
        else:
            found = Piece.judged(systems, metric, dual, v, stop)
        self._tighten(mu, systems, dual, found, stop)
        bounds = residual_bounds(systems, found.v, metric, dual)
        gradient = in_gradient_norm(bounds.upper, dual)
        return _Refined(
            found.v, bounds.upper, bounds.lower, gradient, found.norm, found.worth, found.iterations, dual.reason
        )

    def _tighten(self, mu: Mu, systems: Systems, dual: Dual, found: Piece, stop: Tolerance) -> None:
        """What misses the tolerance, by a solver that knows residuals only: smaller ones until the bound agrees."""
        todo, space = np.flatnonzero(~found.met & np.isfinite(dual.above)), self.problem.space
        for _ in range(_ATTEMPTS if len(todo) else 0):
            solver, state = self._prepared
            goal = _needed(found, todo, stop.value)
            answer = solver.solve(state, select(mu, todo), space.unflatten(found.v[todo]), Tolerance("residual", goal))
            fields = space.flatten(answer.field)
            whole = np.asarray(np.isfinite(fields).all(axis=1))
            part, steps = systems.take(todo), answer.stats.get("iterations", np.ones(len(todo), dtype=int))
            v = part.impose(np.where(whole[:, None], fields, found.v[todo]))
            found.better(todo, part, self._state.metric, dual.take(todo), v, np.asarray(steps), stop)
            keep = np.flatnonzero(np.asarray(~found.met[todo]) & answer.converged)
            todo = todo[keep]
            if not len(todo) or goal <= _LAST:
                break


def cheapest(problem: Problem) -> Solver:
    """The solver that was fastest to a guaranteed tolerance (docs/nonsymmetric.md): multigrid on grids of nearest
    neighbours, the batched factorisation for matrices of one pattern in one or two dimensions, else GMRES."""
    planar = isinstance(problem, FixedPattern) and problem.space.points().shape[-1] < 3
    return default_solver(problem) if suits(problem) or planar else RieszGMRES()


def _needed(found: Piece, rows: Array, rtol: float) -> float:
    """The residual that should bring every row to the tolerance: bound and residual fall together."""
    ratio = np.where(np.isfinite(found.worth[rows]), rtol / np.maximum(found.worth[rows], rtol), _FIRST * rtol)
    return float(np.clip((_ASIDE * ratio * np.minimum(found.residual[rows], 1.0)).min(), _LAST, 1e-2))


def refine_nonsymmetric(
    prediction: Prediction,
    problem: Linear,
    rtol: float = 1e-4,
    *,
    solver: Solver | None = None,
    constants: Constants | None = None,
) -> Prediction:
    """One batch; see `NonsymmetricRefiner`, which keeps what was prepared for the next."""
    return NonsymmetricRefiner(problem, constants, solver).refine(prediction, rtol)


@dataclass(frozen=True)
class _Refined:
    """Dofs `(B, N)`, bounds from above and below and of the gradient norm, norms, relative bounds, steps, reasons."""

    v: Array
    bound: Real
    lower: Real
    gradient: Real
    norm: Real
    relative: Real
    iterations: Array
    reason: Array

    @classmethod
    def joined(cls, parts: list["_Refined"]) -> "_Refined":
        names = tuple(cls.__dataclass_fields__)
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _start(problem: Linear, prediction: Prediction) -> Array:
    """Dofs `(B, N)`; a field that is not finite is replaced by zero: it costs steps, not the answer."""
    fields = np.asarray(prediction.field)
    if np.iscomplexobj(fields) and not np.issubdtype(problem.space.dtype, np.complexfloating):
        raise InputError(f"fields are complex, but {type(problem).__name__} is real; hand over their real part")
    v = problem.space.flatten(fields).astype(problem.space.dtype)
    return np.where(np.isfinite(v).all(axis=1)[:, None], v, 0.0)


def _require(found: _Refined, rtol: float) -> None:
    missed = np.flatnonzero(~(found.relative <= rtol))
    if not len(missed):
        return
    reasons = [reason for reason in found.reason[missed] if reason]
    if reasons:
        raise WorkError(
            f"no tolerance can be guaranteed for {len(reasons)} of {len(found.reason)} answers (first: sample "
            f"{missed[0]}): {reasons[0]}"
        )
    raise WorkError(
        f"{len(missed)} of {len(found.relative)} answers missed rtol = {rtol:g} (the best reached for the worst of "
        f"them is {found.relative[missed].max():.2g}; first: sample {missed[0]}); ask for a larger rtol"
    )
