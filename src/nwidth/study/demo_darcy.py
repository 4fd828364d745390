"""Demo, part 3: Darcy flow with a neural operator, its guaranteed limit, and whether it is worth it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch

from nwidth.bounds.two_grid import DiscretisationEstimate, discretisation_estimate
from nwidth.certificates.conformal import calibrate
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.solution import Tolerance
from nwidth.core.validation import select
from nwidth.online.certify import certify
from nwidth.online.wrappers import Certified
from nwidth.operators.fno import FNO, FNOSurrogate
from nwidth.problems.base import Problem
from nwidth.problems.darcy import Darcy
from nwidth.rb.pod_regression import PODRegression, PODRegressionSurrogate
from nwidth.reports import words
from nwidth.reports.worth import CostPoint, Verdict, judge
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.generate import generate
from nwidth.solvers.base import Solver
from nwidth.solvers.multigrid import Multigrid
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.study.demo_darcy_ways import FOURIER, POD, RTOL, Errors, Learned, Yardstick, coarse_solution, costs
from nwidth.study.demo_reduced import Prepared, Say
from nwidth.study.exact import exact_parts
from nwidth.study.measure import one_thread
from nwidth.surrogates.base import Run, Surrogate
from nwidth.surrogates.training import Training

#: Iterations that refine, by what the report calls them.
SOLVERS: Mapping[str, Solver] = {"conjugate gradients": RieszCG(), "multigrid": Multigrid()}


@dataclass(frozen=True)
class DarcyDemo:
    """Sizes of this part; training ends in good order after `budget` seconds."""

    resolution: int = 64
    train: int = 1000
    calibrate: int = 100
    test: int = 100
    budget: float = 95.0
    repeats: int = 3
    pod: PODRegression = field(default_factory=lambda: PODRegression(modes=150, inner="energy"))
    #: Many modes in a narrow network: the energy norm sees the jumps of the coefficient.
    fno: FNO = field(
        default_factory=lambda: FNO(modes=24, width=16, training=Training(epochs=18, rate=0.015, augment="square"))
    )


QUICK = DarcyDemo(
    resolution=32,
    train=200,
    calibrate=30,
    test=30,
    budget=12.0,
    repeats=2,
    fno=FNO(modes=8, width=16, training=Training(epochs=15, augment="square")),
)


@dataclass(frozen=True)
class Start:
    """Refinement to the guaranteed tolerance from one starting field by one solver."""

    name: str
    solver: str
    iterations: Real
    seconds: float
    errors: Errors


@dataclass(frozen=True)
class DarcyData:
    """What the surrogates learn from and are judged on; `parts` are the runs to train, calibrate and test."""

    config: DarcyDemo
    seed: int
    parts: tuple[Snapshots, ...]
    generation_seconds: float
    yardstick: Yardstick


@dataclass(frozen=True)
class DarcyResult:
    """Everything that was computed and measured."""

    data: DarcyData
    fno: Learned
    pod: Learned
    coverage: tuple[int, float]
    starts: tuple[Start, ...]
    grid: DiscretisationEstimate
    exact: Mapping[str, Real]
    points: Mapping[str, tuple[CostPoint, ...]]
    spread: float
    verdicts: Mapping[str, Verdict]

    @property
    def verdict(self) -> Verdict:
        """The most favourable verdict of the two norms: a surrogate is only rejected where it loses in both."""
        favourable = [v for v in self.verdicts.values() if v.use != "do not use"]
        return favourable[0] if favourable else self.verdicts["energy"]

    @property
    def network(self) -> FNOSurrogate:
        """The neural operator inside its certificate."""
        surrogate = self.fno.certified.surrogate
        if not isinstance(surrogate, FNOSurrogate):
            raise TypeError(f"expected the neural operator, found {type(surrogate).__name__}")
        return surrogate


def work(config: DarcyDemo, seed: int, say: Say, *, watched: bool = False) -> DarcyResult:
    """Generate, fit, certify, refine, time, and judge. The network trains on all threads; the rest has one."""
    problem = Darcy(config.resolution)
    total = config.train + config.calibrate + config.test
    say(f"Darcy flow: {config.resolution} x {config.resolution} cells, a random field as the parameter")
    _solve(problem, problem.parameters.sample(range(2), seed))  # compiled at the first call
    begin = perf_counter()
    with one_thread():
        snapshots = generate(problem, total, seed, progress=watched)
    generation = perf_counter() - begin
    say(f"  {total:,} solutions in {words.duration(generation)}")
    parts = snapshots.split(config.train, config.calibrate, config.test)
    yardstick = Yardstick(problem, dict(parts[2].mu), np.asarray(parts[2].fields))
    begin = perf_counter()
    network = config.fno.fit(parts[0], problem, seed=seed, run=Run(progress=watched, budget=config.budget))
    training = perf_counter() - begin
    with one_thread(), _torch_threads(1):
        fno = _judged_on(network, training, yardstick, say)
        pod = _judged_on(*_pod(config, parts[0], yardstick, seed), yardstick, say)
        return _compared(DarcyData(config, seed, parts, generation, yardstick), fno, pod, say)


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pod(config: DarcyDemo, train: Snapshots, yardstick: Yardstick, seed: int) -> tuple[Surrogate, float]:
    begin = perf_counter()
    surrogate = config.pod.fit(train, yardstick.problem, seed=seed)
    return surrogate, perf_counter() - begin


def _judged_on(surrogate: Surrogate, seconds: float, yardstick: Yardstick, say: Say) -> Learned:
    """Certified, and compared with the solutions of the test cases."""
    certified = certify(surrogate, yardstick.problem)
    prediction = certified.predict(yardstick.mu)
    learned = Learned(certified, seconds, prediction, yardstick.errors(prediction.field), yardstick)
    name = POD if isinstance(surrogate, PODRegressionSurrogate) else FOURIER
    say(f"  {name} in {words.duration(seconds)}: {_reached(learned)}")
    return learned


def _compared(data: DarcyData, fno: Learned, pod: Learned, say: Say) -> DarcyResult:
    """Refine, estimate the grid's own error, time, and judge."""
    config, yardstick = data.config, data.yardstick
    starts = _starts(fno, pod, yardstick)
    say(f"  to a guaranteed {words.percent(RTOL, 1)}: {_steps(starts)}")
    first = config.train + config.calibrate
    indices = range(first, first + min(8, config.test))
    grid = discretisation_estimate(yardstick.problem, _solve, indices, data.seed)
    points, spread = costs(fno, pod, yardstick, config.repeats)
    offline = data.generation_seconds + fno.seconds
    verdicts = {norm: judge(_judged(found), offline) for norm, found in points.items()}
    coverage = _coverage(fno, data.parts[1], yardstick, data.seed)
    exact = exact_parts(yardstick.problem, fno.prediction)
    return DarcyResult(data, fno, pod, coverage, starts, grid, exact, points, spread, verdicts)


