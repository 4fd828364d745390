"""Routing where no tolerance can be guaranteed: the surrogate where its calibrated limit is small enough, else a solve.

The promise of the whole: let a fresh query be answered wrongly where it is accepted and its error is above its limit.
That is never more likely than an error above the limit, so that over *all* queries the limits hold with at least the
certificate's level. Among the accepted ones alone they may hold less often, down to `1 - (1 - level) / share accepted`:
queries are picked by their limits. `nw.certify(..., accept=tol)` calibrates for the accepted ones.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.conformal import ConformalCertificate
from nwidth.certificates.cross_conformal import CrossConformalCertificate
from nwidth.certificates.quantile import Coverage, coverage
from nwidth.certificates.quantities import FIELD, Truth, errors_of, names_of, norm_named
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.prediction import Output, Prediction, Source
from nwidth.core.validation import as_mu, select
from nwidth.online.join import joined
from nwidth.problems.base import Outputs, Problem
from nwidth.snapshots.base import Snapshots
from nwidth.solvers.base import Solver
from nwidth.solvers.choose import default_solver
from nwidth.spaces.base import FunctionSpace
from nwidth.surrogates.base import Surrogate

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class CalibratedRouter:
    """Answers whose calibrated limit Δ meets the tolerance come from the surrogate, the others from the solver.

    `atol`: `Δ <= atol`, in the units of the limit; None for `Δ / (‖v‖ - Δ) <= rtol` in the norm of the certificate.
    Raises InputError where the limit has no such norm.
    """

    surrogate: Surrogate
    certificate: Certificate
    problem: Problem
    rtol: float
    atol: float | None = None
    solver: Solver | None = None

    def __post_init__(self) -> None:
        if self.atol is not None and not self.atol > 0:
            raise InputError(f"atol is {self.atol}; it is a tolerance in the units of the limit: give it above zero")

    def answer(self, mu: Mu | Array) -> Prediction:
        """Answers within the tolerance, as far as the certificate promises. Raises WorkError where a solve fails."""
        mu = as_mu(mu, self.surrogate.parameters.names)
        answer = self.surrogate.predict(mu)
        good = self.accepts(answer)
        rows = np.flatnonzero(~good)
        if not len(rows):
            return answer
        solved = self._solved(answer.take(rows))
        return joined([answer.take(np.flatnonzero(good)), solved], np.concatenate([np.flatnonzero(good), rows]))

    def accepts(self, answer: Prediction) -> Mask:
        """Which answers meet the tolerance as they are, `(B,)`."""
        if self.atol is not None:
            return np.asarray(answer.bound <= self.atol)
        rest = self._sizes(answer) - answer.bound
        return np.asarray((rest > 0) & (answer.bound <= self.rtol * rest))

    def coverage(self, runs: Snapshots) -> Coverage:
        """How often the limit held on those of these runs whose answers are accepted; runs that nothing has seen."""
        answer = self.surrogate.predict(as_mu(runs.mu, self.surrogate.parameters.names))
        truth = Truth(np.asarray(runs.fields), runs.outputs)
        first = names_of(answer)[0]
        errors = errors_of(answer, truth, self._calibrated.norm, self._calibrated.spread)[first]
        kept = self.accepts(answer)
        return coverage(errors[kept], answer.bound[kept])

    @property
    def _calibrated(self) -> ConformalCertificate | CrossConformalCertificate:
        if isinstance(self.certificate, ConformalCertificate | CrossConformalCertificate):
            return self.certificate
        raise InputError(
            f"the limits of {type(self.certificate).__name__} have no norm that answers can be measured in; give an "
            "absolute tolerance: atol=..."
        )

    def _sizes(self, answer: Prediction) -> Real:
        if names_of(answer)[0] != FIELD or not isinstance(answer.space, FunctionSpace):
            raise InputError("these answers have no field to measure; give an absolute tolerance: atol=...")
        return norm_named(self._calibrated.norm).measure(np.asarray(answer.field), answer.space)

    @cached_property
    def _prepared(self) -> tuple[Solver, Any]:
        solver = self.solver or default_solver(self.problem)
        return solver, solver.prepare(self.problem)

    def _solved(self, answer: Prediction) -> Prediction:
        """The solver's own answers: it is the reference, so that only rounding is left."""
        solver, state = self._prepared
        solution = solver.solve(state, select(answer.mu, slice(None)))
        failed = np.flatnonzero(~solution.converged)
        if len(failed):
            raise WorkError(f"the solver failed for {len(failed)} of {len(answer)} queries, first {failed[0]}")
        fields = np.asarray(solution.field)
        size = np.linalg.norm(fields.reshape(len(fields), -1), axis=1)
        return replace(
            answer,
            values=fields,
            space=self.problem.space,
            bound=_EPS * size + np.finfo(np.float64).tiny,
            lower=None,
            source=np.full(len(answer), Source.FULL_ORDER.value, dtype="<U10"),
            outputs=_outputs(self.problem, fields),
            reason=np.full(len(answer), "", dtype=object),
            stats={},
        )


def _outputs(problem: Problem, fields: Array) -> dict[str, Output]:
    """The quantities of solved fields, with the rounding of their sums."""
    if not isinstance(problem, Outputs):
        return {}
    v = problem.space.flatten(fields)
    found = {}
    for name, quantity in problem.quantities().items():
        values = v @ quantity.functional + quantity.offset
        noise = v.shape[1] * _EPS * (np.abs(v) @ np.abs(quantity.functional) + abs(quantity.offset))
        found[name] = Output(values, noise + np.finfo(np.float64).tiny, quantity.unit)
    return found
