"""Bounds of the error of *any* trajectory, given at the levels of the scheme itself.

With e the error of levels v, r^k their residual in step k and `α_k X <= A_k <= β_k X`, `c_k M <= A_k`:

    M (e^k - e^{k-1}) / dt + A_k e_ϑ^k = r^k.                                                               (1)

*Direct.* With `q_k = ‖r^k‖_{X⁻¹} / √α_k`, tested with e_ϑ and summed (Grepl and Patera 2005, section 3; Haasdonk and
Ohlberger 2008, proposition 4.1)

    ‖e^K‖²_M + Σ dt ‖e_ϑ^k‖²_{A_k} <= ‖e⁰‖²_M + Σ dt q_k²,

and level by level the contraction that `contraction` states. A trajectory whose error jumps from level to level (a
network that is asked for each time by itself) has a residual of size error / dt, of which almost nothing stays in the
error: these bounds are then too large by a factor that grows as dt shrinks.

*Corrected.* March the residual once with the constant-coefficient operator,

    M (z^k - z^{k-1}) / dt + ω X z_ϑ^k ≈ r^k,   z⁰ = 0,                                                      (2)

for any ω; e = z + d, where d satisfies (1) with the residual `s^k + (ω X - A_k) z_ϑ^k`, s being what (2) left, and

    ‖s^k + (ω X - A_k) z_ϑ^k‖_{X⁻¹} <= ‖s^k‖₂ / √λ_min(X) + max(|ω - α_k|, |β_k - ω|) ‖z_ϑ^k‖_X,

so that `‖e^k‖_M <= ‖z^k‖_M + D_k` with the direct bound D of d, and `‖e^k‖_M >= ‖z^k‖_M - D_k`. For α = β the bound is
the error itself; in general its effectivity does not depend on dt. Further sweeps march what the one before left: with
ω = (α + β) / 2 each reduces it by (β - α) / (β + α) in the space-time energy norm, like a relaxation in waveforms.

Every rounding is counted; no bound is zero or NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nwidth.bounds.step_systems import EPS, TINY, Matrix, StepSystem, binary, gamma, lengths
from nwidth.core.arrays import Real
from nwidth.core.errors import InputError
from nwidth.spaces.base import FunctionSpace, InnerProduct
from nwidth.spaces.constant_march import ConstantMarch
from nwidth.spaces.grid import Grid
from nwidth.spaces.mesh import MatrixProduct

#: Data between these are worked on as they are; others in units of their largest number: squares stay in float64.
_SMALL, _LARGE = 1e-90, 1e90


@dataclass(frozen=True, eq=False)
class Product:
    """X with what rounding needs: a bound of ‖|X|‖₂ and the operations behind one entry of `X v`."""

    inner: InnerProduct
    norm: float
    operations: int

    @classmethod
    def of(cls, space: FunctionSpace) -> "Product":
        """Raises InputError for a space whose energy product is neither a matrix nor that of a grid."""
        inner = space.inner("energy")
        if isinstance(inner, MatrixProduct):
            matrix = Matrix.of(inner.matrix)
            return cls(inner, matrix.norm, matrix.width + 2)
        if isinstance(space, Grid) and not space.floating:
            # a face couples two values, an end holds one with at most twice the weight of a face
            return cls(inner, 8.0 * float(sum(space.face_weights)), 8 * space.dim + 8 + sum(space.shape))
        raise InputError(
            f"no limits in time on {space!r}: its energy product is neither a matrix nor that of a grid whose boundary "
            "holds the level"
        )

    def square(self, rows: Real) -> Real:
        """An upper bound of `vᵀ X v` for each row, `(k,)`."""
        return self._square(rows, self.inner.apply(rows))

    def dual_norm(self, r: Real) -> Real:
        """An upper bound of `‖r‖_{X⁻¹}` for each row, whatever the accuracy of the Riesz map, `(k,)`."""
        z = self.inner.riesz(r)
        image = self.inner.apply(z)
        rest = lengths(r - image)
        noise = gamma(self.operations + 4) * (self.norm * lengths(z) + lengths(r))
        return (np.sqrt(self._square(z, image)) + self.plain(rest + noise)) * (1 + gamma(r.shape[1] + 8))

    def plain(self, length: Real) -> Real:
        """`‖·‖_{X⁻¹}` of a vector whose Euclidean length is known."""
        return length / np.sqrt(self.inner.lambda_min) * (1 + 8 * EPS)

    def _square(self, rows: Real, image: Real) -> Real:
        computed = np.maximum(np.einsum("kn,kn->k", rows, image), 0.0)
        noise = gamma(rows.shape[1] + self.operations + 4) * self.norm * np.einsum("kn,kn->k", rows, rows)
        noise = noise + rows.shape[1] * TINY  # of products too small for float64
        return (computed + noise) * (1 + gamma(rows.shape[1] + 8))


@dataclass(frozen=True)
class MassConstants:
    """`X >= lower M` and `X <= upper M`, proven."""

    lower: float
    upper: float


class TimeBounds(NamedTuple):
    """Of one trajectory: the error in the M-norm is at most `upper (K,)` and at least `lower (K,)` at each level;
    `√(‖e^K‖²_M + Σ dt ‖e_ϑ‖²_A)` is at most `energy`; `before`: `upper` one level earlier."""

    upper: Real
    lower: Real
    energy: float
    before: Real

    def times(self, unit: float) -> "TimeBounds":
        """In the units of the data again; below the range of float64 an upper bound is rounded up and a lower one 0."""
        if unit == 1.0:
            return self
        with np.errstate(over="ignore", under="ignore"):
            upper, before = self.upper * unit + TINY, self.before * unit + TINY
            lower = self.lower * unit
            return TimeBounds(upper, np.where(lower > 4 * TINY, lower, 0.0), self.energy * unit + TINY, before)


class Known(NamedTuple):
    """Stability along one trajectory: α, β `(K,)`, and c with A >= c M, C with A <= C M."""

    alpha: Real
    beta: Real
    coercive: Real
    upper: Real


def known(alpha: Real, beta: Real, mass: MassConstants) -> Known:
    """From constants relative to X."""
    slack = 8 * EPS
    return Known(alpha, beta, alpha * mass.lower * (1 - slack), beta * mass.upper * (1 + slack))


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Levels w `(K + 1, N)` of one sample with its steps, what is known of their stability, and their residual with
    a bound of `‖·‖₂` of its rounding; all data divided by `unit`, a power of two."""

    system: StepSystem
    facts: Known
    w: Real
    residual: Real
    noise: Real
    unit: float = 1.0

    @classmethod
    def of(cls, system: StepSystem, facts: Known, w: Real) -> "Trajectory":
        """With the residual computed."""
        unit = _unit(w, system.loads * system.free)
        if unit != 1.0:
            system, w = system.over(unit), w / unit
        return cls(system, facts, w, *system.residual(w), unit)

    @property
    def middle(self) -> float:
        """The ω for which `max(ω - α, β - ω)` is smallest, on average over time."""
        return float(np.mean(self.facts.alpha + self.facts.beta)) / 2


