"""What a guaranteed limit rests on, tried out on the equation itself: by independent means, and so as to break it."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from nwidth.bounds.residual import EPS, energy_bounds
from nwidth.certificates.base import Certificate
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import WorkError
from nwidth.core.prediction import Prediction
from nwidth.core.seeding import generator
from nwidth.core.validation import select
from nwidth.problems.base import Linear, Stability, Systems, is_coercive
from nwidth.reports.evidence import Assumption, State
from nwidth.reports.words import deviation, plural, significant
from nwidth.solvers.choose import default_solver
from nwidth.solvers.direct import Direct
from nwidth.solvers.multigrid import Multigrid
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.solvers.structure.combined import Combined
from nwidth.spaces.base import InnerProduct
from nwidth.study.evidence_cases import Measured
from nwidth.study.evidence_held import held_check
from nwidth.study.field_errors import ENERGY, field_errors, reference_of

#: Cases that are looked at one by one, and steps of the search for a vector that breaks a constant.
FEW, STEPS = 4, 30
#: Room for the rounding of the check itself.
_ROOM = 1e-8
#: Larger problems are not factorised for a page of evidence.
_LARGEST = 60_000


@dataclass(frozen=True)
class Probe:
    """A few cases: their systems, their energy product, their answers' dofs `(B, N)` and limits; `stability` None for
    a matrix that is not known to be symmetric and coercive."""

    certificate: Certificate
    problem: Linear
    mu: Mu
    systems: Systems
    inner: InnerProduct
    dofs: Array
    limit: Real
    norm: str
    stability: Stability | None = None

    @classmethod
    def of(cls, certificate: Certificate, problem: Linear, prediction: Prediction) -> "Probe":
        """The first cases."""
        part = prediction.take(slice(0, FEW))
        dofs = problem.space.flatten(np.asarray(part.field)).astype(problem.space.dtype)
        inner, systems = problem.space.inner("energy"), problem.systems(part.mu)
        stability = problem.constant(part.mu) if is_coercive(problem) else None
        norm = part.guarantee.norm
        return cls(certificate, problem, part.mu, systems, inner, dofs, part.bound, norm, stability)

    def take(self, rows: Array) -> "Probe":
        """Some of the cases."""
        known = self.stability
        picked = None if known is None else replace(known, lower=known.lower[rows], upper=known.upper[rows])
        return replace(self, mu=select(self.mu, rows), systems=self.systems.take(rows), dofs=self.dofs[rows],
                       limit=self.limit[rows], stability=picked)  # fmt: skip


def equation_checks(
    certificate: Certificate, problem: Linear, prediction: Prediction, seed: int
) -> tuple[Assumption, ...]:
    """Symmetry, stability constants, boundary values, Riesz map, and the limit against a factorisation."""
    probe = Probe.of(certificate, problem, prediction)
    checks = [_imposed(probe), _riesz(probe, seed), *_factorised(probe)]
    if probe.stability is not None:
        checks = [_symmetric(probe, seed), *_constants(probe, probe.stability, seed), *checks]
    return tuple(checks)


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


def _constants(probe: Probe, stability: Stability, seed: int) -> tuple[Assumption, ...]:
    """Ritz values of X⁻¹A lie inside its spectrum: one outside of [α, β] would disprove the constants."""
    ends = [_ritz(probe, row, seed) for row in range(len(probe.dofs))]
    low = min(smallest / alpha for (smallest, _), alpha in zip(ends, stability.lower, strict=True))
    high = max(largest / beta for (_, largest), beta in zip(ends, stability.upper, strict=True))
    how = f"Lanczos with X⁻¹A, {STEPS} steps from a random vector, in {plural(len(ends), 'case')}"
    soft, stiff = "A >= α X, no direction is softer", "A <= β X, no direction is stiffer"
    proven = Assumption.judged(
        "The stability constant is proven, not estimated", "what the problem declares", stability.proven,
        "proven" if stability.proven else "an estimate",
    )  # fmt: skip
    return (
        proven,
        Assumption.judged("The stability constant is not too large", f"{soft}: {how}", low >= 1 - _ROOM,
                          f"softest found: {significant(low, 4)} α"),
        Assumption.judged("The continuity constant is not too small", f"{stiff}: {how}", high <= 1 + _ROOM,
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
    """The true error from a sparse factorisation, whatever the runs were solved by."""
    text = "The limit is not below the true error"
    how = f"{plural(len(probe.dofs), 'case')} solved again by a sparse factorisation, {_beside(probe.problem)}"
    if probe.dofs.shape[1] > _LARGEST:
        return (Assumption(text, f"{how}: left out above {_LARGEST:,} unknowns", State.OPEN),)
    solver = Direct()
    try:
        solution = solver.solve(solver.prepare(probe.problem), probe.mu)
    except WorkError as failure:
        return (Assumption(text, f"{how}: it failed ({failure})", State.OPEN),)
    good = np.flatnonzero(solution.converged)
    if not len(good):
        return (Assumption(text, f"{how}: none reached its tolerance", State.OPEN),)
    if len(good) < len(probe.dofs):
        how += f"; {len(probe.dofs) - len(good)} left out, which missed its tolerance"
    return _against(probe.take(good), np.asarray(solution.field)[good], text, how)


def _beside(problem: Linear) -> str:
    """How far that is independent of the solver that runs of this problem come from as a rule."""
    usual = default_solver(problem)
    usual = usual.base if isinstance(usual, Combined) else usual
    if isinstance(usual, Multigrid | RieszCG):
        return f"not by the iteration that nwidth solves this problem with ({type(usual).__name__})"
    return (
        f"as nwidth solves this problem too ({type(usual).__name__}): the residual is recomputed, the method is not new"
    )


def _against(probe: Probe, truth: Array, text: str, how: str) -> tuple[Assumption, ...]:
    fields = probe.problem.space.unflatten(probe.dofs)
    error = field_errors(probe.norm, probe.problem, probe.mu, truth - fields)
    if error is None:
        return (Assumption(text, f"{how}: the norm of the limit cannot be evaluated here", State.OPEN),)
    reference = reference_of(probe.certificate, probe.problem, probe.norm, probe.mu, truth)
    slack, wrong = (np.zeros(len(error)), None) if reference is None else (reference.slack, reference.wrong)
    held = held_check(text, how, Measured("", "", error, probe.limit, slack, wrong))
    if probe.stability is None or probe.norm != ENERGY or held.state is State.OPEN:
        return (held,)
    ratio = probe.limit / np.maximum(error, np.finfo(float).tiny)
    return (held, *_effectivity(probe, probe.stability, error + slack, float(ratio.max())))


def _effectivity(probe: Probe, stability: Stability, error: Real, largest: float) -> tuple[Assumption, ...]:
    lower, upper = np.asarray(stability.lower), np.asarray(stability.upper)
    if not (np.isfinite(upper).all() and (lower > 0).all()):
        return ()
    floor = energy_bounds(probe.systems, probe.dofs, probe.inner, stability).floor
    allowed = np.sqrt(upper / lower)
    fits = probe.limit <= allowed * error * (1 + _ROOM) + 4 * floor
    number = f"largest limit {significant(largest, 3)} x error; √(β/α) = {significant(float(allowed.max()), 3)}"
    text = "The limit is not larger than the theory allows, √(β/α) times the error"
    return (Assumption.judged(text, "the same cases", bool(fits.all()), number),)
