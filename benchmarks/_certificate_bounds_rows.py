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
from nwidth.problems.base import Coercive, Linear
from nwidth.problems.darcy import Darcy
from nwidth.problems.elasticity import Elasticity
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.solvers.choose import solve
from nwidth.solvers.direct import Direct
from nwidth.solvers.multigrid import Multigrid
from nwidth.spaces.grid import Grid
from nwidth.study.measure import alternate, one_thread, recorded

if available("pypardiso"):
    from _tuned_pardiso import TunedPardiso

#: Cases that are drawn, solved and bounded together.
_BATCH = 500
#: The effectivity is looked at where the error is above this part of the norm: below, rounding is what is bounded.
_VISIBLE = 1e-5
#: What L2 limits keep to in the median up to contrast 4, from above and below: none of it a theorem.
L2_MEDIAN, L2_LOWER_MEDIAN = 1.5, 0.75
PARDISO, SHIPPED = "Pardiso, assembly included", "Pardiso as this package calls it"

Draw = Callable[[np.random.Generator, int], dict[str, Array]]


@dataclass(frozen=True, eq=False)
class Family:
    """A kind of problem, how its parameters are drawn, and the exact errors."""

    name: str
    problem: Coercive
    draw: Draw
    truth: Callable[[Coercive, Mu], Truth]


#: What is counted: `‖u - v‖` from both sides in two norms, and outputs where the problem has some.
CHECKS = ("upper", "lower", "L2", "L2 lower", "outputs")
#: Limits, each of which has to be a number.
LIMITS = ("upper", "L2", "outputs")


@dataclass(eq=False)
class Tally:
    """What is counted over the cases of a family: pairs of a parameter and a field, every one drawn for itself."""

    cases: int = 0
    checks: int = 0
    violations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHECKS, 0))
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0))
    effectivity: list[Real] = field(default_factory=list)
    from_below: list[Real] = field(default_factory=list)
    l2: list[Real] = field(default_factory=list)
    l2_from_below: list[Real] = field(default_factory=list)
    contrast: list[Real] = field(default_factory=list)

    def limit(self, name: str, limit: Real, error: Array) -> None:
        """An upper bound: a number above zero that is not below the error, NaN being neither."""
        self.checks += len(limit)
        self.violations[name] += int((~(limit >= error) | ~(limit > 0)).sum())
        self.refused[name] += int((~(limit < np.inf)).sum())

    def below(self, name: str, lower: Real, error: Array) -> None:
        """A lower bound, which is finite and not above the error."""
        self.checks += len(lower)
        self.violations[name] += int((~(lower <= error) | ~(lower >= 0)).sum())


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
    found.cases += len(fields)
    found.limit("upper", energy.bound, error)
    found.below("lower", _known(energy.lower), error)
    found.limit("L2", l2.bound, mass_error)
    found.below("L2 lower", _known(l2.lower), mass_error)
    for name, true in truth.outputs(problem).items():
        for output in (energy.outputs[name], l2.outputs[name]):
            found.limit("outputs", output.limit, np.abs(true - output.values))
    size, _ = truth.errors(np.where(truth.free, 0.0, truth.u.astype(np.float64)))
    seen = np.asarray(error > _VISIBLE * size)
    stability = problem.constant(mu)
    found.contrast.append((stability.upper / stability.lower)[seen])
    for values, part in (
        (found.effectivity, energy.bound / error),
        (found.from_below, _known(energy.lower) / error),
        (found.l2, l2.bound / mass_error),
        (found.l2_from_below, _known(l2.lower) / mass_error),
    ):
        values.append(part.astype(float)[seen])


def _known(lower: Real | None) -> Real:
    """A certificate of this kind always has a bound from below."""
    if lower is None:
        raise TypeError("the answer has no lower bound")
    return lower


