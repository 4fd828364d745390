"""A basis of functions of one coordinate, with coefficients found from values on any grid of that axis."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError

#: Where the n values of an axis lie in [0, 1]: at j / (n - 1), both ends included; at the middles (j + 1/2) / n; at
#: j / n, the end being the beginning; or at (1 - cos(π j / (n - 1))) / 2.
Points: TypeAlias = Literal["node", "cell", "periodic", "chebyshev"]


@dataclass(frozen=True)
class Basis(ABC):
    """Functions φ_0, φ_1, ... on [0, 1] and the functionals that find the coefficients of a function.

    `modes` says how many; a grid of n values carries the first `kept(n)` of them, and finds their coefficients
    exactly for functions in their span. `points`: where the values lie.
    """

    modes: int
    points: Points = "node"

    #: Whether functions come in pairs, cosine and sine of one frequency, that are mixed by complex numbers.
    paired: ClassVar[bool] = False
    #: The words for `points` that make sense.
    allowed: ClassVar[tuple[Points, ...]] = ("node", "cell")

    def __post_init__(self) -> None:
        if self.modes < 1 or self.points not in self.allowed:
            raise InputError(f"{self}: expected 1 or more modes, and points among {', '.join(map(repr, self.allowed))}")

    @abstractmethod
    def kept(self, n: int) -> int:
        """How many modes n values carry."""

    @abstractmethod
    def matrices(self, n: int) -> tuple[Real, Real]:
        """Analysis `(size, n)`, quadrature weights included, and synthesis `(n, size)`, of the kept modes."""

    def size(self, n: int) -> int:
        """Number of real functions among the kept modes."""
        kept = self.kept(n)
        return 2 * kept - 1 if self.paired else kept

    def places(self, n: int) -> Real:
        """Where the values lie, `(n,)`."""
        j = np.arange(n, dtype=np.float64)
        if self.points == "cell":
            return (j + 0.5) / n
        if self.points == "periodic":
            return j / n
        x = j / max(n - 1, 1)
        return np.asarray((1 - np.cos(np.pi * x)) / 2 if self.points == "chebyshev" else x)

    def weights(self, n: int) -> Real:
        """Quadrature weights of the values for `∫ v dx`, `(n,)`: trapezoidal or midpoint rule."""
        if self.points in ("cell", "periodic"):
            return np.full(n, 1 / n)
        w = np.full(n, 1 / max(n - 1, 1))
        w[[0, -1]] /= 2
        return w


@dataclass(frozen=True)
class FourierBasis(Basis):
    """cos(2πk x / P) for k < modes, then sin(2πk x / P): one period, or a part of it.

    `period` P in lengths of the axis; above 1, what is left of it is padding (zero), and the coefficients are those
    of the function continued by zero.
    """

    period: float = 1.0

    paired: ClassVar[bool] = True
    allowed: ClassVar[tuple[Points, ...]] = ("node", "cell", "periodic")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.period < math.inf or (self.points == "periodic" and self.period != 1):
            raise InputError(f"{self}: expected a period of 1 or more, exactly 1 with points='periodic'")

    def kept(self, n: int) -> int:
        """Those below the Nyquist frequency."""
        spacings = n - 1 if self.points == "node" else n
        return max(1, min(self.modes, math.ceil(spacings * self.period / 2)))

    def matrices(self, n: int) -> tuple[Real, Real]:
        """Cosines, then sines."""
        k = np.arange(self.kept(n))[:, None]
        angle = 2 * np.pi * self.places(n) / self.period
        basis = np.concatenate([np.cos(k * angle), np.sin(k[1:] * angle)])
        return basis * (self.weights(n) / self.period), np.ascontiguousarray(basis.T)


def orthonormal(functions: Real, weights: Real) -> tuple[Real, Real]:
    """Analysis and synthesis of functions `(size, n)` that are orthonormal under the quadrature."""
    return functions * weights, np.ascontiguousarray(functions.T)


def checked_bases(bases: tuple[Basis, ...], grid: tuple[int, ...]) -> None:
    """Raises InputError unless there is one basis and at least 2 points for every axis."""
    if not bases or len(bases) != len(grid) or min(grid) < 2:
        raise InputError(f"{len(bases)} bases for a grid of {grid} values; give one basis per axis, 2 values or more")


def box_rows(kept: tuple[int, ...], sizes: tuple[int, ...]) -> Array:
    """Where a box of the leading `kept` indices stands among row-major indices of `sizes`."""
    index = np.arange(math.prod(sizes)).reshape(sizes)
    return index[tuple(slice(k) for k in kept)].ravel()
