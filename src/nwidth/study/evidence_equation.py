"""What a guaranteed limit rests on, tried out on the equation itself: by independent means, and so as to break it."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from nwidth.bounds.residual import EPS, energy_bounds
from nwidth.core.arrays import Mu, Real
from nwidth.core.errors import WorkError
from nwidth.core.prediction import Prediction
from nwidth.core.seeding import generator
from nwidth.core.validation import select
from nwidth.problems.base import Coercive, Stability, Systems
from nwidth.reports.evidence import Assumption, State
from nwidth.reports.words import deviation, plural, significant
from nwidth.solvers.direct import Direct
from nwidth.spaces.base import InnerProduct
from nwidth.study.errors import energy_errors, run_bounds

#: Cases that are looked at one by one, and steps of the search for a vector that breaks a constant.
FEW, STEPS = 4, 30
#: Room for the rounding of the check itself.
_ROOM = 1e-8
#: Larger problems are not factorised for a page of evidence.
_LARGEST = 60_000


@dataclass(frozen=True)
class Probe:
    """A few cases: their systems, their energy product, their constants and the answers' dofs `(B, N)`."""

    problem: Coercive
    mu: Mu
    systems: Systems
    inner: InnerProduct
    stability: Stability
    dofs: Real
    limit: Real

    @classmethod
    def of(cls, problem: Coercive, prediction: Prediction) -> "Probe":
        """The first cases that have a limit."""
        rows = np.flatnonzero(np.isfinite(prediction.bound))[:FEW]
        part, mu = prediction.take(rows), select(prediction.mu, rows)
        dofs = problem.space.flatten(np.asarray(part.field)).astype(np.float64)
        inner = problem.space.inner("energy")
        return cls(problem, mu, problem.systems(mu), inner, problem.constant(mu), dofs, part.bound)


def equation_checks(problem: Coercive, prediction: Prediction, seed: int) -> tuple[Assumption, ...]:
    """Symmetry, stability constants, boundary values, Riesz map, and the limit against a factorisation."""
    if not np.isfinite(prediction.bound).any():
        return (Assumption.judged("Some case has a limit", "limits of the unseen cases", False, "none is finite"),)
    probe = Probe.of(problem, prediction)
    return (
        _symmetric(probe, seed), *_constants(probe, seed), _imposed(probe), _riesz(probe, seed), *_factorised(probe)
    )  # fmt: skip


def _symmetric(probe: Probe, seed: int) -> Assumption:
    systems = probe.systems
    x, y = np.where(systems.free, generator(seed, 1).standard_normal((2, *probe.dofs.shape)), 0.0)
    apart = np.abs(np.sum(x * systems.apply(y), axis=1) - np.sum(y * systems.apply(x), axis=1))
    scale = np.sum(np.abs(x) * systems.magnitude(y), axis=1)
    worst = float((apart / scale).max())
    return Assumption.judged(
        "The equation's matrix is symmetric",
        f"xᵀA y against yᵀA x for random x, y, in {plural(len(x), 'case')}",
        worst <= 1e3 * EPS * np.sqrt(probe.dofs.shape[1]),
        f"apart by: {deviation(worst)}",
    )


def _constants(probe: Probe, seed: int) -> tuple[Assumption, ...]:
    """Ritz values of X⁻¹A lie inside its spectrum: one outside of [α, β] would disprove the constants."""
    ends = [_ritz(probe, row, seed) for row in range(len(probe.dofs))]
    low = min(smallest / alpha for (smallest, _), alpha in zip(ends, probe.stability.lower, strict=True))
    high = max(largest / beta for (_, largest), beta in zip(ends, probe.stability.upper, strict=True))
    how = f"Lanczos with X⁻¹A, {STEPS} steps from a random vector, in {plural(len(ends), 'case')}"
    proven = Assumption.judged(
        "The stability constant is proven, not estimated", "what the problem declares", probe.stability.proven,
        "proven" if probe.stability.proven else "an estimate",
    )  # fmt: skip
    return (
        proven,
        Assumption.judged("No direction is softer than the constant α says (A >= α X)", how, low >= 1 - _ROOM,
                          f"softest found: {significant(low, 4)} α"),
        Assumption.judged("No direction is stiffer than the constant β says (A <= β X)", how, high <= 1 + _ROOM,
                          f"stiffest found: {significant(high, 4)} β"),
    )  # fmt: skip


