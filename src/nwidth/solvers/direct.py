"""Sparse direct solution: one symbolic analysis for all matrices of a pattern, every residual recomputed."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from nwidth.bounds.residual import energy_bounds, reference_norm, solvable, undriven
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.seeding import generator
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_finite, select
from nwidth.problems.base import Affine, AffineTerms, Linear, Problem, Stable, System
from nwidth.solvers.base import Solver
from nwidth.spaces.factor import (
    Factor,
    Kind,
    Pattern,
    SingularMatrixError,
    best_backend,
    careful_factors,
    new_factor,
    restricted,
)

_DEFAULT = Tolerance("residual", 1e-8)
#: Steps of iterative refinement that one solve may take to reach its tolerance.
_REFINEMENTS = 3
#: `‖A‖ ‖A⁻¹ b‖ / ‖b‖` for a random b beyond which the matrix is singular to working precision.
_SINGULAR = 1e14


class _Sample(NamedTuple):
    """One system on the free dofs; `symmetric` None where it is not known."""

    matrix: sp.csr_array
    load: Array
    symmetric: bool | None


class DirectState:
    """What the solves of one problem share, held by the caller: the pattern, its symbolic analysis, the last factor.

    For one thread at a time. A matrix of another pattern replaces the analysis.
    """

    def __init__(self, problem: Linear, backend: str):
        self.problem, self.backend = problem, backend
        self._pattern: Pattern | None = None
        self._fast: dict[tuple[Kind, np.dtype], Factor] = {}
        self._careful: dict[tuple[Kind, np.dtype], list[Factor]] = {}
        self.affine = AffineSum(problem.terms()) if isinstance(problem, Affine) else None

    def factors(self, sample: _Sample) -> Iterator[Factor]:
        """Factorisations of a matrix, from the fastest that may suit it to the surest; each is valid until the next is
        taken. One that had to replace pivots is passed over."""
        values = sample.matrix.data
        if self._pattern is None or not self._pattern.fits(sample.matrix):
            self._pattern, self._fast, self._careful = Pattern.of(sample.matrix), {}, {}
        kind = _kind(self._pattern, sample)
        for guess in (kind, "symmetric") if kind == "definite" else (kind,):
            yield from _usable(self._fast_factor(self._pattern, guess, values.dtype), values)
        for factor in self._careful_factors(self._pattern, kind, values.dtype):
            yield from _usable(factor, values)

    def _fast_factor(self, pattern: Pattern, kind: Kind, dtype: np.dtype) -> Factor:
        if (kind, dtype) not in self._fast:
            self._fast[kind, dtype] = new_factor(pattern, self.backend, kind, dtype)
        return self._fast[kind, dtype]

    def _careful_factors(self, pattern: Pattern, kind: Kind, dtype: np.dtype) -> list[Factor]:
        if (kind, dtype) not in self._careful:
            self._careful[kind, dtype] = careful_factors(pattern, self.backend, kind, dtype)
        return self._careful[kind, dtype]


def _kind(pattern: Pattern, sample: _Sample) -> Kind:
    """What a matrix is like; the guess "definite" is for the factorisation to confirm."""
    values = sample.matrix.data
    if not sample.symmetric or np.iscomplexobj(values) or not pattern.full_diagonal:
        return pattern.kind(values)
    return "definite" if (values[pattern.diagonal] > 0).all() else "symmetric"


def _usable(factor: Factor, values: Array) -> Iterator[Factor]:
    try:
        factor.factorise(values)
    except WorkError:  # singular, or whatever else this library cannot do: the next one may
        return
    if not factor.perturbed:
        yield factor


class AffineSum:
    """`Σ_q θ_q A_q` on the free dofs, all terms laid over one pattern."""

    def __init__(self, terms: AffineTerms):
        parts = [restricted(sp.csr_array(matrix), terms.free) for matrix in terms.matrices]
        size = int(terms.free.sum())
        keys = [Pattern.of(part).rows.astype(np.int64) * size + part.indices for part in parts]
        union = np.sort(np.concatenate(keys), kind="stable")  # merges runs that are sorted already
        union = union[np.diff(union, prepend=-1) > 0]
        starts = np.searchsorted(union, np.arange(size + 1, dtype=np.int64) * size)
        self.pattern = Pattern(starts.astype(np.int32), (union % size).astype(np.int32))
        self.symmetric = all(Pattern.of(part).symmetric(part.data) for part in parts)
        self._values = [part.data for part in parts]
        self._places = [np.searchsorted(union, key) for key in keys]

    def matrix(self, theta: Real) -> sp.csr_array:
        """The sum for coefficients `(Q,)`."""
        values = np.zeros(len(self.pattern.indices))
        for scale, places, part in zip(theta, self._places, self._values, strict=True):
            values[places] += scale * part
        return self.pattern.matrix(values)


@dataclass(frozen=True)
class Direct(Solver):
    """A sparse factorisation per parameter, with one symbolic analysis for all that share a pattern.

    `backend`: 'pardiso' (through pypardiso), 'superlu' (SciPy), or None for the faster one that is installed. Real and
    complex matrices, definite, symmetric, Hermitian or none of these: each kind has a fast factorisation that keeps its
    analysis and pivots little; where that fails (small pivots, a large residual), careful ones follow, the last of them
    SuperLU with partial pivoting. A starting value is of no use here and is ignored. The default tolerance is a
    relative residual of 1e-8, reached by iterative refinement where the factorisation alone misses it;
    `Tolerance("energy", rtol)` for a problem with a stability constant checks a guaranteed bound instead.

    Statistics: `residual` (recomputed, relative), `iterations` (solves with the factor), `seconds`; with an energy
    tolerance also `bound` and `norm`; without a stability constant also `condition`, a lower estimate of the condition
    number.
    """

    backend: str | None = None

    def prepare(self, problem: Problem) -> DirectState:
        """The state to hand to `solve`. Raises InputError without the capability Linear, or for an unknown backend."""
        if not isinstance(problem, Linear):
            raise InputError(
                f"{type(problem).__name__} is not Linear; inherit Linear and implement assemble(mu) to use a direct "
                "solver"
            )
        return DirectState(problem, best_backend(self.backend))

    def solve(self, state: DirectState, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Solutions `(B, *shape)`. A singular matrix is the status SINGULAR, and its field is NaN.

        Raises InputError for parameters or matrices that are not finite.
        """
        problem, stop = state.problem, stop or _DEFAULT
        mu = _checked(mu, problem)
        rows = [_solve_sample(state, select(mu, slice(i, i + 1)), stop) for i in range(batch_size(mu))]
        names = rows[0][2].keys() if rows else ()
        return Solution(
            field=np.array([row[0] for row in rows]).reshape(len(rows), *problem.space.shape),
            status=np.array([int(row[1]) for row in rows], dtype=int),
            stats={name: np.array([row[2][name] for row in rows]) for name in names},
            note=f"direct ({state.backend})",
        )

    def load_cases(self, state: DirectState, mu: Mu) -> Real:
        """`A(mu)⁻¹ f_q` for every load of an affine problem, dofs `(B, Q_f, N)`, zero where values are prescribed.

        Raises InputError for a problem that is not Affine, WorkError for a singular matrix or a large residual.
        """
        problem = state.problem
        if state.affine is None or not isinstance(problem, Affine):
            raise InputError(f"{type(problem).__name__} is not Affine: it has no separate load cases")
        terms, (theta, _) = problem.terms(), problem.coefficients(_checked(mu, problem))
        fields = np.zeros((len(theta), *terms.loads.shape))
        loads = np.ascontiguousarray(terms.loads[:, terms.free])
        for i, row in enumerate(theta):
            sample = _Sample(state.affine.matrix(row), loads, state.affine.symmetric)
            answer = _solve(state, sample, _DEFAULT.value)
            if answer.status != Status.CONVERGED:
                raise WorkError(
                    f"the solve of training parameter {i} ended as {answer.status.name} with relative residual "
                    f"{answer.residual:.1e}; its matrix may be singular: check the coefficients {row}"
                )
            fields[i][:, terms.free] = answer.w
        return fields


