"""Demo, part 2: the thermal block, the standard test of reduced bases, to a guaranteed 1e-5."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.solution import Tolerance
from nwidth.core.validation import select
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.reports import words
from nwidth.reports.worth import Verdict, judge
from nwidth.solvers.direct import Direct
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.study.demo_reduced import TOGETHER, Check, Fit, Prepared, ReducedDemo, Say, check, energies, reduce
from nwidth.study.demo_timing import Contest, Costs, Way


@dataclass(frozen=True)
class BlockDemo(ReducedDemo):
    """Sizes of this part."""

    resolution: int = 100
    batch: int = 10_000
    tol: float = 1e-5


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
    costs: Costs
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
    worst = float((checked.energy_error / checked.energy_norm).max())
    contest = Contest(reduced, mu, ways(problem), partial(_error, checked=checked), worst)
    costs = contest.run(checked, config.repeats)
    limits = reduced.certified.predict(mu).bound / reduced_energies(reduced, mu)
    verdict = judge(costs.points, reduced.seconds)
    return BlockResult(config, seed, reduced, checked, mu, limits, costs, verdict)


def reduced_energies(reduced: Fit, mu: Mu) -> Real:
    """`‖u_N - lift‖_A` from coefficients alone: Galerkin's solution has the energy of its load."""
    _, phi = reduced.problem.coefficients(mu)
    loads = reduced.surrogate.model.loads
    return np.sqrt(np.maximum(np.einsum("bn,bq,qn->b", reduced.coefficients(mu), phi, loads), 0.0))


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


def _error(way: Way, checked: Check, count: int = 12) -> float:
    """Largest relative energy error over a few cases."""
    mu = select(checked.mu, slice(0, count))
    error = energies(checked.problem, mu, checked.reference[:count] - way.solve(mu))
    return float((error / checked.energy_norm[:count]).max())
