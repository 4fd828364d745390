"""`certify_fields`: limits for fields that are at hand, without a surrogate around what made them."""

from nwidth.certificates.residual import Norm, ResidualCertificate
from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction, uncertified
from nwidth.core.validation import as_mu, batch_size
from nwidth.problems.base import Coercive


def certify_fields(fields: Array, problem: Coercive, mu: Mu | Array, *, norm: Norm = "energy") -> Prediction:
    """Fields `(B, *problem.space.shape)` for parameters mu, from wherever they come, with a limit of their error.

    `bound` from above, `lower` from below, `reason` where there is none; the prescribed boundary values are imposed.
    The answer can be handed to `nw.refine`. `norm`: "energy", or "l2" (loose).

    Raises InputError for a problem without a stability constant and for shapes that do not fit.
    """
    mu = as_mu(mu, problem.parameters.names)
    if len(fields) != batch_size(mu):
        raise InputError(f"{len(fields)} fields for {batch_size(mu)} parameters; give one field each")
    bare = uncertified(mu, fields, problem.space, problem.parameters.contains(mu))
    return ResidualCertificate(problem, norm).bound(bare)
