"""Residual bounds: violations against extended precision, effectivity against the theory, cost against solving.

    python benchmarks/certificates.py --part bounds

10,000 random cases per family: coefficients with a contrast from 1 to 10⁴ and fields that are meant to break a bound.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import process_time

import numpy as np
from _bounds_oracle import Diffusion, Truth, of_affine, of_grid
from _harness import Row, absent

from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.kinds import available
from nwidth.core.prediction import uncertified
from nwidth.core.validation import select
from nwidth.problems.base import Coercive
from nwidth.problems.darcy import Darcy
from nwidth.problems.elasticity import Elasticity
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.solvers.choose import solve
from nwidth.solvers.direct import Direct
from nwidth.solvers.multigrid import Multigrid
from nwidth.spaces.grid import Grid

#: Cases that are drawn, solved and bounded together.
_BATCH = 500
#: The effectivity is looked at where the error is above this part of the norm: below, rounding is what is bounded.
_VISIBLE = 1e-5

Draw = Callable[[np.random.Generator, int], dict[str, Array]]


@dataclass(frozen=True, eq=False)
class Family:
    """A kind of problem, how its parameters are drawn, and the exact errors."""

    name: str
    problem: Coercive
    draw: Draw
    truth: Callable[[Coercive, Mu], Truth]


@dataclass(eq=False)
class Tally:
    """What is counted over the cases of a family."""

    cases: int = 0
    violations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("upper", "lower", "L2", "L2 lower"), 0))
    refused: int = 0
    effectivity: list[Real] = field(default_factory=list)
    from_below: list[Real] = field(default_factory=list)
    l2: list[Real] = field(default_factory=list)
    contrast: list[Real] = field(default_factory=list)


def rows(quick: bool, seed: int) -> list[Row]:
    """Violations and effectivity for each family, then the cost."""
    count = 500 if quick else 10_000
    found = [row for family in families() for row in _rows(family, count, seed)]
    return [*found, *cost(quick, seed)]


def families() -> list[Family]:
    """Grids with every boundary, a mesh, elasticity."""
    grids = {
        "grid, values given": Diffusion(Grid((6, 5), (1.0, 2.0))),
        "grid, harmonic means": Diffusion(Grid((6, 5)), "harmonic"),
        "grid, one end given": Diffusion(Grid((5, 4), 1.0, (("dirichlet", "neumann"), "neumann"))),
        "grid, Robin": Diffusion(Grid((5, 4), (1.0, 0.5), "robin")),
        "grid, periodic": Diffusion(Grid((5, 5), 1.0, ("dirichlet", "periodic"))),
        "grid, cells": Diffusion(Grid((5, 6), 1.0, (("dirichlet", "robin"), "neumann"), "cell")),
        "grid, 3-D": Diffusion(Grid((4, 4, 5))),
    }
    found = [Family(name, problem, _fields(problem.grid), of_grid) for name, problem in grids.items()]
    block, body = ThermalBlock(blocks=2, resolution=6), Elasticity(resolution=3)
    return [
        *found,
        Family("mesh", block, _scalars(block), of_affine),
        Family("elasticity", body, _scalars(body), of_affine),
    ]


def _fields(grid: Grid) -> Draw:
    def draw(rng: np.random.Generator, batch: int) -> dict[str, Array]:
        shape = (batch, *grid.shape)
        contrast = _contrast(rng, batch).reshape(-1, *[1] * grid.dim)
        jumps = rng.random((batch, *[1] * grid.dim)) < 0.5
        share = np.where(jumps, (rng.random(shape) < 0.5).astype(float), rng.random(shape))
        return {
            "a": contrast**share * 10 ** rng.uniform(-2, 2, batch).reshape(contrast.shape),
            "f": rng.normal(size=shape),
            "g": rng.normal(size=batch) * rng.integers(0, 2, batch),
            "kappa": 10 ** rng.uniform(-2, 2, batch),
        }

    return draw


def _scalars(problem: Coercive) -> Draw:
    names = problem.parameters.names

    def draw(rng: np.random.Generator, batch: int) -> dict[str, Array]:
        contrast = _contrast(rng, batch)
        found = {name: contrast ** rng.random(batch) for name in names}
        return found | {name: rng.uniform(-1, 1, batch) for name in names if name.startswith("t_")}

    return draw


def _contrast(rng: np.random.Generator, batch: int) -> Real:
    """From 1 to 10⁴; exactly 1 in a tenth of the cases, where the bound is the error itself."""
    return np.where(rng.random(batch) < 0.1, 1.0, 10 ** rng.uniform(0, 4, batch))


def candidates(u: Array, rng: np.random.Generator) -> Real:
    """Fields for solutions `(B, N)`: one of eight kinds each."""
    v = u.astype(np.float64)
    size, noise = np.abs(v).max(axis=1, keepdims=True), rng.normal(size=v.shape)
    small = 10.0 ** rng.uniform(-4, 0, (len(v), 1))
    kinds: Mapping[int, Real] = {
        0: 0.0 * v,
        1: v,
        2: v * (1 + 1e-15 * noise),
        3: v + small * size * noise,
        4: 10.0 ** rng.uniform(6, 12, (len(v), 1)) * noise,
        5: (1 + small) * v,
        6: v.astype(np.float32).astype(np.float64),
        7: v + size * (1 + noise),  # wrong values on the boundary as well: they are imposed first
    }
    chosen = rng.integers(0, len(kinds), len(v))
    return np.stack([kinds[int(k)][i] for i, k in enumerate(chosen)])


def tallied(family: Family, count: int, seed: int) -> Tally:
    """Both norms of both certificates over random cases."""
    found, rng = Tally(), np.random.default_rng(seed)
    certificates = ResidualCertificate(family.problem), ResidualCertificate(family.problem, "l2")
    for mu, truth, fields in _cases(family, count, rng):
        _count(found, family.problem, certificates, mu, truth, fields)
    return found


def _cases(family: Family, count: int, rng: np.random.Generator) -> Iterator[tuple[Mu, Truth, Real]]:
    for first in range(0, count, _BATCH):
        mu = family.draw(rng, min(_BATCH, count - first))
        truth = family.truth(family.problem, mu)
        yield mu, truth, candidates(truth.u, rng)


def _count(
    found: Tally,
    problem: Coercive,
    certificates: tuple[ResidualCertificate, ResidualCertificate],
    mu: Mu,
    truth: Truth,
    fields: Real,
) -> None:
    space = problem.space
    bare = uncertified(mu, space.unflatten(fields), space, np.ones(len(fields), dtype=bool))
    energy, l2 = (certificate.bound(bare) for certificate in certificates)
    error, mass_error = truth.errors(space.flatten(energy.field))
    stability = problem.constant(mu)
    checks = {
        "upper": energy.bound < error,
        "lower": energy.lower > error,
        "L2": l2.bound < mass_error,
        "L2 lower": l2.lower > mass_error,
    }
    for name, broken in checks.items():
        found.violations[name] += int(broken.sum()) + int((~(energy.bound > 0)).sum() if name == "upper" else 0)
    found.cases += len(fields)
    found.refused += int(np.isinf(energy.bound).sum())
    size, _ = truth.errors(np.where(truth.free, 0.0, truth.u.astype(np.float64)))
    seen = np.asarray(error > _VISIBLE * size)
    found.contrast.append((stability.upper / stability.lower)[seen])
    found.effectivity.append((energy.bound / error).astype(float)[seen])
    found.from_below.append((energy.lower / error).astype(float)[seen])
    found.l2.append((l2.bound / mass_error).astype(float)[seen])


def _rows(family: Family, count: int, seed: int) -> list[Row]:
    begin = process_time()
    tally = tallied(family, count, seed)
    contrast, effectivity = np.concatenate(tally.contrast), np.concatenate(tally.effectivity)
    below, l2 = np.concatenate(tally.from_below), np.concatenate(tally.l2)
    mild = contrast <= 4
    detail = {
        "cases": tally.cases,
        "each": tally.violations,
        "refused": tally.refused,
        "seconds": process_time() - begin,
    }
    shown = {
        "effectivity": _quantiles(effectivity),
        "effectivity up to contrast 4": _quantiles(effectivity[mild]),
        "lower bound over the error": _quantiles(below),
        "lower bound over the error up to contrast 4": _quantiles(below[mild]),
        "L2": _quantiles(l2),
        "largest over (contrast + 1) / (2 √contrast)": float((effectivity * 2 * contrast**0.5 / (contrast + 1)).max()),
        "visible errors": len(effectivity),
    }
    return [
        Row(f"{family.name}: violations", float(sum(tally.violations.values())), "", 0.0, "==", detail),
        # single precision in the Riesz map may cost a millionth where the bound is the error itself
        Row(
            f"{family.name}: effectivity over √contrast",
            float((effectivity / contrast**0.5).max()),
            "x",
            1 + 1e-6,
            "<=",
            shown,
        ),
        Row(f"{family.name}: effectivity, median", float(np.median(effectivity)), "x", None, "<=", shown),
    ]


def _quantiles(values: Real) -> dict[str, float]:
    if not len(values):
        return {}
    return {f"{q:g}": float(np.quantile(values, q)) for q in (0.0, 0.05, 0.5, 0.95, 1.0)}


def cost(quick: bool, seed: int) -> list[Row]:
    """A batch of fields near the solutions, bounded and solved in turn; processor time, the least of all rounds."""
    batch, cells, rounds = (8, 32, 2) if quick else (64, 128, 7)
    problem = Darcy(cells)
    mu = problem.parameters.sample(range(batch), seed)
    u = solve(problem, mu).field
    noise = np.random.default_rng(seed).normal(size=u.shape)
    fields = u + np.where(problem.space.free.reshape(u.shape[1:]), 1e-3 * np.abs(u).max() * noise, 0.0)
    bare = uncertified(mu, fields, problem.space, np.ones(batch, dtype=bool))
    certificate, l2 = ResidualCertificate(problem), ResidualCertificate(problem, "l2")
    multigrid, few = Multigrid(), select(mu, slice(0, min(batch, 16)))
    state = multigrid.prepare(problem)
    contestants: dict[str, Callable[[], object]] = {
        "bound": lambda: certificate.bound(bare),
        "L2 bound": lambda: l2.bound(bare),
        "multigrid": lambda: multigrid.solve(state, mu),
    }
    if available("pypardiso"):
        direct = Direct("pardiso")
        factors = direct.prepare(problem)
        contestants["Pardiso"] = lambda: direct.solve(factors, few)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for name, call in [(n, c) for _ in range(rounds + 1) for n, c in contestants.items()]:
        begin = process_time()
        call()
        seconds[name].append(process_time() - begin)
    each = {name: min(values[1:]) / (len(few["a"]) if name == "Pardiso" else batch) for name, values in seconds.items()}
    detail = {
        "milliseconds per field": {name: 1e3 * value for name, value in each.items()},
        "batch": batch,
        "cells": cells,
    }
    label, targets = f"bound for {batch} fields at {cells}²", (None, None) if quick else (0.25, 0.03)
    found = [Row(f"{label} / own multigrid", each["bound"] / each["multigrid"], "x", targets[0], "<=", detail)]
    if "Pardiso" not in each:
        return [*found, absent(f"{label} / Pardiso", "pypardiso", targets[1], "<=")]
    return [*found, Row(f"{label} / Pardiso", each["bound"] / each["Pardiso"], "x", targets[1], "<=", detail)]
