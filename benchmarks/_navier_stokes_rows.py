"""Vorticity on 256² points: the package's stepper against the scheme of the published data, at equal error.

All errors are relative L² errors at the end of the horizon against a fine run of the package's stepper in double
precision; every contestant starts from the same field, free of aliasing. The published scheme is
run in full; the others are run in full for their errors, and their steps are timed in turn with its steps.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _harness import Row
from _navier_stokes_schemes import AsPublished, EulerCrankNicolson, WithRealTransforms

from nwidth.core.arrays import Real
from nwidth.problems.navier_stokes import NavierStokes
from nwidth.solvers.etdrk4_torch import Stepper
from nwidth.study.measure import alternate, one_thread

_NAMES = {torch.float32: "float32", torch.float64: "float64"}


@dataclass(frozen=True)
class _Case:
    """A run to time `horizon` from the field `start (1, n, n)`, and its end by the fine run."""

    problem: NavierStokes
    start: Real
    horizon: float
    reference: Real

    @property
    def n(self) -> int:
        return self.problem.solver_resolution

    def error(self, field: Real) -> float:
        return float(np.linalg.norm(field - self.reference) / np.linalg.norm(self.reference))


@dataclass(frozen=True)
class _Run:
    """A contestant's full run: its error, its steps, and a call that takes `timed` of these steps."""

    what: dict[str, Any]
    error: float
    steps: int
    timed: int
    call: Callable[[], Any]


def rows(quick: bool, seed: int) -> list[Row]:
    """The rows; `quick` takes 64² points and a short horizon, and says nothing about the targets."""
    n, horizon, h = (64, 0.2, 1e-3) if quick else (256, 4.0, 1e-4)
    with one_thread(), torch.inference_mode():
        torch.set_num_threads(1)
        case = _case(n, 0.0, horizon, seed)
        published = _euler(case, AsPublished, h, torch.float32)
        found = _compare(case, published, h, f"{n}², from 0 to {horizon:g}")
        later = 1.0 if quick else 20.0
        return [*found, _developed(_case(n, later, horizon, seed), h, later)]


def _compare(case: _Case, published: _Run, h: float, name: str) -> list[Row]:
    limit = published.error
    euler = _largest(limit, _real_runs(case, h))
    ours = _largest(limit, _our_runs(case))
    tight = _euler(case, WithRealTransforms, 10 * h, torch.float64)
    sharp = _largest(tight.error, _our_runs(case))
    runs = {"published": published, "real": euler, "ours": ours, "tight": tight, "sharp": sharp}
    timings = alternate({key: run.call for key, run in runs.items()}, repeats=7)
    seconds = {key: timings[key].median / run.timed * run.steps for key, run in runs.items()}
    detail = {
        key: {
            **run.what,
            "steps": run.steps,
            "error": run.error,
            "seconds": seconds[key],
            "spread": timings[key].spread,
        }
        for key, run in runs.items()
    }
    label = f"Navier-Stokes {name}"
    return [
        Row(
            f"{label}: against the scheme as published", seconds["published"] / seconds["ours"], "x", 25, detail=detail
        ),
        Row(f"{label}: with real FFTs at its largest step", seconds["real"] / seconds["ours"], "x", 3, detail=detail),
        Row(f"{label}: with real FFTs, error {tight.error:.0e}", seconds["tight"] / seconds["sharp"], "x"),
        Row(f"{label}: one trajectory", seconds["ours"], "s"),
    ]


def _developed(case: _Case, h: float, begin: float) -> Row:
    """The same once the force has made the flow faster, to an error of 1e-3: steps are shorter for both."""
    runs = {"real": _largest(1e-3, _real_runs(case, h)), "ours": _largest(1e-3, _our_runs(case))}
    timings = alternate({key: run.call for key, run in runs.items()}, repeats=7)
    seconds = {key: timings[key].median / run.timed * run.steps for key, run in runs.items()}
    detail = {key: {**run.what, "error": run.error, "seconds": seconds[key]} for key, run in runs.items()}
    name = f"Navier-Stokes {case.n}², from {begin:g} to {begin + case.horizon:g}: with real FFTs, error 1e-03"
    return Row(name, seconds["real"] / seconds["ours"], "x", detail=detail)


def _case(n: int, begin: float, horizon: float, seed: int) -> _Case:
    problem = NavierStokes(solver_resolution=n, resolution=n, levels=(horizon,))
    stepper = Stepper(problem, "float64", "cpu")
    state = stepper.start(problem.start(problem.parameters.sample([0], seed)))
    if begin:
        state = stepper.advance(state, begin, round(40 * begin)).state
    end = stepper.advance(state, horizon, max(round(160 * horizon), 32)).state
    return _Case(problem, stepper.thinned(state, (n, n)), horizon, stepper.thinned(end, (n, n)))


def _euler(case: _Case, scheme: type[EulerCrankNicolson], h: float, dtype: torch.dtype) -> _Run:
    stepper = scheme(case.n, case.problem.viscosity, h, dtype)
    start = stepper.transform(torch.from_numpy(case.start[0]).to(dtype))
    steps, timed = round(case.horizon / h), 40
    end = stepper.field(stepper.run(start, steps)).double().numpy()[None]
    what = {"scheme": scheme.__name__, "h": h, "precision": _NAMES[dtype]}
    return _Run(what, case.error(end), steps, timed, lambda: stepper.run(start, timed))


def _real_runs(case: _Case, h: float) -> Iterable[_Run]:
    """From the cheapest on: ever smaller steps."""
    for factor in (640, 448, 320, 224, 160, 112, 80, 56, 40, 28, 20, 14, 10, 7, 5, 3.5, 2.5, 1.75, 1.25, 1):
        if case.horizon / (factor * h) >= 1:
            yield _euler(case, WithRealTransforms, case.horizon / round(case.horizon / (factor * h)), torch.float32)


def _our_runs(case: _Case) -> Iterable[_Run]:
    """From the cheapest on: single precision, then double, ever smaller steps."""
    steppers = [Stepper(case.problem, precision, "cpu") for precision in ("float32", "float64")]
    for steps in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128):
        for stepper, precision in zip(steppers, ("float32", "float64"), strict=True):
            yield _our_run(case, stepper, precision, steps)


def _our_run(case: _Case, stepper: Stepper, precision: str, steps: int) -> _Run:
    start = stepper.start(case.start)
    end = stepper.thinned(stepper.advance(start, case.horizon, steps).state, case.problem.space.shape)
    what = {"scheme": "ETDRK4", "h": case.horizon / steps, "precision": precision}
    return _Run(what, case.error(end), steps, steps, lambda: stepper.advance(start, case.horizon, steps))


def _largest(limit: float, runs: Iterable[_Run]) -> _Run:
    """The first run whose error is within the limit; the last where none is."""
    best = None
    for run in runs:
        best = run
        if run.error <= limit:
            break
    if best is None:
        raise ValueError("no runs to choose from")
    return best
