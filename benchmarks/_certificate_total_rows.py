"""The total error: violations, effectivity from both sides, the split into its parts, and what a bound costs.

Violations are counted against closed forms in extended precision (in one dimension for any data, on the square for a
constant coefficient) and, where there is no closed form, against Galerkin solutions on finer grids, whose distance to a
field never exceeds that of the exact solution. Effectivity is against the extrapolated distance.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from _harness import Row, absent
from _total_references import mesh_distances, prediction, square_error

from nwidth.bounds.equilibrated.pieces import FLUXES, FluxKind
from nwidth.core.arrays import Array, Mu
from nwidth.core.kinds import available
from nwidth.online.total_error import TotalErrorBound
from nwidth.problems.base import Problem
from nwidth.problems.darcy import Darcy
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.solvers.choose import solve
from nwidth.solvers.direct import Direct
from nwidth.spaces.grid import Grid, interpolate
from nwidth.study.measure import alternate, recorded
from nwidth.testing.equilibrated_references import (
    GivenGrid,
    extrapolated,
    line_error,
    on_halves,
    plane_errors,
    random_mesh,
    refined,
)

if available("pypardiso"):
    from _tuned_pardiso import TunedPardiso

#: The largest effectivity that is aimed at, contrast 4.
TARGETS = {"global": 1.4, "local": 1.6}
#: Names of the fields that violations are looked for with.
KINDS = ("solution", "near", "rough", "zero", "huge", "wrong boundary")

#: Cases of the families without a closed form: a finer solution costs more than a bound.
PLANES, TRIANGLES = 5_000, 2_000


def rows(quick: bool, seed: int) -> list[Row]:
    """All rows; a quick run has small families and the same targets."""
    rng = np.random.default_rng(seed)
    return [*_violations(quick, rng), *_effectivity(quick, seed), *_split(quick, seed), *_cost(quick, seed)]


def _fields(u: Array, kind: str, rng: np.random.Generator) -> Array:
    scale = np.abs(u).max() + 1e-300
    noise = scale * rng.standard_normal(u.shape)
    shift = {"solution": 0.0, "near": 1e-3 * noise, "wrong boundary": 1e3 * scale}
    if kind in shift:
        return np.asarray(u + shift[kind])
    return np.asarray({"rough": noise, "zero": 0 * u, "huge": 1e12 * noise}[kind])


def _carried(problem: Any, mu: Mu, v: Array) -> Array:
    return np.asarray(problem.space.unflatten(problem.systems(mu).impose(problem.space.flatten(v))))


@dataclass(frozen=True)
class Known:
    """Fields of one problem, and what their true errors are known to lie between; `slack` is of that knowledge, as
    parts of the solution's norm and of the error: nothing for a closed form in extended precision."""

    problem: Any
    mu: Mu
    v: Array
    low: Array
    high: Array
    slack: tuple[float, float] = (0.0, 0.0)


@dataclass
class Count:
    """Cases are pairs of a parameter and a field; a check is one bound of one of them by one flux."""

    cases: int = 0
    checks: int = 0
    wrong: int = 0
    ratios: list[Array] = field(default_factory=list)

    def add(self, known: Known) -> None:
        """A batch, by every flux."""
        self.cases += len(known.v)
        for flux in FLUXES:
            found = TotalErrorBound(known.problem, flux)(prediction(known.problem, known.mu, known.v))
            slack = known.slack[0] * found.norm + known.slack[1] * known.low
            self.checks += 2 * len(found.total)
            self.wrong += misses(found.total, found.lower, known.low - slack, known.high + slack)
            self.ratios.append(np.asarray(found.total / np.maximum(known.low, 1e-300), dtype=float))

    def row(self, name: str) -> Row:
        """Bounds that are on the wrong side, none of which may be."""
        ratio = np.concatenate(self.ratios)
        detail = {
            "cases": self.cases,
            "parameters": self.cases,
            "fields": self.cases,
            "checks": self.checks,
            "effectivity": {q: float(np.quantile(ratio, float(q))) for q in ("0.05", "0.5", "0.95")},
        }
        return Row(f"total error, violations: {name}", float(self.wrong), "", 0, "==", detail)


def misses(total: Array, lower: Array, low: Array, high: Array) -> int:
    """Bounds on the wrong side of what the error is known to be between, or no numbers, or an upper one of zero."""
    above, below = (total >= low) & (total > 0) & (total < np.inf), (lower <= high) & (lower >= 0)
    return int((~above).sum() + (~below).sum())


#: Parameters and fields, batch after batch, for names of kinds of fields that come in turn.
Draws = Callable[[np.random.Generator], Iterator[Known]]


