"""The cosine series: the basis of zero flux at both ends, and its linear map with channels mixed per mode."""

from dataclasses import dataclass

import numpy as np
import torch

from nwidth.core.arrays import Real
from nwidth.linmaps.basis import Basis, Points, orthonormal
from nwidth.linmaps.series import TruncatedSeries


@dataclass(frozen=True)
class CosineBasis(Basis):
    """1 and √2 cos(πk x) for 0 < k < modes, orthonormal in L²(0, 1) and on every grid that carries them.

    n nodes carry k < n - 1, n middles of cells k < n. The coefficients of a smooth function fall like k⁻² (k⁻⁴ where
    its normal derivatives vanish at the ends), those of a Fourier series of a function that is not periodic like k⁻¹.
    """

    def kept(self, n: int) -> int:
        """Those that the values tell apart with equal norms."""
        return max(1, min(self.modes, n - 1 if self.points == "node" else n))

    def matrices(self, n: int) -> tuple[Real, Real]:
        """Discrete cosine transform of type I (nodes) or II (cells), truncated."""
        values = np.sqrt(2.0) * np.cos(np.pi * np.arange(self.kept(n))[:, None] * self.places(n))
        values[0] = 1.0
        return orthonormal(values, self.weights(n))


class TruncatedCosine(TruncatedSeries):
    """`(A v)(x) = Σ_{k_j < m_j} φ_k(x) W_k ∫ v φ_k dx` with products of cosines φ_k: the even continuation of v is
    convolved with an even kernel, so that A v has zero flux through every side of the unit cube.

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
        super().__init__(channels, tuple(CosineBasis(m, points) for m in modes), grid, dtype=dtype)
