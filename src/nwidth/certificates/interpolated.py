"""The certificate of a reduced basis whose problem was interpolated: which one follows from how.

From functions at quadrature points: `InterpolationCertificate`. From assembled matrices alone nothing is known of the
interpolation error of a matrix in an operator norm, so the residual of the *true* system is computed for the returned
field: rigorous where the true problem knows its stability constant, at the cost of one assembly and one Riesz map.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.bounds.residual import dual_norm_upper, round_off
from nwidth.certificates.base import Certificate
from nwidth.certificates.interpolation import InterpolationCertificate
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee
from nwidth.core.prediction import Prediction, Reduced
from nwidth.core.storable import Parts
from nwidth.problems.base import Problem, is_coercive
from nwidth.rb.galerkin import ReducedBasis, storable
from nwidth.rb.interpolation.matrices import InterpolatedMatrices
from nwidth.rb.interpolation.problem import Interpolated


def interpolated_certificate(
    surrogate: ReducedBasis, problem: Problem | None = None, error: str = "everywhere"
) -> Certificate | None:
    """The certificate against the full-order solution of the true problem; None for a basis of another kind.

    `problem`, where given, is the true problem or the interpolated one. `error`: see `InterpolationCertificate`. Raises
    InputError for another problem.
    """
    own = surrogate.problem
    if isinstance(own, Interpolated):
        return InterpolationCertificate.build(surrogate, problem, error)
    if not isinstance(own, InterpolatedMatrices):
        return None
    if problem is not None and all(problem is not p and problem != p for p in (own, own.truth)):
        raise InputError(f"this basis was built for {own.truth!r}, not for {problem!r}; fit again for that one")
    return ResidualCertificate(own.truth) if is_coercive(own.truth) else MatrixEstimate(own, surrogate.model.matrices)


@dataclass(frozen=True, eq=False)
class MatrixEstimate(Certificate):
    """`‖f - A u_N‖_{X⁻¹} / √α_N` with the true system and α_N, the smallest eigenvalue of the *reduced* matrix against
    the energy product. It may lie above the true constant, so this is an Estimate."""

    kind: ClassVar[str] = "matrix-estimate"

    problem: InterpolatedMatrices
    matrices: Real

    @property
    def guarantee(self) -> Guarantee:
        """In the energy norm; what is missing is the stability constant."""
        return Estimate("energy norm", "a proven stability constant (that of the reduced matrix is used)")

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with estimates. Raises InputError for a prediction that is not reduced."""
        if not isinstance(prediction.values, Reduced):
            raise InputError("this certificate judges reduced coefficients; got fields")
        truth, inner = self.problem.truth, self.problem.space.inner("energy")
        systems, v = truth.systems(prediction.mu), self.problem.space.flatten(prediction.field)
        finite = np.asarray(np.isfinite(v).all(axis=1))
        v = systems.impose(np.where(finite[:, None], v, 0.0))
        dual = dual_norm_upper(inner, systems.residual(v)) + round_off(systems, v, inner)
        theta, _ = self.problem.coefficients(prediction.mu)
        smallest = np.linalg.eigvalsh(np.einsum("bq,qij->bij", theta, self.matrices))[:, 0]
        usable = finite & (smallest > 0)
        bound = np.where(usable, dual / np.sqrt(np.where(usable, smallest, 1.0)), np.inf)
        reason = np.where(usable, "", "the reduced matrix is not positive definite").astype(object)
        return replace(prediction, bound=bound, guarantee=self.guarantee, reason=reason)

    def to_parts(self) -> Parts:
        """The reduced matrices; the problem as a child."""
        return Parts({}, {"matrices": self.matrices}, {"problem": storable(self.problem)})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The certificate again."""
        return cls(children["problem"], np.array(arrays["matrices"]))
