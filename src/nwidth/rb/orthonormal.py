"""Orthonormal bases in any inner product, extended block by block."""

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.spaces.base import InnerProduct

#: Repetitions end when the block is orthonormal to this; it takes two, three where vectors nearly depend.
_GOAL = 3e-14
_PASSES = 4


def extension(basis: Real, block: Real, inner: InnerProduct, drop: Real | float = 1e-12) -> tuple[Real, Real]:
    """Vectors `(k', N)` that extend the orthonormal `basis (m, N)` so that it spans the rows of `block (k, N)` too,
    k' <= k, and the part of each row that was new, relative to its norm, `(k,)`.

    A row whose new part is below `drop` (one number, or one per row) of its norm adds nothing. Projection against the
    basis is blocked, and repeated until the vectors are orthonormal to round-off ("twice is enough", and once more
    where two rows nearly depend on each other).
    """
    norms = inner.norm(block)
    limit = np.broadcast_to(drop, norms.shape)
    rest = block / np.where(norms > 0, norms, 1.0)[:, None]
    for _ in range(2):
        rest = rest - inner.apply(rest) @ basis.T @ basis
    fresh, new = _select(rest, inner, limit)
    for _ in range(_PASSES if len(fresh) else 0):
        fresh = fresh - inner.apply(fresh) @ basis.T @ basis
        gram = fresh @ inner.apply(fresh).T
        if np.abs(gram - np.eye(len(gram))).max(initial=0.0) <= _GOAL:
            break
        fresh = np.linalg.solve(np.linalg.cholesky(gram), fresh)
    return fresh, np.where(norms > 0, new, 0.0)


def _select(rest: Real, inner: InnerProduct, limit: Array) -> tuple[Real, Real]:
    """Gram-Schmidt inside the block, the largest remainder first; rows below their limit are left out."""
    rest, new = rest.copy(), np.zeros(len(rest))
    chosen: list[Real] = []
    open_rows = np.ones(len(rest), dtype=bool)
    while open_rows.any():
        size = np.where(open_rows, inner.norm(rest), 0.0)
        new[open_rows] = size[open_rows]
        open_rows &= size > limit
        if not open_rows.any():
            break
        best = int(np.argmax(np.where(open_rows, size, 0.0)))
        vector = rest[best] / size[best]
        if chosen:
            earlier = np.stack(chosen)
            vector = vector - (inner.apply(vector[None]) @ earlier.T @ earlier)[0]
            vector = vector / inner.norm(vector[None])[0]
        chosen.append(vector)
        open_rows[best] = False
        rest[open_rows] -= np.outer(inner.apply(rest[open_rows]) @ vector, vector)
    return np.stack(chosen) if chosen else np.zeros((0, rest.shape[1])), new
