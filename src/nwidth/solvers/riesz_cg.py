"""Conjugate gradients preconditioned by the Riesz map of the space, stopped on a guaranteed bound of the error.

On a grid the Riesz map is one fast sine transform, so that the number of steps depends on the contrast of the
coefficient and not on the grid. The coefficients of the steps foretell the bound: solving, certifying and refining are
one algorithm. What they tell is not trusted: rounding takes from conjugate gradients the orthogonality that quadrature
rests on. When a sample seems done, its residual is recomputed and bounded by theorems that ask nothing of the
iteration: the chord bound (`bounds.residual`), that of one step ahead, and that of the start less what was gained
(`bounds.two_sided`). Where these miss the tolerance, the iteration is restarted.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from nwidth.bounds.residual import Residual, energy_bounds, relative_bound, round_off, solvable, undriven
from nwidth.bounds.two_sided import direction_lower, error_after, stepped_upper
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_finite, select
from nwidth.problems.base import Coercive, Problem, Stability, Systems, is_coercive
from nwidth.solvers.outlook import Outlook
from nwidth.solvers.timed import Timed, share_until
from nwidth.spaces.base import InnerProduct

#: Fraction of the tolerance at which the recursive quantities stop, so that the recomputed ones meet it.
_MARGIN = 0.95
#: Float64 numbers of one batch of vectors that stay in cache together with their five companions.
_CACHE = 40_000
#: Squared norms below this have lost digits to underflow.
_TINY = 1e-250


@dataclass(frozen=True)
class RieszState:
    """What all solves of a problem share: the problem and its inner product (transform or factorisation)."""

    problem: Coercive
    inner: InnerProduct


class Deflation(ABC):
    """A projection that keeps the iteration of a batch A-orthogonal to some vectors."""

    @abstractmethod
    def enter(self, w: Array, r: Array) -> tuple[Array, Array]:
        """w corrected so that its residual vanishes on the vectors, and that residual."""

    @abstractmethod
    def project(self, z: Array) -> Array:
        """z without its part along the vectors."""

    @abstractmethod
    def take(self, rows: Array) -> "Deflation":
        """The chosen samples."""


@dataclass(frozen=True)
class RieszCG(Timed):
    """Preconditioned conjugate gradients for symmetric coercive problems with a known stability constant.

    Stops on `Tolerance('energy', rtol)`, a guaranteed relative energy error, or on `Tolerance('residual', rtol)`,
    the recomputed residual relative to the load. Statistics: `iterations`, `residual`, `bound` and `lower` (upper and
    lower bounds of the energy error, absolute), `norm` (the energy norm that relative errors refer to), `seconds`.
    `bound` is +inf where no constant above zero is known, and where loads that do not balance leave no solution (status
    SINGULAR).
    """

    max_iterations: int = 500
    restarts: int = 3
    #: Samples iterated together; None: what fits the cache. A factorised Riesz map solves 32 right-hand sides at a
    #: time four times faster than one by one.
    together: int | None = None
    #: A sample that is expected to take more steps than this is left at its start, with its bound, for another solver;
    #: None: none is.
    patience: float | None = None

    def prepare(self, problem: Problem) -> RieszState:
        """The state to hand to `solve`. Raises InputError without the capabilities Linear and Stable."""
        if not is_coercive(problem):
            raise InputError(
                f"{type(problem).__name__} is not both Linear and Stable; this solver needs a symmetric matrix and a "
                "stability constant. Use nwidth.solvers.direct.Direct, or inherit Stable and implement constant(mu)"
            )
        return RieszState(problem, problem.space.inner("energy"))

    def solve_until(self, state: RieszState, mu: Mu, x0: Array | None, stop: Tolerance | None, ends: float) -> Solution:
        """Solutions `(B, *shape)`; each piece of the batch that fits the cache is solved on its own.

        The pieces share the time that is left evenly; the clock is looked at before every step.
        """
        space, stop = state.problem.space, stop or Tolerance("residual", 1e-10)
        mu = as_mu(mu, state.problem.parameters.names)
        start = None if x0 is None else space.flatten(np.asarray(x0, dtype=np.float64))
        if start is not None:
            check_finite("x0", start)
        size, piece = batch_size(mu), self.together or max(1, _CACHE // space.size)
        parts = []
        for first in range(0, size, piece):
            rows = slice(first, min(first + piece, size))
            begin, until = perf_counter(), share_until(ends, -(-(size - first) // piece))
            part = self._solve_piece(state, select(mu, rows), None if start is None else start[rows], stop, until)
            part.seconds[:] = (perf_counter() - begin) / len(part.seconds)
            parts.append(part)
        parts = parts or [_Piece.empty(np.zeros((0, space.size)))]
        return _assemble(space.unflatten(np.concatenate([p.v for p in parts])), parts)

    def _solve_piece(self, state: RieszState, mu: Mu, start: Array | None, stop: Tolerance, ends: float) -> "_Piece":
        systems = state.problem.systems(mu)
        stability = state.problem.constant(mu)
        lift = np.broadcast_to(systems.lift, systems.load.shape)
        driven = systems.load.any(axis=1, keepdims=True)
        v = systems.impose(lift if start is None else np.where(driven, start, lift))
        piece, patience = _Piece.empty(v), np.inf if self.patience is None else self.patience
        todo, balanced = np.arange(len(v)), solvable(state.problem.space, systems)
        for attempt in range(self.restarts):
            part = systems if len(todo) == len(v) else systems.take(todo)
            spectrum = stability.lower[todo], stability.upper[todo]
            task = _Task(part, state.inner, *spectrum, balanced[todo], self._deflation(state, part), ends, patience)
            known = piece.norm[todo] if attempt else np.full(len(todo), np.inf)
            target = replace(stop, value=stop.value * _MARGIN * 0.5**attempt)
            run = _iterate(task, piece.v[todo], target, self.max_iterations, known)
            done = _judge(task, run, stop, _Start(piece.v[todo], piece.bound[todo]))
            piece.put(todo, run, done)
            todo = todo[~done.met & (run.status == Status.CONVERGED) & task.balanced]
            if not len(todo):
                break
        piece.status[~balanced] = Status.SINGULAR
        return piece

    def _deflation(self, state: RieszState, systems: Systems) -> Deflation | None:
        """What the iteration is kept orthogonal to: nothing."""
        return None


@dataclass(frozen=True)
class _Task:
    """What a pass over a piece of the batch works on."""

    systems: Systems
    inner: InnerProduct
    lower: Real
    upper: Real
    balanced: Mask
    deflation: Deflation | None
    ends: float
    patience: float

    def enter(self, v: Array) -> tuple[Array, Array]:
        """The change from the lift and its residual, corrected along the vectors that are left out."""
        w = v - self.systems.lift
        r = self.systems.load - self.systems.apply(w)
        return self.deflation.enter(w, r) if self.deflation else (w, r)

    def take(self, rows: Array) -> "_Task":
        deflation = self.deflation.take(rows) if self.deflation else None
        lower, upper, balanced = self.lower[rows], self.upper[rows], self.balanced[rows]
        systems = self.systems.take(rows)
        return replace(self, systems=systems, lower=lower, upper=upper, balanced=balanced, deflation=deflation)


@dataclass
class _Run:
    """The state of CG at the end of one pass over a piece: per sample.

    `riesz` is X⁻¹ of the recursive residual, `direction` the one that the next step would take and `image` A times it.
    """

    w: Array
    riesz: Array
    direction: Array
    image: Array
    rho: Real
    iterations: Array
    status: Array

    @classmethod
    def empty(cls, v: Array) -> "_Run":
        w, riesz, direction, image = (np.empty_like(v) for _ in range(4))
        none = np.zeros(len(v), int)
        return cls(w, riesz, direction, image, np.zeros(len(v)), none, none.copy())


@dataclass(frozen=True)
class _Judgement:
    """The recomputed residual's verdict."""

    v: Array
    met: Mask
    bound: Real
    lower: Real
    norm: Real
    residual: Real


