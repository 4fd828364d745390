"""`certify`: attach the strongest certificate that the problem allows."""

from nwidth.certificates.base import Certificate
from nwidth.certificates.conformal import calibrate
from nwidth.certificates.interpolated import interpolated_certificate
from nwidth.certificates.lead_time import calibrate_lead_times
from nwidth.certificates.parabolic import EvolutionCertificate
from nwidth.certificates.parabolic_dual import DualEvolutionCertificate
from nwidth.certificates.reduced import ReducedCertificate
from nwidth.certificates.reduced_residual import ReducedResidualCertificate
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.errors import InputError
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Coercive, Problem, is_coercive
from nwidth.problems.parabolic import AffineEvolution
from nwidth.rb.galerkin import ReducedBasis
from nwidth.rb.parabolic import ReducedEvolution
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.base import Surrogate


def certify(
    surrogate: Surrogate,
    problem: Problem | None = None,
    *,
    holdout: Snapshots | None = None,
    level: float = 0.9,
    seed: int = 0,
) -> Certified:
    """The surrogate with a limit on every answer.

    A guaranteed bound where the problem is linear with a stability constant: whatever answers in a basis for an affine
    problem is bounded from its coefficients alone, also with interpolated coefficients or in time; any other field by
    its residual. Otherwise pass `holdout`, runs that the surrogate has never seen, for a calibrated limit that holds
    for about `level` of the cases drawn the same way; trajectories get one for each stored time.

    Raises InputError where neither is possible, with what is missing.
    """
    if isinstance(surrogate, Certified):
        raise InputError("this surrogate already carries a certificate; certify its .surrogate instead")
    return Certified(surrogate, _certificate(surrogate, problem, holdout, level, seed))


def _certificate(
    surrogate: Surrogate, problem: Problem | None, holdout: Snapshots | None, level: float, seed: int
) -> Certificate:
    if holdout is not None and holdout.times is not None:
        return calibrate_lead_times(surrogate, holdout, level, seed=seed)
    if holdout is not None:
        return calibrate(surrogate, holdout, level=level, seed=seed)
    if problem is None:
        raise InputError(
            "nothing to certify against: pass the problem for a guaranteed bound, or holdout=snapshots (unseen runs) "
            "for a calibrated one"
        )
    if isinstance(surrogate, ReducedEvolution) and isinstance(problem, AffineEvolution):
        return _in_time(surrogate, problem)
    if isinstance(surrogate, ReducedBasis):
        interpolated = interpolated_certificate(surrogate, problem)
        if interpolated is not None:
            return interpolated
    if is_coercive(problem):
        return _of_the_residual(surrogate, problem)
    raise InputError(
        f"no guarantee is possible for {type(problem).__name__}: it is not both Linear and Stable (a stability "
        "constant is missing). Pass holdout=snapshots (unseen runs), level=0.9 for a calibrated limit"
    )


def _in_time(surrogate: ReducedEvolution, problem: AffineEvolution) -> Certificate:
    """Limits of outputs by duality, where there are outputs."""
    primal = EvolutionCertificate.build(surrogate, problem)
    return DualEvolutionCertificate(primal) if problem.quantities() else primal


def _of_the_residual(surrogate: Surrogate, problem: Coercive) -> Certificate:
    """From reduced coefficients where the surrogate has them and the problem separates, else from the field."""
    if isinstance(surrogate, ReducedBasis):
        return ReducedCertificate.build(surrogate, problem)
    if ReducedResidualCertificate.applies(surrogate, problem):
        return ReducedResidualCertificate.build(surrogate, problem)
    return ResidualCertificate(problem)
