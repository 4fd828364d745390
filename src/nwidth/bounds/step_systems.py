"""One sample of a linear problem in time as its steps, `M (w^k - w^{k-1}) / dt + Σ_q θ_kq A_q w_ϑ^k = f_k`.

The residual of any trajectory is a few sparse products for all steps at once; what rounding does to it is counted.
Notation of Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1: γ_n = n ε / (1 - n ε).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import check_finite
from nwidth.problems.base import Evolution
from nwidth.problems.evolution import LinearEvolution
from nwidth.problems.parabolic import AffineEvolution, Stepping, checked_coefficients
from nwidth.problems.stepped import Stepped

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)


def gamma(operations: int) -> float:
    """γ_n for n rounded operations."""
    return operations * EPS / (1 - operations * EPS)


def lengths(rows: Real) -> Real:
    """`‖·‖₂` of each row, `(k,)`, at least `√(n TINY)`: squares that are too small for float64 are counted so."""
    return np.sqrt(np.einsum("kn,kn->k", rows, rows) + rows.shape[1] * TINY)


def binary(size: float) -> float:
    """The power of two next to a number, within what has an inverse; 1 for 0 and what is no number."""
    return float(2.0 ** min(1000, max(-1000, int(np.frexp(size)[1])))) if 0 < size < np.inf else 1.0


def exact_lengths(rows: Real) -> Real:
    """`‖·‖₂` of each row, `(k,)`, whatever its size: data are not scaled yet."""
    units = np.array([binary(size) for size in np.abs(rows).max(axis=1, initial=0.0)])
    return units * np.linalg.norm(rows / units[:, None], axis=1)


@dataclass(frozen=True, eq=False)
class Matrix:
    """A symmetric sparse matrix `(N, N)` with a bound of `‖|A|‖₂` and the length of its longest row."""

    matrix: sp.csr_array
    norm: float
    width: int

    @classmethod
    def of(cls, matrix: sp.csr_array) -> "Matrix":
        """The row sum of absolute values bounds the spectral norm of |A| for a symmetric matrix."""
        matrix = sp.csr_array(matrix)
        norm = float(abs(matrix).sum(axis=1).max(initial=0.0)) * (1 + 1e-12)
        return cls(matrix, norm, int(np.diff(matrix.indptr).max(initial=0)))

    def times(self, rows: Real) -> Real:
        """`A v` for each row, `(k, N)`."""
        return np.ascontiguousarray((self.matrix @ np.ascontiguousarray(rows.T)).T)

    def square(self, rows: Real) -> Real:
        """An upper bound of `vᵀ A v` for each row, positive semidefinite A, `(k,)`."""
        return self.between(rows)[1]

    def between(self, rows: Real) -> tuple[Real, Real]:
        """A lower and an upper bound of `vᵀ A v` for each row, positive semidefinite A, `(k,)` each."""
        computed, noise = self.form(rows)
        computed, slack = np.maximum(computed, 0.0), gamma(rows.shape[1] + 8)
        return np.maximum(computed - 2 * noise, 0.0) * (1 - slack), (computed + noise) * (1 + slack)

    def form(self, rows: Real) -> tuple[Real, Real]:
        """`vᵀ A v` of each row as computed, and how far off rounding may have put it, for any A, `(k,)` each."""
        noise = gamma(rows.shape[1] + self.width + 8) * self.norm * np.einsum("kn,kn->k", rows, rows)
        # of products too small for float64
        return np.einsum("kn,kn->k", rows, self.times(rows)), noise + rows.shape[1] * TINY


@dataclass(frozen=True, eq=False)
class StepSystem:
    """One sample: mass and operators `(N, N)`, θ `(K, Q)`, loads `(K, N)`, free dofs `(N,)`.

    `given (K + 1, N)`: the start, and the values of w at the dofs that are not free, zeros elsewhere. `shift (N,)`:
    fields are w + shift. `start_rounding` and `load_rounding (K,)`: bounds of `‖·‖₂` of what rounding did to them.
    """

    mass: Matrix
    operators: tuple[Matrix, ...]
    theta: Real
    loads: Real
    free: Mask
    given: Real
    shift: Real
    start_rounding: float
    load_rounding: Real
    stepping: Stepping

    def over(self, unit: float) -> "StepSystem":
        """The same steps of all data divided by `unit`, a power of two: exact within the range of float64."""
        return replace(
            self,
            loads=self.loads / unit,
            given=self.given / unit,
            shift=self.shift / unit,
            start_rounding=self.start_rounding / unit,
            load_rounding=self.load_rounding / unit,
        )

    @cached_property
    def operations(self) -> int:
        """Rounded operations behind one entry of a residual, with those of forming w from the field."""
        return self.mass.width + sum(a.width for a in self.operators) + 2 * len(self.operators) + 16

    def imposed(self, field: Real) -> tuple[Real, Real]:
        """Dofs `(K, N)` with the prescribed values imposed, and their w from the start on, `(K + 1, N)`."""
        w = self.given.copy()
        w[1:] += np.where(self.free, field - self.shift, 0.0)
        return np.where(self.free, field, self.given[1:] + self.shift), w

    def residual(self, w: Real) -> tuple[Real, Real]:
        """`f_k - M (w^k - w^{k-1}) / dt - Σ θ A w_ϑ` on the free dofs, `(K, N)`, and `‖·‖₂` of its rounding, `(K,)`."""
        left, noise = self.left(w)
        r = np.where(self.free, self.loads - left, 0.0)
        size = lengths(np.where(self.free, self.loads, 0.0))
        return r, (noise + self.load_rounding + gamma(self.operations) * size) * (1 + gamma(w.shape[1] + 8))

    def left(self, w: Real) -> tuple[Real, Real]:
        """`M (w^k - w^{k-1}) / dt + Σ θ A w_ϑ`, `(K, N)`, and `‖·‖₂` of its rounding, `(K,)`."""
        dt, columns = (
            self.stepping.dt,
            np.ascontiguousarray(w.T),
        )  # steps along the rows: sparse products run along them
        ends, point = lengths(w), self._points(columns)
        middle = ends[1:] if self.stepping.weight == 1.0 else 0.5 * (ends[1:] + ends[:-1])
        left = self.mass.matrix @ ((columns[:, 1:] - columns[:, :-1]) / dt)
        size = self.mass.norm * (ends[1:] + ends[:-1]) / dt
        for q, operator in enumerate(self.operators):
            left += self.theta[:, q] * (operator.matrix @ point)
            size = size + np.abs(self.theta[:, q]) * operator.norm * middle
        left = np.ascontiguousarray(left.T)
        return left, gamma(self.operations) * size * (1 + gamma(w.shape[1] + 8))

    def points(self, w: Real) -> Real:
        """`w_ϑ^k`, `(K, N)`, from levels `(K + 1, N)`."""
        weight = self.stepping.weight
        return w[1:] if weight == 1.0 else weight * w[1:] + (1 - weight) * w[:-1]

    def _points(self, columns: Real) -> Real:
        """The same for levels `(N, K + 1)`."""
        weight = self.stepping.weight
        if weight == 1.0:
            return np.ascontiguousarray(columns[:, 1:])
        return weight * columns[:, 1:] + (1 - weight) * columns[:, :-1]

    def energy(self, w: Real) -> Real:
        """An upper bound of `‖w_ϑ^k‖²_A` for each step, `(K,)`, for levels that vanish off the free dofs."""
        point, total, size = self.points(w), np.zeros(len(w) - 1), np.zeros(len(w) - 1)
        lost = gamma(w.shape[1] + len(self.operators) + 8)
        for q, operator in enumerate(self.operators):
            # only the sum is semidefinite: a term may have either sign, whatever that of its coefficient
            form, noise = operator.form(point)
            total += self.theta[:, q] * form
            size += np.abs(self.theta[:, q]) * (noise * (1 + 2 * lost) + lost * np.abs(form))
        return np.maximum(total + size * (1 + lost), 0.0)


class StepSystems(ABC):
    """The steps of a problem, sample by sample, and what is known about its stability."""

    stepping: Stepping

    @abstractmethod
    def of(self, mu: Mu) -> StepSystem:
        """The system of a single parameter (a mapping with batch size 1)."""

    @abstractmethod
    def constants(self, mu: Mu, system: StepSystem) -> tuple[Real, Real, bool]:
        """α and β with `α X <= A <= β X` at each step of a single parameter, `(K,)`, and whether they are proven."""

    @property
    @abstractmethod
    def mass(self) -> Matrix:
        """M over all dofs, the same for all samples."""


class AffineSteps(StepSystems):
    """Of an AffineEvolution: matrices shared by all samples."""

    def __init__(self, problem: AffineEvolution):
        self._problem, self.stepping, terms = problem, problem.stepping, problem.terms()
        self._terms, self._stability = terms, problem.stability
        self._mass = Matrix.of(problem.mass().matrix)
        self._operators = tuple(Matrix.of(m) for m in terms.matrices)

    @property
    def mass(self) -> Matrix:
        return self._mass

    def of(self, mu: Mu) -> StepSystem:
        steps, terms = self.stepping, self._terms
        theta, phi = checked_coefficients(self._problem, mu, steps.points(0, steps.count))
        psi, g = self._problem.starts(mu)
        given = np.zeros((steps.count + 1, len(terms.free)))
        given[0] = np.where(terms.free, psi[0] @ g, 0.0)
        rounding = gamma(len(g) + 2) * float(np.abs(psi[0]) @ exact_lengths(g))
        summed = gamma(len(terms.loads) + 2) * (np.abs(phi[0]) @ exact_lengths(terms.loads))
        return StepSystem(
            self._mass,
            self._operators,
            theta[0],
            phi[0] @ terms.loads,
            terms.free,
            given,
            terms.lift,
            rounding,
            summed,
            steps,
        )

    def constants(self, mu: Mu, system: StepSystem) -> tuple[Real, Real, bool]:
        known = self._stability.constants(system.theta)
        return known.lower, known.upper, known.proven


class LinearSteps(StepSystems):
    """Of a Stepped problem: a matrix of its own for each sample."""

    def __init__(self, problem: Stepped):
        self._problem, self.stepping = problem, problem.stepping
        one = problem.parameters.sample(range(1), 0)
        self._mass = Matrix.of(sp.csr_array(problem.problem.marching(one).mass))

    @property
    def mass(self) -> Matrix:
        return self._mass

    def of(self, mu: Mu) -> StepSystem:
        problem, steps = self._problem, self.stepping
        marching = problem.problem.marching(mu)
        mass = sp.csr_array(marching.mass)
        if mass.shape != self._mass.matrix.shape or abs(mass - self._mass.matrix).max() > 0:
            raise InputError("the mass depends on the parameter; limits in time are for a mass that all samples share")
        if not marching.definite:
            raise InputError("the matrices are not symmetric and definite (Marching.definite); no limit is known here")
        start = np.asarray(problem.initial(mu))
        check_finite("the initial states", start)
        return StepSystem(
            self._mass,
            (Matrix.of(sp.csr_array(marching.operator)),),
            np.ones((steps.count, 1)),
            problem.loads(marching),
            marching.free,
            problem.prescribed(marching, start[0]),
            np.zeros(len(marching.free)),
            0.0,
            np.zeros(steps.count),
            steps,
        )

    def constants(self, mu: Mu, system: StepSystem) -> tuple[Real, Real, bool]:
        known, ones = self._problem.constant(mu), np.ones(self.stepping.count)
        return known.lower[0] * ones, known.upper[0] * ones, known.proven


def step_systems(problem: Evolution) -> StepSystems:
    """The steps of a problem. Raises InputError for one whose steps are not its own, with what to do."""
    if isinstance(problem, AffineEvolution):
        return AffineSteps(problem)
    if isinstance(problem, Stepped):
        return LinearSteps(problem)
    if isinstance(problem, LinearEvolution):
        raise InputError(
            f"the steps of {type(problem).__name__} are its solver's affair, so that no limit can refer to them; name "
            "them: Stepped(problem, Stepping(dt, count, 'crank-nicolson')) from nwidth.problems.stepped is certified "
            "against the solution in these steps. Frames that are coarser than the steps are calibrated: "
            "nw.certify(surrogate, holdout=snapshots)"
        )
    raise InputError(
        f"{type(problem).__name__} is neither an AffineEvolution nor Stepped: no stability estimate in time is known; "
        "calibrate limits for each lead time on unseen runs: nw.certify(surrogate, holdout=snapshots)"
    )
