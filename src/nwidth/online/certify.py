"""`certify`: attach the strongest certificate that the problem allows."""

from collections.abc import Mapping, Sequence
from typing import Any

from nwidth.bounds.default_constants import has_constants
from nwidth.certificates.base import Certificate
from nwidth.certificates.conformal import calibrate
from nwidth.certificates.groups import Groups
from nwidth.certificates.hints import Hint, Residual, Spread, has_residual
from nwidth.certificates.interpolated import interpolated_certificate
from nwidth.certificates.lead_time import calibrate_lead_times
from nwidth.certificates.linear_residual import LinearResidualCertificate
from nwidth.certificates.parabolic import EvolutionCertificate
from nwidth.certificates.parabolic_dual import DualEvolutionCertificate
from nwidth.certificates.parabolic_residual import trajectory_certificate
from nwidth.certificates.reduced import ReducedCertificate
from nwidth.certificates.reduced_residual import ReducedResidualCertificate
from nwidth.certificates.residual import ResidualCertificate
from nwidth.certificates.weighted import Shift
from nwidth.core.arrays import Mu
from nwidth.core.errors import InputError
from nwidth.core.storable import Storable
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Coercive, Evolution, Problem, is_coercive
from nwidth.problems.parabolic import AffineEvolution
from nwidth.rb.galerkin import ReducedBasis
from nwidth.rb.parabolic import ReducedEvolution
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.base import Surrogate

#: Other words for the norms of calibrated limits.
_ALIASES: Mapping[str, str] = {"l2": "mass"}


def certify(
    surrogate: Surrogate,
    problem: Problem | None = None,
    *,
    holdout: Snapshots | None = None,
    level: float = 0.9,
    norm: str | None = None,
    training: Snapshots | Mu | None = None,
    members: Sequence[Surrogate] = (),
    groups: Groups | None = None,
    shift: Shift | None = None,
    accept: float | None = None,
    together: bool = False,
    seed: int = 0,
) -> Certified:
    """The surrogate with a limit on every answer.

    A guaranteed bound where the problem is linear with a stability constant: whatever answers in a basis for an affine
    problem is bounded from its coefficients alone, also with interpolated coefficients or in time; any other field by
    its residual, trajectories at the levels of the scheme too (`SpaceTimeCertificate`). `norm` is then 'energy', or
    'l2' for fields (loose).

    With `holdout`, runs that the surrogate has never seen, a calibrated limit that holds for about `level` of the cases
    drawn the same way. It differs from query to query: what it follows is chosen on a third of the runs from the
    parameters, the size of the answer, the distance to the `training` runs (refused as holdout), the residual where a
    linear `problem` is given too, and the spread of `members`, other surrogates of the same problem. `norm` is 'max'
    (as it comes), 'rms', 'mass' ('l2'), 'energy', or 'band', one width for every value of the field. With `groups` it
    holds in each group on its own, with `shift` for queries that are drawn differently, with `accept`, a tolerance,
    among the answers that a router accepts (`nwidth.certificates.conformal.calibrate`). Trajectories get a limit for
    each stored time, in the 'mass' norm as it comes, with `together` one profile that holds at all of them.

    Raises InputError where neither is possible, with what is missing.
    """
    if isinstance(surrogate, Certified):
        raise InputError("this surrogate already carries a certificate; certify its .surrogate instead")
    asked = {"training": training, "groups": groups, "shift": shift, "accept": accept, "members": members or None}
    if together and (holdout is None or holdout.times is None):
        raise InputError("together=True joins the limits of all times of a run; pass holdout= with trajectories")
    if holdout is None:
        _only_calibrated(asked)
        return Certified(surrogate, _guaranteed(surrogate, problem, norm))
    if holdout.times is not None:
        _only_calibrated(asked, "limits for each stored time do not")
        word = _ALIASES.get(norm or "mass", norm or "mass")
        return Certified(
            surrogate, calibrate_lead_times(surrogate, holdout, level, norm=word, together=together, seed=seed)
        )
    certificate = calibrate(
        surrogate,
        holdout,
        level,
        seed,
        norm=_ALIASES.get(norm or "max", norm or "max"),
        training=training.mu if isinstance(training, Snapshots) else training,
        hints=_hints(problem, members),
        groups=groups,
        shift=shift,
        accept=accept,
    )
    return Certified(surrogate, certificate)


def _only_calibrated(asked: Mapping[str, Any], why: str = "a guaranteed bound does not; pass holdout=") -> None:
    given = [name for name, value in asked.items() if value is not None]
    if given:
        raise InputError(f"{', '.join(given)}: a limit calibrated on runs takes this, {why}")


def _hints(problem: Problem | None, members: Sequence[Surrogate]) -> tuple[Hint, ...]:
    """What foretells the error. A problem that cannot be stored is left out: the model file could not hold it."""
    found: list[Hint] = []
    if has_residual(problem) and isinstance(problem, Storable):
        found.append(Residual(problem))
    if members:
        found.append(Spread(members))
    return tuple(found)


def _guaranteed(surrogate: Surrogate, problem: Problem | None, norm: str | None) -> Certificate:
    if problem is None:
        raise InputError(
            "nothing to certify against: pass the problem for a guaranteed bound, or holdout=snapshots (unseen runs) "
            "for a calibrated one"
        )
    if norm in ("l2", "mass") and is_coercive(problem) and not isinstance(problem, Evolution):
        return ResidualCertificate(problem, "l2")
    if norm not in (None, "energy"):
        raise InputError(
            f"norm is {norm!r}; a guaranteed bound is in the energy norm (or 'l2', loose, where the matrix is "
            "symmetric and coercive): leave norm= out, or pass holdout="
        )
    if isinstance(surrogate, ReducedEvolution) and isinstance(problem, AffineEvolution):
        return _in_time(surrogate, problem)
    if isinstance(problem, Evolution):
        return trajectory_certificate(problem)
    if isinstance(surrogate, ReducedBasis):
        interpolated = interpolated_certificate(surrogate, problem)
        if interpolated is not None:
            return interpolated
    if is_coercive(problem):
        return _of_the_residual(surrogate, problem)
    if has_constants(problem):
        return LinearResidualCertificate.build(problem)
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
