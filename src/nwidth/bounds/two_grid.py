"""How far the solution on a grid is from that of the equation: an estimate from the same samples on finer grids.

A guaranteed 1e-4 to the solution *on this grid* says nothing about the grid. With P the interpolation to the next
finer grid, the differences `d_h = ‖u_{h/2} - P u_h‖_A` fall like h^p; p is observed from two of them (one half where
a jump of the coefficient crosses the cells, one where the solution is smooth), and, errors of nested grids being
nearly orthogonal in energy,

    ‖u - u_h‖²_A ≈ d_h² + d_{h/2}² + ··· = d_h² / (1 - 4^{-p}).

It is an estimate: nothing is proven, and where the finer grids see features that the coarse one missed, it grows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate
from nwidth.problems.base import Linear, Problem, Resizable
from nwidth.spaces.grid import Grid, interpolate

#: Fields `(B, *problem.space.shape)` of a batch of parameters: whatever solver is at hand.
Solve = Callable[[Problem, Mu], Array]

#: Orders of convergence in the energy norm that the observation is held within.
_ORDERS = (0.25, 2.0)


@dataclass(frozen=True)
class DiscretisationEstimate:
    """The estimated error of the coarsest of the `resolutions` in the energy norm.

    `relative`: of each sample `(B,)`, with respect to the finest solution. `order`: observed over all samples
    together, or the one that was assumed.
    """

    relative: Real
    order: float
    observed: bool
    resolutions: tuple[int, ...]

    @property
    def guarantee(self) -> Estimate:
        """None: an indication."""
        return Estimate("energy norm", missing="a bound against the solution of the equation itself")

    def __str__(self) -> str:
        typical, worst = (f"{v:.2g} %" for v in (100 * np.median(self.relative), 100 * self.relative.max()))
        grids = " and ".join(map(str, self.resolutions[1:]))
        return (
            f"The grid of {self.resolutions[0]} cells is itself about {typical} off in the energy norm "
            f"(largest {worst} of {len(self.relative)} samples); an estimate from grids of {grids} cells, "
            f"{'observed' if self.observed else 'assumed'} order {self.order:.2f}."
        )


def discretisation_estimate(
    problem: Problem,
    solve: Solve,
    indices: Iterable[int] = range(8),
    seed: int = 0,
    levels: int = 3,
    order: float | None = None,
) -> DiscretisationEstimate:
    """Solves the samples `indices` on `levels` grids (cells h, h/2, ...) and compares.

    `levels` = 3 observes the order of convergence; with 2 it has to be given. Raises InputError for a problem that
    is not linear, resizable and on a grid with as many cells in each direction.
    """
    problems = _family(problem, levels)
    samples = [p.parameters.sample(list(indices), seed) for p in problems]
    fields = [solve(p, mu) for p, mu in zip(problems, samples, strict=True)]
    return compare(problems, samples, fields, order)


def compare(
    problems: Sequence[Problem], samples: Sequence[Mu], fields: Sequence[Array], order: float | None = None
) -> DiscretisationEstimate:
    """The estimate from fields that are already there: the same samples on each grid, the coarsest first.

    Raises InputError for fewer than two grids, for two without an `order`, and for fields that are zero.
    """
    if len(problems) < 2 or (len(problems) == 2 and order is None):
        raise InputError(f"{len(problems)} grids cannot show an order; give three grids, or two and order=0.5 or 1.0")
    pairs = list(zip(problems, samples, fields, strict=True))
    steps = [_distance(*coarse, *fine) for coarse, fine in pairwise(pairs)]
    norm = _energy(problems[-1], samples[-1], fields[-1])
    if not np.all(norm > 0):
        raise InputError(f"sample {int(np.argmin(norm > 0))} has the solution zero: no relative error; leave it out")
    if order is None:
        first, second = (float(np.linalg.norm(s)) for s in steps[:2])
        order = float(np.clip(np.log2(first / second), *_ORDERS)) if first and second else _ORDERS[1]
        return _estimate(problems, steps[0] / norm, order, True)
    return _estimate(problems, steps[0] / norm, order, False)


def _estimate(problems: Sequence[Problem], step: Real, order: float, observed: bool) -> DiscretisationEstimate:
    cells = tuple(_grid(p).cells[0] for p in problems)
    return DiscretisationEstimate(step / np.sqrt(1.0 - 4.0**-order), order, observed, cells)


def _family(problem: Problem, levels: int) -> list[Problem]:
    """The problem with its cells halved again and again."""
    if not isinstance(problem, Resizable):
        raise InputError(f"{type(problem).__name__} exists on one grid only; inherit Resizable and implement at()")
    cells = _grid(problem).cells
    if len(set(cells)) != 1:
        raise InputError(f"the grid has {cells} cells; at(resolution) needs as many in each direction")
    return [problem, *(problem.at(cells[0] * 2**k) for k in range(1, levels))]


def _grid(problem: Problem) -> Grid:
    if isinstance(problem.space, Grid):
        return problem.space
    raise InputError(f"the estimate compares grids; {type(problem).__name__} lives on {type(problem.space).__name__}")


def _distance(coarse: Problem, _: Mu, u: Array, fine: Problem, mu: Mu, v: Array) -> Real:
    """`‖v - P u‖_A` on the fine grid, `(B,)`."""
    return _energy(fine, mu, v - interpolate(u, _grid(coarse), _grid(fine)))


def _energy(problem: Problem, mu: Mu, field: Array) -> Real:
    if not isinstance(problem, Linear):
        raise InputError(f"{type(problem).__name__} is not Linear: it has no energy norm")
    return np.sqrt(problem.systems(mu).energy(problem.space.flatten(field)))