def _ritz(probe: Probe, row: int, seed: int) -> tuple[float, float]:
    """The smallest and the largest Ritz value of `A v = λ X v` after a few Lanczos steps, fully orthogonalised."""
    systems, inner = probe.systems.take(slice(row, row + 1)), probe.inner
    q = np.where(systems.free, generator(seed, 2, row).standard_normal((1, probe.dofs.shape[1])), 0.0)
    q /= inner.norm(q)[:, None]
    basis, images, diagonal, beside = [q], [inner.apply(q)], [], []
    for _ in range(min(STEPS, int(systems.free.sum()))):
        w = inner.riesz(systems.apply(basis[-1]))
        diagonal.append(float(np.sum(images[-1] * w)))
        for _ in range(2):
            w = w - sum(float(np.sum(x * w)) * v for x, v in zip(images, basis, strict=True))
        length = float(inner.norm(w)[0])
        if length <= 1e-10 * abs(diagonal[0]):
            break
        beside.append(length)
        basis.append(w / length)
        images.append(inner.apply(basis[-1]))
    values = eigvalsh_tridiagonal(np.array(diagonal), np.array(beside[: len(diagonal) - 1]))
    return float(values[0]), float(values[-1])


def _imposed(probe: Probe) -> Assumption:
    systems = probe.systems
    gap = float(np.abs(np.where(systems.free, 0.0, probe.dofs - systems.lift)).max())
    return Assumption.judged(
        "Answers carry the prescribed values exactly",
        "answer against prescribed value at every constrained node",
        gap == 0.0,
        f"largest gap {significant(gap)}",
    )


def _riesz(probe: Probe, seed: int) -> Assumption:
    r = np.where(probe.systems.free, generator(seed, 3).standard_normal(probe.dofs.shape), 0.0)
    left = r - probe.inner.apply(probe.inner.riesz(r))
    worst = float((np.linalg.norm(left, axis=1) / np.linalg.norm(r, axis=1)).max())
    return Assumption.judged(
        "The norm of the residual is measured with the right inner product",
        "X times X⁻¹ of random vectors gives them back; what is left is added to the limit",
        worst <= 1e-4,
        f"left over: {deviation(worst)}",
    )


def _factorised(probe: Probe) -> tuple[Assumption, ...]:
    """The true error from a sparse factorisation, which shares nothing with the solver of the runs."""
    text = "The limit is not below the true error"
    how = f"{plural(len(probe.dofs), 'case')} solved again by a sparse factorisation"
    if probe.dofs.shape[1] > _LARGEST:
        return (Assumption(text, f"{how}: left out above {_LARGEST:,} unknowns", State.OPEN),)
    solver = Direct()
    try:
        truth = np.asarray(solver.solve(solver.prepare(probe.problem), probe.mu).field)
    except WorkError as failure:
        return (Assumption(text, f"{how}: it failed ({failure})", State.OPEN),)
    error, _ = energy_errors(probe.problem, probe.mu, truth, probe.problem.space.unflatten(probe.dofs))
    slack = run_bounds(probe.problem, probe.mu, truth)
    ratio = probe.limit / np.maximum(error, np.finfo(float).tiny)
    held = Assumption.judged(
        text,
        how,
        bool((error <= probe.limit + slack).all()),
        f"smallest limit {significant(float(ratio.min()), 3)} x error",
    )
    return (held, *_effectivity(probe, error, slack, float(ratio.max())))


def _effectivity(probe: Probe, error: Real, slack: Real, largest: float) -> tuple[Assumption, ...]:
    lower, upper = np.asarray(probe.stability.lower), np.asarray(probe.stability.upper)
    if not (np.isfinite(upper).all() and (lower > 0).all()):
        return ()
    floor = energy_bounds(probe.systems, probe.dofs, probe.inner, probe.stability).floor
    allowed = np.sqrt(upper / lower)
    fits = probe.limit <= allowed * (error + slack) * (1 + _ROOM) + 4 * floor
    return (
        Assumption.judged(
            "The limit is not larger than the theory allows, √(β/α) times the error",
            "the same cases",
            bool(fits.all()),
            f"largest limit {significant(largest, 3)} x error; √(β/α) = {significant(float(allowed.max()), 3)}",
        ),
    )