class _Answer(NamedTuple):
    """Free dofs `(k, n)`, how it ended, the worst relative residual, the solves with the factor, and a lower estimate
    of the condition number (not looked for where the problem is stable)."""

    w: Array
    status: Status
    residual: float
    solves: int
    condition: float = np.inf


def _checked(mu: Mu, problem: Linear) -> dict[str, Array]:
    mu = as_mu(mu, problem.parameters.names)
    for name, values in mu.items():
        if len(values):
            check_finite(f"parameter {name}", values)
    return mu


def _solve_sample(state: DirectState, mu: Mu, stop: Tolerance) -> tuple[Array, Status, dict[str, float]]:
    """Dofs `(N,)`, status and statistics of one sample."""
    begin = perf_counter()
    system, sample = _sample(state, mu)
    answer = _solve(state, sample, stop.value if stop.kind == "residual" else _DEFAULT.value)
    v = system.lift.astype(np.result_type(system.lift, answer.w))
    v[system.free] += answer.w[0]
    stats = {"residual": answer.residual, "iterations": answer.solves}
    if not isinstance(state.problem, Stable):
        stats["condition"] = answer.condition
    status = answer.status
    if stop.kind == "energy":
        bound, norm, exact = _energy(state.problem, mu, v)
        stats |= {"bound": bound, "norm": norm}
        if status == Status.CONVERGED and not (exact or bound <= stop.value * max(norm - bound, 0.0)):
            status = Status.MAX_ITERATIONS
    return v, status, stats | {"seconds": perf_counter() - begin}


