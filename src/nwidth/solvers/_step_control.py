"""Which steps a march through the stored times takes, and what it records of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Mask, Real
from nwidth.problems.evolution import subsampled

#: The defect of a step may grow by this factor before the step is checked again.
_GROWTH = 1.5
#: Twice the growth of a fourth-order error when the step doubles: a difference this far below its budget allows that.
_DOUBLED = 32.0
#: Below this relative difference, halving the step and gaining less than a factor of two means rounding.
_ROUNDING = 1e-2
#: Relative change of the state by the nonlinear term that the first guess of a step allows.
_FIRST = 1.0


@dataclass(frozen=True)
class Control:
    """How steps are chosen: `dt` or None, the relative accuracy, whether steps are compared with half their length,
    and the most steps of one stored interval."""

    dt: float | None
    accuracy: float
    check: bool
    max_steps: int


class March:
    """One batch on its way through the stored times; its fields are written to `out (B, T, *space.shape)`."""

    def __init__(self, stepper: Any, control: Control, times: Real, out: Array):
        self._stepper, self._control, self._times, self._out = stepper, control, times, out
        size = len(out)
        self._alive: Mask = np.ones(size, dtype=bool)
        self._failed_at = np.full(size, np.nan)
        self._indicator = np.zeros(size) if control.check else np.full(size, np.nan)
        self._steps = np.zeros(size)
        self._h = np.inf if control.dt is None else control.dt
        self._smallest = np.full(size, np.inf)
        self._error_rate = np.zeros(size)  # of the latest check, per unit of time
        self._checked_defect = np.inf
        self._noise = 0.0  # differences that rounding alone makes

    def run(self, start: Real) -> dict[str, Array]:
        """Marches from the initial states `(B, *grid.shape)`; the statistics of the samples."""
        state, now = self._stepper.start(start), 0.0
        for i, (time, out) in enumerate(zip(self._times, np.moveaxis(self._out, 1, 0), strict=True)):
            if time > now and self._alive.any():
                state, now = self._interval(state, now, time - now, check=i & (i - 1) == 0), time
            out[...] = self._stored(state, start if time == 0 else None, out.shape[1:])
        return {
            "iterations": self._steps,
            "indicator": np.where(self._alive, self._indicator, np.nan),
            "failed_at": self._failed_at,
            "dt": np.where(np.isfinite(self._smallest), self._smallest, np.nan),
        }

    def _stored(self, state: Any, start: Real | None, shape: tuple[int, ...]) -> Array:
        fields = self._stepper.thinned(state, shape) if start is None else subsampled(start, shape).copy()
        fields[~self._alive] = np.nan
        return fields

    def _interval(self, state: Any, now: float, length: float, check: bool) -> Any:
        """The state after one stored interval."""
        if self._control.dt is None and not np.isfinite(self._h):
            self._h = min(length, _FIRST / max(self._stepper.rate(state), 1e-300))
        steps = max(1, int(np.ceil(length / self._h * (1 - 1e-12))))
        if self._control.check and check:
            return self._checked(state, now, length, steps)
        done = self._stepper.advance(state, length, steps)
        if self._control.check and (self._grown(done) or self._died(done, steps).any()):
            return self._checked(state, now, length, steps)
        self._indicator += self._error_rate * length
        return self._accept(done, now, length, steps)

    def _checked(self, state: Any, now: float, length: float, steps: int) -> Any:
        """The interval with the steps that it needs (or, where dt is given, those that it is given)."""
        fixed = self._control.dt is not None
        budget = self._control.accuracy * length / self._times[-1]
        coarse, before = self._stepper.advance(state, length, steps), np.inf
        while True:
            fine = self._stepper.advance(state, length, 2 * steps)
            difference = self._stepper.distance(coarse.state, fine.state)
            worst = self._worst(difference)
            if before < _ROUNDING and worst > before / 2:
                self._noise = max(self._noise, 2 * worst)  # smaller steps add rounding: no finer pair will do better
            if fixed or worst <= max(budget, self._noise) or 4 * steps > self._control.max_steps:
                break
            steps, coarse, before = 2 * steps, fine, worst
        # fourth order: the error of the coarser solution is 16/15 of the difference, that of the finer 1/15
        share = 16 / 15 if fixed else 1 / 15
        self._indicator += np.where(np.isfinite(difference), share * difference, 0.0)
        self._error_rate = np.where(np.isfinite(difference), 16 / 15 * difference, 0.0) / length
        self._checked_defect = self._largest_defect(coarse)
        if fixed:
            return self._accept(coarse, now, length, steps)
        self._choose(length, steps, budget / max(worst, 1e-300))
        return self._accept(fine, now, length, 2 * steps)

    def _choose(self, length: float, steps: int, room: float) -> None:
        """The step for what follows: the one whose error was checked, or twice or four times that."""
        doublings = int(room >= _DOUBLED) + int(room >= _DOUBLED**2)
        self._h = length / steps * 2**doublings
        self._error_rate *= 16**doublings
        self._checked_defect *= 8**doublings

    def _accept(self, done: Any, now: float, length: float, steps: int) -> Any:
        died = self._died(done, steps)
        if died.any() and self._control.dt is None:
            self._h = length  # what is left need not take the steps that could not save the others
        h = length / steps
        self._failed_at[died] = now + (done.finite[died] + 1) * h
        self._steps += np.where(self._alive, np.minimum(done.finite + 1, steps), 0)
        self._smallest[self._alive] = np.minimum(self._smallest, h)[self._alive]
        self._alive &= ~died
        return done.state

    def _died(self, done: Any, steps: int) -> Mask:
        return self._alive & (done.finite < steps)

    def _grown(self, done: Any) -> bool:
        return not self._largest_defect(done) <= _GROWTH * self._checked_defect

    def _largest_defect(self, done: Any) -> float:
        return float(np.max(done.defect[self._alive], initial=0.0))

    def _worst(self, difference: Real) -> float:
        values = difference[self._alive]
        return float(np.max(np.where(np.isfinite(values), values, np.inf), initial=0.0))
