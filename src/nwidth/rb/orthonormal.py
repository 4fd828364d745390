"""Orthonormal bases in any inner product, extended block by block.

A block is projected against the basis twice ("twice is enough"; a third time where its rows nearly depend on each
other), all rows at once. The basis is long: what costs is to read it. So it is read in groups that stay in cache from
the product that finds the coordinates to the one that subtracts them, and nothing of its size is ever made anew.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dgemm, dtrsm

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.spaces.base import InnerProduct

#: Repetitions end when the block is orthonormal to this; it takes one, two where vectors nearly depend.
_GOAL = 3e-14
_PASSES = 4
#: Vectors of the basis that are read together.
_GROUP = 64
#: Remainders above this part of their rows are made orthonormal together: a Gram matrix can tell them apart.
_APART = 0.03
#: A row of which less than this is left after a projection brings noise of the basis along: project again.
_AGAIN = 0.1
#: A unit vector of which less than this is left by another projection had nothing to add.
_NOISE = 0.5


@dataclass(frozen=True, eq=False)
class Extension:
    """New vectors `fresh (k', N)`, the part of each row that was new relative to its norm `new (k,)`, and the inner
    products of the rows with the extended basis, `coordinates (k, m + k')`."""

    fresh: Real
    new: Real
    coordinates: Real


def extension(basis: Real, block: Real, inner: InnerProduct, drop: Real | float = 1e-12) -> tuple[Real, Real]:
    """Vectors `(k', N)` that extend the orthonormal `basis (m, N)` so that it spans the rows of `block (k, N)` too,
    k' <= k, and the part of each row that was new, relative to its norm, `(k,)`.

    A row whose new part is below `drop` (one number, or one per row) of its norm adds nothing.
    """
    found = extend(basis, np.array(block, dtype=np.float64, order="C"), inner.apply(block), inner, drop)
    return found.fresh, found.new


def extend(basis: Real, block: Real, images: Real, inner: InnerProduct, drop: Real | float = 1e-12) -> Extension:
    """As `extension`, for rows whose images `X block` are known (block = X⁻¹ images). Overwrites both (C order)."""
    norms = np.sqrt(np.maximum(np.einsum("kn,kn->k", block, images), 0.0))
    limit = np.broadcast_to(drop, norms.shape)
    scale = np.where(norms > 0, norms, 1.0)[:, None]
    block /= scale
    images /= scale
    first = project(basis, block, images)
    moved = project(basis, block, inner.apply(block))
    fresh, new, again = _select(block, inner.apply(block), limit, np.linalg.norm(moved, axis=1))
    for _ in range(_PASSES):
        if not (again and len(fresh)):
            break
        # a vector that shrinks once more was noise, and goes
        moved = project(basis, fresh, inner.apply(fresh))
        limit = np.full(len(fresh), _NOISE)
        fresh, _, again = _select(fresh, inner.apply(fresh), limit, np.linalg.norm(moved, axis=1))
    fresh = _orthonormal(fresh, inner)
    coordinates = np.concatenate([first, images @ fresh.T], axis=1) * scale
    return Extension(fresh, np.where(norms > 0, new, 0.0), coordinates)


def project(basis: Real, block: Real, images: Real) -> Real:
    """Subtract `c @ basis` from block `(k, N)` in place, c = images · basis `(k, m)`; returns c. All in C order."""
    if not block.flags.c_contiguous:
        raise InputError("a block that is projected in place must be an array in C order; pass np.ascontiguousarray")
    coordinates = np.empty((len(block), len(basis)))
    for start in range(0, len(basis) if len(block) else 0, _GROUP):
        group = basis[start : start + _GROUP].T
        part = dgemm(1.0, group, images.T, trans_a=True)  # (group, k): all in Fortran's order, nothing is copied
        coordinates[:, start : start + _GROUP] = part.T
        dgemm(-1.0, group, part, beta=1.0, c=block.T, overwrite_c=True)
    return coordinates


def _orthonormal(fresh: Real, inner: InnerProduct) -> Real:
    """The rows made orthonormal to round-off."""
    for _ in range(_PASSES if len(fresh) else 0):
        gram = fresh @ inner.apply(fresh).T
        if np.abs(gram - np.eye(len(gram))).max(initial=0.0) <= _GOAL:
            break
        _solve(gram, fresh)
    return fresh


def _solve(gram: Real, *blocks: Real) -> None:
    """`L⁻¹ rows` in place for each block, with the Cholesky factor L of the Gram matrix of the first one."""
    lower = np.linalg.cholesky((gram + gram.T) / 2)
    for rows in blocks:
        dtrsm(1.0, lower, rows.T, side=1, lower=1, trans_a=1, overwrite_b=1)


def _select(rest: Real, images: Real, limit: Array, moved: Real) -> tuple[Real, Real, bool]:
    """Independent remainders, nearly orthonormal, largest first, and the new part of each row; those below their limit
    are left out. Also whether what is left of a row was small against what the row was before (`moved` and it).

    Overwrites rest and images.
    """
    new, left = np.zeros(len(rest)), np.arange(len(rest))
    before, again, groups = np.zeros(len(rest)), False, list[Real]()
    while len(left):
        gram = rest[left] @ images[left].T
        gram = (gram + gram.T) / 2  # of rows that are noise, images are not quite those of the rows
        sizes = np.sqrt(np.maximum(np.diagonal(gram), 0.0))
        new[left] = sizes
        if not groups:
            before = np.hypot(sizes, moved)
        kept = sizes > limit[left]
        left, sizes, gram = left[kept], sizes[kept], gram[np.ix_(kept, kept)]
        if not len(left):
            break
        order, pivots = _pivots(gram / np.outer(sizes, sizes), sizes)
        chosen = left[order]
        new[chosen] = sizes[order] * pivots
        again |= bool((new[chosen] < _AGAIN * before[chosen]).any())
        group, image = rest[chosen], images[chosen]
        for _ in range(2):
            _solve(group @ image.T, group, image)
        groups.append(group)
        left = np.setdiff1d(left, chosen)
        shares = images[left] @ group.T
        rest[left] -= shares @ group
        images[left] -= shares @ image
    return np.concatenate(groups) if groups else rest[:0], new, again


def _pivots(gram: Real, sizes: Real) -> tuple[Array, Real]:
    """Rows of a Gram matrix with ones on its diagonal, by Cholesky with pivots, the largest remainder first (rows have
    the given sizes), and what was new of each, down to `_APART`."""
    gram, order, pivots = gram.copy(), list[int](), list[float]()
    while len(order) < len(gram):
        parts = np.sqrt(np.maximum(np.diagonal(gram), 0.0))
        parts[order] = 0.0
        open_parts = np.where(parts >= _APART, parts * sizes, 0.0)
        best = int(np.argmax(open_parts))
        if not open_parts[best] > 0:
            break
        order.append(best)
        pivots.append(parts[best])
        column = gram[:, best] / parts[best]
        gram -= np.outer(column, column)
    return np.array(order), np.array(pivots)
