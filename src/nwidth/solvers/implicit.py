"""Crank-Nicolson and BDF2 for linear equations in time, with reused factorisations and a checked step."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter
from typing import NamedTuple

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_batched, check_finite, select
from nwidth.problems.base import Problem
from nwidth.problems.evolution import LinearEvolution, Marching, checked_times
from nwidth.solvers._implicit_steps import Equation, Factors, Method, Point, Trapezoidal, TwoStep
from nwidth.solvers.base import Solver
from nwidth.spaces.factor import SingularMatrixError

#: Steps of the first run over all times, if the step is to be found.
_FIRST = 16
#: A run's error aims at this share of the accuracy, and its step shrinks at most by this factor.
_SHARE, _SHRINK = 0.6, 32.0
#: Errors are relative to the norm at the same time, or to this share of the largest norm where that is more.
_FLOOR = 1e-3
#: Residuals of the linear systems beyond which a sample has failed.
_RESIDUAL = 1e-8


@dataclass(frozen=True)
class Implicit(Solver):
    """What the implicit methods share. `dt`: the largest step; each stored interval is cut into equal ones.

    With None the march is repeated with smaller steps until two runs differ by no more than the `accuracy`: a
    relative Euclidean error at every stored time, as Richardson's rule for order 2 finds it. With a `dt` there is one
    run, and with `check=True` a second one with twice the step to estimate its error. `max_steps`: the most steps.
    Samples with the same matrices march together and share their factorisations.

    A sample whose linear systems are singular is SINGULAR; one that stops being finite, or whose systems are not
    solved to 1e-8, is FAILED, its fields NaN from the next stored time on; one whose indicator misses the accuracy is
    MAX_ITERATIONS. Statistics: `iterations` (steps of the stored trajectory), `seconds`, `indicator` (the estimated
    error, no bound; NaN without a check), `residual` (relative, of the last linear systems), `failed_at`, `dt`.
    """

    dt: float | None = None
    accuracy: float = 1e-4
    check: bool = True
    max_steps: int = 100_000

    def __post_init__(self) -> None:
        if self.dt is None and not self.check:
            raise InputError("check=False with no dt: nothing would choose the step; give a dt or leave check=True")
        for name, value in (("dt", self.dt), ("accuracy", self.accuracy)):
            if value is not None and not value > 0:
                raise InputError(f"{name} = {value!r}; expected a positive number")

    @abstractmethod
    def method(self) -> Method:
        """The steps of one march."""

    def prepare(self, problem: Problem) -> "ImplicitState":
        """A place for the factorisations. Raises InputError where the problem is not a LinearEvolution."""
        if not isinstance(problem, LinearEvolution):
            raise InputError(
                f"{type(problem).__name__} is not a LinearEvolution; inherit LinearEvolution (implement initial and "
                "marching) to march it with an implicit method"
            )
        return ImplicitState(problem, checked_times(problem.times, type(problem).__name__))

    def solve(self, state: "ImplicitState", mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Trajectories `(B, T, *space.shape)`. Raises InputError for a `stop`: the accuracy is an option here."""
        if stop is not None:
            raise InputError(f"a time stepper takes no {stop}; say {type(self).__name__}(accuracy=...)")
        problem = state.problem
        mu = as_mu(mu, problem.parameters.names)
        start = check_batched("the initial states", np.asarray(problem.initial(mu)), problem.space.shape)
        check_finite("the initial states", start)
        u0 = np.asarray(start, dtype=np.float64).reshape(len(start), problem.space.size)
        answers: list[_Trajectory] = []
        for equation in _groups(problem, mu):
            begin, rows = perf_counter(), slice(len(answers), len(answers) + len(equation))
            found = self._trajectory(equation, state, u0[rows])
            share = (perf_counter() - begin) / len(equation)
            answers += [found.row(i, share) for i in range(len(equation))]
        return _solution(answers, state, f"{type(self).__name__} with {state.factors.count} factorisations so far")

    def _trajectory(self, equation: Equation, state: "ImplicitState", u0: Real) -> "_Trajectory":
        try:
            return self._checked(equation, state, u0)
        except SingularMatrixError:
            return _Trajectory.singular(len(u0), len(state.times), u0.shape[1])

    def _checked(self, equation: Equation, state: "ImplicitState", u0: Real) -> "_Trajectory":
        """The march with the given step, or with ever smaller ones until its error is small enough."""
        h = self.dt or state.times[-1] / _FIRST
        run = self._march(equation, state, u0, h)
        if not self.check:
            return run.judged(np.full(len(u0), np.nan), np.inf)
        if self.dt is not None:
            other = self._march(equation, state, u0, 2 * h)
            return run.judged(_error(run, other, 2.0), self.accuracy)
        factor = 2.0
        while True:
            before, h = run, h / factor
            run = self._march(equation, state, u0, h)
            error = _error(run, before, factor)
            worst = float(np.max(error, initial=0.0))
            # an error that is not finite has its cause elsewhere: smaller steps do not help
            if not worst > self.accuracy or not np.isfinite(worst) or state.times[-1] / h > self.max_steps / 2:
                return run.judged(error, self.accuracy)
            factor = min(_SHRINK, max(2.0, (worst / (_SHARE * self.accuracy)) ** 0.5))

    def _march(self, equation: Equation, state: "ImplicitState", u0: Real, h: float) -> "_Trajectory":
        """One run through the stored times with steps of at most h."""
        method, k = self.method(), len(u0)
        point = Point(0.0, np.where(equation.free, u0, equation.lift(0.0)), None)
        out = np.empty((k, len(state.times), u0.shape[1]))
        residual, failed_at, steps, smallest = np.zeros(k), np.full(k, np.nan), 0, np.inf
        for i, (before, time) in enumerate(pairwise([0.0, *state.times])):
            if time > before:
                count = max(1, int(np.ceil((time - before) / h * (1 - 1e-12))))
                point, found = method.steps(equation, state.factors, point, (time - before) / count, count)
                residual, steps = np.maximum(residual, found), steps + count
                smallest = min(smallest, (time - before) / count)
            lost = ~np.all(np.isfinite(point.u), axis=1)
            failed_at = np.where(lost & np.isnan(failed_at), time, failed_at)
            out[:, i] = np.where(lost[:, None], np.nan, point.u)
        return _Trajectory(out, residual, failed_at, np.full(k, float(steps)), np.full(k, smallest))


