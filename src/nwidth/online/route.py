"""Each query of a batch by the cheapest way that meets its tolerance: surrogate, refinement, plain solve."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nwidth.bounds.outputs import problem_outputs
from nwidth.bounds.residual import reference_norm, relative_bound
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.prediction import Prediction, Reduced, Source, uncertified
from nwidth.core.solution import Solution, Tolerance
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.online.costs import FEW, Clock, CostModel, Work, here, measure_line, measure_slope
from nwidth.online.join import joined, with_smaller_limits
from nwidth.online.reduced_relative import relative_of_reduced
from nwidth.online.refine import by_lift
from nwidth.problems.base import Coercive
from nwidth.rb.galerkin import ReducedBasis
from nwidth.solvers.base import Solver
from nwidth.solvers.guaranteed import Guaranteed
from nwidth.solvers.multigrid import Multigrid, suits
from nwidth.surrogates.base import Surrogate

#: Of a large batch so many queries are answered first: what their limits are like decides about the rest.
_PROBE, _SHARE = 16, 16
#: Dofs of a piece of a batch whose energy norms are found together.
_PIECE = 100_000
_NORM = "energy norm"


@dataclass(frozen=True)
class Mix:
    """How many of a batch of answers came which way."""

    surrogate: int
    refined: int
    solved: int

    @classmethod
    def of(cls, prediction: Prediction) -> "Mix":
        """The mix of these answers."""
        found = [int((prediction.source == source.value).sum()) for source in Source]
        return cls(*found)

    def __str__(self) -> str:
        total = self.surrogate + self.refined + self.solved
        return (
            f"of {total:,} cases {self.surrogate:,} by the surrogate alone, {self.refined:,} refined, "
            f"{self.solved:,} solved"
        )


@dataclass(frozen=True, eq=False)
class Router:
    """Answers to `rtol`, a guaranteed relative error in the energy norm, with solvers that stay prepared.

    surrogate   with limits; `bare` is the same without
    solvers     what refines and solves; by default `Guaranteed` and, where it suits, `Multigrid`
    costs       the plan of a batch and the way of each query follow from it; None: accept, else refine

    For one thread at a time.
    """

    surrogate: Surrogate
    bare: Surrogate
    problem: Coercive
    rtol: float
    solvers: tuple[Solver, ...]
    costs: CostModel | None = None

    def __post_init__(self) -> None:
        check_tolerance(self.rtol)
        if self.costs is None:
            return
        if self.costs.rtol != self.rtol:
            raise InputError(
                f"the costs were measured for rtol = {self.costs.rtol:g}, not {self.rtol:g}: measure them again, "
                "refining.measured()"
            )
        if self.costs.solvers != self.names:
            raise InputError(
                f"the costs were measured for {', '.join(self.costs.solvers)}, not {', '.join(self.names)}: measure "
                "them again, refining.measured()"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The solvers in words."""
        return tuple(type(solver).__name__ for solver in self.solvers)

    def answer(self, mu: Mu | Array) -> Prediction:
        """Answers within rtol. `stats` holds `relative` (the guaranteed relative bound), `iterations` and `norm`.

        Raises WorkError where no solver reaches the tolerance.
        """
        mu = as_mu(mu, self.surrogate.parameters.names)
        size = batch_size(mu)
        plan = "accept" if self.costs is None or not size else self.costs.plan(size)
        if plan != "accept" or self.costs is None or size < 2 * _PROBE:
            return self._planned(plan, mu)
        probed = max(_PROBE, size // _SHARE)
        first, excess = self._accepting(select(mu, slice(0, probed)))
        rest = select(mu, slice(probed, size))
        return joined([first, self._planned(self.costs.plan(size - probed, excess), rest)])

    def measure(self, mu: Mu, repeats: int, clock: Clock) -> CostModel:
        """The costs of every way, measured on these queries."""
        everything = np.arange(batch_size(mu))
        start = self.surrogate.predict(mu)
        excess, fields = self._relative(start) / self.rtol, np.asarray(start.field)
        for solver in range(len(self.solvers)):  # plans and kernels are made at the first call
            self._run(solver, select(mu, slice(0, 1)), fields[:1])
        # where hardly any query misses, what a miss costs is measured at a tolerance that some do miss
        scale = float(np.clip(0.9 * np.sort(excess)[-min(FEW, len(excess))], 0.1, 1.0))
        farther = excess / scale
        solvers, task = range(len(self.solvers)), (mu, everything, repeats, clock)
        return CostModel(
            rtol=self.rtol,
            bare=measure_line(lambda part, rows: self.bare.predict(part).field, *task),
            limited=measure_line(lambda part, rows: self._excess(part), *task),
            warm=tuple(measure_slope(self._work(k, fields, scale), mu, farther, repeats, clock) for k in solvers),
            cold=tuple(measure_line(self._work(k, None), *task) for k in solvers),
            excess=np.sort(excess),
            solvers=self.names,
            machine=here(),
        )

    def _work(self, solver: int, fields: Array | None, scale: float = 1.0) -> Work:
        """A solver on some of the queries, from their fields or from nothing."""
        return lambda part, rows: self._run(solver, part, None if fields is None else fields[rows], scale)

    def _planned(self, plan: str, mu: Mu) -> Prediction:
        if plan == "solve":
            return self._solved(mu)
        if plan == "refine":
            return self._refined(mu)
        return self._accepting(mu)[0]

    def _accepting(self, mu: Mu) -> tuple[Prediction, Real]:
        """The surrogate with its limits, what misses by the way that suits it; and how far each was off."""
        answer = self.surrogate.predict(mu)
        relative = self._relative(answer)
        excess = relative / self.rtol
        good, missed = np.flatnonzero(excess <= 1), np.flatnonzero(~(excess <= 1))
        stats = {"relative": relative[good], "iterations": np.zeros(len(good), int)}
        parts, order = [replace(answer.take(good), stats=stats)], [good]
        ways = self._ways(excess[missed])
        fields = np.asarray(answer.take(missed).field) if (ways < len(self.solvers)).any() else None
        for way in np.unique(ways):
            taken, count = np.flatnonzero(ways == way), len(self.solvers)
            start = fields[taken] if fields is not None and way < count else None
            rows = missed[taken]
            better = self._finished(int(way % count), select(answer.mu, rows), start, answer.inside[rows])
            parts.append(with_smaller_limits(answer.take(rows), better))
            order.append(rows)
        return joined(parts, np.concatenate(order)), excess

    def _ways(self, excess: Real) -> Array:
        if self.costs is None or not len(excess):
            return np.zeros(len(excess), dtype=int)
        return self.costs.choose(excess)

    def _refined(self, mu: Mu) -> Prediction:
        """Every answer of the bare surrogate to a solver."""
        answer, lines = self.bare.predict(mu), self.costs.warm if self.costs else ()
        best = int(np.argmin([line(len(answer)) for line in lines])) if lines else 0
        return self._finished(best, answer.mu, np.asarray(answer.field), answer.inside)

    def _solved(self, mu: Mu) -> Prediction:
        """A plain solve of every query; the surrogate is not asked."""
        lines = self.costs.cold if self.costs else ()
        best = int(np.argmin([line(batch_size(mu)) for line in lines])) if lines else 0
        return self._finished(best, mu, None, self.surrogate.parameters.contains(mu))

    def _finished(self, solver: int, mu: Mu, start: Array | None, inside: Mask) -> Prediction:
        """The answers of a solver; where it fails, those of the first one. Raises WorkError where that fails too."""
        solution = self._run(solver, mu, start)
        failed = np.flatnonzero(~solution.converged)
        if len(failed) and solver:
            again = self._run(0, select(mu, failed), solution.field[failed])
            solution = _merged(solution, again, failed)
        if not solution.converged.all():
            raise _missed(solution, self.rtol)
        return self._answered(solution, mu, start, inside)

    def _run(self, solver: int, mu: Mu, start: Array | None, scale: float = 1.0) -> Solution:
        chosen, state = self.solvers[solver], self._states[solver]
        begin = None if start is None else _finite(start, self.problem)
        return chosen.solve(state, mu, begin, Tolerance("energy", scale * self.rtol))

    @cached_property
    def _states(self) -> list[Any]:
        return [solver.prepare(self.problem) for solver in self.solvers]

    def _answered(self, solution: Solution, mu: Mu, start: Array | None, inside: Mask) -> Prediction:
        bound, norm, steps = (solution.stats[name] for name in ("bound", "norm", "iterations"))
        source = np.full(len(bound), (Source.FULL_ORDER if start is None else Source.REFINED).value, dtype="<U10")
        if start is not None:
            usable = np.isfinite(start).all(axis=tuple(range(1, start.ndim)))
            source[(steps == 0) & usable & ~by_lift(solution, start)] = Source.SURROGATE.value
        lower = solution.stats.get("lower")
        proven = self.problem.constant(select(mu, slice(0, 1))).proven  # of the problem, not of a sample
        promise: Guarantee = Rigorous(_NORM, ("reduction", "algebraic", "round-off"))
        return replace(
            uncertified(mu, solution.field, self.problem.space, inside),
            bound=bound,
            lower=None if lower is None else np.minimum(lower, bound),
            guarantee=promise if proven else Estimate(_NORM, "a proven stability constant"),
            source=source,
            outputs=problem_outputs(self.problem, mu, solution.field, bound),
            reason=np.full(len(bound), "", dtype=object),
            # all have converged: without an energy, because nothing drives them and the lift is exact
            stats={
                "relative": np.where(norm > 0, relative_bound(bound, norm), 0.0),
                "iterations": np.asarray(steps, dtype=int),
            },
        )

    def _excess(self, mu: Mu) -> Real:
        return self._relative(self.surrogate.predict(mu)) / self.rtol

    def _relative(self, answer: Prediction) -> Real:
        """The guaranteed relative bound of each answer, `(B,)`; +inf where its limit is in another norm."""
        size, space = len(answer), self.problem.space
        if not isinstance(answer.guarantee, Rigorous | Estimate) or answer.guarantee.norm != _NORM:
            return np.full(size, np.inf)
        if isinstance(self.bare, ReducedBasis) and isinstance(answer.values, Reduced):
            return relative_of_reduced(self.bare, answer)
        found, step = np.full(size, np.inf), max(1, _PIECE // max(space.size, 1))
        for first in range(0, size, step):
            rows = first + np.flatnonzero(np.isfinite(answer.bound[first : first + step]))
            if len(rows):
                part = answer.take(rows)
                systems = self.problem.systems(part.mu)
                v = systems.impose(space.flatten(np.asarray(part.field, dtype=np.float64)))
                found[rows] = relative_bound(part.bound, reference_norm(systems, v))
        return found


def default_solvers(problem: Coercive, solver: Solver | None = None) -> tuple[Solver, ...]:
    """The solvers among which to choose: the given one, else what suits the problem."""
    if solver is not None:
        return (solver,)
    return (Guaranteed(), Multigrid()) if suits(problem) else (Guaranteed(),)


def check_tolerance(rtol: float) -> None:
    """InputError for what is no relative tolerance."""
    if not 0 < rtol < 1:
        raise InputError(f"rtol is {rtol}; it is a relative tolerance: choose a number between 0 and 1")


def _finite(fields: Array, problem: Coercive) -> Array:
    """The fields in float64; one that is not finite is replaced by zero: it costs steps only."""
    dofs = problem.space.flatten(np.asarray(fields)).astype(np.float64)
    return problem.space.unflatten(np.where(np.isfinite(dofs).all(axis=1, keepdims=True), dofs, 0.0))


def _merged(solution: Solution, again: Solution, rows: Array) -> Solution:
    """The solution with the rows of another."""

    def put(values: Array, others: Array) -> Array:
        found = np.array(values)
        found[rows] = others
        return found

    stats: Mapping[str, Array] = {
        name: put(values, again.stats[name]) for name, values in solution.stats.items() if name in again.stats
    }
    return Solution(put(solution.field, again.field), put(solution.status, again.status), stats, again.note)


def _missed(solution: Solution, rtol: float) -> WorkError:
    missed = np.flatnonzero(~solution.converged)
    worst = float(relative_bound(solution.stats["bound"][missed], solution.stats["norm"][missed]).max())
    return WorkError(
        f"{len(missed)} of {len(solution.status)} answers missed rtol = {rtol:g} (the best reached for the worst of "
        f"them is {worst:.2g}; first: sample {missed[0]}); ask for a larger rtol"
    )
