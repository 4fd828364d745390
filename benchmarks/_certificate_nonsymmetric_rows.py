"""Bounds where the matrix is not symmetric, not definite, or complex: violations, effectivity and what they cost.

Transport by random and uniform flows (Péclet numbers from 0.1 to 10,000), waves in random media with closed and with
absorbing ends, and random matrices. References are solved in extended precision for the count of violations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import process_time
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from _harness import Row

from nwidth.bounds.dual_residual import Constants, residual_bounds
from nwidth.bounds.inf_sup_constants import InfSupConstants
from nwidth.bounds.metric import Metric, energy_matrix
from nwidth.bounds.nonsymmetric import FaceConstants
from nwidth.bounds.resonances import Resonances
from nwidth.certificates.linear_residual import LinearResidualCertificate
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.prediction import uncertified
from nwidth.core.solution import Tolerance
from nwidth.core.validation import batch_size, select
from nwidth.online.refine_nonsymmetric import NonsymmetricRefiner
from nwidth.problems.advection_diffusion import AdvectionDiffusion
from nwidth.problems.base import Linear
from nwidth.problems.helmholtz import Helmholtz
from nwidth.solvers.choose import default_solver
from nwidth.solvers.direct import Direct
from nwidth.solvers.gmres import RieszGMRES
from nwidth.spaces.factor import restricted
from nwidth.study.measure import alternate, recorded

#: Fields that are judged for each parameter, by the error that is put on the solution, relative to its size.
ONCE = ("zero", "solution", "boundary")
#: Those that are drawn, several for a parameter: a reference in extended precision costs more than a field.
DRAWN, DRAWS = ("rough", "slight", "huge", "last digits"), 4
KINDS = (*ONCE, *DRAWN * DRAWS)


def rows(quick: bool, seed: int) -> list[Row]:
    """All rows; `quick` counts few cases and has small grids."""
    return [*_violations(quick, seed), *_effectivity(quick, seed), *_costs(quick, seed), *_waves(quick, seed)]


@dataclass
class Count:
    """Cases (pairs of a parameter and a field, all distinct), violations of either bound, cases without a constant,
    effectivities for fields that are not solutions, and the largest quotient of an effectivity and its theoretical
    limit."""

    cases: int = 0
    problems: int = 0
    parameters: int = 0
    violations: int = 0
    unknown: int = 0
    above_limit: float = 0.0
    effectivity: list[float] = field(default_factory=list)

    def add(self, upper: Real, lower: Real, error: Real, limit: Real, kind: str) -> None:
        """One batch."""
        known = np.isfinite(upper)
        self.cases += len(upper)
        self.unknown += int((~known).sum())
        self.violations += int((~(upper >= error) | ~(lower <= error) | ~(upper > 0) | ~(lower >= 0)).sum())
        if kind in ("rough", "zero", "huge") and known.any():
            found = upper[known] / error[known]
            self.effectivity += found.tolist()
            self.above_limit = max(self.above_limit, float((found / limit[known]).max()))

    def row(self, name: str) -> Row:
        """Violations, none of which may be."""
        quantiles = np.quantile(self.effectivity, [0.05, 0.5, 0.95, 1.0]) if self.effectivity else [np.nan] * 4
        detail: dict[str, Any] = {
            "cases": self.cases,
            "problems": self.problems,
            "parameters": self.parameters,
            "fields": self.cases,
            "checks": 2 * self.cases,
            "without_a_constant": self.unknown,
            "effectivity_5_50_95_100": list(map(float, quantiles)),
            "largest_effectivity_over_its_limit": self.above_limit,
        }
        return Row(f"violations, {name}", self.violations, "", 0, "==", detail)


def _violations(quick: bool, seed: int) -> list[Row]:
    wanted = 150 if quick else 10_000
    rng, found = np.random.default_rng(seed), []
    families: Sequence[tuple[str, Iterator[tuple[Linear, Mu]], Constants]] = (
        ("transport, Péclet 0.1 to 10,000", _flows(rng), FaceConstants()),
        ("waves, closed ends", _media(rng, "dirichlet"), InfSupConstants()),
        ("waves, absorbing ends", _media(rng, "absorbing"), InfSupConstants()),
        ("transport by inf-sup constants", _flows(rng), InfSupConstants()),
    )
    for name, draws, constants in families:
        count = Count()
        while count.cases < wanted:
            _judge(*next(draws), constants, count, rng)
        found.append(count.row(name))
        if isinstance(constants, FaceConstants):
            limit = f"effectivity over √(β/α) + k/α, {name}"
            found.append(Row(limit, count.above_limit, "x", 1.0, "<="))
    return found


_BOUNDARIES = (
    {"flow": "random"},
    {"flow": "random", "scheme": "central"},
    {"flow": "random", "centring": "cell", "walls": True},
    {"flow": "random", "boundary_type": (("neumann", "dirichlet"), "robin"), "walls": True},
    {"flow": "uniform", "reaction_rate": 1.0},
    {"flow": "uniform", "boundary_type": ("dirichlet", ("robin", "dirichlet"))},
    {"flow": "uniform", "boundary_type": ("dirichlet", ("robin", "neumann"))},
)


def _flows(rng: np.random.Generator) -> Iterator[tuple[Linear, Mu]]:
    while True:
        choice: dict[str, Any] = dict(_BOUNDARIES[rng.integers(len(_BOUNDARIES))])
        problem = AdvectionDiffusion(int(rng.integers(3, 11)), peclet=10 ** rng.uniform(-1, 4), modes=3, **choice)
        yield problem, problem.parameters.sample(range(6), int(rng.integers(1 << 30)))


def _media(rng: np.random.Generator, boundary: Any) -> Iterator[tuple[Linear, Mu]]:
    while True:
        source = "pulse" if rng.random() < 0.5 else "wave"
        shape: dict[str, Any] = {"boundary": boundary, "source": source, "sigma": 10 ** rng.uniform(-2, 0)}
        problem = Helmholtz(int(rng.integers(4, 11)), lowest=1.0, highest=15.0, modes=4, **shape)
        yield problem, problem.parameters.sample(range(6), int(rng.integers(1 << 30)))


def _judge(problem: Linear, mu: Mu, constants: Constants, count: Count, rng: np.random.Generator) -> None:
    """All kinds of fields of one batch of parameters."""
    metric, systems = Metric.of(problem.space), problem.systems(mu)
    dual, reference = constants.prepare(problem)(mu), Reference(problem, mu)
    limit = np.where(np.isfinite(dual.above), dual.above / np.where(dual.below > 0, dual.below, 1.0), np.inf)
    count.problems, count.parameters = count.problems + 1, count.parameters + batch_size(mu)
    for kind in KINDS:
        v = systems.impose(_field(reference.u.astype(problem.space.dtype), problem, kind, rng))
        bounds = residual_bounds(systems, v, metric, dual)
        count.add(bounds.upper, bounds.lower, reference.error(v, dual.norm), limit, kind)


def _field(u: Array, problem: Linear, kind: str, rng: np.random.Generator) -> Array:
    size = np.abs(u).max()
    noise = size * (rng.normal(size=u.shape) + (1j * rng.normal(size=u.shape) if np.iscomplexobj(u) else 0))
    if kind == "zero":
        return 0 * u
    if kind == "boundary":
        return u + np.where(problem.systems(problem.parameters.sample(range(1), 0)).free, 0.0, 3.0)
    scales = {"rough": 0.1, "slight": 1e-6, "huge": 10.0 ** rng.uniform(3, 15), "solution": 0.0}
    return u + scales.get(kind, 10.0 ** rng.uniform(-17, -13)) * noise


class Reference:
    """Solutions and errors of a batch in extended precision: float64 factors, residuals and sums in the wide type."""

    def __init__(self, problem: Linear, mu: Mu):
        self._x = energy_matrix(problem.space).astype(np.longdouble)
        systems = [problem.assemble(select(mu, slice(i, i + 1))) for i in range(batch_size(mu))]
        self._free = systems[0].free
        matrices = [restricted(sp.csr_array(s.matrix), s.free) for s in systems]
        self._wide = np.clongdouble if np.iscomplexobj(matrices[0].data) else np.longdouble
        self._matrices = [a.astype(self._wide) for a in matrices]
        self.u = np.stack([self._solved(*pair) for pair in zip(systems, matrices, strict=True)])

    def _solved(self, system: Any, a: sp.csr_array) -> Array:
        factor, wide, f = sla.splu(a.tocsc()), a.astype(self._wide), system.load[self._free].astype(self._wide)
        w = np.zeros(len(f), dtype=self._wide)
        for _ in range(8):
            w = w + factor.solve((f - wide @ w).astype(a.dtype)).astype(self._wide)
        full = system.lift.astype(self._wide)
        full[self._free] += w
        return full

    def error(self, v: Array, norm: str) -> Real:
        """`‖u - v‖`, `(B,)`."""
        found = []
        for u, given, a in zip(self.u, v, self._matrices, strict=True):
            e = (u - given.astype(self._wide))[self._free]
            form = self._x if norm == "gradient norm" else a
            found.append(np.sqrt(max((np.conj(e) @ (form @ e)).real, 0)))
        return np.array(found, dtype=np.float64)


def _effectivity(quick: bool, seed: int) -> list[Row]:
    """How the limit loses sharpness with the Péclet number: for smooth, for rough and for refined errors."""
    found, n = [], 32 if quick else 64
    for peclet in (1.0, 100.0) if quick else (1.0, 10.0, 100.0, 1000.0, 10_000.0):
        problem = AdvectionDiffusion(n, peclet=peclet)
        mu = problem.parameters.sample(range(16), seed)
        solver = default_solver(problem)
        u = solver.solve(solver.prepare(problem), mu, stop=Tolerance("residual", 1e-13)).field
        rng, metric, systems = np.random.default_rng(seed), Metric.of(problem.space), problem.systems(mu)
        dual = FaceConstants().prepare(problem)(mu)
        fields = {
            "smooth": np.roll(u, 1, axis=0),
            "rough": u + 0.01 * np.abs(u).max() * rng.normal(size=u.shape),
            "refined": _refined(problem, mu, u),
        }
        detail: dict[str, Any] = {"limit": float(np.median(dual.above / dual.below))}
        for name, v in fields.items():
            v = systems.impose(problem.space.flatten(v))
            e = problem.space.flatten(u) - v
            error = np.sqrt(np.einsum("bn,bn->b", e, systems.apply(e)))
            quotient = residual_bounds(systems, v, metric, dual).upper / error
            detail[name] = {"median": float(np.median(quotient)), "largest": float(quotient.max())}
        row = f"effectivity, transport {n}², Péclet {peclet:g}: smooth errors, median"
        found.append(Row(row, detail["smooth"]["median"], "x", None, "<=", detail))
    return found


def _refined(problem: AdvectionDiffusion, mu: Mu, u: Array) -> Array:
    """Another sample's solution, refined by GMRES to a guaranteed hundredth."""
    begin = uncertified(mu, np.roll(u, 1, axis=0), problem.space, np.ones(len(u), dtype=bool))
    gmres = RieszGMRES(max_iterations=2000)
    return NonsymmetricRefiner(problem, solver=gmres).refine(begin, 1e-2).field


