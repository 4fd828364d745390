"""The Chebyshev series: polynomials, for functions without any condition at the ends."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from nwidth.core.arrays import Real
from nwidth.linmaps.basis import Basis, Points
from nwidth.linmaps.series import TruncatedSeries


@dataclass(frozen=True)
class ChebyshevBasis(Basis):
    """T_k(2x - 1) for k < modes; coefficients of the best polynomial of degree < modes in the quadrature's norm.

    With equidistant points that norm is L²(0, 1), and n values carry k <= 2 √(n - 1): beyond, polynomials that are
    small at the points may be large between them (Coppersmith and Rivlin 1992), and least squares would
    amplify round-off without bound. With `points="chebyshev"` the norm has the weight 1 / √(x (1 - x)) and n values
    carry k < n - 1. Polynomials are reproduced exactly on every grid that carries them.
    """

    allowed: ClassVar[tuple[Points, ...]] = ("node", "cell", "chebyshev")

    def kept(self, n: int) -> int:
        """Those that the values determine stably."""
        stable = n - 1 if self.points == "chebyshev" else math.isqrt(4 * (n - 1)) + 1
        return max(1, min(self.modes, stable, n))

    def matrices(self, n: int) -> tuple[Real, Real]:
        """Weighted least squares by orthogonal factors, and the polynomials."""
        angle = np.arccos(np.clip(2 * self.places(n) - 1, -1.0, 1.0))
        values = np.cos(angle[:, None] * np.arange(self.kept(n)))
        roots = np.sqrt(self.weights(n))[:, None]  # equal weights in the angle for Chebyshev's points
        q, r = np.linalg.qr(roots * values)
        return np.linalg.solve(r, (roots * q).T), values


class TruncatedChebyshev(TruncatedSeries):
    """`(A v)(x) = Σ_{k_j < m_j} T_k(2x - 1) W_k v̂_k` with products of Chebyshev polynomials and v̂ the coefficients of
    the best approximation of v by them (see `ChebyshevBasis`).

    `weight (Π m_j, C_in, C_out)`: one real matrix per mode. `channels`: (C_out, C_in); `points`: "node", "cell" or
    "chebyshev". Any grid; the result is exact for polynomials that the grid carries. Input `(B, C_in, *grid)`, output
    `(B, C_out, *grid)`. Raises InputError for an input with other channels or axes.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        modes: tuple[int, ...],
        grid: tuple[int, ...],
        *,
        points: Points = "node",
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(channels, tuple(ChebyshevBasis(m, points) for m in modes), grid, dtype=dtype)
