"""Demo, part 1: which of 100,000 designs of a power module keep both chips below 125 °C?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.prediction import Prediction
from nwidth.core.solution import Tolerance
from nwidth.core.validation import select
from nwidth.online.certify import certify
from nwidth.problems.power_module import PowerModule
from nwidth.reports import words
from nwidth.reports.worth import Verdict, judge
from nwidth.solvers.direct import Direct
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.study.demo_reduced import (
    TOGETHER,
    Check,
    Fit,
    Prepared,
    ReducedDemo,
    Say,
    check,
    output_errors,
    outputs_of,
    reduce,
)
from nwidth.study.demo_timing import Contest, Costs, Way

LIMIT = 125.0
#: Guaranteed relative energy error of the solutions that limits are checked against: far below every limit.
REFERENCE = Tolerance("energy", 1e-7)
#: Tolerances of the iterative solver that the surrogate is compared with; the last is as accurate as the surrogate.
LADDER = (1e-3, 3e-5)
BACKENDS = {"pardiso": "Pardiso", "superlu": "SuperLU"}


@dataclass(frozen=True)
class PowerDemo(ReducedDemo):
    """Sizes of this part."""

    resolution: int = 64
    designs: int = 100_000
    tol: float = 3e-3
    repeats: int = 2


QUICK = PowerDemo(resolution=32, designs=10_000, fresh=40, training=150)


@dataclass(frozen=True)
class PowerResult:
    """Everything that was computed and measured."""

    config: PowerDemo
    seed: int
    reduced: Fit
    decided: "Decided"
    sizes: tuple["Size", ...]
    checked: Check
    costs: Costs
    verdict: Verdict

    @property
    def mesh_change(self) -> float:
        """Largest change of a chip temperature from half the mesh to this one, in kelvin; NaN where not computed."""
        return next((p.error for p in self.costs.points if "half the mesh" in p.name), float("nan"))


def work(config: PowerDemo, seed: int, say: Say) -> PowerResult:
    """Fit, decide all designs, check fresh ones, time, and judge."""
    problem = PowerModule(config.resolution)
    say(f"Power module: {problem.space.size:,} unknowns, six parameters")
    reduced = reduce(problem, config.greedy, seed)
    say(f"  prepared with {reduced} in {words.duration(reduced.seconds)}")
    decided = decide(reduced, config.designs, seed + 1)
    say(f"  {decided}")
    found = sizes(reduced, decided)
    checked = check(reduced, Prepared(RieszCG(together=TOGETHER), problem, REFERENCE), config.fresh, seed + 2)
    say(f"  {config.fresh} unseen designs against the solver: {checked.violations} outside their limit")
    costs = measure(reduced, decided, checked, config.repeats)
    verdict = judge(costs.points, reduced.seconds, queries=config.designs, unit="K")
    return PowerResult(config, seed, reduced, decided, found, checked, costs, verdict)


# Decisions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decided:
    """All designs with their answer; `final` after the solver has decided the undecided ones."""

    mu: Mu
    prediction: Prediction
    verdict: Array
    final: Array
    seconds: float
    solver_seconds: float

    def count(self, word: str) -> int:
        """Designs with this answer of the surrogate."""
        return int((self.verdict == word).sum())

    @property
    def largest_limit(self) -> float:
        """In kelvin, over all designs and both chips."""
        return max(float(o.limit.max()) for o in self.prediction.outputs.values())

    def __str__(self) -> str:
        total = len(self.verdict)
        return (
            f"{total:,} designs in {words.duration(self.seconds)}: {self.count('below'):,} below {LIMIT:g} °C, "
            f"{self.count('above'):,} above, {self.count('undecided'):,} went to the solver"
        )


def decide(reduced: Fit, count: int, seed: int) -> Decided:
    """Every design: below, above, or undecided where a limit reaches across the threshold; those are solved."""
    mu = reduced.problem.parameters.sample(range(count), seed)
    reduced.certified.predict(select(mu, slice(0, 1)))  # compiled at the first call
    begin = perf_counter()
    prediction = reduced.certified.predict(mu)
    verdict = both(prediction)
    seconds = perf_counter() - begin
    final, begin = verdict.copy(), perf_counter()
    rows = np.flatnonzero(verdict == "undecided")
    if len(rows):
        final[rows] = _solved(reduced.problem, select(mu, rows))
    return Decided(mu, prediction, verdict, final, seconds, perf_counter() - begin)


def both(prediction: Prediction) -> Array:
    """'below' where all outputs are below, 'above' where one is above, else 'undecided', `(B,)`."""
    each = np.stack([o.against(LIMIT) for o in prediction.outputs.values()])
    return np.where(
        (each == "above").any(axis=0), "above", np.where((each == "below").all(axis=0), "below", "undecided")
    )


@dataclass(frozen=True)
class Size:
    """What a smaller basis would do with the same designs."""

    solves: int
    modes: int
    prediction: Prediction
    verdict: Array

    @property
    def limits(self) -> Real:
        """In kelvin, the larger of both chips, `(B,)`."""
        return np.max([o.limit for o in self.prediction.outputs.values()], axis=0)

    @property
    def hotter(self) -> tuple[Real, Real]:
        """Temperature and limit of each design's hotter chip."""
        values = np.stack([o.values for o in self.prediction.outputs.values()])
        limits = np.stack([o.limit for o in self.prediction.outputs.values()])
        which = values.argmax(axis=0)[None]
        return np.take_along_axis(values, which, 0)[0], np.take_along_axis(limits, which, 0)[0]

    @property
    def undecided(self) -> int:
        """Designs that this basis leaves to the solver."""
        return int((self.verdict == "undecided").sum())


