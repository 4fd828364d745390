"""GMRES in the X⁻¹ inner product: every step makes the bound of the error as small as its Krylov space allows.

For matrices that are not symmetric, indefinite or complex the error is bounded by `above ‖r‖_{X⁻¹}`
(`nwidth.bounds.dual_residual`), and ‖r‖_{X⁻¹} is what GMRES for X⁻¹A in the inner product of X minimises: solving,
certifying and refining are one algorithm here too. The number of steps does not depend on the grid, but on what A is
beside X: it grows with the Péclet number of a transport problem, and with the number of resonances below the frequency
of a wave. The recurrence is not trusted: when a sample seems done, its residual is recomputed and the bound formed from
it; where that misses the tolerance, the iteration is restarted.

Reference: Saad and Schultz, SIAM J. Sci. Stat. Comput. 7 (1986) 856; steps independent of the grid: Starke, Numer.
Math. 78 (1997) 103.
"""

from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from nwidth.bounds.default_constants import default_constants
from nwidth.bounds.dual_residual import Constants, Dual, Norm, Prepared, residual_bounds, size_of
from nwidth.bounds.metric import Metric
from nwidth.bounds.residual import relative_bound
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_finite, select
from nwidth.problems.base import Linear, Problem, Systems
from nwidth.solvers.arnoldi import Arnoldi
from nwidth.solvers.base import Solver
from nwidth.spaces.base import FunctionSpace

#: Part of the tolerance at which the recurrence stops, so that the recomputed residual meets it.
_MARGIN = 0.9
#: The norm of the answer, which relative errors refer to, is looked at again when the residual fell to this part.
_LOOK = 0.3
#: A restart has to take the bound below this part of the last one.
_PROGRESS = 0.9


@dataclass(frozen=True)
class GMRESState:
    """What all solves of a problem share: the metric, and how to find the constants of a batch (None without any)."""

    problem: Linear
    metric: Metric
    constants: Prepared
    norm: Norm


