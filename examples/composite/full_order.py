"""Cheaper full-order solvers: coarser grids, larger load steps, looser tolerances, judged like the surrogates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import process_time

import numpy as np
from cells import SEED, judge

import nwidth as nw
from nwidth.core.arrays import Array, Real
from nwidth.problems.composite import Composite


@dataclass(frozen=True)
class Rung:
    """A full-order solver: errors of every judged cell against the finest solution, and CPU seconds per cell."""

    name: str
    errors: dict[str, Real]
    seconds: float


def ladder(problem: Composite, test: nw.Snapshots, grids: Sequence[int]) -> list[Rung]:
    """Every combination that could be cheaper, on the same cells.

    `steps=0` is one load step from reversal to reversal: fewer are not possible.
    """
    choices = [(problem.resolution, steps, tol) for steps in (8, 4, 2, 1, 0) for tol in (1e-6, 1e-2)]
    choices.append((problem.resolution, 0, 1e-1))
    choices += [(n, steps, tol) for n in grids for steps, tol in ((4, 1e-6), (0, 1e-2))]
    rungs = []
    for n, steps, tol in choices:
        cheaper = replace(problem, resolution=n, steps=steps, tol=tol)
        fields, seconds = solved(cheaper, test)
        found = on_grid(fields, problem.resolution) * (1 - np.asarray(test.mu["phase"]))
        words = f"{steps} step{'s' * (steps > 1)} per amplitude" if steps else "one step per reversal"
        rungs.append(Rung(f"{n}², {words}, residual {tol:.0e}", judge(found, np.asarray(test.fields)), seconds))
    return rungs


def solved(problem: Composite, test: nw.Snapshots) -> tuple[Array, float]:
    """The same discs on the problem's own grid, solved; CPU seconds per cell."""
    mu = problem.parameters.sample(np.asarray(test.index), SEED)
    problem.solve(mu["phase"][:1])
    begin = process_time()
    fields = problem.solve(mu)
    return fields, (process_time() - begin) / len(fields)


def on_grid(fields: Array, n: int) -> Array:
    """Fields at the centres of another grid's pixels, linear in between, around the torus."""
    for axis in (1, 2):
        old = fields.shape[axis]
        if old == n:
            continue
        place = (np.arange(n) + 0.5) / n * old - 0.5
        left = np.floor(place).astype(int)
        share = np.expand_dims(place - left, 2 - axis)
        fields = (1 - share) * fields.take(left % old, axis) + share * fields.take((left + 1) % old, axis)
    return fields


def cheapest(rungs: Sequence[Rung], field: float, peak: float) -> Rung | None:
    """The cheapest solver whose mean errors of field and peak are both at most these; None where there is none."""
    good = [r for r in rungs if r.errors["field"].mean() <= field and r.errors["peak"].mean() <= peak]
    return min(good, key=lambda r: r.seconds, default=None)
