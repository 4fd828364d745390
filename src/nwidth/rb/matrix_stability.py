"""The stability constant of matrices from another program: proven by min-theta, or estimated with the reason why."""

from collections.abc import Callable
from itertools import product as combinations

import numpy as np
import scipy.sparse as sp

from nwidth.bounds.positive import lower_constant, upper_constant
from nwidth.bounds.spectrum import lowest
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.problems.base import AffineTerms
from nwidth.problems.min_theta import MinTheta, ThetaStability
from nwidth.rb.comparison import SampledStability, ScaledMinTheta
from nwidth.spaces.box import Box
from nwidth.spaces.mesh import Form

_EPS = float(np.finfo(np.float64).eps)
_CORNERS, _DRAWS = 16, 8
_PROOF = "for a proof pass stability=nw.rb.successive_constraints"


def best_stability(
    data: AffineTerms,
    theta_at: Callable[[dict[str, Array]], Real],
    box: Box,
    energy: Form,
    reference: Real | None,
) -> ThetaStability:
    """Min-theta with its proof, or the estimate with the reason.

    `theta_at`: mu -> θ `(B, Q)`; `reference`: the θ that define the product, None where it is the user's own. Raises
    InputError where A(mu) is found not to be positive definite.
    """
    samples = _samples(box)
    theta = theta_at(samples)
    bad = np.argwhere(~(theta > 0))
    if len(bad):
        row, q = bad[0]
        where = ", ".join(f"{name} = {samples[name][row]:g}" for name in box.names)
        return _estimated(data, theta, energy, f"the coefficient of A_terms[{q}] is {theta[row, q]:g} at {where}")
    x = _on_free(energy.matrix, data)
    quotients = []
    for q, matrix in enumerate(data.matrices):
        try:
            quotients.append(lower_constant(_on_free(matrix, data), x, lambda_min=energy.lambda_min))
        except WorkError as error:
            return _estimated(data, theta, energy, f"A_terms[{q}] is not proven semidefinite: {error}")
    defects = np.maximum(-np.array(quotients), 0.0)
    known = _compared(data, theta, x, energy, reference, defects)
    if (known.constants(theta).lower > 0).all():
        return known
    worst = int(np.argmax(theta.max(axis=0) * defects))
    why = f"A_terms[{worst}] is not positive semidefinite: its smallest quotient with X is {quotients[worst]:.3g}"
    return _estimated(data, theta, energy, why)


def _on_free(matrix: sp.csr_array, data: AffineTerms) -> sp.csr_array:
    return sp.csr_array(matrix[data.free][:, data.free])


def _compared(
    data: AffineTerms, theta: Real, x: sp.csr_array, energy: Form, reference: Real | None, defects: Real
) -> ThetaStability:
    norms = np.array([float(abs(a).sum(axis=1).max()) for a in data.matrices])
    if reference is not None:
        rounding = (len(norms) + 4) * _EPS * float(reference @ norms) / energy.lambda_min
        return MinTheta(reference, float(reference @ defects) + rounding)
    # the product is the user's own: of the points that the comparison can go through, the one with the best constants
    made = [_scaled(data, x, energy, point, norms, defects) for point in _references(data, theta, x)]
    return max(made, key=lambda known: float(np.log(np.maximum(known.constants(theta).lower, 1e-300)).mean()))


def _scaled(
    data: AffineTerms, x: sp.csr_array, energy: Form, point: Real, norms: Real, defects: Real
) -> ScaledMinTheta:
    a = _on_free(sp.csr_array(sum(t * m for t, m in zip(point, data.matrices, strict=True))), data)
    lower = lower_constant(a, x, lambda_min=energy.lambda_min)
    upper = upper_constant(a, x, lambda_min=energy.lambda_min)
    rounding = (len(norms) + 4) * _EPS * float(point @ norms) / energy.lambda_min
    return ScaledMinTheta(point, lower - rounding, upper + rounding, float(point @ defects) + rounding)


def _references(data: AffineTerms, theta: Real, x: sp.csr_array) -> list[Real]:
    """Coefficients to compare with: the geometric middle of those that occur, and those that come closest to X."""
    parts = [_on_free(matrix, data) for matrix in data.matrices]
    gram = np.array([[float(a.multiply(b).sum()) for b in parts] for a in parts])
    nearest = np.linalg.lstsq(gram, np.array([float(a.multiply(x).sum()) for a in parts]), rcond=None)[0]
    middle = np.exp(np.log(theta).mean(axis=0))
    return [middle, nearest] if (nearest > 1e-6 * nearest.max()).all() and nearest.max() > 0 else [middle]


def _estimated(data: AffineTerms, theta: Real, energy: Form, why: str) -> ThetaStability:
    """Quotients of eigenvectors at a few parameters; `why` nothing is proven.

    Raises InputError where the problem is not coercive there.
    """
    x, parts = _on_free(energy.matrix, data), [_on_free(matrix, data) for matrix in data.matrices]
    low: list[Real] = []
    high: list[Real] = []
    for row in theta[:: max(1, len(theta) // (_CORNERS + _DRAWS))]:
        a = sp.csr_array(sum(t * part for t, part in zip(row, parts, strict=True)))
        for rows, found in ((low, lowest(a, x)), (high, lowest(-a, x))):
            v = found.vector
            rows.append(np.array([v @ (part @ v) for part in parts]) / (v @ (x @ v)))
        if low[-1] @ row <= 0:
            raise InputError(
                f"A is not positive definite for the coefficients θ = {row}: (A v, v) = {low[-1] @ row:.3g} (X v, v) "
                "for some v. Bounds by coercivity need a positive definite A for all parameters; look at signs and "
                "ranges"
            )
    return SampledStability(np.array(low), np.array(high), f"a proven stability constant: {why}; {_PROOF}")


def _samples(box: Box) -> dict[str, Array]:
    """The middle, corners (all of them for few parameters) and draws."""
    count = len(box.names)
    ends = np.array(list(combinations((0.0, 1.0), repeat=count)) if count <= 10 else np.eye(count))
    drawn = box.sample(range(_DRAWS), 0)
    placed = box.from_unit(np.concatenate([np.full((1, count), 0.5), ends]))
    return {name: np.concatenate([placed[name], drawn[name]]) for name in box.names}
