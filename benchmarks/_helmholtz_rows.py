"""Helmholtz with random media, k 20-40, 128²: the batched factorisation against direct solvers one by one.

All contestants get the same assembled systems, take turns in one process on one thread, and every solution's true
relative residual is recomputed. Pardiso is at the best settings that were found: symmetric indefinite, one analysis for
all matrices, the better of two orderings, the improved two-level factorisation, the sequential threading layer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import scipy.sparse.linalg as sla
from _harness import Row, absent
from _krylov import gmres

from nwidth.core.arrays import Array, Mu
from nwidth.core.kinds import available
from nwidth.core.validation import batch_size
from nwidth.problems.fixed_pattern import Filled
from nwidth.problems.helmholtz import Helmholtz
from nwidth.solvers.ldlt import BatchedLDLT
from nwidth.spaces.factor import Factor, Pattern, new_factor
from nwidth.spaces.ldlt import BatchedLDLT as Batch
from nwidth.spaces.ldlt_symbolic import analyse

RTOL = 1e-8
OURS, PARDISO = "batched LDLᵀ", "Pardiso"
#: Products that GMRES may use before it counts as failed.
_PRODUCTS = 400


@dataclass
class _Times:
    """Seconds per sample and true relative residuals of one contestant."""

    seconds: list[float] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)

    @property
    def milliseconds(self) -> float:
        return 1e3 * median(self.seconds)

    def detail(self) -> dict[str, Any]:
        """What a row keeps."""
        return {
            "ms": self.milliseconds,
            "fastest_ms": 1e3 * min(self.seconds),
            "spread": max(self.seconds) / min(self.seconds),
            "largest_residual": max(self.residuals),
        }


#: Solutions `(k, n)` of the systems of a slice.
Solve = Callable[[Filled], Array]


def rows(quick: bool, seed: int) -> list[Row]:
    """The rows of the benchmark; `quick` is too small for the target."""
    n, rounds = (32, 3) if quick else (128, 12)
    target = None if quick else 3.0
    real = _race(Helmholtz(n), seed, rounds, everybody=True)
    name = f"Helmholtz, {n}², k 20-40"
    out = [
        Row(f"{name}: {OURS}, ms per sample", real[OURS].milliseconds, "ms", detail=real[OURS].detail()),
        Row(f"{name}: {OURS}, largest residual", max(real[OURS].residuals), "", RTOL, "<="),
        *_ratios(name, real, target),
        _krylov_row(name, Helmholtz(n), seed),
        _from_parameters(name, Helmholtz(n), real.get(PARDISO), seed, rounds),
    ]
    outgoing = f"Helmholtz, absorbing, {n}², k 20-40"
    return out + _ratios(outgoing, _race(Helmholtz(n, boundary="absorbing"), seed, rounds, everybody=False), None)


def _ratios(name: str, results: dict[str, _Times], target: float | None) -> list[Row]:
    """Each contestant's time over ours; NaN where somebody missed the tolerance."""
    ours, found = results[OURS], []
    for other, times in results.items():
        if other == OURS:
            continue
        fair = max(*ours.residuals, *times.residuals) <= 1.01 * RTOL
        ratio = times.milliseconds / ours.milliseconds if fair else float("nan")
        detail = {OURS: ours.detail(), other: times.detail()}
        found.append(Row(f"{name}: {other} / {OURS}", ratio, "x", target if other == PARDISO else None, detail=detail))
    if PARDISO not in results:
        found.append(absent(f"{name}: {PARDISO} / {OURS}", "pypardiso", target))
    return found


