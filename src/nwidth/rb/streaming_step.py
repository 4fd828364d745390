"""One step of the streaming POD: modes so far and a block of snapshots become the next modes; what is dropped is told.

Two ways to the same decomposition `[Σ V; C] = W S Z`. From the Gram matrix of all rows: four times cheaper, good where
the directions to be kept stand out by more than √ε. Or from coordinates in an orthonormal basis of V and C
(`pod_blocks.extend`), down to rounding. Both drop a *measured* energy: the account does not rest on the Gram matrix.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla

from nwidth.core.arrays import Array, Real
from nwidth.rb.pod_blocks import applied, energy, extend, gram, squares
from nwidth.rb.rounding import gamma
from nwidth.spaces.base import InnerProduct

#: From this tolerance on, a Gram matrix is tried first.
GRAM_TOL = 1e-6
#: A kept eigenvalue below this part of the largest is not trusted: ε / 1e-11 is the error of its mode.
_REACH = 1e-11
#: The share of what may be dropped that the eigenvalues are allowed to promise; the rest is for their errors.
_CAREFUL = 0.9


@dataclass(frozen=True)
class Step:
    """The next modes and singular values; `dropped`, the energy of the rows S Z that are left out, `rest`, that of what
    was left out of the block before, and `moved`, a bound of what rounding moved (a length)."""

    modes: Array
    sigma: Real
    dropped: float
    rest: float
    moved: float


def by_blocks(
    modes: Array,
    sigma: Real,
    rows: Array,
    inner: InnerProduct | None,
    spare: float,
    spare_rest: float,
    capacity: int,
    norm: float,
) -> Step:
    """Through an orthonormal basis of all rows; `norm` bounds √‖X‖₂."""
    found = extend(modes, rows, inner, spare_rest)
    core = np.zeros((len(sigma) + len(rows), found.coordinates.shape[1]), dtype=found.coordinates.dtype)
    core[np.arange(len(sigma)), np.arange(len(sigma))] = sigma
    core[len(sigma) :] = found.coordinates
    _, values, turn = sla.svd(core, full_matrices=False, check_finite=False)
    tail = squares(values)
    keep = min(int(np.argmax(tail <= spare)), capacity)
    basis = np.concatenate([modes, found.fresh])
    # every product above rounds by γ |a| |b|, measured in X; the small decomposition by a few ε of its size
    scale = gamma(4 * sum(core.shape) + 16) * (1 + norm * float(np.linalg.norm(basis)))
    return Step(
        modes=np.ascontiguousarray(turn[:keep] @ basis),
        sigma=np.ascontiguousarray(values[:keep]),
        dropped=float(tail[keep]),
        rest=found.rest,
        moved=scale * float(np.linalg.norm(core)),
    )


def by_gram(
    modes: Array, sigma: Real, rows: Array, inner: InnerProduct | None, spare: float, capacity: int, norm: float
) -> Step | None:
    """From the Gram matrix of all rows; None where that does not resolve what must be kept.

    The eigenvectors U are unitary whatever the error of the Gram matrix, so UᵀK splits the rows K without a remainder:
    the leading ones become modes, the energy of the others is measured.
    """
    whole = np.concatenate([sigma[:, None] * modes, rows])
    values, vectors = sla.eigh(_gram_of_all(modes, sigma, rows, inner), check_finite=False)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    fits = int(np.argmax(squares(np.sqrt(values)) <= _CAREFUL * spare))
    keep = min(fits, capacity)
    if keep == 0 or values[keep - 1] <= _REACH * values[0]:
        return None
    dropped = energy(inner, vectors[:, keep:].T @ whole)
    if dropped > spare and keep == fits:
        return None
    found = np.sqrt(values[:keep])
    fresh = (vectors[:, :keep].T @ whole) / found[:, None]
    lower = sla.cholesky(gram(inner, fresh), lower=True, check_finite=False).conj()
    fresh = np.linalg.inv(lower) @ fresh  # lower is nearly the identity
    count = len(whole)
    scale = norm * np.sqrt(count) * gamma(4 * count + 16) * (1 + 2 * np.sqrt(keep))
    turned = float(np.linalg.norm(found[:, None] * (lower - np.eye(keep))))
    moved = scale * float(np.linalg.norm(whole)) + turned
    return Step(fresh, found, dropped, 0.0, moved)


def _gram_of_all(modes: Array, sigma: Real, rows: Array, inner: InnerProduct | None) -> Array:
    """Inner products of `[Σ V; C]`; those of V are known."""
    n, image = len(sigma), applied(inner, rows)
    product = np.empty((n + len(rows), n + len(rows)), dtype=rows.dtype)
    product[:n, :n] = np.diag(sigma**2)
    product[:n, n:] = sigma[:, None] * (image @ modes.conj().T).T
    product[n:, :n] = product[:n, n:].conj().T
    product[n:, n:] = rows.conj() @ image.T
    return (product + product.conj().T) / 2
