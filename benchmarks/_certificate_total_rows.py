"""The total error: violations, effectivity from both sides, the split into its parts, and what a bound costs.

Violations are counted against closed forms in extended precision (in one dimension for any data, on the square for a
constant coefficient) and, where there is no closed form, against Galerkin solutions on finer grids, whose distance to a
field never exceeds that of the exact solution. Effectivity is against the extrapolated distance.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from _harness import Row
from _pardiso import Pardiso
from _total_references import (
    GivenGrid,
    extrapolated,
    line_error,
    on_halves,
    plane_errors,
    prediction,
    random_mesh,
    refined,
    square_error,
)

from nwidth.bounds.equilibrated.pieces import FLUXES, FluxKind
from nwidth.core.arrays import Array, Mu
from nwidth.core.validation import select
from nwidth.online.total_error import TotalErrorBound
from nwidth.problems.base import Linear, Problem
from nwidth.problems.darcy import Darcy
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.solvers.choose import solve
from nwidth.solvers.direct import Direct
from nwidth.spaces.grid import Grid, interpolate

#: The largest effectivity that is aimed at, contrast 4.
TARGETS = {"global": 1.4, "local": 1.6}
#: Names of the fields that violations are looked for with.
KINDS = ("solution", "near", "rough", "zero", "huge", "wrong boundary")


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


def _violations(quick: bool, rng: np.random.Generator) -> list[Row]:
    families: dict[str, Callable[[bool, np.random.Generator], tuple[int, int, Array]]] = {
        "lines, any data, closed form": _lines,
        "squares, constant coefficient, closed form": _squares,
        "squares, contrast to 1e4, finer grids": _planes,
        "random triangles, contrast to 1e4, finer meshes": _triangles,
    }
    found = []
    for name, family in families.items():
        cases, wrong, ratio = family(quick, rng)
        detail = {
            "cases": cases,
            "effectivity": {q: float(np.quantile(ratio, float(q))) for q in ("0.05", "0.5", "0.95")},
        }
        found.append(Row(f"total error, violations: {name}", float(wrong), "", 0, "==", detail))
    return found


def _count(total: Array, lower: Array, low: Array, high: Array) -> int:
    """Bounds on the wrong side of what the error is known to be between."""
    return int((total < low).sum() + (lower > high).sum())


def _data(rng: np.random.Generator, grid: Grid, batch: int) -> dict[str, Array]:
    shape = (batch, *grid.shape)
    contrast = 10.0 ** rng.uniform(0, 4, batch).reshape(-1, *(1,) * grid.dim)
    a = contrast ** np.where(rng.random() < 0.5, rng.random(shape), rng.integers(0, 2, shape))
    return {"a": a * 10.0 ** rng.integers(-3, 4), "f": rng.standard_normal(shape), "g": rng.standard_normal(shape)}


def _lines(quick: bool, rng: np.random.Generator) -> tuple[int, int, Array]:
    cases, wrong, ratios, batch = 0, 0, [], 25
    while cases < (600 if quick else 10_000):
        problem = GivenGrid(Grid((int(rng.integers(2, 24)),), float(10.0 ** rng.uniform(-2, 2))))
        mu, kind = _data(rng, problem.space, batch), KINDS[cases // (2 * batch) % len(KINDS)]
        v = _fields(solve(problem, mu, Direct()).field, kind, rng)
        true = line_error(on_halves(mu["a"]), on_halves(mu["f"]), _carried(problem, mu, v), problem.space.lengths[0])
        for flux in FLUXES:
            found = TotalErrorBound(problem, flux)(prediction(problem, mu, v))
            wrong += _count(found.total, found.lower, true, true)
            ratios.append(found.total / true)
            cases += batch
    return cases, wrong, np.concatenate(ratios).astype(float)


def _squares(quick: bool, rng: np.random.Generator) -> tuple[int, int, Array]:
    cases, wrong, ratios, batch = 0, 0, [], 50
    while cases < (600 if quick else 10_000):
        n = int(rng.integers(2, 9))
        problem, a = GivenGrid(Grid((n, n))), 10.0 ** rng.uniform(-4, 4, batch)
        ones, kind = np.ones((batch, n + 1, n + 1)), KINDS[cases // (2 * batch) % len(KINDS)]
        mu = {"a": ones * a[:, None, None], "f": ones, "g": 0 * ones}
        v = _carried(problem, mu, _fields(solve(problem, mu, Direct()).field, kind, rng))
        true = square_error(v, a)
        for flux in FLUXES:
            found = TotalErrorBound(problem, flux)(prediction(problem, mu, v))
            wrong += _count(found.total, found.lower, true, true)
            ratios.append(found.total / true)
            cases += batch
    return cases, wrong, np.concatenate(ratios).astype(float)


def _planes(quick: bool, rng: np.random.Generator) -> tuple[int, int, Array]:
    cases, wrong, ratios = 0, 0, []
    while cases < (40 if quick else 1_000):
        n = (int(rng.integers(2, 8)),) * 2
        problem = GivenGrid(Grid(n))
        mu, kind = _data(rng, problem.space, 5), KINDS[cases // 10 % len(KINDS)]
        v = _carried(problem, mu, _fields(solve(problem, mu, Direct()).field, kind, rng))
        known = [plane_errors(on_halves(mu["a"])[i], on_halves(mu["f"])[i], refined(v[i]), 3) for i in range(len(v))]
        count, values = _against(problem, mu, v, np.array(known))
        wrong, cases = wrong + count, cases + 2 * len(v)
        ratios.append(values)
    return cases, wrong, np.concatenate(ratios)


def _against(problem: Problem, mu: Mu, v: Array, known: Array) -> tuple[int, Array]:
    """Both fluxes against distances to finer solutions `(B, levels)`: below all of them, or far above them."""
    wrong, ratios = 0, []
    # what the finest grid does not see is at most three times what the last steps saw (a factor for safety)
    high = np.sqrt(known[:, -1] ** 2 + 3 * (known[:, -1] ** 2 - known[:, -3] ** 2).clip(0))
    for flux in FLUXES:
        found = TotalErrorBound(problem, flux)(prediction(problem, mu, v))
        slack = 1e-10 * found.norm + 1e-9 * known[:, -1]  # of the float64 reference
        wrong += _count(found.total, found.lower, known[:, -1] - slack, high + slack)
        ratios.append(found.total / known[:, -1])
    return wrong, np.concatenate(ratios)


def _triangles(quick: bool, rng: np.random.Generator) -> tuple[int, int, Array]:
    cases, wrong, ratios = 0, 0, []
    while cases < (40 if quick else 1_000):
        problem = random_mesh(rng, int(rng.integers(1, 30)))
        count = len(problem.triangles)
        mu = {
            "a": 10.0 ** (rng.uniform(0, 4) * rng.random((1, count))),
            "f": rng.standard_normal((1, count)),
            "g": rng.standard_normal((1, len(problem.nodes))),
        }
        u = solve(problem, mu, Direct()).field
        v = _carried(problem, mu, _fields(u, KINDS[cases // 2 % len(KINDS)], rng))
        more, values = _against(problem, mu, v, problem.distances(mu, v, 3)[None])
        wrong, cases = wrong + more, cases + 2
        ratios.append(values)
    return cases, wrong, np.concatenate(ratios)


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
            true = np.array([extrapolated(plane_errors(a[i], f[i], refined(v[i]), 3)) for i in indices])
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
        bounds = {flux: TotalErrorBound(problem, flux) for flux in FLUXES}
        contestants: dict[str, Callable[[], Any]] = {
            "solver": partial(solve, problem, mu),
            "Pardiso": partial(_pardiso, problem, mu),
        } | {flux: partial(bound, prediction(problem, mu, v)) for flux, bound in bounds.items()}
        seconds = _alternating(contestants, 2 if quick else 5)
        for flux in FLUXES:
            detail = {name: value / batch for name, value in seconds.items()}
            label = f"total error, cost in Pardiso solves, {problem.kind}, {flux} flux"
            detail["own solves"] = seconds[flux] / seconds["solver"]
            result.append(Row(label, seconds[flux] / seconds["Pardiso"], "x", None, "<=", detail))
    return result


def _pardiso(problem: Linear, mu: Mu) -> None:
    library = Pardiso(definite=True, tuned=True)
    for i in range(len(next(iter(mu.values())))):
        system = problem.assemble(select(mu, slice(i, i + 1)))
        inner = np.flatnonzero(system.free)
        matrix = system.matrix.tocsr()[inner][:, inner]
        matrix.sort_indices()
        library.solve(matrix, np.ascontiguousarray(system.load[inner]))
    library.close()


def _alternating(contestants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The least seconds of each, after one round that is not counted."""
    best = dict.fromkeys(contestants, np.inf)
    for turn in range(rounds + 1):
        for name, work in contestants.items():
            begin = perf_counter()
            work()
            best[name] = min(best[name], perf_counter() - begin) if turn else np.inf
    return best
