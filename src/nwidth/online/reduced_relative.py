"""The guaranteed relative error of answers in a reduced basis, from their coefficients alone."""

import numpy as np

from nwidth.bounds.residual import relative_bound
from nwidth.core.arrays import Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction, Reduced
from nwidth.rb.galerkin import ReducedBasis


def relative_of_reduced(reduced: ReducedBasis, answer: Prediction) -> Real:
    """`Δ / (‖v‖_A - Δ)` of each answer, from its coefficients, `(B,)`; +inf where the bound is not below the norm."""
    values = answer.values
    if not isinstance(values, Reduced):
        raise InputError("expected answers in a reduced basis")
    theta, _ = reduced.problem.coefficients(answer.mu)
    c, terms = values.coefficients, reduced.problem.terms()
    own = np.einsum("bi,bq,qij,bj->b", c, theta, reduced.model.matrices, c, optimize=True)
    if terms.lift.any():
        images = np.stack([matrix @ terms.lift for matrix in terms.matrices])
        whole = own + 2 * np.einsum("bi,bq,qi->b", c, theta, images @ reduced.basis.T, optimize=True)
        own = np.minimum(own, whole + theta @ (images @ terms.lift))
    return relative_bound(answer.bound, np.sqrt(np.maximum(own, 0.0)))
