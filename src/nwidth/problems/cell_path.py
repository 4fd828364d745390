"""A periodic cell of elastic-plastic phases along a path of mean strains: Newton's method, Krylov inside."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.problems.j2 import J2, return_map
from nwidth.problems.periodic_cell import Green, force_of, stiffness_times, strain_of

_MOST_KRYLOV = 1000


@dataclass(frozen=True)
class Stepping:
    """How exactly each load step is solved.

    `tol`: the residual `√(r · K₀⁻¹ r)` against the largest `√(Σ |σ|² / 2G₀)` of the path, K₀ the homogeneous
    reference; with perfect conditioning it is the relative error in energy. `newton`: Newton steps at most. `forcing`:
    the first linear system of a step is solved to this relative residual; later ones as Newton converges (Eisenstat and
    Walker 1996, choice 2). `guess`: start from the last increment, or None to start every step from the last state.
    """

    tol: float = 1e-6
    newton: int = 25
    forcing: float = 0.1
    guess: bool = True

    def __post_init__(self) -> None:
        if not (0 < self.tol < 1 and self.newton >= 1 and 0 < self.forcing < 1):
            raise InputError(f"{self}: expected tol and forcing in (0, 1), newton 1 or more")


@dataclass(frozen=True)
class Step:
    """One load step that converged: mean strain and stress `(3,)` (entries 11, 22, 12), residuals and Krylov steps."""

    mean_strain: Real
    mean_stress: Real
    residuals: tuple[float, ...]
    krylov: tuple[int, ...]


@dataclass(frozen=True)
class State:
    """Displacements `(n, n)` complex, plastic strain `(3, n, n)`, accumulated plastic strain `(n, n)`, stress."""

    u: Array
    plastic: Real
    accumulated: Real
    stress: Real


class Cell:
    """The discrete cell: `phase` `(n, n)` whole numbers that choose among `materials`."""

    def __init__(self, phase: Array, materials: tuple[J2, ...], stepping: Stepping = Stepping()):
        phase = np.asarray(phase)
        if phase.ndim != 2 or phase.shape[0] != phase.shape[1]:
            raise InputError(f"phase has shape {phase.shape}; expected a square grid of pixels (n, n)")
        self.n, self.stepping = len(phase), stepping
        self.phase = np.ascontiguousarray(phase.ravel(), dtype=np.int64)
        if self.phase.min() < 0 or self.phase.max() >= len(materials):
            raise InputError(f"phase holds {phase.min()} to {phase.max()} for {len(materials)} materials")
        self.table = np.stack([m.row() for m in materials])
        self.bulk, self.shear = (np.sqrt(c.min() * c.max()) for c in self.table[:, :2].T)
        self.green = Green(self.n, self.bulk, self.shear)

    def virgin(self) -> State:
        """Nothing has happened yet."""
        n = self.n
        return State(np.zeros((n, n), complex), np.zeros((3, n, n)), np.zeros((n, n)), np.zeros((3, n, n)))

    def path(self, means: Iterable[Real]) -> tuple[State, list[Step]]:
        """The state after a sequence of mean strains `(3,)`, and what each step took.

        Raises WorkError where Newton's method does not converge within a step.
        """
        state, steps = self.virgin(), []
        past, increment, scale = np.zeros(3), None, 0.0
        for number, mean in enumerate(means):
            change = np.asarray(mean, dtype=np.float64) - past
            start = state.u
            if self.stepping.guess and increment is not None:
                start = start + increment(change)
            after, step = self._step(state, past + change, start, scale, number)
            increment = _Predictor.after(increment, change, after.u - state.u)
            state, past, scale = after, past + change, max(scale, self._size(after.stress))
            steps.append(step)
        return state, steps

    def _step(self, old: State, mean: Real, start: Array, scale: float, number: int) -> tuple[State, Step]:
        u, residuals, krylov = start, list[float](), list[int]()
        point = _Point(self, old, mean)
        force = point.at(u)
        for _ in range(self.stepping.newton + 1):
            answer = self.green(force)
            norm = max(float(np.vdot(force, answer).real), 0.0) ** 0.5
            residuals.append(norm / max(scale, self._size(point.stress)))
            if residuals[-1] <= self.stepping.tol:
                state = State(u, point.plastic, point.accumulated, point.stress)
                return state, Step(mean, point.stress.mean(axis=(1, 2)), tuple(residuals), tuple(krylov))
            correction, count = self._solve(point.tangent, force, answer, self._forcing(residuals))
            u, force = point.search(u, correction, norm)
            krylov.append(count)
        raise WorkError(
            f"load step {number + 1} (mean strain {mean}) did not converge: residual {residuals[-1]:.1e} after "
            f"{self.stepping.newton} Newton steps, wanted {self.stepping.tol:.0e}; take smaller load steps"
        )

    def _forcing(self, residuals: list[float]) -> float:
        """How exactly the next linear system is solved: as far as Newton's method can use it."""
        last = residuals[-1]
        ratio = last / residuals[-2] if len(residuals) > 1 else 1.0
        return max(min(self.stepping.forcing, 0.9 * ratio**2), 0.3 * self.stepping.tol / last)

    def _solve(self, tangent: Real, force: Array, answer: Array, rtol: float) -> tuple[Array, int]:
        """Conjugate gradients, preconditioned by the homogeneous cell; `answer` is the preconditioned force."""
        x, r, z, p = np.zeros_like(force), force.copy(), answer, answer.copy()
        scratch, q = np.empty((3, self.n, self.n)), np.empty_like(force)
        rz = np.vdot(r, z).real
        enough = rtol**2 * rz
        for count in range(1, _MOST_KRYLOV + 1):
            curvature = stiffness_times(tangent, p, scratch, q)
            _advance(x, r, p, q, rz / curvature)
            z = self.green(r)
            rz, last = np.vdot(r, z).real, rz
            if rz <= enough:
                return x, count
            _turn(p, z, rz / last)
        raise WorkError(f"conjugate gradients did not reach {rtol:.0e} in {_MOST_KRYLOV} steps; is a phase too soft?")

    def _size(self, stress: Real) -> float:
        """√(Σ |σ|² / 2G₀)."""
        square = np.vdot(stress[0], stress[0]) + np.vdot(stress[1], stress[1]) + 2 * np.vdot(stress[2], stress[2])
        return float(np.sqrt(square / (2 * self.shear)))


