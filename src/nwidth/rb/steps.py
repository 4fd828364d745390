"""Coordinates of residuals for many queries at once, without the zeros in them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dgemm

from nwidth.core.arrays import Array, Real

#: Blocks of modes: more of them leave out more zeros, and make smaller products.
_BLOCKS = 10
_LEAST = 8


@dataclass(frozen=True, eq=False)
class Steps:
    """Coordinates of the terms, mode by mode, in blocks that end where the residual's basis ended at their last mode:
    (first mode, last mode, rows `(Q_A (last - first), width)`). `width` is that of all."""

    blocks: tuple[tuple[int, int, Real], ...]
    width: int

    @classmethod
    def of(cls, rows: Real, fixed: int, levels: Array) -> "Steps":
        """From the rows `(K, M)` of a `ResidualModel`, the first `fixed` of which belong to loads and functionals."""
        modes = len(levels) - 1
        terms = (len(rows) - fixed) // max(1, modes)
        blocks = []
        for first, last in _pieces(modes):
            part = rows[fixed + first * terms : fixed + last * terms, : levels[last]]
            blocks.append((first, last, np.ascontiguousarray(part)))
        return cls(tuple(blocks), rows.shape[1])

    def coordinates(self, theta: Real, coefficients: Real) -> Real:
        """`Σ_q,j (-θ_q c_j) ρ_jq` for θ `(Q_A, B)` and c `(n, B)`, as `(M, B)`."""
        minus, batch = -theta, theta.shape[1]
        y = np.empty((self.width, batch)) if self.blocks else np.zeros((self.width, batch))
        beta = 0.0  # the last block is as wide as all, and comes first
        for first, last, rows in reversed(self.blocks):
            z = (coefficients[first:last, None] * minus).reshape(len(rows), batch)
            # all in Fortran's order: y[:w]ᵀ += zᵀ rows, nothing is copied
            dgemm(1.0, z.T, rows.T, trans_b=True, beta=beta, c=y[: rows.shape[1]].T, overwrite_c=True)
            beta = 1.0
        return y


def _pieces(modes: int) -> Iterator[tuple[int, int]]:
    step = max(_LEAST, -(-modes // _BLOCKS))
    for first in range(0, modes, step):
        yield first, min(modes, first + step)
