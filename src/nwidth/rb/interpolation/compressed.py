"""A residual in fewer coordinates: many interpolation terms times many modes span less than they count.

With orthonormal columns Q and ρ_k = Q Qᵀ ρ_k + d_k, `‖Σ z_k ρ_k‖ <= ‖Σ z_k Qᵀ ρ_k‖ + Σ |z_k| ‖d_k‖` for every z: what
is left out goes into the defects, and the bound stays one. Q is chosen where the z of actual queries are large: the
factors of late modes are small, so their coordinates may be rough.
"""

from dataclasses import replace

import numpy as np

from nwidth.core.arrays import Real
from nwidth.rb.galerkin import ReducedBasis
from nwidth.rb.residual import ResidualModel
from nwidth.rb.rounding import gamma


def compressed(surrogate: ReducedBasis, share: float, samples: int = 100) -> ResidualModel:
    """The residual of a basis in fewer coordinates, which add at most about `share` of a typical residual to it.

    Typical: the median over the fields and duals of `samples` drawn parameters; that choice decides the size and the
    sharpness, not whether the result is a bound. Without a reduction worth it, the residual as it is.
    """
    residual = surrogate.residual
    scale = _scale(surrogate, samples) / share
    directions = np.linalg.svd(residual.rows * scale[:, None], full_matrices=False)[2]
    left_out = np.cumsum(((residual.rows @ directions.T) ** 2)[:, ::-1], axis=1)[:, ::-1]
    enough = np.flatnonzero(scale @ np.sqrt(left_out) <= 1)
    if not len(enough) or enough[0] > 0.8 * residual.rows.shape[1]:
        return residual
    return _projected(residual, directions[: max(1, int(enough[0]))])


def _projected(residual: ResidualModel, q: Real) -> ResidualModel:
    rows = np.ascontiguousarray(residual.rows @ q.T)
    operations = gamma(len(q) + residual.rows.shape[1] + 8)
    size = np.linalg.norm(residual.rows, axis=1)
    left_out = np.linalg.norm(residual.rows - rows @ q, axis=1) + operations * size
    longer = 1 + float(np.linalg.norm(q @ q.T - np.eye(len(q)))) + operations * len(q)
    return replace(
        residual,
        rows=rows,
        defects=residual.defects + residual.gain * left_out * (1 + 1e-9),
        gain=residual.gain * longer,
        levels=np.minimum(residual.levels, len(q)),
    )


def _scale(surrogate: ReducedBasis, samples: int) -> Real:
    """For each coordinate row the largest factor it gets, relative to the median norm of the residuals, `(K,)`."""
    problem, model, residual = surrogate.problem, surrogate.model, surrogate.residual
    theta, phi = problem.coefficients(problem.parameters.sample(range(samples), 0))
    matrices = np.einsum("bq,qij->bij", theta, model.matrices)
    count = len(model.functionals)
    sides = np.concatenate([(phi @ model.loads)[:, None], np.tile(model.functionals, (len(theta), 1, 1))], axis=1)
    found = np.linalg.solve(matrices, sides.swapaxes(1, 2)).swapaxes(1, 2)
    scale = np.zeros(len(residual.rows))
    for side in range(1 + count):
        fixed = np.zeros((len(theta), residual.fixed))
        if side:
            fixed[:, phi.shape[1] + side - 1] = 1.0
        else:
            fixed[:, : phi.shape[1]] = phi
        modes = -(found[:, side, :, None] * theta[:, None, :]).reshape(len(theta), -1)
        factors = np.concatenate([fixed, modes], axis=1)
        typical = np.median(np.linalg.norm(factors @ residual.rows, axis=1))
        scale = np.maximum(scale, np.abs(factors).max(axis=0) / max(float(typical), 1e-300))
    return scale
