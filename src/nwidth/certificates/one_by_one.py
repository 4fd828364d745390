"""A certified reduced basis that is asked one query at a time: the answer of `ReducedCertificate` in one compiled call.

What surrounds the arithmetic (checking names, testing the range, making arrays of length one) would otherwise take
ten times as long as the arithmetic itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from nwidth.certificates.base import Answering
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.guarantee import Guarantee
from nwidth.core.prediction import Output, Prediction, Reduced, Source
from nwidth.problems.base import Affine, Stable
from nwidth.problems.formulas import Formulas
from nwidth.problems.min_theta import MinTheta, ThetaStable
from nwidth.rb.galerkin import ReducedBasis
from nwidth.rb.residual import ResidualModel
from nwidth.rb.single import SingleQuery, answer, answer_at
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.box import Box


def _constant(value: Any, dtype: Any) -> Array:
    """One entry that every answer shares; it cannot be changed."""
    array = np.array([value], dtype=dtype)
    array.flags.writeable = False
    return array


_SURROGATE, _NO_REASON = _constant(Source.SURROGATE.value, "<U10"), _constant("", object)
_NOTHING = _constant(np.nan, float)
_INSIDE = {flag: _constant(flag, bool) for flag in (False, True)}


class _Programs(NamedTuple):
    """Coefficients as programs, and the reference of their comparison with the slack behind it."""

    theta: Real
    phi: Real
    reference: Real

    @classmethod
    def of(cls, problem: Affine) -> "_Programs | None":
        """None where coefficients are not formulas, or the constant is no comparison of them."""
        if not (isinstance(problem, Formulas) and isinstance(problem, ThetaStable)):
            return None
        stability, compiled = problem.stability, problem.compiled
        if not isinstance(stability, MinTheta):
            return None
        reference = np.append(stability.reference, stability.slack)
        return cls(compiled.theta_program, compiled.phi_program, reference)


@dataclass(frozen=True, eq=False)
class OneByOne:
    """Answers single queries of scalar parameters; None for everything else, which goes the usual way.

    Coefficients that are formulas are evaluated in the same compiled call, others by the problem.
    """

    surrogate: ReducedBasis
    guarantee: Guarantee
    names: tuple[str, ...]
    shape: tuple[int, int]
    box: Real
    query: SingleQuery
    programs: _Programs | None
    basis: Real
    offset: Real
    space: FunctionSpace
    outputs: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, surrogate: ReducedBasis, residual: ResidualModel, guarantee: Guarantee) -> "Self | None":
        """None where the set of parameters is no box."""
        problem: Affine = surrogate.problem
        box = problem.parameters
        if not isinstance(box, Box):
            return None
        return cls(
            surrogate=surrogate,
            guarantee=guarantee,
            names=box.names,
            shape=(len(box.names), 1),
            box=np.array([box.low, box.high]),
            query=SingleQuery.of(surrogate.model, residual),
            programs=_Programs.of(problem),
            basis=surrogate.basis,
            offset=problem.terms().lift,
            space=surrogate.space,
            outputs=surrogate.model.outputs,
        )

    def __call__(self, mu: Mu | Array) -> Prediction | None:
        """The answer to a mapping of arrays `(1,)`; None where it is anything else, or has no finite bound."""
        if not isinstance(mu, Mapping):
            return None
        point = self._point(mu)
        if point is None:
            return None
        query = self.query
        if self.programs is None:
            out, inside = self._with_coefficients(mu, point)
        else:
            out, inside = answer_at(point, self.box, *self.programs, query.table, query.sizes, query.rows, query.widths)
        if not out[0] < np.inf:
            return None
        count = len(self.outputs)
        outputs = {
            name: Output(out[i : i + 1], out[i + count : i + count + 1], unit)
            for i, (name, unit) in enumerate(self.outputs, 2)
        }
        values = Reduced(out[None, 2 + 2 * count :], self.basis, self.offset)
        return Prediction(
            mu, values, self.space, out[:1], self.guarantee, _INSIDE[inside], _SURROGATE, outputs, _NO_REASON,
            {"floor": out[1:2]},
        )  # fmt: skip

    def _with_coefficients(self, mu: Mu, point: Real) -> tuple[Real, bool]:
        """As `answer_at`, with what the problem itself says of its coefficients and constant."""
        problem, query = self.surrogate.problem, self.query
        theta, phi = problem.coefficients(mu)
        if isinstance(problem, ThetaStable):
            stability = problem.stability.constants(theta)
        elif isinstance(problem, Stable):
            stability = problem.constant(mu)
        else:
            return _NOTHING, False
        lower = float(stability.lower[0])
        if not (stability.proven and lower > 0):
            return _NOTHING, False
        inside = bool(((point[:, 0] >= self.box[0]) & (point[:, 0] <= self.box[1])).all())
        return answer(query.table, query.sizes, query.rows, query.widths, theta[0], phi[0], lower), inside

    def _point(self, mu: Mu) -> Real | None:
        """The parameters `(P, 1)` where they are arrays `(1,)` of float64 and no others."""
        if len(mu) != len(self.names):
            return None
        try:
            values = [mu[name] for name in self.names]
            point = np.array(values)
        except (KeyError, ValueError):
            return None
        for value in values:
            if value.__class__ is not np.ndarray:
                return None
        return point if point.shape == self.shape and point.dtype == np.float64 else None


def one_or_many(one: OneByOne, usual: Answering, mu: Mu | Array) -> Prediction:
    """Single queries by one compiled call, all others as usual."""
    found = one(mu)
    return usual(mu) if found is None else found
