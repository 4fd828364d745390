"""The true error of a field in the norm of its limit, and how far the reference itself can be off in that norm."""

from dataclasses import dataclass

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.linear_residual import LinearResidualCertificate
from nwidth.certificates.quantities import NORMS
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.guarantee import Guarantee
from nwidth.core.prediction import uncertified
from nwidth.core.validation import select
from nwidth.problems.base import Evolution, Linear, Problem, is_coercive
from nwidth.study.errors import run_bounds

#: Norms that guaranteed limits of fields are stated in; other words (trajectories) are not measured here.
ENERGY, GRADIENT, L2 = "energy norm", "gradient norm", "L2 norm"
_PIECE = 64
#: Runs whose distance from the solution is above this part of it do not count as solutions.
SOLVED = 1e-4
#: Runs below this part of the largest one are zero.
_ZERO = 1e-12


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


@dataclass(frozen=True)
class Reference:
    """How far runs can be from the solution of the equation that a limit was proven for: a guaranteed bound `slack` and
    the size of each run, `(B,)`, in the limit's norm. An iteration ends at its tolerance, not at rounding; runs of
    another equation are far away."""

    slack: Real
    size: Real

    @property
    def wrong(self) -> Mask:
        """Which runs cannot be told to solve the equation: nothing can be measured from them."""
        floor = _ZERO * float(np.max(self.size, initial=0.0, where=np.isfinite(self.size)))
        return ~(self.slack <= SOLVED * np.maximum(self.size, floor))


def reference_of(
    certificate: Certificate, problem: Problem | None, norm: str, mu: Mu, truth: Array
) -> Reference | None:
    """The distance of runs `(B, *shape)` from the equation of the certificate (of `problem` where it holds none); None
    where no bound of it is known in this norm."""
    equation = certificate.equation or problem
    if not isinstance(equation, Linear) or isinstance(equation, Evolution) or truth.shape[1:] != equation.space.shape:
        return None
    if isinstance(certificate, ResidualCertificate | LinearResidualCertificate):
        inside = np.ones(len(truth), dtype=bool)
        slack = certificate.bound(uncertified(mu, truth, equation.space, inside)).bound
    elif is_coercive(equation) and norm == ENERGY:
        slack = run_bounds(equation, mu, truth)
    else:
        return None
    size = field_errors(norm, equation, mu, truth)
    return Reference(slack, np.full(len(slack), np.inf) if size is None else size)
