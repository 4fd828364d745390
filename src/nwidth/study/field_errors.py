"""The true error of a field in the norm of its limit, and how far the reference itself can be off in that norm."""

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.linear_residual import LinearResidualCertificate
from nwidth.certificates.quantities import NORMS
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.guarantee import Guarantee
from nwidth.core.prediction import uncertified
from nwidth.core.validation import select
from nwidth.problems.base import Linear, Problem, is_coercive
from nwidth.study.errors import run_bounds

#: Norms that guaranteed limits of fields are stated in; other words (trajectories) are not measured here.
ENERGY, GRADIENT, L2 = "energy norm", "gradient norm", "L2 norm"
_PIECE = 64


def calibrated_norm(guarantee: Guarantee) -> str | None:
    """The key of the norm that a guarantee's words begin with; None for one of another kind."""
    return next((key for key, norm in NORMS.items() if guarantee.norm.startswith(norm.words)), None)


def field_errors(norm: str, problem: Problem | None, mu: Mu, difference: Array) -> Real | None:
    """The norm of each difference of fields, `(B,)`, on the free dofs; None where it cannot be evaluated.

    'energy norm' is `√Re(eᴴ A e)`, also of a matrix that is not symmetric.
    """
    if norm not in (ENERGY, GRADIENT, L2) or not isinstance(problem, Linear):
        return None
    space, found = problem.space, np.empty(len(difference))
    inner = None if norm == ENERGY else space.inner("energy" if norm == GRADIENT else "mass")
    for first in range(0, len(difference), _PIECE):
        rows = slice(first, first + _PIECE)
        systems = problem.systems(select(mu, rows))
        e = np.where(systems.free, space.flatten(difference[rows]), 0.0)
        if inner is None:
            found[rows] = np.sqrt(np.maximum(np.einsum("bn,bn->b", np.conj(e), systems.apply(e)).real, 0.0))
        else:
            found[rows] = inner.norm(e)
    return found


def reference_slack(certificate: Certificate, problem: Problem | None, mu: Mu, truth: Array) -> Real:
    """A guaranteed bound of the distance between reference fields and the full-order solution, in the limit's norm,
    `(B,)`: an iteration ends at its tolerance, not at rounding. Zero where none is known."""
    if isinstance(certificate, ResidualCertificate | LinearResidualCertificate):
        inside = np.ones(len(truth), dtype=bool)
        own = certificate.bound(uncertified(mu, truth, certificate.problem.space, inside)).bound
        return np.where(np.isfinite(own), own, 0.0)
    if is_coercive(problem):
        own = run_bounds(problem, mu, truth)
        return np.where(np.isfinite(own), own, 0.0)
    return np.zeros(len(truth))