@dataclass
class _Piece:
    """Results of one piece of the batch."""

    v: Array
    bound: Real
    lower: Real
    norm: Real
    residual: Real
    iterations: Array
    status: Array
    seconds: Real

    @classmethod
    def empty(cls, v: Array) -> "_Piece":
        size = len(v)
        real = (np.full(size, np.inf), np.zeros(size), np.zeros(size), np.full(size, np.inf))
        return cls(v, *real, np.zeros(size, int), np.full(size, int(Status.MAX_ITERATIONS)), np.zeros(size))

    def put(self, rows: Array, run: _Run, done: _Judgement) -> None:
        """Store the outcome of one pass; a sample counts as converged only by its recomputed residual."""
        self.v[rows], self.bound[rows], self.lower[rows] = done.v, done.bound, done.lower
        self.norm[rows], self.residual[rows] = done.norm, done.residual
        self.iterations[rows] += run.iterations
        missed = np.where(run.status == Status.CONVERGED, Status.MAX_ITERATIONS, run.status)
        self.status[rows] = np.where(done.met, Status.CONVERGED, missed)


def _iterate(task: _Task, v: Array, target: Tolerance, limit: int, norm: Real) -> _Run:
    """CG from v until the recursive quantities meet the tolerance; finished samples leave the batch.

    `norm (B,)`: the energy norm that relative errors refer to, where an earlier pass has found it, else +inf. It can be
    far below that of the change from the lift, whose prescribed values jump at the boundary.
    """
    w, r = task.enter(v)
    z = task.inner.riesz(r)
    p = task.deflation.project(z) if task.deflation else z.copy()
    rho = _dot(r, p)
    run = _Run.empty(v)
    outlook, rows = Outlook.begin(task.lower, task.upper), np.arange(len(v))
    for k in range(limit + 1):
        q = task.systems.apply(p)
        curvature = _dot(p, q)
        step = rho / np.where(curvature > 0, curvature, 1.0)
        squared = outlook.squared(rho, curvature, step)
        left = _left(task.systems, w, r, squared, target, norm)
        done = (left <= 1) | (rho == 0)
        broken = ~np.isfinite(rho) | (rho < 0) | ~((curvature > 0) | done)
        hopeless = ~(task.lower > 0) & (target.kind == "energy")  # no step leads to a bound
        leave = done | broken | hopeless | (k == limit or perf_counter() >= task.ends)
        if k == 0 and task.patience < limit:
            leave |= expected_steps(task.upper / task.lower, np.fmin(left, 1.0 / target.value)) > task.patience
        if leave.any():
            out = rows[leave]
            run.w[out], run.rho[out] = w[leave], rho[leave]
            run.riesz[out], run.direction[out], run.image[out] = z[leave], p[leave], q[leave]
            run.iterations[out] = k
            run.status[out] = np.where(
                broken, Status.BREAKDOWN, np.where(done, Status.CONVERGED, Status.MAX_ITERATIONS)
            )[leave]
            keep = np.flatnonzero(~leave)
            if not len(keep):
                break
            task, rows = task.take(keep), rows[keep]
            w, r, p, q, rho, norm, step = w[keep], r[keep], p[keep], q[keep], rho[keep], norm[keep], step[keep]
            outlook.take(keep)
        w += step[:, None] * p
        r -= step[:, None] * q
        z = task.inner.riesz(r)
        new = task.deflation.project(z) if task.deflation else z
        rho, old = _dot(r, new), rho
        ratio = rho / old
        outlook.advance(step, ratio)
        p *= ratio[:, None]
        p += new
    return run


