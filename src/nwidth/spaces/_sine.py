"""Sine transforms along the last axis of a grid: matrix products where it is short, FFTs where it is long."""

from abc import ABC, abstractmethod

import numpy as np
import scipy.fft

from nwidth.core.arrays import Real
from nwidth.spaces._dense import product
from nwidth.spaces._fold import fold, unfold

#: Up to so many cells matrix products are faster (measured in 2-D, whole Riesz map, ms per sample: 64 cells 0.022
#: against 0.038; 128: 0.150 against 0.164; 160: 0.28 against 0.26; 256: 0.97 against 0.64).
_MATRIX_LIMIT = 144


class SineTransform(ABC):
    """v_j = Σ_k √(2/n) sin(π j k / n) y_k over the interior nodes, its own inverse.

    `modes`: which k each part holds, counted from 0 for k = 1.
    """

    modes: tuple[slice, ...]

    @abstractmethod
    def forward(self, r: Real) -> list[Real]:
        """The interior of `(B, N0, N1, N2)`, transformed: parts `(B, m0, m1, modes)`."""

    @abstractmethod
    def backward(self, parts: list[Real], scale: float, out: Real) -> None:
        """The nodal values times `scale`, zero on the boundary. Destroys `parts`."""


class HalfSines(SineTransform):
    """Matrix products of half the size: odd k are even about the middle and need the sums of mirrored entries only,
    even k the differences."""

    modes = (slice(0, None, 2), slice(1, None, 2))

    def __init__(self, nodes: int):
        n = max(nodes - 1, 2)  # a single node transforms as the single interior node of two cells
        self._factors = []
        for first, size in ((1, n // 2), (2, (n - 1) // 2)):
            turns = np.outer(np.arange(1, size + 1), np.arange(first, n, 2)) % (2 * n)
            self._factors.append(np.sqrt(2.0 / n) * np.sin(np.pi * (turns / n)))
        self._inverses = [np.ascontiguousarray(f.T) for f in self._factors]

    @property
    def factors(self) -> tuple[Real, ...]:
        """The matrices of sums and of differences."""
        return tuple(self._factors)

    def forward(self, r: Real) -> list[Real]:
        lead = (len(r), *(max(1, n - 2) for n in r.shape[1:3]))
        folded = [np.empty((*lead, len(f))) for f in self._factors]
        fold(r, *folded)
        return _products(folded, self._factors)

    def backward(self, parts: list[Real], scale: float, out: Real) -> None:
        even, odd = _products(parts, self._inverses)
        unfold(even, odd, scale, out)


class FastSines(SineTransform):
    """FFTs of the whole axis."""

    modes = (slice(None),)

    def forward(self, r: Real) -> list[Real]:
        return [scipy.fft.dst(r[_interior(r)], type=1, axis=3, norm="ortho")]

    def backward(self, parts: list[Real], scale: float, out: Real) -> None:
        out[:] = 0.0
        values = scipy.fft.dst(parts[0], type=1, axis=3, norm="ortho", overwrite_x=True)
        np.multiply(values, scale, out=out[_interior(out)])


def sine_transform(nodes: int) -> SineTransform:
    """The faster transform for an axis of so many nodes."""
    return HalfSines(nodes) if nodes <= _MATRIX_LIMIT + 1 else FastSines()


def _products(parts: list[Real], factors: list[Real]) -> list[Real]:
    results = []
    for part, factor in zip(parts, factors, strict=True):
        rows = part.reshape(len(part), part.shape[1] * part.shape[2], len(factor))
        results.append(product(rows, factor, np.empty_like(rows)).reshape(part.shape))
    return results


def _interior(v: Real) -> tuple[slice, ...]:
    """The slices that leave out the boundary; an axis of one node has none."""
    return (slice(None), *(slice(1, -1) if n > 1 else slice(None) for n in v.shape[1:]))
