"""ETDRK4: a fourth-order exponential integrator for semilinear equations on a torus, pseudo-spectral and batched."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.kinds import load_attribute
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_batched, check_choice, check_finite, select
from nwidth.problems.base import Problem
from nwidth.problems.evolution import Semilinear, checked_times
from nwidth.solvers._step_control import Control, March
from nwidth.solvers.base import Solver

#: A default accuracy for each precision: the relative L² error that the stored fields aim at.
_ACCURACY = {"float64": 1e-6, "float32": 1e-4}
#: Values per array of a batch: more do not run faster on one processor core.
_BATCH_VALUES = {"cpu": 2**16, "cuda": 2**24}


@dataclass(frozen=True)
class ETDRK4(Solver):
    """`∂t û = L û + N(û)`, exact in L, Runge-Kutta of order 4 in N (Cox & Matthews 2002; Kassam & Trefethen 2005).

    Fields are solved on `problem.grid`, free of aliasing (for a quadratic N the 2/3 rule), and stored at
    `problem.times` on the nodes of `problem.space`. `dt`: the largest step; each stored interval is cut into equal
    ones. With None the step follows from `accuracy`, the aimed-at relative L² error of the last stored field (1e-6 in
    float64, 1e-4 in float32): the intervals 0, 1, 2, 4, 8, ... and every one in which the error of a step seems to
    have grown are solved with steps h and h/2, and h is halved until the difference fits. With a `dt` the same
    intervals are compared with dt/2, but dt is kept. `check=False` compares nothing.

    `precision`: 'float64' or 'float32'. `device`: 'cpu' or 'cuda'. `batch`: samples that march together and share a
    step (None: as many as are fast; one for large fields). `max_steps`: the most steps of a stored interval.

    A sample that stops being finite is FAILED; its fields are NaN from the next stored time on. One whose indicator
    misses the accuracy is MAX_ITERATIONS. Statistics: `iterations` (steps of the stored trajectory), `seconds`,
    `indicator` (the sum over the intervals of the relative differences: an estimate of the error that time stepping
    left, no bound; NaN without checks), `failed_at` (time of the first value that is not finite, else NaN), `dt` (the
    smallest step). Needs torch. Raises InputError for options that make no sense or a device that is not there.
    """

    releases_gil: ClassVar[bool] = True

    dt: float | None = None
    accuracy: float | None = None
    precision: str = "float64"
    device: str = "cpu"
    batch: int | None = None
    check: bool = True
    max_steps: int = 2**15

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, tuple(_ACCURACY))
        if self.dt is None and not self.check:
            raise InputError("check=False with no dt: nothing would choose the step; give a dt or leave check=True")
        for name, value in (("dt", self.dt), ("accuracy", self.accuracy), ("batch", self.batch)):
            if value is not None and not value > 0:
                raise InputError(f"{name} = {value!r}; expected a positive number, or None for the default")
        if self.precision == "float32" and self.aim < 1e-5:
            raise InputError(f"accuracy = {self.aim:g} is below what float32 can hold; use at least 1e-5, or float64")

    @property
    def aim(self) -> float:
        """The accuracy that is asked for or the default one."""
        return _ACCURACY[self.precision] if self.accuracy is None else self.accuracy

    def prepare(self, problem: Problem) -> "ETDRK4State":
        """The equation's multipliers on the device, and a place for the factors of the steps that will be taken.

        Raises InputError where the problem is not Semilinear, or torch is missing.
        """
        if not isinstance(problem, Semilinear):
            raise InputError(
                f"{type(problem).__name__} is not Semilinear; inherit Semilinear (implement start and terms) to march "
                "it in Fourier space"
            )
        times = checked_times(problem.times, type(problem).__name__)
        stepper = load_attribute("nwidth.solvers.etdrk4_torch:Stepper")
        return ETDRK4State(problem, times, stepper(problem, self.precision, self.device))

    def solve(self, state: "ETDRK4State", mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Trajectories `(B, T, *space.shape)`. Raises InputError for a `stop`: the accuracy is an option here."""
        if stop is not None:
            raise InputError(f"a time stepper takes no {stop}; say ETDRK4(accuracy=...)")
        mu = as_mu(mu, state.problem.parameters.names)
        size = batch_size(mu)
        together = self.batch or max(1, _BATCH_VALUES[self.device.partition(":")[0]] // state.problem.grid.size)
        control = Control(self.dt, self.aim, self.check, self.max_steps)
        fields = np.empty((size, len(state.times), *state.problem.space.shape))
        tables = []
        for rows in (slice(i, i + together) for i in range(0, size, together)):
            begin = perf_counter()
            start = _checked_start(state.problem, select(mu, rows))
            march = March(state.stepper, control, state.times, fields[rows])
            tables.append(march.run(start))
            tables[-1]["seconds"] = np.full(len(start), (perf_counter() - begin) / len(start))
        stats = {name: np.concatenate([t[name] for t in tables]) for name in (tables[0] if tables else ())}
        status = self._status(stats) if tables else np.empty(0, dtype=int)
        return Solution(fields, status, stats, f"ETDRK4 ({self.precision}, {self.device})")

    def _status(self, stats: dict[str, Array]) -> Array:
        missed = self.check & ~(stats["indicator"] <= self.aim)
        status = np.where(missed, Status.MAX_ITERATIONS, Status.CONVERGED)
        return np.where(np.isfinite(stats["failed_at"]), Status.FAILED, status).astype(int)


@dataclass(frozen=True, eq=False)
class ETDRK4State:
    """What all solves of a problem share: the problem, its stored times, and the stepper on the device."""

    problem: Semilinear
    times: Real
    stepper: Any


def _checked_start(problem: Semilinear, mu: Mu) -> Real:
    start = check_batched("the initial states", np.asarray(problem.start(mu)), problem.grid.shape)
    check_finite("the initial states", start)
    return start