def expected_steps(contrast: Real, reduction: Real) -> Real:
    """About the steps that reduce the energy error by `reduction` where `β/α = contrast`, `(B,)`.

    From `‖e_k‖_A <= 2 ((√κ - 1) / (√κ + 1))ᵏ ‖e_0‖_A`: close at moderate contrast (measured at 4: to a tenth of a
    step), too many at high contrast.
    """
    root = np.sqrt(np.maximum(contrast, 1.0 + 1e-6))
    return np.maximum(np.log(2.0 * np.maximum(reduction, 0.5)) / np.log((root + 1) / (root - 1)), 0.0)


def _left(systems: Systems, w: Array, r: Array, squared: Real, stop: Tolerance, norm: Real) -> Real:
    """By how much the recursive bound or residual still exceeds the tolerance: done where it is at most 1, `(B,)`."""
    if stop.kind == "residual":
        load = np.linalg.norm(systems.load, axis=1)
        rest = np.linalg.norm(r, axis=1)
        return np.where(rest > 0, rest / np.where(load > 0, stop.value * load, np.finfo(np.float64).tiny), 0.0)
    energy = np.sqrt(np.maximum(_dot(w, systems.load - r), 0.0))
    bound = np.where(np.isnan(squared), np.inf, np.sqrt(np.maximum(squared, 0.0)))
    return relative_bound(bound, np.minimum(energy, norm)) / stop.value


