"""Grids that carry complex values."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nwidth.core.arrays import Array
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.grid import Grid


@dataclass(frozen=True)
class ComplexGrid(Grid):
    """A `Grid` with complex128 values; inner products are `vᴴ X w` with the real X of the grid."""

    kind: ClassVar[str] = "complex-grid"

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.complex128)

    def inner(self, kind: str) -> InnerProduct:
        return _Parts(super().inner(kind))


class _Parts(InnerProduct):
    """A real form, applied to real and imaginary part."""

    def __init__(self, real: InnerProduct):
        self._real = real

    def apply(self, v: Array) -> Array:
        return self._real.apply(np.ascontiguousarray(v.real)) + 1j * self._real.apply(np.ascontiguousarray(v.imag))

    def riesz(self, r: Array) -> Array:
        return self._real.riesz(np.ascontiguousarray(r.real)) + 1j * self._real.riesz(np.ascontiguousarray(r.imag))

    @property
    def lambda_min(self) -> float:
        return self._real.lambda_min
