"""A proven coercivity constant for affine problems that know none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from nwidth.bounds.scm import SuccessiveConstraints
from nwidth.bounds.scm_build import Search, build
from nwidth.bounds.spectrum import ends
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.expressions import Expression
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu
from nwidth.problems.base import Affine, AffineTerms, Outputs, Quantity, Stability
from nwidth.problems.formulas import Formulas
from nwidth.problems.min_theta import ThetaStability, ThetaStable
from nwidth.rb.comparison import SampledStability
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.box import Box
from nwidth.spaces.factor import restricted
from nwidth.spaces.mesh import MatrixProduct

#: Corners of a box are added to the training set up to this many parameters.
_CORNERS = 6


def successive_constraints(
    problem: Affine,
    training: int | Mapping[str, Any] = 200,
    *,
    tol: float | None = 0.25,
    proofs: int = 40,
    seed: int = 0,
) -> SuccessiveConstraints:
    """Proven constants of an affine problem as a function of its coefficients; see `nwidth.bounds.scm`.

    training: how many parameters are drawn (the corners of a box with at most six parameters are added), or a mapping
    name -> `(B,)`. tol: the largest `1 - lower bound / smallest quotient seen` on them, None to spend all `proofs`.
    The energy inner product of the problem's space is X. Valid for parameters outside the training set too.

    Raises InputError for a problem that is not Affine or whose inner product is no matrix; WorkError where a training
    parameter is not coercive, or `tol` is missed with so many `proofs`.
    """
    if not isinstance(problem, Affine):
        raise InputError(f"successive constraints need an Affine problem, got {type(problem).__name__}")
    if (tol is not None and not 0 < tol < 1) or proofs < 1:
        raise InputError(f"tol is {tol}, proofs {proofs}; give 0 < tol < 1 (or None) and at least one proof")
    pencil = _Pencil.of(problem)
    search = Search(pencil.terms, pencil.x, pencil.riesz, pencil.lambda_min)
    theta = problem.coefficients(_training(problem, training, seed))[0]
    return build(search, np.ascontiguousarray(theta, dtype=np.float64), tol, proofs)[0]


def sampled_constants(problem: Affine, training: int | Mapping[str, Any] = 16, *, seed: int = 0) -> SampledStability:
    """Constants from eigenvectors at the training parameters (corners of a box added), proven nowhere: bounds built on
    them are an `Estimate`. Much cheaper than `successive_constraints`, and never below the true constant."""
    pencil = _Pencil.of(problem)
    theta = problem.coefficients(_training(problem, training, seed))[0]
    low, high = [], []
    for row in theta:
        a = sp.csr_array(sum(t * m for t, m in zip(row, pencil.terms, strict=True)))
        found = ends(a, pencil.x, pencil.riesz)
        low.append(pencil.quotients(found.lowest.vector))
        high.append(pencil.quotients(found.highest.vector))
    missing = "a proven stability constant: this one comes from eigenvectors; nw.rb.with_stability(problem) proves one"
    return SampledStability(np.array(low), np.array(high), missing)


@dataclass(frozen=True, eq=False)
class _Pencil:
    """The terms and X on the free dofs, and the Riesz map there."""

    terms: list[sp.csr_array]
    x: sp.csr_array
    riesz: Callable[[Array], Array]
    lambda_min: float

    @classmethod
    def of(cls, problem: Affine) -> "_Pencil":
        inner = problem.space.inner("energy")
        if not isinstance(inner, MatrixProduct):
            raise InputError(
                f"the energy inner product of this space is no sparse matrix but {type(inner).__name__}, and proofs by "
                "factorisation need one"
            )
        terms = problem.terms()

        def riesz(r: Array) -> Array:
            full = np.zeros((len(r), len(terms.free)))
            full[:, terms.free] = r
            return inner.riesz(full)[:, terms.free]

        return cls([restricted(a, terms.free) for a in terms.matrices], inner.matrix, riesz, inner.lambda_min)

    def quotients(self, v: Real) -> Real:
        """(A_q v, v) / (X v, v), `(Q,)`."""
        return np.array([v @ (a @ v) for a in self.terms]) / (v @ (self.x @ v))


def _training(problem: Affine, training: int | Mapping[str, Any], seed: int) -> Mu:
    if not isinstance(training, int):
        return as_mu(training, problem.parameters.names)
    if training < 1:
        raise InputError(f"training is {training}; give at least 1")
    mu, box = problem.parameters.sample(range(training), seed), problem.parameters
    if not isinstance(box, Box) or len(box.names) > _CORNERS:
        return mu
    corners = box.from_unit(np.array(list(product((0.0, 1.0), repeat=len(box.names)))))
    return {name: np.concatenate([mu[name], corners[name]]) for name in box.names}


@dataclass(frozen=True)
class WithStability(ThetaStable, Outputs, Storable):
    """An affine problem with the constant of `stability`, in all else as it was."""

    kind: ClassVar[str] = "with-stability"

    problem: Affine
    constants: ThetaStability

    @property
    def parameters(self) -> ParameterSpace:
        """Those of the problem."""
        return self.problem.parameters

    @property
    def space(self) -> FunctionSpace:
        """That of the problem."""
        return self.problem.space

    @property
    def stability(self) -> ThetaStability:
        """The constants that were added."""
        return self.constants

    def constant(self, mu: Mu, field: Array | None = None) -> Stability:
        """The constants at mu; NaN, and so no bound, where nothing above zero is proven."""
        found = super().constant(mu)
        return replace(found, lower=np.where(found.lower > 0, found.lower, np.nan))

    def terms(self) -> AffineTerms:
        """Those of the problem."""
        return self.problem.terms()

    def coefficients(self, mu: Mu) -> tuple[Real, Real]:
        """Those of the problem."""
        return self.problem.coefficients(mu)

    def quantities(self) -> Mapping[str, Quantity]:
        """Those of the problem; none where it has none."""
        return self.problem.quantities() if isinstance(self.problem, Outputs) else {}

    def to_parts(self) -> Parts:
        """Problem and constants as children. Raises InputError for a problem that cannot be stored."""
        if not isinstance(self.problem, Storable):
            raise InputError(f"{type(self.problem).__name__} cannot be stored: inherit nwidth's Storable")
        return Parts({}, {}, {"problem": self.problem, "stability": self.constants})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again."""
        return cls(children["problem"], children["stability"])


@dataclass(frozen=True)
class FormulasWithStability(Formulas, WithStability):
    """The same for a problem whose coefficients are formulas."""

    kind: ClassVar[str] = "formulas-with-stability"

    def formulas(self) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
        """Those of the problem."""
        if not isinstance(self.problem, Formulas):
            raise InputError(f"the coefficients of {type(self.problem).__name__} are no formulas")
        return self.problem.formulas()


def with_stability(
    problem: Affine,
    training: int | Mapping[str, Any] = 200,
    *,
    tol: float | None = 0.25,
    proofs: int = 40,
    seed: int = 0,
    stability: ThetaStability | None = None,
) -> WithStability:
    """The problem with a proven coercivity constant by the successive constraint method, ready for certificates.

    The arguments are those of `successive_constraints`; `stability`, constants that exist already, takes their place
    (`sampled_constants(problem)` proves nothing, and the limits are then an `Estimate`).
    """
    found = stability or successive_constraints(problem, training, tol=tol, proofs=proofs, seed=seed)
    return FormulasWithStability(problem, found) if isinstance(problem, Formulas) else WithStability(problem, found)
