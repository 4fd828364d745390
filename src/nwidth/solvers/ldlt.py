"""Batched direct solution: symmetric matrices of one pattern, several samples per vector, every residual recomputed."""

from contextlib import suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_choice, check_finite, select
from nwidth.problems.base import Linear, Problem
from nwidth.problems.fixed_pattern import Filled, FixedPattern
from nwidth.solvers.base import Solver
from nwidth.solvers.direct import Direct, DirectState
from nwidth.spaces.factor import Pattern, restricted
from nwidth.spaces.ldlt import BatchedLDLT as Batch
from nwidth.spaces.ldlt import Precision
from nwidth.spaces.ldlt_symbolic import TooLargeError, analyse

_DEFAULT = Tolerance("residual", 1e-8)


class LDLTState:
    """What the solves of one problem share, held by the caller: the analysis, the factor's memory, the way out.

    `direct` is the state of the pivoting solver, made when a sample first needs it. For one thread at a time.
    """

    def __init__(self, problem: Linear, precision: Precision, backend: str | None, memory: float):
        self.problem, self._precision, self._memory = problem, precision, memory
        self.fallback = Direct(backend)
        self._direct: DirectState | None = None
        self._factor: Batch | None = None

    @property
    def direct(self) -> DirectState:
        """The state of the pivoting solver."""
        if self._direct is None:
            self._direct = self.fallback.prepare(self.problem)
        return self._direct

    @property
    def lanes(self) -> int:
        """Samples that are solved at once."""
        return 16 if self._precision == "single" else 8

    def factor(self, pattern: Pattern, dtype: np.dtype) -> Batch:
        """The factor for a pattern; another pattern replaces the analysis. Raises TooLargeError."""
        is_complex = np.issubdtype(dtype, np.complexfloating)
        kept = self._factor
        if kept is None or not kept.analysis.pattern.same(pattern):
            most = self._memory / 2 if is_complex else self._memory
            kept = Batch(analyse(pattern, most=most), dtype, self._precision)
        elif kept.complex != is_complex:
            kept = Batch(kept.analysis, dtype, self._precision)
        self._factor = kept
        return kept


