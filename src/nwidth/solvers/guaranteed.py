"""To a guaranteed energy error by the iteration that is cheapest for each sample.

Conjugate gradients with the Riesz map of the space bound the error at every step and need no preparation, but their
steps grow like the root of the contrast. Multigrid (on a grid) or a factorisation (on a mesh) pays for coarse matrices
or factors first, and then hardly sees the contrast; there bound 1 of the recomputed residual decides. The steps that
conjugate gradients will take are known well beforehand (`expected_steps`), so each sample goes where it is cheaper.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.problems.base import Problem
from nwidth.solvers.base import Solver
from nwidth.solvers.direct import Direct
from nwidth.solvers.multigrid import Multigrid, suits
from nwidth.solvers.riesz_cg import RieszCG, RieszState, expected_steps
from nwidth.solvers.timed import Timed
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.grid import Grid

#: Steps of conjugate gradients beyond which multigrid is cheaper, by directions of the grid (measured: 3 on 512 cells,
#: 1 to 5 on 32² to 128², 3 to 6 on 16³ and 32³).
_GRID = {1: 3.0, 2: 3.0, 3: 5.0}
#: The same for a factorisation (measured: 2 to 15 from 2,000 to 13,000 dofs in the plane), and the dofs up to which one
#: fits into memory, by directions.
_MESH, _FACTORED = 10.0, {1: 1_000_000, 2: 300_000, 3: 40_000}
#: A sample's solve by another solver over a step of conjugate gradients, before one was timed (measured: multigrid 3 to
#: 5 on 64² to 256²; factors 2 to 32 from 3,600 to 37,000 dofs).
_STEPS = {Multigrid: 5.0, Direct: 30.0}
#: Right-hand sides that a factorised Riesz map takes at a time.
_TOGETHER = 32
#: Starts that are bounded first where nothing is known of a batch.
_PROBE = 8


@dataclass
class GuaranteedState:
    """What the solves of one problem share, held by the caller: both solvers with their states.

    For one thread at a time.
    """

    steps: RieszCG
    riesz: RieszState
    patience: float
    other: Solver | None
    prepared: Any


@dataclass(frozen=True)
class Guaranteed(Timed):
    """Symmetric coercive problems to `Tolerance("energy", rtol)`, batched, by whichever iteration is cheaper.

    `patience`: the expected steps of conjugate gradients beyond which a sample goes to the other solver; None: what was
    measured. `other`: None for multigrid where it suits, else a factorisation where it fits into memory; samples whose
    conjugate gradients fail go there too. Statistics: those of `RieszCG`; `iterations` counts the steps of both.
    """

    patience: float | None = None
    other: Solver | None = None
    steps: RieszCG = field(default_factory=RieszCG)

    def prepare(self, problem: Problem) -> GuaranteedState:
        """Both solvers' states. Raises InputError without the capabilities Linear and Stable."""
        other, patience = self.other, self.patience
        grid = problem.space if isinstance(problem.space, Grid) else None
        if other is None:
            other = _other(problem)
        if patience is None:
            patience = _GRID[grid.dim] if grid else _MESH
        together = self.steps.together or (None if grid else _TOGETHER)
        patience = np.inf if other is None else patience
        steps = replace(self.steps, together=together, patience=patience)
        return GuaranteedState(
            steps, steps.prepare(problem), patience, other, other.prepare(problem) if other else None
        )

    def solve_until(
        self,
        state: GuaranteedState,
        mu: Mu,
        x0: Array | None,
        stop: Tolerance | None,
        ends: float,
        known: Real | None = None,
    ) -> Solution:
        """Solutions `(B, *shape)`. The clock is looked at before every step of conjugate gradients, and before every
        sample that goes to the other solver: one that would take longer than the time that is left is not begun.

        `known (B,)`: relative bounds of the starts where there are some, else NaN: what they send to the other solver
        goes there at once, as do starts from zero. Where nothing is known, the first starts of a long batch are bounded
        and stand for the others, which decides what is cheapest and nothing else. With a clock, or where batches are
        short, every start is bounded first.
        """
        problem = state.riesz.problem
        mu, stop = as_mu(mu, problem.parameters.names), stop or Tolerance("energy", 1e-8)
        found = _Merged(problem.space, batch_size(mu), x0)
        far = np.zeros(len(found.status), dtype=bool)
        if ends == np.inf and stop.kind == "energy":
            stability = problem.constant(mu)
            if x0 is None:
                known = np.ones(len(far))
            elif known is None or np.isnan(known).all():
                known = self._probed(state, mu, found, stop)
            contrast = stability.upper / stability.lower
            far = expected_steps(contrast, known / stop.value) > state.patience
        near = np.flatnonzero(~far & ~found.touched)
        if len(near):
            start = None if x0 is None else x0[near]
            found.put(near, state.steps.solve_until(state.riesz, select(mu, near), start, stop, ends))
        if state.other is not None:
            for rows in _turns(found, ends, _first_seconds(state.other, found)):
                found.put(rows, state.other.solve(state.prepared, select(mu, rows), found.field[rows], stop))
        return found.solution()

    def _probed(self, state: GuaranteedState, mu: Mu, found: "_Merged", stop: Tolerance) -> Real:
        """The first starts of a long batch, solved where that is cheap; the smallest bound where it is for none."""
        if len(found.status) <= 2 * _PROBE:
            return np.full(len(found.status), np.nan)
        rows = np.arange(_PROBE)
        answer = state.steps.solve_until(state.riesz, select(mu, rows), found.field[rows], stop, np.inf)
        found.put(rows, answer)
        given_up = not answer.converged.any() and not answer.stats["iterations"].any()
        return np.full(len(found.status), found.relative[rows].min() if given_up else np.nan)