class _Point:
    """Stress, tangent and new plastic state for displacements within one load step."""

    def __init__(self, cell: Cell, old: State, mean: Real):
        n = cell.n
        self.cell, self.old, self.mean = cell, old, mean
        self.strain, self.stress, self.plastic = (np.empty((3, n, n)) for _ in range(3))
        self.tangent, self.accumulated = np.empty((5, n, n)), np.empty((n, n))

    def at(self, u: Array) -> Array:
        """The force that is left, `-Bᵀ σ`."""
        strain_of(u, self.mean, self.strain)
        flat = [a.reshape(*a.shape[:-2], -1) for a in (
            self.strain, self.old.plastic, self.old.accumulated, self.stress, self.tangent, self.plastic,
            self.accumulated,
        )]  # fmt: skip
        return_map(self.cell.table, self.cell.phase, *flat)
        force = np.empty_like(u)
        force_of(self.stress, force)
        return -force

    def search(self, u: Array, correction: Array, norm: float) -> tuple[Array, Array]:
        """Along the correction: all of it, unless the residual grows; then half, a quarter, an eighth."""
        for part in (1.0, 0.5, 0.25, 0.125):
            there = u + part * correction
            force = self.at(there)
            if np.vdot(force, self.cell.green(force)).real <= norm**2:
                break
        return there, force


@dataclass(frozen=True)
class _Predictor:
    """The next increment of u from those before: the last one while loading goes on, the first after a reversal."""

    first: tuple[Real, Array]
    last: tuple[Real, Array]

    @classmethod
    def after(cls, old: Any, change: Real, increment: Array) -> "_Predictor":
        """With one more step known."""
        return cls((change, increment) if old is None else old.first, (change, increment))

    def __call__(self, change: Real) -> Array:
        going_on = float(self.last[0] @ change) > 0
        known, increment = self.last if going_on else self.first
        return increment * (float(known @ change) / float(known @ known))


@numba.njit(cache=True, nogil=True)
def _advance(x, r, p, q, alpha):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] += alpha * p[i, j]
            r[i, j] -= alpha * q[i, j]


@numba.njit(cache=True, nogil=True)
def _turn(p, z, beta):  # type: ignore[no-untyped-def]
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            p[i, j] = z[i, j] + beta * p[i, j]
