"""The inner products of a grid: differences with a fast inverse, and lumped mass."""

from functools import cached_property

import numpy as np
import scipy.fft

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.validation import check_batched
from nwidth.spaces._fold import tridiagonal
from nwidth.spaces._layout import AXES, padded
from nwidth.spaces._sine import HalfSines, sine_transform
from nwidth.spaces._stencils import constant_differences
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.single_riesz import SingleRiesz

#: Bytes of one buffer of a piece of the batch: four of them fit in a core's second-level cache.
_PIECE = 1 << 18
_EPS = float(np.finfo(np.float64).eps)


class GridMass(InnerProduct):
    """The lumped L² form on the free dofs, `Σ_i volume_i v_i w_i`; volumes `(N,)`."""

    def __init__(self, free: Mask, volumes: Real):
        self._free, self._volumes = free, volumes

    def apply(self, v: Array) -> Array:
        return np.where(self._free, self._volumes * v, 0.0)

    def riesz(self, r: Array) -> Array:
        return np.where(self._free, r / self._volumes, 0.0)

    @property
    def lambda_min(self) -> float:
        return float(self._volumes[self._free].min())

    @property
    def lambda_max(self) -> float:
        """The largest eigenvalue: exact."""
        return float(self._volumes[self._free].max())

    def rounding(self, size: int) -> float:
        """One product."""
        return 2 * _EPS * self.lambda_max


class GridEnergy(InnerProduct):
    """`vᵀ X v = Σ_d c_d Σ_faces (v_i - v_j)²` on the interior nodes of a grid, zero on its boundary.

    `shape`: nodes per direction, `weights`: c_d. The Riesz map is a sine transform along every direction but the
    first and a tridiagonal solve along that one: X / c_0 = T ⊗ I + I ⊗ Σ_d (c_d / c_0) Λ_d, T = tridiag(-1, 2, -1).
    """

    def __init__(self, shape: tuple[int, ...], weights: tuple[float, ...]):
        self._nodes = padded(shape)
        self._size = int(np.prod(shape))
        self._weights = factors = np.zeros(3)
        factors[list(AXES[len(shape)])] = weights
        self._sine = sine_transform(self._nodes[2])
        values = [c * eigenvalues(n) for c, n in zip(factors, self._nodes, strict=True)]
        self._lambda_min = float(sum(v[0] for v in values))
        shift = np.add.outer(values[1], values[2]) / factors[0]
        self._pivots = tuple(_pivots(len(values[0]), shift[:, modes].reshape(-1)) for modes in self._sine.modes)

    def apply(self, v: Array) -> Array:
        v = self._nodal(v)
        out = np.empty_like(v)
        constant_differences(v, self._weights, out)
        return out.reshape(len(v), self._size)

    def riesz(self, r: Array) -> Array:
        r = self._nodal(r)
        out = np.empty_like(r)
        step = max(1, _PIECE // (8 * self._size))
        for start in range(0, len(r), step):
            self._solve(r[start : start + step], out[start : start + step])
        return out.reshape(len(r), self._size)

    @cached_property
    def single(self) -> SingleRiesz | None:
        """The Riesz map in single precision, where it pays: two or three directions, not too long."""
        if not isinstance(self._sine, HalfSines) or self._nodes[2] == 1:
            return None
        return SingleRiesz(self._sine, self._pivots, float(self._weights[0]))

    def riesz_roughly(self, r: Array) -> Array:
        """In single precision where that is faster; relative errors about 1e-7 times the condition number."""
        if self.single is None:
            return self.riesz(r)
        r = self._nodal(r)
        parts = np.empty_like(r)
        step = max(1, _PIECE // (4 * self._size))
        for start in range(0, len(r), step):
            parts[start : start + step] = self.single(r[start : start + step])
        return parts.reshape(len(r), self._size)

    @property
    def lambda_min(self) -> float:
        """Σ_d c_d 4 sin²(π / 2 n_d), the smallest eigenvalue, less its own round-off."""
        return self._lambda_min * (1 - 1e-14)

    @property
    def lambda_max(self) -> float:
        """4 Σ_d c_d, the row sum of absolute values: above every eigenvalue, its own round-off included."""
        return 4 * float(self._weights.sum()) * (1 + 1e-14)

    def rounding(self, size: int) -> float:
        """A difference to each of up to six neighbours, each multiplied by a weight, and what the weights lost."""
        return 32 * _EPS * self.lambda_max

    def _solve(self, r: Real, out: Real) -> None:
        parts = [self._along_the_middle(part) for part in self._sine.forward(r)]
        for part, pivots in zip(parts, self._pivots, strict=True):
            tridiagonal(part.reshape(len(r), *pivots.shape), pivots)
        self._sine.backward([self._along_the_middle(part) for part in parts], 1.0 / self._weights[0], out)

    def _along_the_middle(self, part: Real) -> Real:
        if self._nodes[1] == 1:
            return part
        return scipy.fft.dst(part, type=1, axis=2, norm="ortho", overwrite_x=True)

    def _nodal(self, v: Array) -> Real:
        v = check_batched("dofs", v, (self._size,))
        return np.ascontiguousarray(v, dtype=np.float64).reshape(len(v), *self._nodes)


def eigenvalues(nodes: int) -> Real:
    """Eigenvalues `4 sin²(π k / 2n)`, k = 1 ... n-1, of tridiag(-1, 2, -1) between the ends; 0 for a single node."""
    n = nodes - 1
    return 4.0 * np.sin(np.pi * np.arange(1, n) / (2 * n)) ** 2 if n else np.zeros(1)


def _pivots(size: int, shift: Real) -> Real:
    """Reciprocal pivots `(size, K)` of tridiag(-1, 2 + shift_k, -1), by their closed form sinh(iθ) / sinh((i+1)θ).

    2 cosh θ = 2 + shift. The elimination's own recursion loses as many digits as the matrix is ill-conditioned.
    """
    i = np.arange(1, size + 1)[:, None]
    theta = 2.0 * np.arcsinh(np.sqrt(shift) / 2.0)
    if not shift.any():
        return np.repeat(i / (i + 1.0), len(shift), axis=1)
    return np.exp(-theta) * np.expm1(-2.0 * i * theta) / np.expm1(-2.0 * (i + 1) * theta)
