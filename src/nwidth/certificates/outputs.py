"""Outputs of a reduced basis with dual bases of their own: limits of second order for any functional.

The dual solution of a functional that is no load is badly represented in the primal basis, and the limit Δ Δ_dual then
falls as slowly as Δ. With a dual basis of its own it falls as the product. For quadratic outputs the limit also holds
`γ Δ² / α` with a proven continuity constant; see `nwidth.rb.dual`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.base import Answering, Certificate
from nwidth.certificates.reduced import ReducedCertificate
from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Guarantee
from nwidth.core.prediction import Output, Prediction, Reduced
from nwidth.core.storable import Parts
from nwidth.problems.base import Affine, Quantity, Stable
from nwidth.problems.quantities import Quadratic, QuadraticOutputs
from nwidth.rb.dual import DualModel
from nwidth.rb.dual_greedy import Training, fit_dual, training_set
from nwidth.rb.galerkin import ReducedBasis, quantities_of
from nwidth.surrogates.base import Surrogate

#: Fields that are looked at together.
_PIECE = 16


@dataclass(frozen=True, eq=False)
class OutputCertificate(Certificate):
    """`fields` bounds the field; `duals`, name -> model, the outputs. A linear output that both know gets the sharper
    of the two limits, query by query."""

    kind: ClassVar[str] = "output-certificate"

    fields: ReducedCertificate
    duals: Mapping[str, DualModel]

    @classmethod
    def build(
        cls,
        surrogate: ReducedBasis,
        *,
        tol: float | None = 1e-6,
        max_size: int = 40,
        training: int | Mapping[str, Array] = 200,
        outputs: Mapping[str, Quantity | Quadratic] | None = None,
        seed: int = 0,
    ) -> Self:
        """Dual bases for all outputs of the problem, linear and quadratic, or for `outputs` instead.

        Each grows until the limit on the training set is at most `tol` times the largest value there (None: to
        `max_size` modes), as far as rounding and, for a quadratic output, the primal basis allow.

        Raises InputError for a problem without a stability constant or without outputs, and for outputs that do not
        fit it.
        """
        fields = ReducedCertificate.build(surrogate)
        wanted = outputs if outputs is not None else all_quantities(surrogate.problem)
        if not wanted:
            raise InputError(
                f"{type(surrogate.problem).__name__} has no outputs; inherit Outputs or QuadraticOutputs, or pass "
                "outputs={'name': Quantity(...)}"
            )
        if (tol is not None and not tol > 0) or max_size < 1:
            raise InputError(f"tol is {tol}, max_size {max_size}; give a tolerance above zero (or None) and a mode")
        known = _known(fields, surrogate, training_set(surrogate.problem, training, seed))
        duals = {}
        for name, quantity in wanted.items():
            size = _size(surrogate, quantity, known) if tol is not None else 0.0
            duals[name] = fit_dual(surrogate, quantity, known, (tol or 0.0) * size, max_size)
        return cls(fields, duals)

    @property
    def equation(self) -> Affine:
        """The problem of the residual."""
        return self.fields.problem

    @property
    def guarantee(self) -> Guarantee:
        """That of the field's bound; the outputs' limits carry the same promise."""
        return self.fields.guarantee

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with its bounds and output limits. Raises InputError for a prediction in another basis."""
        return self._with_outputs(self.fields.bound(prediction))

    def answering(self, surrogate: Surrogate) -> Answering:
        """The field's bound by its own fastest way, the outputs after it."""
        return partial(self._answer, self.fields.answering(surrogate))

    def _answer(self, fields: Answering, mu: Mu | Array) -> Prediction:
        return self._with_outputs(fields(mu))

    def _with_outputs(self, answer: Prediction) -> Prediction:
        problem, values = self.fields.problem, answer.values
        theta, phi = problem.coefficients(answer.mu)
        lower = _constant(problem, answer.mu)
        if not isinstance(values, Reduced):
            raise InputError("this certificate bounds reduced coefficients")
        coefficients = np.ascontiguousarray(values.coefficients, dtype=np.float64)
        found = {name: dual.output(theta, phi, coefficients, answer.bound, lower) for name, dual in self.duals.items()}
        outputs = {name: _sharper(output, answer.outputs.get(name)) for name, output in found.items()}
        return replace(answer, outputs={**answer.outputs, **outputs})

    def to_parts(self) -> Parts:
        """The field's certificate and the dual models as children."""
        children = {f"dual.{i}": dual for i, dual in enumerate(self.duals.values())}
        return Parts({"names": list(self.duals)}, {}, {"fields": self.fields, **children})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The certificate again."""
        return cls(children["fields"], {name: children[f"dual.{i}"] for i, name in enumerate(config["names"])})


def all_quantities(problem: Affine) -> dict[str, Quantity | Quadratic]:
    """Linear and quadratic outputs of a problem. Raises InputError where two share a name."""
    linear, quadratic = quantities_of(problem), {}
    if isinstance(problem, QuadraticOutputs):
        quadratic = dict(problem.quadratics())
    if twice := sorted(set(linear) & set(quadratic)):
        raise InputError(f"{twice[0]!r} names both a linear and a quadratic output; give each its own name")
    return {**linear, **quadratic}


def _constant(problem: Affine, mu: Mu) -> Array:
    """α at each query; a reduced certificate exists only for problems that know it."""
    if not isinstance(problem, Stable):
        raise InputError(f"a stability constant of {type(problem).__name__} is missing")
    return problem.constant(mu).lower


def _known(fields: ReducedCertificate, surrogate: ReducedBasis, mu: Mu) -> Training:
    bound = fields.bound(surrogate.predict(mu)).bound
    lower = _constant(surrogate.problem, mu)
    good = np.flatnonzero(np.isfinite(bound) & (lower > 0))
    if not len(good):
        raise InputError("no training parameter has a finite bound of its field; is the problem coercive there?")
    kept = {name: values[good] for name, values in mu.items()}
    return Training.of(surrogate, kept, bound[good], lower[good])


def _size(surrogate: ReducedBasis, quantity: Quantity | Quadratic, known: Training) -> float:
    """The largest absolute value of the uncorrected output on the training set."""
    lift, largest = surrogate.problem.terms().lift, 0.0
    if np.shape(quantity.functional) != lift.shape:
        raise InputError(f"a functional of shape {np.shape(quantity.functional)} for a space with {lift.shape} dofs")
    for first in range(0, len(known.coefficients), _PIECE):
        v = lift + known.coefficients[first : first + _PIECE] @ surrogate.basis
        values = quantity(v) if isinstance(quantity, Quadratic) else v @ quantity.functional + quantity.offset
        largest = max(largest, float(np.abs(values).max()))
    return largest


def _sharper(one: Output, other: Output | None) -> Output:
    """The pair of value and limit with the smaller limit, query by query."""
    if other is None:
        return one
    first = one.limit <= other.limit
    return Output(np.where(first, one.values, other.values), np.where(first, one.limit, other.limit), one.unit)