@dataclass(frozen=True)
class CrankNicolson(Implicit):
    """`M u' + A u = f` by the trapezoidal rule, order 2, with one factorisation of M + h/2 A for all steps.

    It does not damp: rough data (a jump, initial and boundary values that do not fit together) rings for long where
    h is large against the mesh. `smooth` replaces the first so many steps by two backward Euler steps of half the
    length each, with the same matrix (Rannacher 1984): 2 keeps order 2 for rough data. 0 for smooth data.
    """

    smooth: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth < 0:
            raise InputError(f"smooth = {self.smooth}; give the number of first steps that are smoothed, 0 for none")

    def method(self) -> Method:
        return Trapezoidal(self.smooth)


@dataclass(frozen=True)
class BDF2(Implicit):
    """`M u' + A u = f` by backward differences of order 2: damps rough data, about four times the error constant of
    Crank-Nicolson. The first step is one of backward Euler, which keeps order 2."""

    def method(self) -> Method:
        return TwoStep()


@dataclass(frozen=True, eq=False)
class ImplicitState:
    """What the solves of a problem share, held by the caller, for one thread: stored times and factorisations."""

    problem: LinearEvolution
    times: Real
    factors: Factors = field(default_factory=Factors)


class _Trajectory(NamedTuple):
    """A march of k samples: fields `(k, T, N)`, then one number for each sample."""

    fields: Real
    residual: Real
    failed_at: Real
    steps: Real
    dt: Real
    indicator: Real = np.empty(0)
    status: Array = np.empty(0)
    seconds: float = 0.0

    @classmethod
    def singular(cls, k: int, levels: int, size: int) -> "_Trajectory":
        none = np.full(k, np.nan)
        status = np.full(k, int(Status.SINGULAR))
        return cls(np.full((k, levels, size), np.nan), none, none, np.zeros(k), none, none, status)

    def judged(self, error: Real, accuracy: float) -> "_Trajectory":
        """With its indicator, and how it ended."""
        status = np.where(error > accuracy, Status.MAX_ITERATIONS, Status.CONVERGED)
        bad = np.isfinite(self.failed_at) | ~(self.residual <= _RESIDUAL)
        return self._replace(indicator=error, status=np.where(bad, Status.FAILED, status).astype(int))

    def row(self, i: int, seconds: float) -> "_Trajectory":
        """One sample of it."""
        rows = slice(i, i + 1)
        parts = {name: getattr(self, name)[rows] for name in self._fields if name != "seconds"}
        return _Trajectory(**parts, seconds=seconds)


def _solution(answers: list[_Trajectory], state: ImplicitState, note: str) -> Solution:
    shape = (len(answers), len(state.times), *state.problem.space.shape)
    names = {"iterations": "steps", "indicator": "indicator", "residual": "residual", "failed_at": "failed_at"}
    if not answers:
        return Solution(np.empty(shape), np.empty(0, dtype=int), {}, note)
    stats = {key: np.concatenate([getattr(a, name) for a in answers]) for key, name in (names | {"dt": "dt"}).items()}
    stats["seconds"] = np.array([a.seconds for a in answers])
    fields = np.concatenate([a.fields for a in answers]).reshape(shape)
    return Solution(fields, np.concatenate([a.status for a in answers]), stats, note)


def _groups(problem: LinearEvolution, mu: Mu) -> Iterator[Equation]:
    """The samples in order, those with the same matrices together."""
    held: list[Marching] = []
    for i in range(batch_size(mu)):
        sample = problem.marching(select(mu, slice(i, i + 1)))
        if held and not Equation.alike(held[0], sample):
            yield Equation(held)
            held = []
        held.append(sample)
    if held:
        yield Equation(held)


def _error(fine: _Trajectory, coarse: _Trajectory, factor: float) -> Real:
    """The largest relative error of the finer run at a stored time: its difference over factor² - 1, `(k,)`."""
    norms = np.linalg.norm(fine.fields, axis=2)
    scale = np.maximum(norms, _FLOOR * norms.max(axis=1, keepdims=True))
    difference = np.linalg.norm(fine.fields - coarse.fields, axis=2)
    return np.max(np.divide(difference, scale, out=np.zeros_like(scale), where=difference != 0), axis=1) / (
        factor**2 - 1
    )
