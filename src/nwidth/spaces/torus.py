"""A periodic grid, with inner products that are exact for trigonometric polynomials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, Self

import numpy as np
import scipy.fft

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.core.validation import check_batched, check_choice
from nwidth.spaces.base import FunctionSpace, InnerProduct


@dataclass(frozen=True)
class Torus(FunctionSpace):
    """`cells` points per direction of a periodic box `(0, lengths_1) × ...`, 1-D to 3-D; the end points are one point.

    Fields are `(B, cells_1, ...)`. One length serves all directions. `inner("mass")` is the L² form and
    `inner("energy")` is `∫ |∇u|² + |Ω| mean(u)²`, both of the trigonometric interpolant. (The second term makes it
    definite: without it, constants would have no length.) Raises InputError for fewer than 2 points or lengths that
    are not positive.
    """

    kind: ClassVar[str] = "torus"

    cells: tuple[int, ...] = (64, 64)
    lengths: float | Sequence[float] = 1.0

    def __post_init__(self) -> None:
        cells = tuple(int(n) for n in np.atleast_1d(self.cells))
        lengths = tuple(float(v) for v in np.atleast_1d(self.lengths))
        lengths = lengths * len(cells) if len(lengths) == 1 else lengths
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "lengths", lengths)
        if len(cells) not in (1, 2, 3) or min(cells) < 2:
            raise InputError(f"cells = {cells}; expected 1 to 3 directions with at least 2 points each")
        if len(lengths) != len(cells) or not all(0 < v < np.inf for v in lengths):
            raise InputError(f"lengths = {lengths} for cells {cells}; give one positive length per direction")

    @property
    def dim(self) -> int:
        """Number of directions."""
        return len(self.cells)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.cells

    @property
    def spacings(self) -> tuple[float, ...]:
        """Distance of neighbouring points in each direction."""
        return tuple(v / n for v, n in zip(np.atleast_1d(self.lengths).tolist(), self.cells, strict=True))

    @property
    def free(self) -> Mask:
        """All dofs `(N,)`: a torus has no boundary."""
        return np.ones(self.size, dtype=bool)

    def axes(self) -> tuple[Real, ...]:
        """The coordinates along each direction, `(cells_d,)`; the last point lies one spacing before the end."""
        return tuple(np.arange(n, dtype=np.float64) * h for n, h in zip(self.cells, self.spacings, strict=True))

    def points(self, mu: Mu | None = None) -> Array:
        """Coordinates `(N, dim)`, in the order of the dofs."""
        return np.stack(np.meshgrid(*self.axes(), indexing="ij"), axis=-1).reshape(-1, self.dim)

    def wave_numbers(self) -> tuple[Real, ...]:
        """Angular wave numbers of a real transform, one array per direction, ready to broadcast.

        All of them along the leading directions and the non-negative half along the last, as `rfftn` orders them.
        """
        halves = [np.fft.fftfreq] * (self.dim - 1) + [np.fft.rfftfreq]
        pairs = zip(halves, self.cells, self.spacings, strict=True)
        lines: list[Real] = [np.asarray(2 * np.pi * f(n, h), dtype=np.float64) for f, n, h in pairs]
        return tuple(line.reshape([-1 if d == e else 1 for e in range(self.dim)]) for d, line in enumerate(lines))

    def inner(self, kind: str) -> InnerProduct:
        """'energy' or 'mass'. Raises InputError for another word."""
        check_choice("inner product", kind, ("energy", "mass"))
        return FourierProduct(self, kind)

    def to_parts(self) -> Parts:
        return Parts({"cells": self.cells, "lengths": self.lengths}, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(tuple(config["cells"]), tuple(config["lengths"]))


class FourierProduct(InnerProduct):
    """A form that is diagonal in Fourier space: `volume of a cell × symbol(k)`."""

    def __init__(self, torus: Torus, kind: str):
        k2 = reduce(np.add, [k**2 for k in torus.wave_numbers()])
        symbol = np.ones(k2.shape) if kind == "mass" else k2
        symbol.flat[0] = 1.0
        self._symbol = symbol * np.prod(torus.spacings)
        self._shape = torus.shape

    def apply(self, v: Array) -> Array:
        return self._scaled(v, self._symbol)

    def riesz(self, r: Array) -> Array:
        return self._scaled(r, 1.0 / self._symbol)

    @property
    def lambda_min(self) -> float:
        """The smallest eigenvalue, less its own round-off."""
        return float(self._symbol.min()) * (1 - 1e-14)

    def _scaled(self, v: Array, factor: Real) -> Array:
        size = int(np.prod(self._shape))
        if np.iscomplexobj(v):
            return self._scaled(v.real, factor) + 1j * self._scaled(v.imag, factor)
        fields = check_batched("dofs", v, (size,)).reshape(len(v), *self._shape)
        axes = tuple(range(1, fields.ndim))
        coefficients = scipy.fft.rfftn(fields, axes=axes) * factor
        return scipy.fft.irfftn(coefficients, s=self._shape, axes=axes).reshape(len(v), size)