def sizes(reduced: Fit, decided: Decided, shares: tuple[float, ...] = (1 / 3, 1 / 2, 2 / 3)) -> tuple[Size, ...]:
    """The first modes of the basis, as if the solver had been asked less often."""
    cases = len(reduced.problem.terms().loads)
    found = []
    for share in shares:
        solves = max(1, round(share * reduced.solves))
        smaller = certify(reduced.surrogate.truncate(cases * solves), reduced.problem)
        prediction = smaller.predict(decided.mu)
        found.append(Size(solves, cases * solves, prediction, both(prediction)))
    return (*found, Size(reduced.solves, reduced.surrogate.modes, decided.prediction, decided.verdict))


def _solved(problem: PowerModule, mu: Mu) -> Array:
    """The solver's own word."""
    dofs = Prepared(Direct(), problem)(mu).field
    hottest = np.max(list(outputs_of(problem, dofs).values()), axis=0)
    return np.where(hottest < LIMIT, "below", "above")


# Costs --------------------------------------------------------------------------------------------------------------


def ways(problem: PowerModule) -> list[Way]:
    """The solvers at hand: sparse direct, conjugate gradients single and batched, and half the mesh."""
    direct = Prepared(Direct(), problem)
    name = BACKENDS[direct.state.backend]
    found = [Way(f"{name} factorisation", _outputs(direct))]
    for rtol in LADDER:
        solve = Prepared(RieszCG(), problem, Tolerance("energy", rtol))
        found.append(Way(f"conjugate gradients to {words.percent(rtol, 1)}", _outputs(solve), guaranteed=True))
    together = Prepared(RieszCG(together=TOGETHER), problem, Tolerance("energy", LADDER[-1]))
    found.append(Way(f"{found[-1].name}, {TOGETHER} together", _outputs(together), TOGETHER, guaranteed=True))
    if problem.resolution > 32:
        coarse = Prepared(Direct(), problem.at(problem.resolution // 2))
        found.append(Way(f"{name} on half the mesh", _outputs(coarse)))
    return found


def _outputs(solve: Prepared) -> Callable[[Mu], dict[str, Real]]:
    """Chip temperatures by a solver."""
    return lambda mu: outputs_of(solve.problem, solve(mu).field)


def measure(reduced: Fit, decided: Decided, checked: Check, repeats: int) -> Costs:
    """Errors are the largest of a chip temperature in kelvin, against the reference solutions."""
    found = ways(reduced.problem)
    contest = Contest(reduced, decided.mu, found, partial(_error, checked=checked), checked.largest_error)
    return contest.run(checked, repeats)


def _error(way: Way, checked: Check, count: int = 6) -> float:
    """Largest error of a chip temperature in kelvin over a few cases."""
    values = way.solve(select(checked.mu, slice(0, count)))
    return max(float(e.max()) for e in output_errors(checked.problem, checked.reference[:count], values).values())