def _costs(quick: bool, seed: int) -> list[Row]:
    """The bound of a batch beside solving it, and refinement from a good start beside solving from zero."""
    n, batch, rounds = (32, 8, 2) if quick else (128, 32, 3)
    problem = AdvectionDiffusion(n, peclet=100.0)
    mu = problem.parameters.sample(range(batch), seed)
    certificate, solver = LinearResidualCertificate.build(problem), default_solver(problem)
    state, direct = solver.prepare(problem), Direct()
    held = direct.prepare(problem)
    u = solver.solve(state, mu, stop=Tolerance("residual", 1e-10)).field
    noise = np.random.default_rng(seed).normal(size=u.shape)
    begin = uncertified(mu, u + 0.01 * np.abs(u).max() * noise, problem.space, np.ones(batch, dtype=bool))
    few = select(mu, slice(0, 4))
    works = {
        "bound": lambda: certificate.bound(begin),
        "multigrid": lambda: solver.solve(state, mu, stop=Tolerance("residual", 1e-8)),
        "direct": lambda: direct.solve(held, few),
    }
    timings = alternate(works, rounds, clock=process_time)
    seconds = {name: timing.least for name, timing in timings.items()}
    seconds["direct"] *= batch / 4
    label, detail = f"{batch} fields, transport {n}², Péclet 100", {"seconds": seconds, **recorded(timings)}
    from_zero = uncertified(mu, 0 * u, problem.space, np.ones(batch, dtype=bool))
    steps, more = {}, {}
    for name, chosen in (("GMRES", RieszGMRES()), ("cheapest", None)):
        refiner = NonsymmetricRefiner(problem, solver=chosen)
        for kind, given in (("warm", begin), ("cold", from_zero)):
            steps[name, kind] = float(refiner.refine(given, 1e-4).stats["iterations"].mean())
            more[f"{name}, {kind}"] = lambda refiner=refiner, given=given: refiner.refine(given, 1e-4)
    refined = alternate(more, 1 if quick else 2, clock=process_time)
    refine = {name: timing.least for name, timing in refined.items()}
    kept = {**recorded(refined), "iterations": {" ".join(k): v for k, v in steps.items()}}
    return [
        Row(f"bound over multigrid, {label}", seconds["bound"] / seconds["multigrid"], "x", None, "<=", detail),
        Row(f"bound over a direct solve, {label}", seconds["bound"] / seconds["direct"], "x", None, "<=", detail),
        Row(
            f"refinement to 1e-4, GMRES, iterations warm over cold, {n}²",
            steps["GMRES", "warm"] / steps["GMRES", "cold"], "x", None, "<=", kept,
        ),
        Row(
            f"refinement to 1e-4, GMRES over the cheapest solver, {n}²",
            refine["GMRES, warm"] / refine["cheapest, warm"], "x", None, "<=", kept,
        ),
    ]  # fmt: skip