def _violations(quick: bool, rng: np.random.Generator) -> list[Row]:
    families: dict[str, tuple[Draws, int, int]] = {
        "lines, any data, closed form": (_lines, 300, 10_000),
        "squares, constant coefficient, closed form": (_squares, 300, 10_000),
        "squares, contrast to 1e4, finer grids": (_planes, 30, PLANES),
        "random triangles, contrast to 1e4, finer meshes": (_triangles, 20, TRIANGLES),
    }
    found = []
    for name, (draws, few, many) in families.items():
        count, batches = Count(), draws(rng)
        while count.cases < (few if quick else many):
            count.add(next(batches))
        found.append(count.row(name))
    return found


def _data(rng: np.random.Generator, grid: Grid, batch: int) -> dict[str, Array]:
    shape = (batch, *grid.shape)
    contrast = 10.0 ** rng.uniform(0, 4, batch).reshape(-1, *(1,) * grid.dim)
    a = contrast ** np.where(rng.random() < 0.5, rng.random(shape), rng.integers(0, 2, shape))
    return {"a": a * 10.0 ** rng.integers(-3, 4), "f": rng.standard_normal(shape), "g": rng.standard_normal(shape)}


def _lines(rng: np.random.Generator) -> Iterator[Known]:
    for kind in cycle(KINDS):
        problem = GivenGrid(Grid((int(rng.integers(2, 24)),), float(10.0 ** rng.uniform(-2, 2))))
        mu = _data(rng, problem.space, 25)
        v = _fields(solve(problem, mu, Direct()).field, kind, rng)
        true = line_error(on_halves(mu["a"]), on_halves(mu["f"]), _carried(problem, mu, v), problem.space.lengths[0])
        yield Known(problem, mu, v, true, true)


def _squares(rng: np.random.Generator) -> Iterator[Known]:
    for kind in cycle(KINDS):
        n = int(rng.integers(2, 9))
        problem, a = GivenGrid(Grid((n, n))), 10.0 ** rng.uniform(-4, 4, 50)
        ones = np.ones((len(a), n + 1, n + 1))
        mu = {"a": ones * a[:, None, None], "f": ones, "g": 0 * ones}
        v = _carried(problem, mu, _fields(solve(problem, mu, Direct()).field, kind, rng))
        true = square_error(v, a)
        yield Known(problem, mu, v, true, true)


def _planes(rng: np.random.Generator) -> Iterator[Known]:
    for kind in cycle(KINDS):
        problem = GivenGrid(Grid((int(rng.integers(2, 8)),) * 2))
        mu = _data(rng, problem.space, 5)
        v = _carried(problem, mu, _fields(solve(problem, mu, Direct()).field, kind, rng))
        known = [plane_errors(on_halves(mu["a"])[i], on_halves(mu["f"])[i], refined(v[i])) for i in range(len(v))]
        yield _between(problem, mu, v, np.array(known))


def _triangles(rng: np.random.Generator) -> Iterator[Known]:
    for kind in cycle(KINDS):
        problem = random_mesh(rng, int(rng.integers(1, 30)))
        count = len(problem.triangles)
        mu = {
            "a": 10.0 ** (rng.uniform(0, 4) * rng.random((1, count))),
            "f": rng.standard_normal((1, count)),
            "g": rng.standard_normal((1, len(problem.nodes))),
        }
        v = _carried(problem, mu, _fields(solve(problem, mu, Direct()).field, kind, rng))
        yield _between(problem, mu, v, mesh_distances(problem, mu, v, 3)[None])


def _between(problem: Problem, mu: Mu, v: Array, known: Array) -> Known:
    """Distances to finer solutions `(B, levels)`: the error is above all of them, and not far above."""
    # what the finest grid does not see is at most three times what the last steps saw (a factor for safety)
    high = np.sqrt(known[:, -1] ** 2 + 3 * (known[:, -1] ** 2 - known[:, -3] ** 2).clip(0))
    return Known(problem, mu, v, known[:, -1], high, (1e-10, 1e-9))  # the reference is in float64


