"""A certified reduced basis that is asked one query at a time: the answer of `ReducedCertificate` in one compiled call.

What surrounds the arithmetic (checking names, testing the range, making arrays of length one) would otherwise take
ten times as long as the arithmetic itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from nwidth.certificates.base import Answering
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.guarantee import Guarantee
from nwidth.core.prediction import Output, Prediction, Reduced, Source
from nwidth.problems.base import Affine
from nwidth.problems.formulas import Formulas
from nwidth.problems.min_theta import MinTheta, ThetaStable
from nwidth.rb.galerkin import ReducedBasis
from nwidth.rb.residual import ResidualModel
from nwidth.rb.single import SingleQuery, answer_at
from nwidth.spaces.box import Box


def _constant(value: Any, dtype: Any) -> Array:
    """One entry that every answer shares; it cannot be changed."""
    array = np.array([value], dtype=dtype)
    array.flags.writeable = False
    return array


_SURROGATE, _NO_REASON = _constant(Source.SURROGATE.value, "<U10"), _constant("", object)
_INSIDE = {flag: _constant(flag, bool) for flag in (False, True)}


@dataclass(frozen=True, eq=False)
class OneByOne:
    """Answers single queries of scalar parameters; None for everything else, which goes the usual way."""

    names: tuple[str, ...]
    box: Real
    programs: tuple[Real, Real]
    reference: Real
    query: SingleQuery
    surrogate: ReducedBasis
    offset: Real
    guarantee: Guarantee

    @classmethod
    def of(cls, surrogate: ReducedBasis, residual: ResidualModel, guarantee: Guarantee) -> "Self | None":
        """None where coefficients are not formulas, the constant is no comparison of them, or the set is no box."""
        problem: Affine = surrogate.problem
        box = problem.parameters
        if not (isinstance(problem, Formulas) and isinstance(problem, ThetaStable) and isinstance(box, Box)):
            return None
        stability = problem.stability
        if not isinstance(stability, MinTheta):
            return None
        return cls(
            names=box.names,
            box=np.array([box.low, box.high]),
            programs=(problem.compiled.theta_program, problem.compiled.phi_program),
            reference=np.append(stability.reference, stability.slack),
            query=SingleQuery.of(surrogate.model, residual),
            surrogate=surrogate,
            offset=problem.terms().lift,
            guarantee=guarantee,
        )

    def __call__(self, mu: Mu | Array) -> Prediction | None:
        """The answer to a mapping of arrays `(1,)`; None where it is anything else, or has no finite bound."""
        if not isinstance(mu, Mapping):
            return None
        point = self._point(mu)
        if point is None:
            return None
        query = self.query
        out, inside = answer_at(point, self.box, *self.programs, self.reference, query.table, query.sizes, query.levels)
        if not out[0] < np.inf:
            return None
        count = len(self.surrogate.model.outputs)
        outputs = {
            name: Output(out[2 + i : 3 + i], out[2 + count + i : 3 + count + i], unit)
            for i, (name, unit) in enumerate(self.surrogate.model.outputs)
        }
        values = Reduced(out[None, 2 + 2 * count :], self.surrogate.basis, self.offset)
        return Prediction(
            mu, values, self.surrogate.space, out[:1], self.guarantee, _INSIDE[inside], _SURROGATE, outputs,
            _NO_REASON, {"floor": out[1:2]},
        )  # fmt: skip

    def _point(self, mu: Mu) -> Real | None:
        if len(mu) != len(self.names):
            return None
        point = np.empty((1, len(self.names)))
        for i, name in enumerate(self.names):
            value = mu.get(name)
            if type(value) is not np.ndarray or value.shape != (1,) or value.dtype != np.float64:
                return None
            point[0, i] = value[0]
        return point


def one_or_many(one: OneByOne, usual: Answering, mu: Mu | Array) -> Prediction:
    """Single queries by one compiled call, all others as usual."""
    answer = one(mu)
    return usual(mu) if answer is None else answer