def _judge(task: _Task, run: _Run, stop: Tolerance, start: "_Start") -> _Judgement:
    """Bound and residual from the recomputed residual of the field that is returned."""
    systems = task.systems
    v = systems.impose(run.w + systems.lift)
    true = systems.residual(v)
    noise = round_off(systems, v, task.inner)
    norm = _reference(systems, v, true)
    load = np.linalg.norm(systems.load, axis=1)
    residual = np.linalg.norm(true, axis=1) / np.where(load > 0, load, 1.0)

    def met(bound: Real) -> Mask:
        return residual <= stop.value if stop.kind == "residual" else relative_bound(bound, norm) <= stop.value

    bound = _chord(task, run, true, noise)
    # a start that is far off is not worth a Riesz map of its own
    worth = (run.status == Status.CONVERGED) | (run.iterations > 0) | np.isinf(bound)
    rows = np.flatnonzero(~met(bound) & worth)
    if len(rows):
        bound[rows] = np.fmin(bound[rows], _ahead(task.take(rows), run, true[rows], noise[rows], rows))
    rows = np.flatnonzero(~met(bound) & (run.iterations > 0))
    if len(rows):
        bound[rows] = np.fmin(bound[rows], start.after(task, v, rows))
    lower = direction_lower(systems, true, run.direction, run.image, noise, task.lower)
    bound, lower = np.where(task.balanced, bound, np.inf), np.where(task.balanced, lower, 0.0)
    done = (met(bound) | undriven(systems, v)) & task.balanced
    return _Judgement(v, done, bound, np.minimum(lower, bound), norm, residual)


@dataclass(frozen=True)
class _Start:
    """What a pass began with: dofs and their bound, +inf where it is not known."""

    v: Array
    bound: Real

    def after(self, task: _Task, v: Array, rows: Array) -> Real:
        """The bound of v from that of the start and what was gained on the way."""
        part, start, bound = task.take(rows), self.v[rows], self.bound[rows]
        if np.isinf(bound).any():
            stability = Stability(part.lower, part.upper)
            bound = np.fmin(bound, energy_bounds(part.systems, start, part.inner, stability).upper)
        return error_after(part.systems, start, v[rows], bound)


def _chord(task: _Task, run: _Run, true: Array, noise: Real) -> Real:
    """The chord bound of the recomputed residual, with the Riesz map of the recursive one: any z will do.

    What that z misses of the recomputed residual is paid for; what underflows is left to `_ahead`.
    """
    found = Residual.by(task.inner, true, run.riesz, noise)
    bound = found.energy(task.systems, task.inner, Stability(task.lower, task.upper)).upper
    return np.where(run.rho > _TINY, bound, np.inf)


def _ahead(task: _Task, run: _Run, true: Array, noise: Real, rows: Array) -> Real:
    """The smaller of two bounds with Riesz maps of their own: the chord bound, and that of one step ahead."""
    stability, systems, inner = Stability(task.lower, task.upper), task.systems, task.inner
    chord = Residual.from_residual(inner, true, noise).energy(systems, inner, stability).upper
    stepped = stepped_upper(systems, inner, stability, true, run.direction[rows], run.image[rows], noise)
    return np.fmin(chord, stepped)


def _reference(systems: Systems, v: Array, true: Array) -> Real:
    """`reference_norm` without another product: A w = load - r."""
    w = v - systems.lift
    own = _dot(w, systems.load - true)
    whole = np.minimum(own, systems.energy(v)) if systems.lift.any() else own
    return np.sqrt(np.maximum(whole, 0.0))


def _dot(a: Array, b: Array) -> Real:
    return np.einsum("bn,bn->b", a, b)


def _assemble(field: Array, parts: list[_Piece]) -> Solution:
    names = ("iterations", "residual", "bound", "lower", "norm", "seconds")
    stats = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    return Solution(field, np.concatenate([p.status for p in parts]), stats)
