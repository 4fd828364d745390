"""Which entries of a vector to look at: the rules of DEIM, of Q-DEIM, and for sensors beyond the number of modes."""

import numpy as np
import scipy.linalg as la

from nwidth.core.arrays import Array, Real


def greedy(basis: Real) -> Array:
    """DEIM: each mode's point is where its interpolation from the earlier ones is worst, `(M,)`.

    Reference: Chaturantabut and Sorensen, SIAM J. Sci. Comput. 32 (2010), Algorithm 1.
    """
    points: list[int] = []
    for k, mode in enumerate(basis):
        inside = basis[:k, points]
        rest = mode - np.linalg.solve(inside.T, mode[points]) @ basis[:k] if k else mode
        points.append(int(np.argmax(np.abs(rest))))
    return np.array(points, dtype=np.int64)


def pivoted(basis: Real) -> Array:
    """Q-DEIM: the first pivots of a QR factorisation of the modes as rows, `(M,)`.

    Reference: Drmač and Gugercin, SIAM J. Sci. Comput. 38 (2016), section 2.
    """
    return la.qr(basis, mode="r", pivoting=True)[1][: len(basis)].astype(np.int64)


def more(basis: Real, points: Array, count: int, allowed: Array | None = None) -> Array:
    """The points and `count` more, each the one that raises a lower bound of the smallest singular value of the modes
    at the points most.

    Reference: Peherstorfer, Drmač and Gugercin, SIAM J. Sci. Comput. 42 (2020), section 4.
    """
    chosen = [int(p) for p in points]
    for _ in range(count):
        _, sizes, v = np.linalg.svd(basis[:, chosen].T, full_matrices=False)
        gap = sizes[-2] ** 2 - sizes[-1] ** 2 if len(sizes) > 1 else 0.0
        energy = (basis**2).sum(axis=0)
        total = gap + energy
        gain = total - np.sqrt(np.maximum(total**2 - 4 * gap * (v[-1] @ basis) ** 2, 0.0))
        gain = gain if gap > 0 else energy
        barred = np.ones(basis.shape[1], dtype=bool)
        barred[np.arange(basis.shape[1]) if allowed is None else allowed] = False
        barred[chosen] = True
        chosen.append(int(np.argmax(np.where(barred, -np.inf, gain))))
    return np.array(chosen, dtype=np.int64)


def qdeim_bound(terms: int, size: int) -> float:
    """What ‖(PᵀU)⁻¹‖₂ of Q-DEIM never exceeds: `√(n - M + 1) √(4^M + 6 M - 1) / 3` (Theorem 2.1 there)."""
    return float(np.sqrt(size - terms + 1) * np.sqrt(4.0**terms + 6 * terms - 1) / 3)