def _unit(*data: Real) -> float:
    """1, or the largest number as a power of two where its square would leave float64."""
    largest = max(float(np.abs(values).max(initial=0.0)) for values in data)
    return 1.0 if largest == 0 or _SMALL < largest < _LARGE else binary(largest)


def direct(trajectory: Trajectory, product: Product, mass: MassConstants) -> TimeBounds:
    """The bounds from the residuals alone: one Riesz map for each step, all at once."""
    norm = product.dual_norm(trajectory.residual) + product.plain(trajectory.noise)
    return _marched(trajectory.system, trajectory.facts, mass, norm).times(trajectory.unit)


def corrected(
    trajectories: Sequence[Trajectory], product: Product, mass: MassConstants, march: ConstantMarch, sweeps: int
) -> list[TimeBounds]:
    """The bounds after so many sweeps of (2), one at least; trajectories that have the same steps go together."""
    omega = march.weights(np.array([t.middle for t in trajectories]))
    pending = [_Pending.of(t) for t in trajectories]
    for sweep in range(sweeps):
        z = march.levels(np.stack([p.r for p in pending]), omega)
        for one, levels in zip(pending, z, strict=True):
            one.add(levels, last=sweep + 1 == sweeps)
    return [p.bounds(product, mass, float(o)) for p, o in zip(pending, omega, strict=True)]


