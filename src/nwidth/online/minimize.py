"""`minimize`: the best design that a surrogate finds, verified by a full solve.

An optimiser looks for small answers, and so for places where the surrogate errs downwards. A calibrated limit does not
hold there (docs/selection.md has the numbers); a full solve of the winner does. A guaranteed limit holds everywhere and
says more: how much better than the winner any other searched design can be.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from nwidth.bounds.outputs import problem_outputs
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.guarantee import Guarantee, Rigorous, Statistical, weakest
from nwidth.core.prediction import Output, Prediction, Source, uncertified
from nwidth.core.validation import select
from nwidth.problems.base import Evolution, Outputs, Problem
from nwidth.problems.parabolic import AffineEvolution
from nwidth.solvers.base import Solver
from nwidth.solvers.choose import solve
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.box import Box
from nwidth.spaces.trajectories import Trajectories
from nwidth.surrogates.base import Surrogate

#: A named output, a weighted sum of outputs, or any function of answers `Prediction -> (B,)`.
Objective: TypeAlias = str | Mapping[str, float] | Callable[[Prediction], Real]

#: Queries that are answered at a time.
_PIECE = 256
#: Local search: first and last step, in parts of the box; designs closer than the last but one count as one.
_FIRST, _LAST, _CLOSE = 0.1, 1e-3, 0.02


@dataclass(frozen=True, eq=False)
class Minimum:
    """The best of the designs that were solved in full.

    `mu`: a mapping with batch size 1. `value`: its objective from the full solve; `predicted` and `limit`: what the
    surrogate said (the limit is +inf where none is known); `held`: whether the limit held there, None without one.
    `gap`: where all limits are guaranteed, no design that was searched and answered is better than `value` by more;
    None with others, which promise nothing about designs that were picked. `designs`, `said` and `solved`: all designs
    that were solved `(k, ...)` with both objectives `(k,)`. `searched`: how many designs the surrogate was asked for;
    `unanswered`: how many of them lie outside the fitted set or have an objective that is no number: nothing is said
    about those. `guarantee`: the weakest among all answers.
    """

    mu: Mu
    value: float
    predicted: float
    limit: float
    held: bool | None
    gap: float | None
    designs: Mu
    said: Real
    solved: Real
    searched: int
    unanswered: int
    answer: Prediction
    guarantee: Guarantee

    def __str__(self) -> str:
        design = ", ".join(f"{n} = {_short(a[0])}" for n, a in self.mu.items())
        words = {None: "no limit is known for it", True: "its limit held", False: "its limit did not hold here"}[
            self.held
        ]
        said = f"the surrogate said {self.predicted:.6g}"
        if np.isfinite(self.limit):
            said += f" ± {self.limit:.3g}"
        rest = "Whether another design is better is not known."
        if self.gap is not None and np.isfinite(self.gap):
            which = f"{self.searched} designs searched"
            if self.unanswered:
                which = f"{self.searched - self.unanswered} designs searched that have an answer"
            rest = f"None of the {which} is better by more than {self.gap:.3g}. Guaranteed."
            if self.unanswered:
                rest += f" About {self.unanswered} others nothing is known."
        return f"{self.value:.6g} from a full solve at {design}; {said}: {words}. {rest}"


def minimize(
    surrogate: Surrogate,
    problem: Problem,
    objective: Objective,
    *,
    samples: int = 2048,
    starts: int = 4,
    verify: int = 3,
    seed: int = 0,
    solver: Solver | None = None,
) -> Minimum:
    """The design with the smallest objective: searched with the surrogate, verified in full.

    `objective`: the name of an output, weights of outputs {"mass": 1.0, "stress": 0.2} for their sum, or a function
    of answers (return +inf for a design that is not allowed). So many `samples` of the fitted set are answered, the
    best `starts` of them improved by compass search where the set is a Box (Kolda, Lewis and Torczon, SIAM Review 45
    (2003)), and the best `verify` designs that differ are solved with the problem's own solver: the smallest value of
    *these solves* is returned. With guaranteed limits the designs solved are those that may be best, and `gap` says
    what is left; repeat with a larger `verify` to close it.

    Raises InputError for an output that is not there, an objective that is nowhere finite; WorkError where a solve
    fails.
    """
    for name, count in (("samples", samples), ("starts", starts), ("verify", verify)):
        if count < 1:
            raise InputError(f"{name} = {count}; give 1 or more")
    search = _Search(surrogate, objective)
    search.ask(surrogate.parameters.sample(range(samples), seed))
    if isinstance(surrogate.parameters, Box):
        search.improve(surrogate.parameters, starts)
    chosen = search.chosen(verify)
    designs = select(search.mu, chosen)
    answers = _solved(problem, designs, solver)
    solved = objective_of(answers, objective)[0]
    best = int(np.argmin(solved))
    value, limit = float(solved[best]), float(search.limit[chosen[best]])
    predicted = float(search.value[chosen[best]])
    known = isinstance(search.guarantee, Rigorous | Statistical) and np.isfinite(limit)
    return Minimum(
        mu=select(designs, slice(best, best + 1)),
        value=value,
        predicted=predicted,
        limit=limit,
        held=bool(abs(value - predicted) <= limit) if known else None,
        gap=search.gap(chosen, value) if isinstance(search.guarantee, Rigorous) else None,
        designs=designs,
        said=search.value[chosen],
        solved=solved,
        searched=len(search.value),
        unanswered=int(np.count_nonzero(search.unanswered)),
        answer=answers.take(slice(best, best + 1)),
        guarantee=search.guarantee,
    )


def objective_of(answer: Prediction, objective: Objective) -> tuple[Real, Real]:
    """The objective of each answer and its limit, `(B,)` each; +inf where none is known.

    Raises InputError for an output that is not there or varies in time, and a function of another shape.
    """
    if callable(objective):
        values = np.asarray(objective(answer), dtype=np.float64)
        limits = np.full(len(answer), np.inf)
    else:
        weights = {objective: 1.0} if isinstance(objective, str) else dict(objective)
        missing = [name for name in weights if name not in answer.outputs]
        if missing or not weights:
            raise InputError(
                f"objective {objective!r}: there is no output {missing}; the answers have "
                f"{', '.join(answer.outputs) or 'none'}. A function of answers serves for anything else"
            )
        outputs = [(w, answer.outputs[name]) for name, w in weights.items()]
        values = np.sum([w * np.asarray(o.values, dtype=np.float64) for w, o in outputs], axis=0)
        limits = np.sum([abs(w) * np.asarray(o.limit, dtype=np.float64) for w, o in outputs], axis=0)
    if np.shape(values) != (len(answer),):
        raise InputError(
            f"the objective has the shape {np.shape(values)} for {len(answer)} answers; it must be one number each, "
            "such as the largest over time: objective=lambda answer: answer.outputs['T'].values.max(axis=1)"
        )
    return values, np.where(np.isnan(limits), np.inf, limits)


class _Search:
    """Every design that the surrogate was asked for, with its objective and limit."""

    def __init__(self, surrogate: Surrogate, objective: Objective):
        self._surrogate, self._objective = surrogate, objective
        self._parts: list[tuple[Mu, Real, Real, Mask]] = []
        self._guarantees: list[Guarantee] = []

    @property
    def guarantee(self) -> Guarantee:
        """The weakest that came with an answer."""
        return weakest(self._guarantees)

    @property
    def mu(self) -> dict[str, Array]:
        """All designs."""
        return {name: np.concatenate([part[0][name] for part in self._parts]) for name in self._parts[0][0]}

    @property
    def value(self) -> Real:
        """What the surrogate said."""
        return np.concatenate([part[1] for part in self._parts])

    @property
    def limit(self) -> Real:
        """And its limits."""
        return np.concatenate([part[2] for part in self._parts])

    @property
    def unanswered(self) -> Mask:
        """Which of them have no answer."""
        return np.concatenate([part[3] for part in self._parts])

    def ask(self, mu: Mu) -> Real:
        """The objective of designs `(n, ...)`; +inf outside the fitted set and where it is no number."""
        count, found = len(next(iter(mu.values()))), []
        for first in range(0, count, _PIECE):
            part = select(mu, slice(first, first + _PIECE))
            answer = self._surrogate.predict(part)
            values, limits = objective_of(answer, self._objective)
            # +inf is an answer: a design that is not allowed
            unanswered = ~answer.inside | np.isnan(values) | np.isneginf(values)
            values = np.where(unanswered, np.inf, values)
            self._parts.append((part, values, limits, unanswered))
            self._guarantees.append(answer.guarantee)
            found.append(values)
        return np.concatenate(found)

    def improve(self, box: Box, starts: int) -> None:
        """Compass search from the best designs: steps along the axes, halved where none helps."""
        order = np.argsort(self.value)[:starts]
        points, best, step = box.to_unit(select(self.mu, order)), self.value[order], np.full(len(order), _FIRST)
        count = points.shape[1]
        directions = np.concatenate([np.eye(count), -np.eye(count)])
        for _ in range(200):
            moving = np.flatnonzero(step > _LAST)
            if not len(moving):
                return
            trial = np.clip(points[moving, None] + step[moving, None, None] * directions, 0.0, 1.0)
            values = self.ask(box.from_unit(trial.reshape(-1, count))).reshape(len(moving), -1)
            place = np.argmin(values, axis=1)
            lowest = values[np.arange(len(moving)), place]
            better = lowest < best[moving]
            points[moving[better]] = trial[np.flatnonzero(better), place[better]]
            best[moving[better]] = lowest[better]
            step[moving[~better]] /= 2

    def chosen(self, count: int) -> Array:
        """The designs to solve: the smallest objectives that differ; with guaranteed limits, the smallest that are
        possible after the winner."""
        value = self.value
        if not np.isfinite(value).any():
            raise InputError("the objective is finite for none of the designs; widen the constraints or sample more")
        order = np.argsort(value, kind="stable")
        if isinstance(self.guarantee, Rigorous):
            with np.errstate(invalid="ignore"):  # inf - inf, which is not taken
                possible = np.argsort(np.where(np.isfinite(value), value - self.limit, np.inf), kind="stable")
            order = np.concatenate([order[:1], possible])
        return self._different(order[np.isfinite(value[order])], count)

    def _different(self, order: Array, count: int) -> Array:
        """The first so many that are no neighbours of each other."""
        place, kept = _places(self._surrogate.parameters, select(self.mu, order)), [0]
        for i in range(1, len(order)):
            if len(kept) == count:
                break
            if np.min(np.abs(place[kept] - place[i]).max(axis=1)) > _CLOSE:
                kept.append(i)
        return order[kept]

    def gap(self, solved: Array, value: float) -> float:
        """No design that was searched and answered is better than `value` by more than this."""
        others = np.ones(len(self.value), dtype=bool)
        others[solved] = False
        with np.errstate(invalid="ignore"):
            possible = np.where(np.isfinite(self.value), self.value - self.limit, np.inf)[others]
        return max(0.0, value - float(np.min(possible, initial=np.inf)))


def _places(parameters: ParameterSpace, mu: Mu) -> Real:
    """Designs as rows of numbers, in parts of the box where there is one."""
    if isinstance(parameters, Box):
        return parameters.to_unit(mu)
    return np.concatenate([np.reshape(mu[name], (len(mu[name]), -1)) for name in sorted(mu)], axis=1)


def _solved(problem: Problem, mu: Mu, solver: Solver | None) -> Prediction:
    """Full-order answers with the values of their outputs."""
    solution = solve(problem, mu, solver)
    failed = np.flatnonzero(~solution.converged)
    if len(failed):
        raise WorkError(
            f"the full solve of {len(failed)} of {len(solution.status)} designs failed (first: {failed[0]}), so that "
            "the winner cannot be verified; narrow the set of parameters or pass another solver="
        )
    count = len(solution.status)
    space = Trajectories(problem.space, problem.times) if isinstance(problem, Evolution) else problem.space
    answer = uncertified(mu, solution.field, space, np.ones(count, dtype=bool))
    source = np.full(count, Source.FULL_ORDER.value, dtype="<U10")
    return replace(answer, outputs=_outputs(problem, mu, solution.field), source=source)


def _outputs(problem: Problem, mu: Mu, fields: Array) -> dict[str, Output]:
    """The values of the outputs, `(B,)` or `(B, T)`; none where they belong to the middles of the steps."""
    if not isinstance(problem, Evolution):
        return problem_outputs(problem, mu, fields, np.full(len(fields), np.inf))
    if not isinstance(problem, Outputs) or (isinstance(problem, AffineEvolution) and problem.stepping.weight < 1.0):
        return {}
    flat = fields.reshape(*fields.shape[:2], -1)
    unknown = np.full(flat.shape[:2], np.inf)
    return {n: Output(flat @ q.functional + q.offset, unknown, q.unit) for n, q in problem.quantities().items()}


def _short(value: Array) -> str:
    flat = np.ravel(value)
    return f"{flat[0]:.4g}" if flat.size == 1 else f"[{flat.size} numbers]"