def _solve(problem: Problem, mu: Mu) -> Array:
    return Prepared(Multigrid(), problem)(mu).field


def _judged(points: tuple[CostPoint, ...]) -> list[CostPoint]:
    """The verdict is on the neural operator; POD + regression stands beside it for comparison."""
    return [p for p in points if p.name != POD]


def _reached(learned: Learned) -> str:
    l2, energy = (words.percent(float(np.mean(e))) for e in (learned.errors.l2, learned.errors.energy))
    return (
        f"error {l2} (mean square), {energy} (energy); {learned.violations} of {len(learned.limits)} outside the limit"
    )


def _steps(starts: tuple[Start, ...]) -> str:
    """The slower iteration shows what a start is worth."""
    first = starts[0].solver
    return ", ".join(f"{s.iterations.mean():.1f} steps from {s.name}" for s in starts if s.solver == first)


def _coverage(fno: Learned, runs: Snapshots, yardstick: Yardstick, seed: int) -> tuple[int, float]:
    """What a calibrated limit would do where no guarantee is possible: cases held, and its median size (relative)."""
    surrogate = fno.certified.surrogate
    certificate = calibrate(surrogate, runs, level=0.9, seed=seed, norm="mass")
    calibrated = Certified(surrogate, certificate).predict(yardstick.mu)
    space = yardstick.problem.space
    mass = space.inner("mass")
    error = mass.norm(space.flatten(yardstick.solution - calibrated.field))
    size = mass.norm(space.flatten(yardstick.solution))
    return int((error <= calibrated.bound).sum()), float(np.median(calibrated.bound / size))


# Refinement ---------------------------------------------------------------------------------------------------------


def _starts(fno: Learned, pod: Learned, yardstick: Yardstick) -> tuple[Start, ...]:
    """To the same guaranteed tolerance from zero, a coarse grid, and the two surrogates."""
    problem = yardstick.problem
    zero = np.zeros_like(yardstick.solution)
    begins = {
        "zero": zero,
        "half the grid": coarse_solution(problem, 2)(yardstick.mu),
        POD: pod.prediction.field,
        FOURIER: fno.prediction.field,
    }
    pairs = [(name, "conjugate gradients") for name in begins] + [("zero", "multigrid"), (FOURIER, "multigrid")]
    return tuple(_refined(name, solver, begins[name], yardstick) for name, solver in pairs)


def _refined(name: str, solver: str, fields: Array, yardstick: Yardstick) -> Start:
    """What `nw.refine` does, with a solver that stays prepared."""
    solve = Prepared(SOLVERS[solver], yardstick.problem, Tolerance("energy", RTOL))
    solve(select(yardstick.mu, slice(0, 1)))  # plans are made at the first call
    begin = perf_counter()
    better = solve(yardstick.mu, fields)
    seconds = (perf_counter() - begin) / len(fields)
    return Start(name, solver, np.asarray(better.stats["iterations"], float), seconds, yardstick.errors(better.field))