def _rows(family: Family, count: int, seed: int) -> list[Row]:
    begin = process_time()
    tally = tallied(family, count, seed)
    contrast, effectivity, below, l2, l2_below = (
        np.concatenate(parts)
        for parts in (tally.contrast, tally.effectivity, tally.from_below, tally.l2, tally.l2_from_below)
    )
    mild = contrast <= 4
    detail = {
        "cases": tally.cases,
        "parameters": tally.cases,
        "fields": tally.cases,
        "checks": tally.checks,
        "each": tally.violations,
        "seconds": process_time() - begin,
    }
    shown = {
        "effectivity": _quantiles(effectivity),
        "effectivity up to contrast 4": _quantiles(effectivity[mild]),
        "lower bound over the error": _quantiles(below),
        "lower bound over the error up to contrast 4": _quantiles(below[mild]),
        "L2": _quantiles(l2),
        "L2 up to contrast 4": _quantiles(l2[mild]),
        "L2 lower bound over the error": _quantiles(l2_below),
        "L2 lower bound over the error up to contrast 4": _quantiles(l2_below[mild]),
        "largest over (contrast + 1) / (2 √contrast)": float((effectivity * 2 * contrast**0.5 / (contrast + 1)).max()),
        "visible errors": len(effectivity),
    }
    name, limit = family.name, effectivity / contrast**0.5
    return [
        Row(f"{name}: violations", float(sum(tally.violations.values())), "", 0.0, "==", detail),
        Row(f"{name}: cases without a limit", float(sum(tally.refused.values())), "", 0.0, "==", dict(tally.refused)),
        # single precision in the Riesz map may cost a millionth where the bound is the error itself
        Row(f"{name}: effectivity over √contrast", float(limit.max()), "x", 1 + 1e-6, "<=", shown),
        Row(f"{name}: effectivity, median", float(np.median(effectivity)), "x", None, "<=", shown),
        *_sharp(name, below[mild], l2[mild], l2_below[mild]),
    ]


def _sharp(name: str, below: Real, l2: Real, l2_below: Real) -> list[Row]:
    """Bounds that hold because they say nothing are seen here: up to contrast 4.

    The energy's lower bound is at least 2 √κ / (κ + 1) of the error (Kantorovich); for L2 there is no such theorem.
    """
    return [
        Row(f"{name}: lower bound over the error up to contrast 4, smallest", float(below.min()), "", 0.8 - 1e-5),
        Row(f"{name}: L2 limit over the error up to contrast 4, median", float(np.median(l2)), "x", L2_MEDIAN, "<="),
        Row(
            f"{name}: L2 lower bound over the error up to contrast 4, median",
            float(np.median(l2_below)),
            "",
            L2_LOWER_MEDIAN,
        ),
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
    certificate, l2, multigrid = ResidualCertificate(problem), ResidualCertificate(problem, "l2"), Multigrid()
    state = multigrid.prepare(problem)
    contestants: dict[str, Callable[[], object]] = {
        "bound": lambda: certificate.bound(bare),
        "L2 bound": lambda: l2.bound(bare),
        "multigrid": lambda: multigrid.solve(state, mu),
    }
    few = select(mu, slice(0, min(batch, 16)))
    direct, residual = _direct(problem, few) if available("pypardiso") else ({}, float("nan"))
    with one_thread():
        timings = alternate(contestants | direct, rounds, clock=process_time)
    of = {name: len(few["a"]) if name in direct else batch for name in timings}
    each = {name: timing.least / of[name] for name, timing in timings.items()}
    detail = {
        "milliseconds per field": {name: 1e3 * value for name, value in each.items()},
        "fields": of,
        "cells": cells,
        "largest residual of Pardiso": residual,
        **recorded(timings),
    }
    label, targets = f"bound for {batch} fields at {cells}²", (None, None) if quick else (0.25, 0.03)
    found = [Row(f"{label} / own multigrid", each["bound"] / each["multigrid"], "x", targets[0], "<=", detail)]
    if not direct:
        return [*found, absent(f"{label} / Pardiso", "pypardiso", targets[1], "<=")]
    return [
        *found,
        Row(f"{label} / Pardiso", each["bound"] / each[PARDISO], "x", targets[1], "<=", detail),
        Row(f"{label} / Pardiso as this package calls it", each["bound"] / each[SHIPPED], "x", None, "<=", detail),
    ]


def _direct(problem: Linear, mu: Mu) -> tuple[dict[str, Callable[[], object]], float]:
    """Pardiso from the parameters on, at its best and as this package calls it; and how good its best solutions are.

    A bound needs no matrix, a solution does: the assembly counts, and is timed on its own beside.
    """
    tuned, shipped = TunedPardiso(problem), Direct("pardiso")
    state = shipped.prepare(problem)
    return {
        PARDISO: lambda: tuned.solve(mu),
        "of that, the assembly": lambda: list(tuned.assembled(mu)),
        SHIPPED: lambda: shipped.solve(state, mu),
    }, tuned.residual(mu)