def _race(problem: Helmholtz, seed: int, rounds: int, everybody: bool) -> dict[str, _Times]:
    """All contestants in turn; each round is one full batch for us and one sample of it for every other."""
    dtype, pattern = problem.space.dtype, problem.pattern
    batch = Batch(analyse(pattern), dtype)
    filled = problem.fill(problem.parameters.sample(range(batch.lanes * (rounds + 1)), seed))
    others: dict[str, Solve] = {}
    if available("pypardiso"):
        others[PARDISO] = _reused(new_factor(pattern, "pardiso", "symmetric", dtype))
    if everybody:
        others["SuperLU, default"] = _superlu(pattern, {})
        others["SuperLU, tuned"] = _superlu(pattern, _SYMMETRIC_MODE)
    others["SuperLU, fixed ordering"] = _reused(new_factor(pattern, "superlu", "symmetric", dtype))
    results = {name: _Times() for name in (OURS, *others)}
    for k in range(rounds + 1):  # the first round compiles and analyses, and is not counted
        part = _take(filled, slice(k * batch.lanes, (k + 1) * batch.lanes))
        _time(results[OURS], pattern, part, lambda p: batch.solve(p.values, p.load, RTOL).x)
        for name, solve in others.items():
            _time(results[name], pattern, _take(part, slice(0, 1)), solve)
        if k == 0:
            results = {name: _Times() for name in results}
    return results


def _time(times: _Times, pattern: Pattern, part: Filled, solve: Solve) -> None:
    begin = perf_counter()
    x = solve(part)
    times.seconds.append((perf_counter() - begin) / len(x))
    for values, load, found in zip(part.values, part.load, x, strict=True):
        residual = np.linalg.norm(load - pattern.matrix(values) @ found) / np.linalg.norm(load)
        times.residuals.append(float(residual))


def _take(filled: Filled, rows: slice) -> Filled:
    return Filled(filled.values[rows], filled.load[rows], filled.lift[rows])


def _reused(factor: Factor) -> Solve:
    """A factorisation that keeps its analysis."""

    def solve(part: Filled) -> Array:
        factor.factorise(part.values[0])
        return factor.solve(part.load)

    return solve


#: SuperLU without pivoting on the ordering of A + Aᵀ.
_SYMMETRIC_MODE: dict[str, Any] = {
    "permc_spec": "MMD_AT_PLUS_A",
    "diag_pivot_thresh": 0.0,
    "options": {"SymmetricMode": True},
}


def _superlu(pattern: Pattern, options: dict[str, Any]) -> Solve:
    return lambda part: sla.splu(pattern.matrix(part.values[0]).tocsc(), **options).solve(part.load[0])[None]


def _krylov_row(name: str, problem: Helmholtz, seed: int) -> Row:
    """The usual baseline: an incomplete factorisation is no preconditioner of an indefinite matrix."""
    filled = problem.fill(problem.parameters.sample([0], seed))
    matrix, load = problem.pattern.matrix(filled.values[0]), filled.load[0]
    begin = perf_counter()
    answer = gmres(matrix, load, RTOL, most=_PRODUCTS)
    seconds = perf_counter() - begin
    residual = float(np.linalg.norm(load - matrix @ answer.x) / np.linalg.norm(load))
    detail = {"ms": 1e3 * seconds, "products": answer.products}
    if residual > 1.01 * RTOL:
        detail["reason"] = "does not converge, as expected: ILU(0) of an indefinite matrix"
    return Row(f"{name}: GMRES(40), ILU(0), residual after {answer.products} products", residual, "", detail=detail)


def _from_parameters(name: str, problem: Helmholtz, pardiso: _Times | None, seed: int, rounds: int) -> Row:
    """From parameters to fields, assembly included for us and not for Pardiso."""
    title = f"{name}: {PARDISO} given its systems / {OURS} from the parameters"
    if pardiso is None:
        return absent(title, "pypardiso")
    solver = BatchedLDLT()
    state, mu = solver.prepare(problem), problem.parameters.sample(range(16), seed)
    seconds = [_whole(solver, state, mu) for _ in range(rounds + 1)][1:]
    ours = 1e3 * median(seconds)
    return Row(title, pardiso.milliseconds / ours, "x", detail={"ms": ours, "fastest_ms": 1e3 * min(seconds)})


def _whole(solver: BatchedLDLT, state: Any, mu: Mu) -> float:
    begin = perf_counter()
    answer = solver.solve(state, mu)
    seconds = (perf_counter() - begin) / batch_size(mu)
    if not answer.converged.all():
        raise RuntimeError(f"{int((~answer.converged).sum())} samples did not converge: {answer.note}")
    return seconds
