"""Outputs of a reduced parabolic problem by duality: a limit of second order, from a window of the past.

With the notation of `nwidth.certificates.parabolic`: the dual problem runs backwards from step K with the same scheme,
starts from a pulse of the functional, `(A_K + M / (ϑ dt)) z^K = l / dt`, and continues without loads; w^k are its
states at the levels and z^k those at the points. For any j < K

    l·e_ϑ^K = Σ_{j<k<=K} dt r^k(z^k) + (w^j, e^j)_M.

A reduced dual solution y^k in the same basis sees no residual (to rounding, which is counted). Its own error ẑ has the
residual ρ^k and satisfies (1) backwards in time from zero, so that with `p_k = ‖r^k‖_{X⁻¹} / √α_k`, `q_k` the same of
ρ^k and weights `ω_K = 1`, `ω_{k-1} = ω_k (1 + 2 η dt c_k)` for any 0 <= η < 1 (η = 0 for Crank-Nicolson),

    |Σ dt r^k(ẑ^k)| <= (Σ dt p_k q_k + √(Σ dt p_k² / ω_k) √(Σ dt ω_k q_k²)) / (2 (1 - η)):

the product of two small numbers. The weights forget the past, so that the first root does not grow with the window.
What is left of the error at the beginning of the window, `(‖w_N^j‖_M + ‖ŵ^j‖_M) E_j`, decays with its length, and the
window is made as long as that takes. Grepl and Patera (2005), section 4, is the case j = 0, η = 0.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.parabolic import Bounds, EvolutionCertificate, reasons, residual_bound
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts
from nwidth.problems.parabolic import AffineEvolution
from nwidth.rb.parabolic import Piece, check_batch
from nwidth.rb.parabolic_kernels import contract
from nwidth.rb.rounding import EPS, gamma
from nwidth.rb.threads import one_thread

#: Values of η that are tried; every one gives a bound.
_ETAS = (0.0, 0.25, 0.5, 0.75)
#: Steps of the dual problem between two looks at what the past still contributes.
_BLOCK = 256
#: The window is long enough once the past contributes this part of the limit.
_PART = 0.1


class _Past(NamedTuple):
    """What a window keeps of some steps: θ `(B, T, Q_A)`, the primal p, the bound of the error before each step,
    and the two factors of what rounding leaves of orthogonality, `(B, T)`."""

    theta: Real
    p: Real
    before: Real
    gap: Real
    noise: Real

    def backwards(self, first: int, last: int) -> "_Past":
        """Some of the steps, the newest first."""
        return _Past(*(np.ascontiguousarray(a[:, first:last][:, ::-1]) for a in self))


@dataclass(frozen=True, eq=False)
class DualEvolutionCertificate(Certificate):
    """As `EvolutionCertificate`, with limits of outputs by duality: at every stored level, and nowhere else.

    `window`: the most steps that a limit looks back; memory is proportional to it. A stored level costs a backward
    march through the window for each output, so store as many as are needed.
    """

    kind: ClassVar[str] = "dual-evolution-certificate"

    primal: EvolutionCertificate
    window: int = 20_000

    def __post_init__(self) -> None:
        if self.window < 1:
            raise InputError(f"window is {self.window}; give a number of steps, at least 1")

    @property
    def guarantee(self) -> Guarantee:
        """That of the bounds it is made of."""
        return self.primal.guarantee

    def moved_to(self, problem: AffineEvolution) -> "DualEvolutionCertificate":
        """For other steps and inputs (`ReducedEvolution.moved_to`)."""
        return replace(self, primal=self.primal.moved_to(problem))

    def bound(self, prediction: Prediction) -> Prediction:
        """The trajectory marched again, with its limits: those of the returned values.

        Raises InputError for a prediction by another surrogate.
        """
        mu, surrogate = check_batch(self.primal.surrogate, prediction), self.primal.surrogate
        answers = list(self.stream(mu))
        levels, points, limits, in_time, energy, steps = (np.stack(part, axis=1) for part in zip(*answers, strict=True))
        worst = in_time.max(axis=1)
        proven = np.isfinite(worst).all() and self._proven(mu)
        return replace(
            surrogate.answer(mu, levels, surrogate.output_values(points), limits),
            bound=worst,
            guarantee=self.guarantee if proven else Estimate(self.guarantee.norm, "a proven stability constant"),
            reason=reasons(worst),
            stats=dict(prediction.stats) | {"in time": in_time, "energy": energy[:, -1], "window": steps},
        )

    def stream(self, mu: Mu) -> "Iterator[_Answer]":
        """The stored levels one after the other, each with its limits, in memory proportional to the window."""
        primal, stepping = self.primal, self.primal.problem.stepping
        past: deque[_Past] = deque()
        for piece, bounds in primal.stream(mu):
            past.append(self._kept(piece, bounds))
            first_order = primal.output_limits(piece, bounds)
            rounding = primal.output_rounding(piece)
            errors = bounds.error + primal.reconstruction(piece.levels)
            for k in stepping.stored(piece.first, piece.last):
                found, steps = self._limits(past, int(k) + 1)
                limit = np.fmin(first_order[:, k], found * (1 + 1e-9) + rounding[:, k])
                yield _Answer(piece.levels[:, k], piece.points[:, k], limit, errors[:, k], bounds.energy[:, k], steps)
            while sum(part.p.shape[1] for part in list(past)[1:]) >= self.window:
                past.popleft()

    def _proven(self, mu: Mu) -> bool:
        problem = self.primal.problem
        theta, _ = problem.coefficients(mu, problem.stepping.points(0, 1))
        return problem.stability.constants(theta[:, 0]).proven

    def _kept(self, piece: Piece, bounds: Bounds) -> _Past:
        model, stepping = self.primal.surrogate.model, self.primal.problem.stepping
        with one_thread():
            gap, noise = model.defects(piece.theta, piece.phi, piece.start, piece.levels, stepping)
        return _Past(piece.theta, bounds.q, bounds.before, gap, noise)

    def _limits(self, past: "deque[_Past]", newest: int) -> tuple[Real, Array]:
        """Limits `(B, s)` at the point of the step with which the first `newest` steps of the last part end, and how
        many steps they look back, `(B,)`."""
        search = _Backwards(self.primal, len(past[-1].p))
        for part in reversed(past):
            newer = newest if part is past[-1] else part.p.shape[1]
            while newer > 0 and not search.enough and search.steps < self.window:
                older = max(0, newer - min(_BLOCK, self.window - search.steps))
                search.add(part.backwards(older, newer))
                newer = older
        return search.limit, np.full(len(past[-1].p), search.steps)

    def to_parts(self) -> Parts:
        return Parts({"window": self.window}, {}, {"primal": self.primal})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["primal"], int(config["window"]))


class _Answer(NamedTuple):
    """A stored level: states at the end and at the point of its step `(B, n)`, limits of outputs `(B, s)`, the M-norm
    and the energy bound `(B,)`, and the steps that the limits look back `(B,)`."""

    level: Real
    point: Real
    limit: Real
    error: Real
    energy: Real
    steps: Array


class _Backwards:
    """The dual problems of all samples and outputs, from one step into the past. Rows `(B s,)`, sample by sample."""

    def __init__(self, primal: EvolutionCertificate, batch: int):
        self.primal, self.model = primal, primal.surrogate.model
        self.stepping, self.outputs = primal.problem.stepping, self.model.outputs
        rows = batch * self.outputs
        self.state, self.error = np.zeros((rows, self.model.modes)), np.zeros(rows)
        self.etas = np.array(_ETAS if self.stepping.weight == 1.0 else _ETAS[:1])
        self.weight = np.ones((len(self.etas), rows))
        self.both, self.defect = np.zeros(rows), np.zeros(rows)
        self.primal_sum, self.dual_sum = (np.zeros((len(self.etas), rows)) for _ in range(2))
        self.steps = 0
        self.limit = np.full((batch, self.outputs), np.inf)
        self.enough = False

    def add(self, past: _Past) -> None:
        """Go back through some steps, newest first; `limit` is then valid with the window that ends there."""
        past = _Past(*(np.repeat(a, self.outputs, axis=0) for a in past))
        loads = self._loads(past.p.shape)
        with one_thread():
            points, levels = self.model.march(past.theta, loads, self.state, self.stepping)
            norm, _ = self.model.residual_norms(past.theta, loads, self.state, levels, self.stepping)
        found = residual_bound(self.primal, past.theta, norm)
        dt = self.stepping.dt
        self.error = contract(
            self.error, found.q, found.coercive, found.upper, found.jump, dt, self.stepping.weight
        )[:, -1].copy()  # fmt: skip
        self._sum(past.p, found.q, found.coercive)
        # the computed points differ from those of the rounded levels by some ε of the levels
        before = np.concatenate([self.state[:, None], levels[:, :-1]], axis=1)
        tested = np.abs(points) + 16 * EPS * (np.abs(before) + np.abs(levels))
        rounding = np.linalg.norm(tested, axis=2) * past.gap + (tested @ self.model.reduced.lengths) * past.noise
        self.defect += dt * rounding.sum(axis=1)
        self.state = np.ascontiguousarray(levels[:, -1])
        self.steps += past.p.shape[1]
        self._conclude(past.before[:, -1])

    def _loads(self, shape: tuple[int, ...]) -> Real:
        """A pulse of its functional in the first step of each row."""
        loads = np.zeros((*shape, len(self.model.reduced.loads)))
        if not self.steps:
            rows = np.arange(shape[0])
            loads[rows, 0, self.model.loads + rows % self.outputs] = 1.0 / self.stepping.dt
        return loads

    def _sum(self, p: Real, q: Real, coercive: Real) -> None:
        dt = self.stepping.dt
        self.both += dt * np.sum(p * q, axis=1)
        growth = 1 + 2 * self.etas[:, None, None] * dt * coercive
        with np.errstate(over="ignore", invalid="ignore"):
            after = self.weight[:, :, None] * np.cumprod(growth, axis=2)
            weights = np.concatenate([self.weight[:, :, None], after[:, :, :-1]], axis=2)
            self.primal_sum += dt * np.sum(p**2 / weights, axis=2)
            self.dual_sum += dt * np.sum(weights * q**2, axis=2)
        self.weight = after[:, :, -1]

    def _conclude(self, before: Real) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            roots = np.sqrt(self.primal_sum) * np.sqrt(self.dual_sum)
            product = np.fmin.reduce((self.both + roots) / (2 * (1 - self.etas[:, None])))
        past = (self._size() + self.error) * before
        limit = (product + self.defect + past).reshape(self.limit.shape)
        self.limit = np.fmin(self.limit, limit)
        self.enough = bool((past.reshape(limit.shape) <= _PART * self.limit).all())

    def _size(self) -> Real:
        """Bounds of `‖Σ c_j v_j‖_M` of the states."""
        reduced, c = self.model.reduced, self.state
        square = np.maximum(np.einsum("bi,ij,bj->b", c, reduced.matrices[-1], c), 0.0)
        noise = gamma(reduced.operations + 2 * self.model.modes) * reduced.term_norms[-1]
        return (np.sqrt(square) + np.sqrt(noise) * (np.abs(c) @ reduced.lengths)) * (1 + 8 * EPS)