def _answers(problem: Darcy, mu: Mu, indices: range, seed: int) -> dict[str, Array]:
    """The discrete solution, and what a surrogate might answer: that of a grid half as fine, interpolated; smooth and
    rough errors."""
    u = solve(problem, mu, Direct()).field
    coarse = problem.at(problem.resolution // 2)
    half = solve(coarse, coarse.parameters.sample(indices, seed), Direct()).field
    x, y = np.moveaxis(problem.space.points().reshape(*problem.space.shape, 2), 2, 0)
    noise = np.random.default_rng(seed).standard_normal(u.shape) * (x * (1 - x) * y * (1 - y) > 0)
    return {
        "discrete solution": u,
        "coarse answer": interpolate(half, coarse.space, problem.space),
        "smooth error": u * (1 + 0.1 * np.sin(5 * x) * np.cos(3 * y)),
        "rough error": u + 0.002 * np.abs(u).max() * noise,
    }


def _effectivity(quick: bool, seed: int) -> list[Row]:
    found: dict[FluxKind, dict[str, list[float]]] = {flux: {} for flux in FLUXES}
    below: dict[FluxKind, list[float]] = {flux: [] for flux in FLUXES}
    for cells in (16,) if quick else (16, 32):
        problem, indices = Darcy(cells), range(2 if quick else 4)
        mu = problem.parameters.sample(indices, seed)
        a, f = on_halves(mu["a"]), on_halves(np.ones_like(mu["a"]))
        for name, v in _answers(problem, mu, indices, seed).items():
            true = np.array([extrapolated(plane_errors(a[i], f[i], refined(v[i]))) for i in indices])
            for flux in FLUXES:
                bound = TotalErrorBound(problem, flux)(prediction(problem, mu, v))
                found[flux].setdefault(name, []).extend(bound.total / true)
                below[flux].extend(bound.lower / true)
    result = []
    for flux, values in found.items():
        most = max(max(part) for part in values.values())
        detail = {
            name: {"median": float(np.median(part)), "largest": float(max(part))} for name, part in values.items()
        }
        label = f"total error, effectivity, grid, contrast 4, {flux} flux, largest"
        result.append(Row(label, float(most), "", TARGETS[flux], "<=", detail))
        label = f"total error, lower bound over error, grid, {flux} flux, smallest"
        result.append(Row(label, float(min(below[flux])), "", None, ">="))
    return [*result, *_block_effectivity(quick, seed)]


def _block_effectivity(quick: bool, seed: int) -> list[Row]:
    """Criss-cross triangles, conductivities between 1/4 and 1."""
    cells, result = 8 if quick else 16, []
    problem = ThermalBlock(2, cells)
    drawn = problem.parameters.sample(range(2 if quick else 5), seed)
    mu = {name: 0.25 + 0.75 * (np.asarray(values) - 0.1) / 0.9 for name, values in drawn.items()}
    energies = []
    for scale in (1, 2, 4, 8):
        finer = ThermalBlock(2, cells * scale)
        field = solve(finer, mu, Direct()).field
        energies.append(finer.systems(mu).energy(field))
        if scale == 1:
            u = field
    first, second = energies[2] - energies[1], energies[3] - energies[2]
    true = np.sqrt(energies[3] + second**2 / (first - second) - energies[0])
    for flux in FLUXES:
        bound = TotalErrorBound(problem, flux)(prediction(problem, mu, u))
        ratio, low = bound.total / true, bound.lower / true
        label = f"total error, effectivity, triangles, contrast 4, {flux} flux, largest"
        detail = {"each": ratio.tolist(), "lower bound over error": low.tolist()}
        result.append(Row(label, float(ratio.max()), "", TARGETS[flux], "<=", detail))
    return result


def _split(quick: bool, seed: int) -> list[Row]:
    """How far apart the two ends of each part are, and what is advised."""
    problem, indices = Darcy(16 if quick else 64), range(4 if quick else 8)
    mu = problem.parameters.sample(indices, seed)
    result = []
    for name, v in _answers(problem, mu, indices, seed).items():
        found = TotalErrorBound(problem, "local")(prediction(problem, mu, v))
        detail: dict[str, Any] = {
            part: [float(np.median(getattr(found, part) / found.norm)) for part in (part + "_lower", part)]
            for part in ("surrogate", "discretisation")
        }
        words, counts = np.unique(found.advice, return_counts=True)
        detail |= {"total": [float(np.median(x / found.norm)) for x in (found.lower, found.total)]}
        detail |= {"advice": dict(zip(words.tolist(), counts.tolist(), strict=True))}
        share = float(np.median(found.surrogate / found.total))
        result.append(Row(f"total error, surrogate's part over the bound, {name}", share, "", None, "<=", detail))
    return result


def _cost(quick: bool, seed: int) -> list[Row]:
    """A bound of a batch in solves: by the project's own solver for the problem, and by Pardiso one after the other."""
    result = []
    for problem, batch in ((Darcy(32 if quick else 128), 4), (ThermalBlock(2, 16 if quick else 60), 4)):
        mu = problem.parameters.sample(range(batch), seed)
        v = solve(problem, mu).field * 1.02
        contestants: dict[str, Callable[[], Any]] = {"solver": partial(solve, problem, mu)}
        for flux in FLUXES:
            contestants[flux] = partial(TotalErrorBound(problem, flux), prediction(problem, mu, v))
        if available("pypardiso"):
            contestants["Pardiso"] = partial(TunedPardiso(problem).solve, mu)
        timings = alternate(contestants, 2 if quick else 5)
        each = {name: timing.least for name, timing in timings.items()}
        for flux in FLUXES:
            label = f"total error, cost in Pardiso solves, {problem.kind}, {flux} flux"
            detail = {"batch": batch, "own solves": each[flux] / each["solver"], **recorded(timings)}
            if "Pardiso" in each:
                result.append(Row(label, each[flux] / each["Pardiso"], "x", None, "<=", detail))
            else:
                result.append(absent(label, "pypardiso"))
    return result