@dataclass(eq=False)
class _Pending:
    """One trajectory between sweeps: residual r with its rounding, the latest z, their sum and its rounding."""

    trajectory: Trajectory
    r: Real
    noise: Real
    total: Real
    drift: Real
    z: Real

    @classmethod
    def of(cls, trajectory: Trajectory) -> "_Pending":
        zero = np.zeros_like(trajectory.w)
        return cls(trajectory, trajectory.residual, trajectory.noise, zero, np.zeros(len(zero)), zero)

    def add(self, z: Real, last: bool) -> None:
        """One more sweep; what it leaves is the residual of the next."""
        self.z, self.total = z, self.total + z
        self.drift = self.drift + EPS * lengths(self.total)
        if not last:
            system = self.trajectory.system
            left, rounding = system.left(z)
            length = lengths(self.r)
            self.r = np.where(system.free, self.r - left, 0.0)
            self.noise = self.noise + rounding + gamma(2) * (length + lengths(self.r))

    def bounds(self, product: Product, mass: MassConstants, omega: float) -> TimeBounds:
        """From the latest z and the sum of all."""
        system, facts = self.trajectory.system, self.trajectory.facts
        rest = _rest(system, product, facts, self.r, self.z, omega) + product.plain(self.noise)
        joined = _joined(system, self.total, self.drift, _marched(system, facts, mass, rest))
        return joined.times(self.trajectory.unit)


def _joined(system: StepSystem, z: Real, drift: Real, rest: TimeBounds) -> TimeBounds:
    """The bounds of e = z + d from those of d; `drift (K + 1,)`: `‖·‖₂` of the rounding in z."""
    low, high = system.mass.between(z[1:])
    moved = np.sqrt(system.mass.norm) * drift[1:]
    upper = (np.sqrt(high) + rest.upper + moved) * (1 + 16 * EPS) + TINY
    lower = np.maximum(np.sqrt(low) * (1 - 16 * EPS) - (rest.upper + moved) * (1 + 16 * EPS), 0.0)
    dt, slack = system.stepping.dt, 1 + gamma(len(z) + 16)
    own = np.sqrt((dt * float(np.sum(system.energy(z))) + float(high[-1])) * slack)
    scale = np.abs(system.theta) @ np.array([a.norm for a in system.operators])
    shaken = moved[-1] + np.sqrt(dt * float(np.sum(scale * np.maximum(drift[1:], drift[:-1]) ** 2 + TINY)))
    energy = (own + rest.energy + shaken) * slack + TINY
    # numbers beyond the range of float64 meet as ∞ - ∞: nothing is known then
    upper, lower = np.where(np.isnan(upper), np.inf, upper), np.where(lower > 0, lower, 0.0)
    energy = np.inf if np.isnan(energy) else float(energy)
    return TimeBounds(upper, lower, energy, np.concatenate([rest.before[:1], upper[:-1]]))


def _rest(system: StepSystem, product: Product, facts: Known, r: Real, z: Real, omega: float) -> Real:
    """A bound of the residual of e - z in X⁻¹, `(K,)`."""
    steps, point = system.stepping, system.points(z)
    change = system.mass.times((z[1:] - z[:-1]) / steps.dt)
    image = omega * product.inner.apply(point)
    s = lengths(np.where(system.free, r - change - image, 0.0))
    ends = lengths(z)
    sizes = (system.mass.norm / steps.dt + omega * product.norm) * (ends[1:] + ends[:-1]) + lengths(r)
    s = (s + gamma(system.mass.width + product.operations + 16) * sizes) * (1 + gamma(r.shape[1] + 8))
    distance = np.maximum(np.abs(omega - facts.alpha), np.abs(facts.beta - omega)) * (1 + 4 * EPS)
    return product.plain(s) + distance * np.sqrt(product.square(point)) * (1 + 4 * EPS)