@dataclass(frozen=True)
class BatchedLDLT(Solver):
    """`A = L D Lᵀ` for symmetric matrices of one pattern, real or complex, without pivoting: one sample per lane.

    The residual of every sample is recomputed in float64 and refined to the tolerance (default: relative 1e-8). A
    sample that refinement cannot bring there, one that may be singular, and one whose matrix is not symmetric or has
    another pattern go to the pivoting solver `Direct(backend)`: the note says how many. So does a batch with an energy
    tolerance. Problems that are `FixedPattern` hand over values alone; for any other `Linear` problem each matrix is
    assembled first. `precision`: of the factor, see `nwidth.spaces.ldlt.BatchedLDLT`. A starting value is of no use
    here and is ignored. A batch takes the time of the next multiple of 8 (double) or 16 (single) samples. Where factor
    and tables would take more than `memory` bytes (large problems in three dimensions), `Direct` solves all.

    Statistics: `residual` (recomputed, relative), `iterations` (solves with a factor), `condition` (a lower estimate of
    the condition number), `fallback` (1 where `Direct` solved), `seconds`.
    """

    releases_gil: ClassVar[bool] = True

    precision: Precision = "double"
    backend: str | None = None
    memory: float = 1e9

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, ("single", "double"))

    def prepare(self, problem: Problem) -> LDLTState:
        """The state to hand to `solve`. Raises InputError without the capability Linear."""
        if not isinstance(problem, Linear):
            raise InputError(
                f"{type(problem).__name__} is not Linear; inherit FixedPattern (or Linear) for a batched factorisation"
            )
        state = LDLTState(problem, self.precision, self.backend, self.memory)
        if isinstance(problem, FixedPattern):
            with suppress(TooLargeError):  # said by solve, which takes the other way then
                state.factor(problem.pattern, problem.space.dtype)
        return state

    def solve(self, state: LDLTState, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Solutions `(B, *shape)`. A singular matrix is the status SINGULAR, and its field is NaN.

        Raises InputError for parameters, matrices or loads that are not finite.
        """
        problem, stop = state.problem, stop or _DEFAULT
        mu = as_mu(mu, problem.parameters.names)
        for name, values in mu.items():
            if len(values):
                check_finite(f"parameter {name}", values)
        if stop.kind == "energy":
            return state.fallback.solve(state.direct, mu, stop=stop)
        try:
            groups = [
                _solve_group(state, select(mu, slice(first, first + state.lanes)), stop.value)
                for first in range(0, batch_size(mu), state.lanes)
            ]
        except TooLargeError as error:
            answer = state.fallback.solve(state.direct, mu, stop=stop)
            return replace(answer, note=f"{answer.note}: {error}")
        if not groups:
            return Solution(np.zeros((0, *problem.space.shape), dtype=problem.space.dtype), np.zeros(0, dtype=int))
        stats = {name: np.concatenate([g.stats[name] for g in groups]) for name in groups[0].stats}
        fields = np.concatenate([g.fields for g in groups]).reshape(-1, *problem.space.shape)
        return Solution(fields, np.concatenate([g.status for g in groups]), stats, _note(stats["fallback"], state))


class _Group(NamedTuple):
    """Dofs `(B, N)`, status `(B,)`, statistics `(B,)` each."""

    fields: Array
    status: Array
    stats: dict[str, Array]


class _Given(NamedTuple):
    """The systems of a group on one pattern; `usable (B,)`: samples whose matrix is symmetric and has that pattern."""

    pattern: Pattern
    systems: Filled
    free: Mask
    usable: Mask


def _note(fallback: Array, state: LDLTState) -> str:
    text, count = f"batched LDLᵀ, {state.lanes} samples per vector", int(fallback.sum())
    if not count:
        return text
    return f"{text}; {count} of {len(fallback)} samples with pivoting instead: direct ({state.direct.backend})"


def _solve_group(state: LDLTState, mu: Mu, tolerance: float) -> _Group:
    begin = perf_counter()
    given = _given(state, mu)
    systems = given.systems
    factor = state.factor(given.pattern, np.result_type(systems.values, systems.load))
    found = factor.solve(systems.values, systems.load, tolerance)
    fields = systems.lift.astype(np.result_type(systems.lift, found.x))
    place = np.flatnonzero(given.free)
    for field, w in zip(fields, found.x, strict=True):
        field[place] += w
    good = given.usable & (found.residual <= tolerance) & ~found.doubtful
    stats = {
        "residual": found.residual,
        "iterations": found.solves,
        "condition": found.condition,
        "fallback": (~good).astype(int),
    }
    group = _Group(fields, np.where(good, Status.CONVERGED, Status.FAILED), stats)
    for sample in np.flatnonzero(~good):
        _fall_back(state, mu, int(sample), group, tolerance)
    stats["seconds"] = np.full(len(good), (perf_counter() - begin) / len(good))
    return group


def _fall_back(state: LDLTState, mu: Mu, sample: int, group: _Group, tolerance: float) -> None:
    """One sample by the pivoting solver, written over what the group has for it."""
    one = select(mu, slice(sample, sample + 1))
    answer = state.fallback.solve(state.direct, one, stop=Tolerance("residual", tolerance))
    group.fields[sample], group.status[sample] = answer.field.ravel(), answer.status[0]
    group.stats["residual"][sample] = answer.stats["residual"][0]
    group.stats["iterations"][sample] += answer.stats["iterations"][0]
    if "condition" in answer.stats:
        group.stats["condition"][sample] = answer.stats["condition"][0]


def _given(state: LDLTState, mu: Mu) -> _Given:
    """The systems of a group. Raises InputError for entries that are not finite."""
    problem = state.problem
    if isinstance(problem, FixedPattern):
        systems = problem.fill(mu)
        given = _Given(problem.pattern, systems, problem.free, np.ones(len(systems.load), dtype=bool))
    else:
        given = _assembled(problem, mu)
    for what, values in (("matrix", given.systems.values), ("load", given.systems.load)):
        _check_entries(what, values)
    return given


def _check_entries(what: str, values: Array) -> None:
    if np.isfinite(values.sum(axis=1)).all():  # cheaper than to look at every entry
        return
    bad = ~np.isfinite(values)
    if bad.any():
        raise InputError(
            f"the {what} of sample {int(np.argmax(bad.any(axis=1)))} in a group of {len(values)} holds values that are "
            "not finite; check the problem's coefficients there"
        )


def _assembled(problem: Linear, mu: Mu) -> _Given:
    """The assembled matrices of a group, laid over the pattern of the first."""
    systems = [problem.assemble(select(mu, slice(i, i + 1))) for i in range(batch_size(mu))]
    free = systems[0].free
    matrices = [restricted(sp.csr_array(system.matrix), system.free) for system in systems]
    pattern = Pattern.of(matrices[0])
    if pattern.mirror is None:
        raise InputError(
            f"{type(problem).__name__} has matrices whose pattern is not symmetric; solve it with solvers.Direct"
        )
    fits = [np.array_equal(s.free, free) and pattern.fits(m) for s, m in zip(systems, matrices, strict=True)]
    usable = [fit and pattern.symmetric(m.data) for fit, m in zip(fits, matrices, strict=True)]
    identity = (pattern.indices == pattern.rows).astype(matrices[0].dtype)
    values = np.stack([m.data if use else identity for use, m in zip(usable, matrices, strict=True)])
    loads = np.stack([s.load[free] for s in systems])
    return _Given(pattern, Filled(values, loads, np.stack([s.lift for s in systems])), free, np.array(usable))