def _waves(quick: bool, seed: int) -> list[Row]:
    """What a proof of the inf-sup constant costs beside a solve, for each query and offline for all frequencies."""
    n, batch, rounds = (24, 4, 2) if quick else (128, 8, 3)
    found = []
    for boundary in ("dirichlet", "absorbing"):
        problem = Helmholtz(n if boundary == "dirichlet" or quick else n // 2, boundary=boundary)  # type: ignore[arg-type]
        mu = problem.parameters.sample(range(batch), seed)
        direct, solver = Direct(), default_solver(problem)
        held, state = direct.prepare(problem), solver.prepare(problem)
        prove, guess = InfSupConstants().prepare(problem), InfSupConstants(prove=False).prepare(problem)
        works = {
            "proof": lambda p=prove, m=mu: p(m),
            "estimate": lambda p=guess, m=mu: p(m),
            "direct": lambda d=direct, h=held, m=mu: d.solve(h, m),
            "batched": lambda d=solver, h=state, m=mu: d.solve(h, m),
        }
        timings = alternate(works, rounds, clock=process_time)
        seconds = {name: timing.least for name, timing in timings.items()}
        proven = prove(mu)
        detail: dict[str, Any] = {
            **recorded(timings), "queries": batch, "without": int(np.isinf(proven.above).sum()),
            "sharpness": _sharpness(problem, mu, proven.above) if quick else None,
        }  # fmt: skip
        name = f"{boundary}, {problem.resolution}²"
        found.append(
            Row(
                f"proven inf-sup over one direct solve, {name}",
                seconds["proof"] / seconds["direct"],
                "x",
                detail=detail,
            )
        )
    return [*found, *_tables(quick, seed), _wave_effectivity(quick, seed)]


def _tables(quick: bool, seed: int) -> list[Row]:
    """One medium, all frequencies: intervals proven offline, and their constants beside those of each query."""
    n, queries = (16, 20) if quick else (64, 40)
    problem = Helmholtz(n, lowest=10.0, highest=20.0)
    drawn = problem.parameters.sample(range(1), seed)
    begin = process_time()
    table = Resonances.build(problem, {"k": np.ones(1), "n": drawn["n"]}, 100.0, 400.0)
    offline = process_time() - begin
    k = np.random.default_rng(seed).uniform(10.0, 20.0, size=queries)
    mu = {"k": k, "n": np.repeat(drawn["n"], queries, axis=0)}
    online, each = table.prepare(problem), InfSupConstants().prepare(problem)
    timings = alternate({"table": lambda: online(mu), "proof": lambda: each(mu)}, 2, clock=process_time)
    seconds = {name: timing.least for name, timing in timings.items()}
    ours, theirs = online(mu).above, each(mu).above
    known = np.isfinite(ours)
    detail = {**recorded(timings), "offline": offline, "intervals": len(table.low), "known": int(known.sum())}
    return [
        Row(f"resonances of one medium, {n}², k 10 to 20: share of queries with a constant", known.mean(), "", None,
            detail=detail),
        Row(f"the same: query over a proof for it, {n}²", seconds["table"] / seconds["proof"], "x", None, "<=", detail),
        Row(f"the same: largest ratio of its bound to that of a proof, {n}²",
            float((ours[known] / theirs[known]).max()), "x", None, "<=", detail),
    ]  # fmt: skip


def _wave_effectivity(quick: bool, seed: int) -> Row:
    n = 24 if quick else 64
    problem = Helmholtz(n, lowest=5.0, highest=20.0)
    mu = problem.parameters.sample(range(8 if quick else 40), seed)
    u = default_solver(problem).solve(default_solver(problem).prepare(problem), mu).field
    metric, systems, dual = Metric.of(problem.space), problem.systems(mu), InfSupConstants().prepare(problem)(mu)
    detail: dict[str, Any] = {"limit": float(np.median(dual.above / dual.below))}
    noise = np.random.default_rng(seed).normal(size=u.shape)
    for name, v in (("rough", u + 0.01 * np.abs(u).max() * noise), ("smooth", np.roll(u, 1, axis=0))):
        v = systems.impose(problem.space.flatten(v))
        quotient = residual_bounds(systems, v, metric, dual).upper / metric.inner.norm(problem.space.flatten(u) - v)
        detail[name] = {"median": float(np.median(quotient)), "largest": float(quotient.max())}
    name = f"effectivity, waves {n}², k 5 to 20: smooth errors, median"
    return Row(name, detail["smooth"]["median"], "x", None, "<=", detail)


def _sharpness(problem: Helmholtz, mu: Mu, above: Real) -> float:
    """The smallest ratio of a proven constant to the dense one."""
    x = energy_matrix(problem.space).toarray()
    root = la.cholesky(x, lower=True)
    ratios = []
    for i, value in enumerate(above):
        system = problem.assemble(select(mu, slice(i, i + 1)))
        a = restricted(sp.csr_array(system.matrix), system.free).toarray()
        half = la.solve_triangular(root, a, lower=True)
        ratios.append(1 / value / la.svdvals(la.solve_triangular(root, half.T, lower=True))[-1])
    return float(min(ratios))
