"""Conjugate gradients preconditioned by the Riesz map of the space, stopped on a guaranteed bound of the error.

On a grid the Riesz map is one fast sine transform, so that the number of steps depends on the contrast of the
coefficient and not on the grid. The same steps yield the error bound (Gauss-Radau): solving, certifying and refining
are one algorithm. The recursive residual is not trusted: when a sample seems done, its residual is recomputed, the
bound is formed from it, and the iteration is restarted where the bound misses the tolerance.
"""

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from nwidth.bounds.gauss_radau import GaussRadau
from nwidth.bounds.residual import dual_norm_upper, reference_norm, relative_bound, round_off
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_finite, select
from nwidth.problems.base import Coercive, Problem, Systems, is_coercive
from nwidth.solvers.base import Solver
from nwidth.spaces.base import InnerProduct

#: Fraction of the tolerance at which the recursive quantities stop, so that the recomputed ones meet it.
_MARGIN = 0.95
#: Float64 numbers of one batch of vectors that stay in cache together with their five companions.
_CACHE = 40_000


@dataclass(frozen=True)
class RieszState:
    """What all solves of a problem share: the problem and its inner product (transform or factorisation)."""

    problem: Coercive
    inner: InnerProduct


@dataclass(frozen=True)
class RieszCG(Solver):
    """Preconditioned conjugate gradients for symmetric coercive problems with a known stability constant.

    Stops on `Tolerance('energy', rtol)`, a guaranteed relative energy error, or on `Tolerance('residual', rtol)`,
    the recomputed residual relative to the load. Statistics: `iterations`, `residual`, `bound` (energy norm,
    absolute), `norm` (the energy norm that relative errors refer to), `seconds`.
    """

    max_iterations: int = 500
    restarts: int = 3
    #: Samples iterated together; None: what fits the cache. A factorised Riesz map solves 32 right-hand sides at a
    #: time four times faster than one by one.
    together: int | None = None

    def prepare(self, problem: Problem) -> RieszState:
        """The state to hand to `solve`. Raises InputError without the capabilities Linear and Stable."""
        if not is_coercive(problem):
            raise InputError(
                f"{type(problem).__name__} is not both Linear and Stable; this solver needs a symmetric matrix and a "
                "stability constant. Use nwidth.solvers.direct.Direct, or inherit Stable and implement constant(mu)"
            )
        return RieszState(problem, problem.space.inner("energy"))

    def solve(self, state: RieszState, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Solutions `(B, *shape)`; each piece of the batch that fits the cache is solved on its own."""
        space, stop = state.problem.space, stop or Tolerance("residual", 1e-10)
        mu = as_mu(mu, state.problem.parameters.names)
        start = None if x0 is None else space.flatten(np.asarray(x0, dtype=np.float64))
        if start is not None:
            check_finite("x0", start)
        size, piece = batch_size(mu), self.together or max(1, _CACHE // space.size)
        parts = []
        for first in range(0, size, piece):
            rows = slice(first, min(first + piece, size))
            begin = perf_counter()
            part = self._solve_piece(state, select(mu, rows), None if start is None else start[rows], stop)
            part.seconds[:] = (perf_counter() - begin) / len(part.seconds)
            parts.append(part)
        return _assemble(space.unflatten(np.concatenate([p.v for p in parts])), parts)

    def _solve_piece(self, state: RieszState, mu: Mu, start: Array | None, stop: Tolerance) -> "_Piece":
        systems = state.problem.systems(mu)
        lower = state.problem.constant(mu).lower
        v = systems.impose(np.broadcast_to(systems.lift, systems.load.shape) if start is None else start)
        piece = _Piece.empty(v)
        todo = np.arange(len(v))
        for attempt in range(self.restarts):
            part = systems if len(todo) == len(v) else systems.take(todo)
            known = piece.norm[todo] if attempt else np.full(len(todo), np.inf)
            target = replace(stop, value=stop.value * _MARGIN * 0.5**attempt)
            run = _iterate(part, state.inner, lower[todo], piece.v[todo], target, self.max_iterations, known)
            done = _judge(part, state.inner, lower[todo], run, stop)
            piece.put(todo, run, done)
            todo = todo[~done.met & (run.status == Status.CONVERGED)]
            if not len(todo):
                break
        return piece


@dataclass
class _Run:
    """The state of CG at the end of one pass over a piece: per sample."""

    w: Array
    residual: Array
    factor: Real
    rho: Real
    iterations: Array
    status: Array


@dataclass(frozen=True)
class _Judgement:
    """The recomputed residual's verdict."""

    v: Array
    met: Mask
    bound: Real
    norm: Real
    residual: Real


@dataclass
class _Piece:
    """Results of one piece of the batch."""

    v: Array
    bound: Real
    norm: Real
    residual: Real
    iterations: Array
    status: Array
    seconds: Real

    @classmethod
    def empty(cls, v: Array) -> "_Piece":
        size = len(v)
        real = (np.full(size, np.inf), np.zeros(size), np.full(size, np.inf))
        return cls(v, *real, np.zeros(size, int), np.full(size, int(Status.MAX_ITERATIONS)), np.zeros(size))

    def put(self, rows: Array, run: _Run, done: _Judgement) -> None:
        """Store the outcome of one pass; a sample counts as converged only by its recomputed residual."""
        self.v[rows], self.bound[rows], self.norm[rows] = done.v, done.bound, done.norm
        self.residual[rows] = done.residual
        self.iterations[rows] += run.iterations
        missed = np.where(run.status == Status.CONVERGED, Status.MAX_ITERATIONS, run.status)
        self.status[rows] = np.where(done.met, Status.CONVERGED, missed)


def _iterate(
    systems: Systems, inner: InnerProduct, lower: Real, v: Array, target: Tolerance, limit: int, norm: Real
) -> _Run:
    """CG from v until the recursive quantities meet the tolerance; finished samples leave the batch.

    `norm (B,)`: the energy norm that relative errors refer to, where an earlier pass has found it, else +inf. It can be
    far below that of the change from the lift, whose prescribed values jump at the boundary.
    """
    w = v - systems.lift
    r = systems.load - systems.apply(w)
    z = inner.riesz(r)
    rho = _dot(r, z)
    run = _Run(w.copy(), r.copy(), 1.0 / lower, rho.copy(), np.zeros(len(v), int), np.zeros(len(v), int))
    radau, p, rows = GaussRadau(lower), z, np.arange(len(v))
    for k in range(limit + 1):
        done = _seems_done(systems, w, r, radau.factor * rho, target, norm) | (rho == 0)
        broken = ~np.isfinite(rho) | (rho < 0)
        leave = done | broken | (k == limit)
        if leave.any():
            out = rows[leave]
            run.w[out], run.residual[out], run.rho[out] = w[leave], r[leave], rho[leave]
            run.factor[out], run.iterations[out] = radau.factor[leave], k
            run.status[out] = np.where(
                broken, Status.BREAKDOWN, np.where(done, Status.CONVERGED, Status.MAX_ITERATIONS)
            )[leave]
            keep = np.flatnonzero(~leave)
            if not len(keep):
                break
            systems, rows = systems.take(keep), rows[keep]
            w, r, p, rho, norm = w[keep], r[keep], p[keep], rho[keep], norm[keep]
            radau.take(keep)
        q = systems.apply(p)
        step = rho / _dot(p, q)
        w += step[:, None] * p
        r -= step[:, None] * q
        z = inner.riesz(r)
        rho, old = _dot(r, z), rho
        ratio = rho / old
        radau.advance(step, ratio)
        p *= ratio[:, None]
        p += z
    return run


def _seems_done(systems: Systems, w: Array, r: Array, squared: Real, stop: Tolerance, norm: Real) -> Mask:
    """Whether the recursive bound or residual meets the tolerance."""
    if stop.kind == "residual":
        load = np.linalg.norm(systems.load, axis=1)
        return np.linalg.norm(r, axis=1) <= stop.value * load
    energy = np.sqrt(np.maximum(_dot(w, systems.load - r), 0.0))
    return relative_bound(np.sqrt(np.maximum(squared, 0.0)), np.minimum(energy, norm)) <= stop.value


def _judge(systems: Systems, inner: InnerProduct, lower: Real, run: _Run, stop: Tolerance) -> _Judgement:
    """Bound and residual from the recomputed residual of the field that is returned.

    The smaller of two valid bounds: the residual bound, and Gauss-Radau plus the gap between the true and the
    recursive residual; each with the round-off of the residual's evaluation.
    """
    v = systems.impose(run.w + systems.lift)
    true = systems.residual(v)
    noise = round_off(systems, v, inner)
    root = np.sqrt(lower)
    first = dual_norm_upper(inner, true) / root
    gap = dual_norm_upper(inner, true - run.residual) / root
    second = np.sqrt(np.maximum(run.factor * run.rho, 0.0)) + gap
    bound = np.fmin(first, second) + noise / root
    norm = reference_norm(systems, v)
    load = np.linalg.norm(systems.load, axis=1)
    residual = np.linalg.norm(true, axis=1) / np.where(load > 0, load, 1.0)
    met = residual <= stop.value if stop.kind == "residual" else relative_bound(bound, norm) <= stop.value
    zero = (load == 0) & (np.abs(v - systems.lift).max(axis=1) == 0)  # the exact answer, whatever the tolerance
    return _Judgement(v, met | zero, bound, norm, residual)


def _dot(a: Array, b: Array) -> Real:
    return np.einsum("bn,bn->b", a, b)


def _assemble(field: Array, parts: list[_Piece]) -> Solution:
    names = ("iterations", "residual", "bound", "norm", "seconds")
    stats = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    return Solution(field, np.concatenate([p.status for p in parts]), stats)