def _initial(system: StepSystem) -> float:
    """A bound of the initial error in the M-norm: rounding alone, the start is given."""
    return float(np.sqrt(system.mass.norm) * system.start_rounding * (1 + 8 * EPS))


def _marched(system: StepSystem, facts: Known, mass: MassConstants, norm: Real) -> TimeBounds:
    """The direct bounds from `‖r‖_{X⁻¹} <= norm (K,)` and the initial error."""
    steps, start = system.stepping, _initial(system)
    usable = (facts.alpha > 0) & (facts.coercive > 0) & np.isfinite(norm)
    root = np.sqrt(np.where(usable, facts.alpha, 1.0))
    q = np.where(usable, norm / root, np.inf) * (1 + 8 * EPS) + TINY
    jump = np.where(usable, norm, np.inf) * np.sqrt(mass.upper) * (1 + 8 * EPS)
    upper = contraction(start, q, np.where(usable, facts.coercive, 1.0), facts.upper, jump, steps.dt, steps.weight)
    total = start**2 + TINY + steps.dt * float(np.sum(q**2 + TINY)) * (1 + gamma(len(q) + 8))
    energy = np.sqrt(total) * (1 + 8 * EPS) + TINY
    return TimeBounds(upper, np.zeros_like(upper), float(energy), np.concatenate([[start], upper[:-1]]))


def contraction(start: float, q: Real, coercive: Real, upper: Real, jump: Real, dt: float, weight: float) -> Real:
    """Bounds E of `‖e^k‖_M` after every step, `(K,)`, from one of the start.

    `½E² - ½E_-² <= dt (q a - a²)` for a = ‖e_ϑ‖_A, and a is not free. Implicit Euler: a >= √c E, so that
    `E = (E_- + dt √c q) / (1 + c dt)`, or `(E_- + √(E_-² + dt q²)) / 2` where that is smaller than q / 2√c.
    Crank-Nicolson: `E <= κ a + dt ‖r‖_{M⁻¹} / 2` with `κ = 1/√c + dt √C / 2`, because the step hardly damps fast modes;
    E is the largest value that both allow. q, c, C and jump = ‖r‖_{M⁻¹}: `(K,)`.
    """
    bounds, e, grow = np.empty(len(q)), start, 1 + 64 * EPS
    roots, tops = np.sqrt(coercive), np.sqrt(np.maximum(upper, 0.0))
    for k, p in enumerate(q):
        step = _euler if weight == 1.0 else _middle
        new = step(e, float(p), float(roots[k]), float(tops[k]), 0.5 * dt * float(jump[k]), dt)
        e = np.inf if np.isnan(new) else new * grow + TINY
        bounds[k] = e
    return bounds


def _euler(e: float, p: float, root: float, top: float, shift: float, dt: float) -> float:
    if not (np.isfinite(p) and np.isfinite(e)):
        return np.inf
    new = 0.5 * (e + np.hypot(e, np.sqrt(dt) * p))
    return (e + dt * root * p) / (1.0 + dt * root * root) if root * new > 0.5 * p else new


def _middle(e: float, p: float, root: float, top: float, shift: float, dt: float) -> float:
    if not (np.isfinite(p) and np.isfinite(e) and np.isfinite(shift)):
        return np.inf
    kappa = 1.0 / root + 0.5 * dt * top
    new = np.hypot(e, np.sqrt(0.5 * dt) * p)
    if 0.5 * kappa * p + shift >= new:
        return new
    # the largest E with E = κ a + shift and ½E² = ½e² + dt (p a - a²)
    square, half = kappa * kappa + 2.0 * dt, kappa * shift - dt * p
    under = half * half + square * (e * e + 4 * TINY - shift * shift) + 4 * TINY
    return kappa * (np.sqrt(max(under, 0.0)) - half) / square + shift


def infinite(count: int) -> TimeBounds:
    """Nothing is known."""
    top = np.full(count, np.inf)
    return TimeBounds(top, np.zeros(count), np.inf, top)