class _Merged:
    """The better of several solutions of each sample; at first the start, of which nothing is known."""

    def __init__(self, space: FunctionSpace, size: int, x0: Array | None):
        self.field = np.zeros((size, *space.shape)) if x0 is None else np.array(x0, dtype=np.float64)
        self.status = np.full(size, int(Status.MAX_ITERATIONS))
        self.stats = {
            "iterations": np.zeros(size, dtype=int),
            "seconds": np.zeros(size),
            **{name: np.full(size, np.inf) for name in ("residual", "bound")},
            **{name: np.zeros(size) for name in ("lower", "norm")},
        }
        self.touched = np.zeros(size, dtype=bool)
        self.notes: list[str] = []

    def put(self, rows: Array, answer: Solution) -> None:
        """Take an answer over where it converged or is bounded closer; the work counts in any case."""
        stats, self.touched[rows] = answer.stats, True
        before, after = self.relative[rows], _relative(stats["bound"], stats["norm"])
        # the field zero has no relative error, but a bound
        closer = (after < before) | (np.isinf(after) & np.isinf(before) & (stats["bound"] < self.stats["bound"][rows]))
        better = answer.converged | closer
        kept = rows[better]
        self.field[kept], self.status[kept] = answer.field[better], answer.status[better]
        for name in ("bound", "lower", "norm", "residual"):
            self.stats[name][kept] = stats.get(name, np.zeros(len(rows)))[better]
        for name in ("iterations", "seconds"):
            self.stats[name][rows] += stats[name]
        self.notes += [answer.note] if answer.note else []

    @property
    def relative(self) -> Real:
        """Bound over norm, +inf where nothing is known, `(B,)`."""
        return _relative(self.stats["bound"], self.stats["norm"])

    def solution(self) -> Solution:
        """Of the whole batch."""
        return Solution(self.field, self.status, self.stats, "; ".join(self.notes))


def _relative(bound: Real, norm: Real) -> Real:
    return np.where(norm > 0, bound / np.where(norm > 0, norm, 1.0), np.inf)


def _other(problem: Problem) -> Solver | None:
    """Multigrid where it suits, a factorisation where it fits into memory."""
    if suits(problem):
        return Multigrid()
    space = problem.space
    if isinstance(space, Grid) and space.floating:
        return None
    return Direct() if space.size <= _FACTORED[min(_directions(space), 3)] else None


def _directions(space: FunctionSpace) -> int:
    """Of the domain; three where the dofs have no places, because factors are fullest there."""
    try:
        return int(space.points().shape[-1])
    except InputError:
        return 3


def _first_seconds(solver: Solver, found: _Merged) -> float:
    """What a sample is expected to take where none was timed yet; zero for a solver of the user's own."""
    if not len(found.status):
        return 0.0
    steps = next((steps for kind, steps in _STEPS.items() if isinstance(solver, kind)), 0.0)
    return steps * float(np.median(found.stats["seconds"] / (1 + found.stats["iterations"])))


def _turns(found: _Merged, ends: float, longest: float) -> Iterator[Array]:
    """What has not converged: at once, or with a clock one by one, the farthest off first, as long as the next fits."""
    todo = np.flatnonzero(found.status != Status.CONVERGED)
    if ends == np.inf:
        yield from [todo] if len(todo) else []
        return
    for row in todo[np.argsort(-found.relative[todo], kind="stable")]:
        begin = perf_counter()
        if begin + longest >= ends:
            return
        yield np.array([row])
        longest = max(longest, perf_counter() - begin)
