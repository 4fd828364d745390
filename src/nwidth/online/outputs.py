"""`certify_outputs`: a reduced basis whose outputs have limits of second order, linear and quadratic ones."""

from collections.abc import Mapping

from nwidth.certificates.outputs import OutputCertificate
from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Quantity
from nwidth.problems.quantities import Quadratic
from nwidth.rb.galerkin import ReducedBasis


def certify_outputs(
    surrogate: ReducedBasis,
    *,
    tol: float | None = 1e-6,
    max_size: int = 40,
    training: int | Mapping[str, Array] = 200,
    outputs: Mapping[str, Quantity | Quadratic] | None = None,
    seed: int = 0,
) -> Certified:
    """The reduced basis with guaranteed limits of its field and, through a dual basis for each, of its outputs.

    tol: a dual basis grows until its output's limit on the training set is at most this part of the output's largest
    value there; None for `max_size` modes. training: how many parameters are drawn, or a mapping name -> `(B,)`.
    outputs: name -> `Quantity` or `Quadratic`; by default those of the problem (`Outputs`, `QuadraticOutputs`).

    Raises InputError for a surrogate that is not a reduced basis, a problem without a stability constant, and outputs
    that do not fit it.
    """
    if not isinstance(surrogate, ReducedBasis):
        raise InputError(f"dual bases belong to a reduced basis; got {type(surrogate).__name__}: use nw.certify")
    built = OutputCertificate.build(
        surrogate, tol=tol, max_size=max_size, training=training, outputs=outputs, seed=seed
    )
    return Certified(surrogate, built)
