"""`refine` for matrices that are not symmetric, not definite, or complex: until the bound meets the tolerance."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter

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
from nwidth.solvers.base import Solver
from nwidth.solvers.choose import default_solver
from nwidth.solvers.gmres import GMRESState, Piece, RieszGMRES

#: Residuals, relative to the load, between which another solver looks for the tolerance, and the step.
_FIRST, _LAST, _STEP = 1e-6, 1e-15, 0.1


def needs_nonsymmetric(problem: Problem | None) -> bool:
    """Whether refinement is for this module: linear, stationary, and without a coercivity constant of its own."""
    return has_constants(problem) and not isinstance(problem, Stable)


@dataclass(frozen=True)
class NonsymmetricRefiner:
    """Takes answers to guaranteed tolerances; prepared once, used many times.

    `constants`: where the stability comes from; by default what suits the problem (`default_constants`): transport on a
    grid has them from the entries of its matrix, waves from factorisations for each query. `solver`: None for GMRES in
    the X⁻¹ inner product, which minimises the bound, and for what it leaves the problem's default solver; any other
    solver is asked for smaller and smaller residuals. In every case the bound of the recomputed residual decides.

    Raises InputError for a problem that is not linear or has no constants.
    """

    problem: Linear
    constants: Constants | None = None
    solver: Solver | None = None
    gmres: RieszGMRES = field(default_factory=RieszGMRES)

    def __post_init__(self) -> None:
        _ = self._state  # raises what is wrong with the problem

    @cached_property
    def _constants(self) -> Constants:
        return self.constants or default_constants(self.problem)

    @cached_property
    def _state(self) -> GMRESState:
        return replace(self.gmres, constants=self._constants).prepare(self.problem)

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
        pieces = self.gmres.pieces(problem.space, len(v))
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
        systems, dual, metric = self.problem.systems(mu), self._state.constants(mu), self._state.metric
        stop, v = Tolerance("energy", rtol), systems.impose(v)
        if self.solver is None:
            found = self.gmres.run(systems, metric, dual, v, stop)
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
        todo, goal = np.flatnonzero(~found.met & np.isfinite(dual.above)), _FIRST
        if not len(todo):
            return
        solver = self.solver or default_solver(self.problem)
        state = solver.prepare(self.problem)
        while len(todo) and goal >= _LAST:
            start = self.problem.space.unflatten(found.v[todo])
            answer = solver.solve(state, select(mu, todo), start, Tolerance("residual", goal))
            fields = self.problem.space.flatten(answer.field)
            whole = np.isfinite(fields).all(axis=1)
            part, steps = systems.take(todo), answer.stats.get("iterations", np.ones(len(todo), dtype=int))
            v = part.impose(np.where(whole[:, None], fields, found.v[todo]))
            found.better(todo, part, self._state.metric, dual.take(todo), v, np.asarray(steps), stop)
            keep = np.flatnonzero(~found.met[todo] & answer.converged)
            todo, goal = todo[keep], goal * _STEP


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
