"""Proper orthogonal decomposition: the best basis for given snapshots in the mean square."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.spaces.base import InnerProduct

#: Below this part of the largest singular value, a Gram matrix holds round-off only.
_GRAM_FLOOR = 1e-7


@dataclass(frozen=True)
class POD:
    """`u ≈ offset + c @ modes`: modes `(n, N)` orthonormal in the inner product, all singular values `(min(B, N),)`."""

    modes: Array
    offset: Array
    singular_values: Real
    inner: InnerProduct | None = None

    def coefficients(self, dofs: Array) -> Array:
        """Coordinates `(B, n)` of the orthogonal projections of dofs `(B, N)`."""
        centred = dofs - self.offset
        return (centred if self.inner is None else self.inner.apply(centred)) @ self.modes.conj().T

    @property
    def lost(self) -> float:
        """The part of the snapshots' variation that the modes leave out, `√(Σ_{i>n} σ_i² / Σ σ_i²)`."""
        return left_out(self.singular_values, len(self.modes))


def pod(dofs: Array, *, modes: int | None = None, tol: float = 1e-3, inner: InnerProduct | None = None) -> POD:
    """POD of dofs `(B, N)` about their mean.

    Keeps `modes` modes, or as many as leave out at most `tol` of the variation (root mean square, relative). `inner`
    None is the Euclidean product of the nodal values. With an inner product, modes below 1e-7 of the largest singular
    value are not resolved (they come from a Gram matrix) and left out. Raises InputError for fewer than two rows or
    snapshots that do not vary.

    Reference: Sirovich, Quart. Appl. Math. 45 (1987); Quarteroni, Manzoni, Negri, Reduced Basis Methods (2016), ch. 6.
    """
    if len(dofs) < 2:
        raise InputError(f"got {len(dofs)} snapshots; a basis needs at least two that differ")
    offset = dofs.mean(axis=0)
    centred = dofs - offset
    # Compared with what the subtraction itself leaves behind.
    if np.abs(centred).max(initial=0.0) <= 1e-13 * np.abs(dofs).max(initial=0.0):
        raise InputError(f"all {len(dofs)} snapshots are the same field; there is nothing to learn from")
    if inner is None:
        _, sigma, basis = sla.svd(centred, full_matrices=False, check_finite=False)
    else:
        sigma, basis = _through_gram(centred, inner)
    count = modes_for(sigma, tol) if modes is None else modes
    return POD(np.ascontiguousarray(basis[:count]), offset, sigma, inner)


def left_out(sigma: Real, count: int) -> float:
    """The relative root mean square that `count` modes leave out."""
    total = float(np.sum(sigma**2))
    return float(np.sqrt(np.sum(sigma[count:] ** 2) / total)) if total > 0 else 0.0


def modes_for(sigma: Real, tol: float) -> int:
    """The smallest number of modes that leaves out at most `tol`, at least one."""
    tail = np.append(np.cumsum(sigma[::-1] ** 2)[::-1], 0.0)
    return max(1, int(np.argmax(tail <= tol**2 * tail[0])))


def _through_gram(centred: Array, inner: InnerProduct) -> tuple[Real, Array]:
    """Singular values and modes in another inner product (the method of snapshots)."""
    gram = inner.apply(centred).conj() @ centred.T
    values, vectors = sla.eigh((gram + gram.conj().T) / 2)
    sigma = np.sqrt(np.maximum(values[::-1], 0.0))
    keep = sigma > _GRAM_FLOOR * sigma[0]
    if not keep.any():
        raise InputError("the snapshots do not vary in this inner product (it ignores constrained dofs); use 'nodal'")
    basis = (vectors[:, ::-1][:, keep].T @ centred) / sigma[keep][:, None]
    # Once more: the first pass is orthonormal to 1e-16 σ₁² / σ_i² only.
    again = inner.apply(basis).conj() @ basis.T
    lower = sla.cholesky((again + again.conj().T) / 2, lower=True)
    return sigma, sla.solve_triangular(lower.conj(), basis, lower=True)
