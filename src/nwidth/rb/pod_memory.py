"""POD of snapshots that are in memory: by singular values, or by the Gram matrix of the snapshots."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla

from nwidth.core.arrays import Array, Real
from nwidth.rb.pod_blocks import energy, extend, gram
from nwidth.spaces.base import InnerProduct

#: Below this part of the largest singular value, a Gram matrix holds round-off only.
_GRAM_FLOOR = 1e-7


@dataclass(frozen=True)
class Found:
    """Modes `(n, N)`, singular values, the energy `Σ ‖u_i‖²` of the rows, and the part of it that is in neither."""

    modes: Array
    sigma: Real
    energy: float
    unseen: float = 0.0


def by_svd(rows: Array, inner: InnerProduct | None) -> Found:
    """All singular values of `X^{1/2} rowsᵀ`, without a root of X: the rows are written in an orthonormal basis of
    their span (`pod_blocks.extend`), which is resolved down to rounding."""
    if inner is None:
        _, sigma, basis = sla.svd(rows, full_matrices=False, check_finite=False)
        return Found(basis, sigma, float(np.sum(sigma**2)))
    found = extend(rows[:0], rows, inner)
    _, sigma, turn = sla.svd(found.coordinates, full_matrices=False, check_finite=False)
    return Found(turn @ found.fresh, sigma, float(np.sum(sigma**2)) + found.rest, found.rest)


def by_snapshots(rows: Array, inner: InnerProduct | None) -> Found:
    """The method of snapshots: eigenvectors of the Gram matrix, with modes made orthonormal once more.

    Reference: Sirovich, Quart. Appl. Math. 45 (1987).
    """
    values, vectors = sla.eigh(gram(inner, rows), check_finite=False)
    sigma = np.sqrt(np.maximum(values[::-1], 0.0))
    keep = sigma > _GRAM_FLOOR * sigma[0]
    basis = (vectors[:, ::-1][:, keep].T @ rows) / sigma[keep][:, None]
    if len(basis):
        # Once more: the first pass is orthonormal to 1e-16 σ₁² / σ_i² only.
        lower = sla.cholesky(gram(inner, basis), lower=True)
        basis = sla.solve_triangular(lower.conj(), basis, lower=True)
    return Found(basis, sigma, energy(inner, rows))
