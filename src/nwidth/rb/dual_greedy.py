"""Weak greedy bases for the dual problems of outputs; see `nwidth.rb.dual`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from nwidth.bounds.positive import lower_constant, upper_constant
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import select
from nwidth.problems.base import Affine, AffineTerms, Quantity
from nwidth.problems.quantities import Quadratic
from nwidth.rb.batched import primal, solve
from nwidth.rb.dual import DualModel
from nwidth.rb.galerkin import ReducedBasis
from nwidth.rb.model import ReducedModel
from nwidth.rb.orthonormal import extension
from nwidth.rb.products import rowwise
from nwidth.rb.residual import ResidualBuilder, ResidualModel
from nwidth.rb.rounding import gamma, longest_row, products, row_sum
from nwidth.solvers.direct import Direct
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.factor import restricted
from nwidth.spaces.mesh import MatrixProduct

#: New parts of a snapshot below this share of it are rounding.
_DROP = 1e-11


@dataclass(frozen=True, eq=False)
class Training:
    """Training parameters with what the primal side knows of them: θ `(B, Q_A)`, coefficients `(B, n)`, energy bounds
    `(B,)` and coercivity constants `(B,)`."""

    mu: Mu
    theta: Real
    coefficients: Real
    bound: Real
    lower: Real

    @classmethod
    def of(cls, surrogate: ReducedBasis, mu: Mu, bound: Real, lower: Real) -> "Training":
        """For a surrogate whose bounds at mu are known."""
        theta, phi = surrogate.problem.coefficients(mu)
        coefficients = solve(theta, phi, surrogate.model.packed, surrogate.model.loads)
        return cls(mu, theta, coefficients, bound, lower)


class _DualProblem(Affine):
    """`A(mu) z = l + 2 Q u_N(mu)`, homogeneous: the loads are l and 2 Q v_j, their coefficients (1, c)."""

    def __init__(self, surrogate: ReducedBasis, loads: Real):
        terms = surrogate.problem.terms()
        self._surrogate = surrogate
        self._terms = AffineTerms(terms.matrices, loads * terms.free, terms.free, np.zeros(len(terms.lift)))

    @property
    def parameters(self) -> ParameterSpace:
        return self._surrogate.parameters

    @property
    def space(self) -> FunctionSpace:
        return self._surrogate.space

    def terms(self) -> AffineTerms:
        return self._terms

    def coefficients(self, mu: Mu) -> tuple[Real, Real]:
        theta, phi = self._surrogate.problem.coefficients(mu)
        model = self._surrogate.model
        ones = np.ones((len(theta), 1))
        if len(self._terms.loads) == 1:
            return theta, ones
        return theta, np.concatenate([ones, solve(theta, phi, model.packed, model.loads)], axis=1)


def fit_dual(
    surrogate: ReducedBasis, quantity: Quantity | Quadratic, training: Training, tol: float, max_size: int
) -> DualModel:
    """The output with a dual basis that makes Δ Δ_dual at most `tol` (in the output's unit) on the training set, or has
    `max_size` modes, or represents the dual solutions to rounding.

    Raises InputError for a quantity that does not fit the problem's space.
    """
    parts = _Parts.of(surrogate, quantity)
    problem = _DualProblem(surrogate, parts.loads)
    terms, inner = problem.terms(), surrogate.space.inner("energy")
    builder = ResidualBuilder(terms, np.zeros((0, len(terms.lift))), inner, max_size)
    model, basis = ReducedModel.empty(terms, {}), np.zeros((0, len(terms.lift)))
    solver = Direct()
    state = solver.prepare(problem)
    psi = np.ones((len(training.theta), 1))
    if len(parts.loads) > 1:
        psi = np.concatenate([psi, training.coefficients], axis=1)
    chosen: list[int] = []
    while len(basis) < max_size:
        limits = training.bound * _estimates(training, psi, model, builder.model(certified=False))
        worst = int(np.argmax(limits))
        if (chosen and limits[worst] <= tol) or worst in chosen:
            break
        snapshot = solver.solve(state, select(training.mu, slice(worst, worst + 1))).field
        fresh, new = extension(basis, surrogate.space.flatten(snapshot), inner, _DROP)
        if not len(fresh):
            break
        basis = np.concatenate([basis, fresh])
        model = model.extended(terms, np.zeros((0, len(terms.lift))), basis)
        builder.add(fresh, new)
        chosen.append(worst)
    residual = builder.model()
    noise = np.zeros(len(residual.defects))
    noise[: len(parts.noise)] = parts.noise / np.sqrt(inner.lambda_min)
    return parts.model(surrogate, basis, model, replace(residual, defects=residual.defects + noise))


def _estimates(training: Training, psi: Real, model: ReducedModel, residual: ResidualModel) -> Real:
    """The dual bound at every training parameter; without a basis, the size of the functional."""
    if model.modes:
        duals = solve(training.theta, psi, model.packed, model.loads)
    else:
        duals = np.zeros((len(psi), 0))
    norm, noise = primal(training.theta, psi, duals, residual.rows, residual.weights, residual.fixed)
    return (norm + noise) / np.sqrt(training.lower)


@dataclass(frozen=True, eq=False)
class _Parts:
    """An output over all dofs: the dual problem's loads `(1, N)` or `(1 + n, N)`, bounds of their rounding in the
    Euclidean norm, the functional with the lift in it, Q (None where linear), and numbers."""

    loads: Real
    noise: Real
    functional: Real
    matrix: sp.csr_array | None
    offset: float
    offset_size: float
    norms: tuple[float, float]
    continuity: float
    unit: str

    @classmethod
    def of(cls, surrogate: ReducedBasis, quantity: Quantity | Quadratic) -> "_Parts":
        lift = surrogate.problem.terms().lift
        functional = np.asarray(quantity.functional, dtype=np.float64)
        if functional.shape != lift.shape:
            raise InputError(f"a functional of shape {functional.shape} for a space with {lift.shape} dofs")
        products_of = [*(functional * lift), quantity.offset]
        if isinstance(quantity, Quantity):
            size = math.fsum(abs(p) for p in products_of)
            return cls(
                functional[None], np.zeros(1), functional, None, math.fsum(products_of), size,
                (float(np.linalg.norm(functional)), 0.0), 0.0, quantity.unit,
            )  # fmt: skip
        return cls._quadratic(surrogate, quantity, products_of)

    @classmethod
    def _quadratic(cls, surrogate: ReducedBasis, quantity: Quadratic, products_of: list[float]) -> "_Parts":
        lift, q = surrogate.problem.terms().lift, quantity.matrix
        at_lift = q @ lift
        products_of = [*products_of, *(at_lift * lift)]
        functional = quantity.functional + 2 * at_lift
        loads = np.concatenate([functional[None], 2 * rowwise(q, surrogate.basis)])
        scale = gamma(longest_row(q) + 4)
        magnitude = np.abs(quantity.functional) + 2 * (abs(q) @ np.abs(lift))
        noise = 2 * scale * row_sum(q) * surrogate.model.lengths
        return cls(
            loads=loads,
            noise=np.concatenate([[scale * np.linalg.norm(magnitude) if lift.any() else 0.0], noise]),
            functional=functional,
            matrix=q,
            offset=math.fsum(products_of),
            offset_size=math.fsum(abs(p) for p in products_of),
            norms=(float(np.linalg.norm(magnitude)), row_sum(q)),
            continuity=_continuity(q, surrogate),
            unit=quantity.unit,
        )

    def model(self, surrogate: ReducedBasis, basis: Real, dual: ReducedModel, residual: ResidualModel) -> DualModel:
        """The reduced numbers."""
        terms, primal_basis = surrogate.problem.terms(), surrogate.basis
        matrices = [sp.csr_array(a) for a in terms.matrices]
        none = np.zeros((0, 0))
        return DualModel(
            dual=dual,
            residual=residual,
            cross=np.stack([products(basis, rowwise(a, primal_basis)) for a in matrices]),
            cross_loads=products(terms.loads, basis),
            load_norms=np.linalg.norm(terms.loads, axis=1),
            functional=products(self.functional[None], primal_basis)[0],
            quadratic=none if self.matrix is None else products(primal_basis, rowwise(self.matrix, primal_basis)),
            primal_lengths=np.linalg.norm(primal_basis, axis=1) * (1 + 1e-12),
            entry_operations=dual.operations + (0 if self.matrix is None else longest_row(self.matrix) + 4),
            offset=self.offset,
            offset_size=self.offset_size,
            functional_norm=self.norms[0],
            quadratic_norm=self.norms[1],
            continuity=self.continuity,
            unit=self.unit,
        )


def _continuity(matrix: sp.csr_array, surrogate: ReducedBasis) -> float:
    """γ with `|vᵀ Q v| <= γ ‖v‖²_X` on the free dofs, proven."""
    inner = surrogate.space.inner("energy")
    if not isinstance(inner, MatrixProduct):
        raise InputError(
            "the energy inner product of this space is no sparse matrix, and the continuity constant of a quadratic "
            "output is proven by factorisation"
        )
    q = restricted(matrix, surrogate.problem.terms().free)
    low = lower_constant(q, inner.matrix, lambda_min=inner.lambda_min)
    high = upper_constant(q, inner.matrix, lambda_min=inner.lambda_min)
    return max(abs(low), abs(high))


def training_set(problem: Affine, training: int | Mapping[str, Array], seed: int) -> Mu:
    """Training parameters as a mapping."""
    return problem.parameters.sample(range(training), seed) if isinstance(training, int) else training