@dataclass(frozen=True)
class RieszGMRES(Solver):
    """GMRES preconditioned by the Riesz map, for linear problems of any kind, real or complex.

    Stops on `Tolerance("energy", rtol)`, a bound of the relative error in the norm of the constants (the energy norm of
    the symmetric part for `FaceConstants`, the gradient norm for those of inf-sup kind), or on `Tolerance("residual",
    rtol)`, the recomputed residual relative to the load. `constants`: by default `FaceConstants` for nearest neighbours
    on a grid, else `InfSupConstants()`, a proof for each query by factorisation.

    `restart`: steps that keep their basis, of `memory` bytes at most for the samples that are iterated together.
    Statistics: `iterations`, `residual`, `bound` (absolute), `norm` (what relative errors refer to), `seconds`.
    """

    max_iterations: int = 600
    restart: int = 200
    memory: float = 2e8
    constants: Constants | None = None

    def __post_init__(self) -> None:
        if self.max_iterations < 1 or self.restart < 1 or not self.memory > 0:
            raise InputError(f"{self}: max_iterations, restart and memory must be positive")

    def prepare(self, problem: Problem) -> GMRESState:
        """The state to hand to `solve`. Raises InputError without the capability Linear, or a space that does not suit
        (see `Metric.of`)."""
        if not isinstance(problem, Linear):
            raise InputError(f"{type(problem).__name__} is not Linear; inherit Linear and implement assemble(mu)")
        constants = self.constants or default_constants(problem)
        return GMRESState(problem, Metric.of(problem.space), constants.prepare(problem), constants.norm)

    def solve(self, state: GMRESState, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Solutions `(B, *shape)`. A sample without a constant has the bound +inf and the status FAILED under an energy
        tolerance; its start is returned."""
        space, stop = state.problem.space, stop or Tolerance("residual", 1e-8)
        mu = as_mu(mu, state.problem.parameters.names)
        start = None if x0 is None else space.flatten(np.asarray(x0, dtype=space.dtype))
        if start is not None:
            check_finite("x0", start)
        parts = []
        for rows in self.pieces(space, batch_size(mu)):
            begin = perf_counter()
            part = self._piece(state, select(mu, rows), None if start is None else start[rows], stop)
            part.seconds[:] = (perf_counter() - begin) / len(part.seconds)
            parts.append(part)
        parts = parts or [Piece.empty(space)]
        return _assembled(space.unflatten(np.concatenate([p.v for p in parts])), parts)

    def pieces(self, space: FunctionSpace, size: int) -> list[slice]:
        """The rows of a batch that are iterated together: what the memory holds."""
        step = max(1, int(self.memory / (space.dtype.itemsize * space.size * (self.restart + 8))))
        return [slice(first, min(first + step, size)) for first in range(0, size, step)]

    def _piece(self, state: GMRESState, mu: Mu, start: Array | None, stop: Tolerance) -> "Piece":
        systems = state.problem.systems(mu)
        v = systems.impose(np.broadcast_to(systems.lift, systems.load.shape) if start is None else start)
        dual = state.constants(mu, systems) if stop.kind == "energy" else _unknown(len(v), state.norm)
        return self.run(systems, state.metric, dual, v, stop)

    def run(self, systems: Systems, metric: Metric, dual: Dual, v: Array, stop: Tolerance) -> "Piece":
        """From dofs v `(B, N)` that carry the prescribed values to the tolerance, with constants that are at hand."""
        piece = Piece.judged(systems, metric, dual, v, stop)
        known = np.isfinite(dual.above) | (stop.kind == "residual")
        todo, goal = np.flatnonzero(~piece.met & known), stop.value
        while len(todo):
            rows = _Rows(systems.take(todo), metric, dual.take(todo))
            limit = min(self.restart, self.max_iterations - int(piece.iterations[todo].max()))
            w, steps = rows.iterate(piece.v[todo], Tolerance(stop.kind, _MARGIN * goal), limit)
            before = piece.goodness[:, todo]
            after = piece.put(todo, rows, w, steps, stop)
            progress = _below(after, _PROGRESS * before) & (piece.iterations[todo] < self.max_iterations)
            goal = max(0.5 * goal, 1e-2 * stop.value) if (steps < limit).any() else goal
            todo = todo[~piece.met[todo] & progress]
        piece.status[~known & ~piece.met] = Status.FAILED
        return piece


@dataclass
class Piece:
    """Results of one piece of the batch; `worth` is what the tolerance looks at: relative bound or residual."""

    v: Array
    bound: Real
    norm: Real
    residual: Real
    worth: Real
    met: Mask
    iterations: Array
    status: Array
    seconds: Real

    @classmethod
    def empty(cls, space: FunctionSpace) -> "Piece":
        """Of no sample."""
        zero, none = np.zeros(0), np.zeros(0, dtype=int)
        return cls(np.zeros((0, space.size), space.dtype), zero, zero, zero, zero, zero > 0, none, none, zero)

    @classmethod
    def judged(cls, systems: Systems, metric: Metric, dual: Dual, v: Array, stop: Tolerance) -> "Piece":
        """The start, judged: one that meets the tolerance is left as it is."""
        found = _judge(systems, metric, dual, v, stop)
        status = np.where(found.met, int(Status.CONVERGED), int(Status.MAX_ITERATIONS))
        return cls(v.copy(), *found.numbers, np.zeros(len(v), dtype=int), status, np.zeros(len(v)))

    def put(self, rows: Array, part: "_Rows", w: Array, steps: Array, stop: Tolerance) -> Real:
        """Changes from the lift after so many steps, kept where they are better; returns their goodness `(2, B)`."""
        v = part.systems.impose(w + part.systems.lift)
        return self.better(rows, part.systems, part.metric, part.dual, v, steps, stop)

    def better(
        self, rows: Array, systems: Systems, metric: Metric, dual: Dual, v: Array, steps: Array, stop: Tolerance
    ) -> Real:
        """Keeps the dofs v `(len(rows), N)` that are better than before, by the recomputed residual; their goodness."""
        found = _judge(systems, metric, dual, v, stop)
        better = _below(found.goodness, self.goodness[:, rows])
        chosen = rows[better]
        self.v[chosen] = v[better]
        for name in ("bound", "norm", "residual", "worth", "met"):
            getattr(self, name)[chosen] = getattr(found, name)[better]
        self.iterations[rows] += steps
        self.status[rows] = np.where(self.met[rows], int(Status.CONVERGED), int(Status.MAX_ITERATIONS))
        return found.goodness

    @property
    def goodness(self) -> Real:
        """What two fields are compared by: see `_below`."""
        return np.stack([self.worth, self.bound])


@dataclass(frozen=True)
class _Judgement:
    """The verdict of a recomputed residual, `(B,)` each."""

    bound: Real
    norm: Real
    residual: Real
    worth: Real
    met: Mask

    @property
    def numbers(self) -> tuple[Real, Real, Real, Real, Mask]:
        """In the order of `Piece`."""
        return self.bound, self.norm, self.residual, self.worth, self.met

    @property
    def goodness(self) -> Real:
        """What two fields are compared by: see `_below`."""
        return np.stack([self.worth, self.bound])


def _below(first: Real, second: Real) -> Mask:
    """Which of two fields is better, `(2, B)` each, by what the tolerance looks at; by the bound where that is infinite
    for both, as the relative one is until the bound is below the norm."""
    return (first[0] < second[0]) | (np.isinf(first[0]) & np.isinf(second[0]) & (first[1] < second[1]))


def _judge(systems: Systems, metric: Metric, dual: Dual, v: Array, stop: Tolerance) -> _Judgement:
    bound = residual_bounds(systems, v, metric, dual).upper
    norm = reference_size(systems, v, metric, dual.norm)
    load = np.linalg.norm(systems.load, axis=1)
    residual = np.linalg.norm(systems.residual(v), axis=1) / np.where(load > 0, load, 1.0)
    worth = residual if stop.kind == "residual" else relative_bound(bound, norm)
    zero = (load == 0) & (np.abs(v - systems.lift).max(axis=1) == 0)  # the exact answer, whatever the tolerance
    return _Judgement(bound, norm, residual, worth, (worth <= stop.value) | zero)


def reference_size(systems: Systems, v: Array, metric: Metric, norm: Norm) -> Real:
    """What relative errors refer to, `(B,)`: the norm of the change from the prescribed values.

    Of two norms that decision 3 compares this is the one that exists for matrices without an energy.
    """
    return size_of(systems, np.where(systems.free, v - systems.lift, 0.0), metric, norm)


@dataclass(frozen=True)
class _Rows:
    """The samples of one cycle."""

    systems: Systems
    metric: Metric
    dual: Dual

    def iterate(self, v: Array, target: Tolerance, limit: int) -> tuple[Array, Array]:
        """Changes from the lift `(B, N)` and the steps they took, `(B,)`; finished samples leave the batch."""
        run = _Run.begin(self, v, limit)
        for _ in range(limit):
            run.krylov.step()
            run.look(target)
            if not len(run.rows):
                break
        else:
            run.leave(np.ones(len(run.rows), dtype=bool))
        return run.result, run.steps


@dataclass
class _Run:
    """One cycle: what is still iterated (`rows` of the batch), and the results of what has left."""

    part: _Rows
    krylov: Arnoldi
    start: Array
    rows: Array
    seen: Real
    size: Real
    result: Array
    steps: Array = field(default_factory=lambda: np.zeros(0, dtype=int))

    @classmethod
    def begin(cls, part: _Rows, v: Array, limit: int) -> "_Run":
        w = np.where(part.systems.free, v - part.systems.lift, 0.0)
        krylov = Arnoldi(part.systems, part.metric.inner, part.systems.load - part.systems.apply(w), limit)
        size = size_of(part.systems, w, part.metric, part.dual.norm)
        steps = np.zeros(len(v), dtype=int)
        return cls(part, krylov, w, np.arange(len(v)), krylov.rho.copy(), size, w.copy(), steps)

    def look(self, target: Tolerance) -> None:
        """Takes out what seems done; the norm that decides it is brought up to date now and then."""
        rho = self.krylov.rho
        if target.kind == "energy" and (self._done(target) | (rho <= _LOOK * self.seen)).any():
            w = self.start + self.krylov.correction()
            self.size = size_of(self.part.systems, w, self.part.metric, self.part.dual.norm)
            self.seen = np.minimum(self.seen, rho)
        done = self._done(target)
        if done.any():
            self.leave(done)

    def _done(self, target: Tolerance) -> Mask:
        rho = self.krylov.rho
        if target.kind == "energy":
            return (relative_bound(self.part.dual.above * rho, self.size) <= target.value) | (rho == 0)
        # no direction of the X⁻¹ norm is shorter in the Euclidean one by more than the eigenvalues of X allow
        load = np.linalg.norm(self.part.systems.load, axis=1)
        return (rho * np.sqrt(self.part.metric.largest) <= target.value * load) | (rho == 0)

    def leave(self, done: Mask) -> None:
        """Results of these samples; the others go on."""
        out = self.rows[done]
        self.result[out] = (self.start + self.krylov.correction())[done]
        self.steps[out] = self.krylov.size
        keep = np.flatnonzero(~done)
        self.rows = self.rows[keep]
        if not len(keep):
            return
        self.part = _Rows(self.part.systems.take(keep), self.part.metric, self.part.dual.take(keep))
        self.krylov.take(keep)
        self.start, self.seen, self.size = self.start[keep], self.seen[keep], self.size[keep]


def _unknown(size: int, norm: Norm) -> Dual:
    return Dual(np.full(size, np.inf), np.zeros(size), np.full(size, "", dtype=object), norm)


def _assembled(fields: Array, parts: list[Piece]) -> Solution:
    names = ("iterations", "residual", "bound", "norm", "seconds")
    stats = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    return Solution(fields, np.concatenate([p.status for p in parts]), stats)
