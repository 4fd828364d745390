"""Demo, part 2: the thermal block, the standard test of reduced bases, to a guaranteed 1e-5."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.solution import Tolerance
from nwidth.core.validation import select
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.greedy import Greedy
from nwidth.reports import words
from nwidth.reports.worth import CostPoint, Verdict, judge
from nwidth.solvers.direct import Direct
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.study.demo_reduced import TOGETHER, Check, Fit, Prepared, Say, check, energies, reduce
from nwidth.study.measure import alternate


@dataclass(frozen=True)
class BlockDemo:
    """Sizes of this part; `tol`: guaranteed relative energy error on the training set."""

    resolution: int = 100
    batch: int = 10_000
    fresh: int = 200
    tol: float = 1e-5
    training: int = 300
    repeats: int = 3

    @property
    def greedy(self) -> Greedy:
        """The method, configured."""
        return Greedy(tol=self.tol, training=self.training)


QUICK = BlockDemo(resolution=32, batch=2_000, fresh=40, training=150, repeats=2)


@dataclass(frozen=True)
class BlockResult:
    """Everything that was computed and measured; `limits` are relative energy limits of the whole batch `(B,)`."""

    config: BlockDemo
    seed: int
    reduced: Fit
    checked: Check
    mu: Mu
    limits: Real
    points: tuple[CostPoint, ...]
    spread: float
    verdict: Verdict

    @property
    def relative_errors(self) -> Real:
        """Of the checked cases, in the energy norm."""
        return self.checked.energy_error / self.checked.energy_norm

    @property
    def relative_limits(self) -> Real:
        """Of the checked cases."""
        return self.checked.prediction.bound / self.checked.energy_norm


def work(config: BlockDemo, seed: int, say: Say) -> BlockResult:
    """Fit, check fresh cases, time, and judge."""
    problem = ThermalBlock(resolution=config.resolution)
    say(f"Thermal block: {problem.space.size:,} unknowns, four parameters")
    reduced = reduce(problem, config.greedy, seed)
    say(f"  prepared with {reduced} in {words.duration(reduced.seconds)}")
    checked = check(reduced, Prepared(Direct(), problem), config.fresh, seed + 2)
    say(f"  {config.fresh} unseen cases against the solver: {checked.violations} outside their limit")
    mu = problem.parameters.sample(range(config.batch), seed + 1)
    points, spread = _costs(reduced, checked, mu, config.repeats)
    limits = reduced.certified.predict(mu).bound / reduced_energies(reduced, mu)
    verdict = judge(points, reduced.seconds)
    return BlockResult(config, seed, reduced, checked, mu, limits, points, spread, verdict)


def reduced_energies(reduced: Fit, mu: Mu) -> Real:
    """`‖u_N - lift‖_A` from coefficients alone: Galerkin's solution has the energy of its load."""
    _, phi = reduced.problem.coefficients(mu)
    loads = reduced.surrogate.model.loads
    return np.sqrt(np.maximum(np.einsum("bn,bq,qn->b", reduced.coefficients(mu), phi, loads), 0.0))


def _costs(reduced: Fit, checked: Check, mu: Mu, repeats: int, single: int = 20) -> tuple[tuple[CostPoint, ...], float]:
    """Every way to answer with its time and its largest relative energy error over a few unseen cases."""
    one, many = select(checked.mu, slice(0, 1)), select(checked.mu, slice(0, TOGETHER))
    found = ways(reduced.problem)
    calls: dict[str, Callable[[], Any]] = {w.name: _call(w, many if w.batch > 1 else one) for w in found}
    calls["one"] = lambda: [reduced.certified.predict(one) for _ in range(single)]
    calls["many"] = lambda: reduced.certified.predict(mu)
    timing = alternate(calls, repeats)
    points = [
        CostPoint(w.name, timing[w.name].median / w.batch, _error(w, checked), w.batch, "solver", w.guaranteed)
        for w in found
    ]
    worst, size = float((checked.energy_error / checked.energy_norm).max()), len(next(iter(mu.values())))
    points += [
        CostPoint("reduced basis", timing["one"].median / single, worst, 1, "surrogate", True),
        CostPoint("reduced basis", timing["many"].median / size, worst, size, "surrogate", True),
    ]
    return tuple(points), max(t.spread for t in timing.values())


@dataclass(frozen=True)
class Way:
    """A plain way to solve: parameters to dofs on the full mesh."""

    name: str
    solve: Callable[[Mu], Array]
    batch: int = 1
    guaranteed: bool = False


def ways(problem: ThermalBlock) -> list[Way]:
    """Sparse direct, conjugate gradients, and coarser meshes with and without extrapolation."""
    half, quarter = (ThermalBlock(problem.blocks, problem.resolution // k) for k in (2, 4))
    direct, coarse, coarser = (Prepared(Direct(), p) for p in (problem, half, quarter))
    accurate = Tolerance("energy", 1e-5)
    one, many = (Prepared(RieszCG(together=n), problem, accurate) for n in (None, TOGETHER))

    def halved(mu: Mu) -> Array:
        return prolong(coarse(mu).field, half.resolution, problem)

    def extrapolated(mu: Mu) -> Array:
        """Richardson, for an error that falls like h²: u_h ≈ u_2h + (u_2h - u_4h) / 4."""
        fine = halved(mu)
        return fine + (fine - prolong(coarser(mu).field, quarter.resolution, problem)) / 4

    return [
        Way("sparse factorisation", lambda mu: direct(mu).field),
        Way(f"conjugate gradients to {words.percent(accurate.value, 1)}", lambda mu: one(mu).field, guaranteed=True),
        Way(
            f"conjugate gradients to {words.percent(accurate.value, 1)}, {TOGETHER} together",
            lambda mu: many(mu).field,
            TOGETHER,
            guaranteed=True,
        ),
        Way("factorisation, half the mesh", halved),
        Way("half and quarter mesh, extrapolated", extrapolated),
    ]


def prolong(dofs: Array, cells: int, fine: ThermalBlock) -> Array:
    """A piecewise linear function on the criss-cross mesh of `cells`² squares at the nodes of a finer one, `(B, N)`."""
    x, y = fine.space.nodes.T * cells
    i, j = (np.minimum(np.floor(v), cells - 1).astype(int) for v in (x, y))
    s, t = 2 * (x - i) - 1, 2 * (y - j) - 1  # in [-1, 1] within the square
    reach = np.maximum(np.abs(s), np.abs(t))
    steep = np.abs(s) >= np.abs(t)  # the triangle at the left or right side, else at the lower or upper
    side, along = np.where(steep, s, t) > 0, np.where(steep, t, s)
    first = _corner(i + (steep & side), j + (~steep & side), cells)
    second = _corner(i + (~steep | side), j + (steep | side), cells)
    middle = dofs[:, (cells + 1) ** 2 + j * cells + i]
    weight = (reach + along) / 2
    return middle * (1 - reach) + dofs[:, first] * (reach - weight) + dofs[:, second] * weight


def _corner(i: Array, j: Array, cells: int) -> Array:
    """Number of the node at the corner (i, j)."""
    return j * (cells + 1) + i


def _call(way: Way, mu: Mu) -> Callable[[], Any]:
    return lambda: way.solve(mu)


def _error(way: Way, checked: Check, count: int = 12) -> float:
    """Largest relative energy error over a few cases."""
    mu = select(checked.mu, slice(0, count))
    error = energies(checked.problem, mu, checked.reference[:count] - way.solve(mu))
    return float((error / checked.energy_norm[:count]).max())