def _sample(state: DirectState, mu: Mu) -> tuple[System, _Sample]:
    """The system of one parameter, and its free part; the matrix of an affine problem is not summed twice."""
    problem = state.problem
    if state.affine is not None and isinstance(problem, Affine):
        terms, (theta, phi) = problem.terms(), problem.coefficients(mu)
        matrix, load = state.affine.matrix(theta[0]), phi[0] @ terms.loads
        system = System(matrix, load, terms.free, terms.lift)
        sample = _Sample(matrix, load[None, terms.free], state.affine.symmetric)
    else:
        system = problem.assemble(mu)
        matrix = restricted(sp.csr_array(system.matrix), system.free)
        sample = _Sample(matrix, system.load[None, system.free], None)
    for what, values in (("matrix", sample.matrix.data), ("load", sample.load)):
        if not np.isfinite(values).all():
            raise InputError(
                f"the {what} at {dict(mu)} holds values that are not finite; check the problem's coefficients there"
            )
    return system, sample


def _solve(state: DirectState, sample: _Sample, tolerance: float) -> _Answer:
    """Solve for every load with the fastest factorisation that works."""
    best = _Answer(np.full(sample.load.shape, np.nan), Status.SINGULAR, np.inf, 0)
    stable = isinstance(state.problem, Stable)
    for factor in state.factors(sample):
        with np.errstate(over="ignore", invalid="ignore"):  # a factor of a singular matrix gives what it likes
            answer = _refine(factor, sample, tolerance)
            if not stable:  # a coercive problem has no singular matrix: no need to look
                answer = answer._replace(condition=_condition(factor, sample.matrix))
        if not stable and not answer.condition <= _SINGULAR:
            best = best._replace(condition=min(best.condition, answer.condition))
            continue
        if answer.status == Status.CONVERGED:
            return answer
        if not answer.residual >= best.residual:
            best = answer
    return best


def _refine(factor: Factor, sample: _Sample, tolerance: float) -> _Answer:
    """A solve and, while the recomputed residual is too large and falls, steps of iterative refinement."""
    scale = np.linalg.norm(sample.load, axis=1)
    scale[scale == 0] = 1.0
    w, worst, solves = np.zeros_like(sample.load), np.inf, 0
    r = sample.load
    for solves in range(1, _REFINEMENTS + 2):
        try:
            trial = w + factor.solve(r)
        except SingularMatrixError:
            break
        r = sample.load - (sample.matrix @ trial.T).T
        residual = float((np.linalg.norm(r, axis=1) / scale).max())
        if not residual < worst:
            break
        w, worst = trial, residual
        if worst <= tolerance:
            return _Answer(w, Status.CONVERGED, worst, solves)
    return _Answer(w, Status.FAILED, worst, solves)


def _condition(factor: Factor, matrix: sp.csr_array) -> float:
    """`‖A‖ ‖A⁻¹ b‖ / ‖b‖` for a random b: what the inverse does to a vector that knows nothing of it."""
    probe = generator(0).standard_normal((1, matrix.shape[0])).astype(matrix.dtype)
    try:
        answer = float(np.linalg.norm(factor.solve(probe)))
    except SingularMatrixError:
        return np.inf
    norm = float(np.abs(matrix).sum(axis=1).max())
    return norm * answer / float(np.linalg.norm(probe))


def _energy(problem: Linear, mu: Mu, v: Array) -> tuple[float, float, bool]:
    """The guaranteed bound and the energy norm of one field, and whether it is exact because nothing drives it."""
    if not isinstance(problem, Stable):
        raise InputError(
            f"{type(problem).__name__} has no stability constant, so no energy error can be guaranteed; use "
            "Tolerance('residual', ...) or inherit Stable"
        )
    systems, inner = problem.systems(mu), problem.space.inner("energy")
    if not np.isfinite(v).all() or not solvable(problem.space, systems)[0]:
        return np.inf, 0.0, False
    bounds = energy_bounds(systems, v[None], inner, problem.constant(mu))
    return float(bounds.upper[0]), float(reference_norm(systems, v[None])[0]), bool(undriven(systems, v[None])[0])
