"""The sine series: the basis of zero values at both ends, and its linear map with channels mixed per mode."""

from dataclasses import dataclass

import numpy as np
import torch

from nwidth.core.arrays import Real
from nwidth.linmaps.basis import Basis, Points, orthonormal
from nwidth.linmaps.series import TruncatedSeries


@dataclass(frozen=True)
class SineBasis(Basis):
    """√2 sin(πk x) for 0 < k <= modes, orthonormal in L²(0, 1) and on every grid that carries them.

    n nodes carry k < n - 1, n middles of cells k < n. All vanish at both ends: exactly at nodes, in round-off.
    """

    def kept(self, n: int) -> int:
        """Those that the values tell apart with equal norms."""
        return max(1, min(self.modes, n - 2 if self.points == "node" else n - 1))

    def matrices(self, n: int) -> tuple[Real, Real]:
        """Discrete sine transform of type I (nodes) or II (cells), truncated."""
        values = np.sqrt(2.0) * np.sin(np.pi * np.arange(1, self.kept(n) + 1)[:, None] * self.places(n))
        if self.points == "node":
            values[:, [0, -1]] = 0.0  # sin(πk) is not 0 in floating point
        return orthonormal(values, self.weights(n))


class TruncatedSine(TruncatedSeries):
    """`(A v)(x) = Σ_{0 < k_j <= m_j} φ_k(x) W_k ∫ v φ_k dx` with products of sines φ_k: A v is 0 on the boundary of the
    unit cube, exactly.

    `weight (Π m_j, C_in, C_out)`: one real matrix per mode. `channels`: (C_out, C_in); `points`: "node" (both ends
    are grid points) or "cell". Any grid; the result is exact for input in the span of the modes that the grid carries.
    Input `(B, C_in, *grid)`, output `(B, C_out, *grid)`. Raises InputError for an input with other channels or axes.
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
        super().__init__(channels, tuple(SineBasis(m, points) for m in modes), grid, dtype=dtype)
