"""Functions g(x; mu) of space and parameters that are not sums of products: coefficients and sources of problems."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import factorial, sqrt
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable

#: `|He_k(t)| exp(-t²/4) <= 1.0865 √k!` for every t: Abramowitz and Stegun 22.14.17 (Cramér's inequality).
_CRAMER = 1.0865


class Function(Storable):
    """g(x; mu), evaluated at any points for a batch of parameters."""

    @abstractmethod
    def values(self, points: Real, mu: Real) -> Real:
        """`(B, m)` at points `(m, dim)` for parameters `(B, P)`, in the order of the problem's names."""


class Smooth(Function):
    """A function with closed forms of its derivatives in the parameters: bounds that hold on a whole box of parameters
    need them."""

    def values(self, points: Real, mu: Real) -> Real:
        return self.derivative(points, mu, [0] * mu.shape[1])

    @abstractmethod
    def derivative(self, points: Real, mu: Real, orders: Sequence[int]) -> Real:
        """`∂^β g / ∂mu^β` for β = orders `(P,)`, `(B, m)`; g itself for β = 0."""

    @abstractmethod
    def derivative_bound(self, orders: Sequence[int]) -> float:
        """A bound of `|∂^β g|` for every x and every mu."""

    @abstractmethod
    def lower(self, mu: Real) -> Real:
        """A lower bound of g(x; mu) over all x, `(B,)`."""


@dataclass(frozen=True)
class Constant(Smooth):
    """g = value."""

    kind: ClassVar[str] = "constant-function"
    value: float = 1.0

    def derivative(self, points: Real, mu: Real, orders: Sequence[int]) -> Real:
        return np.full((len(mu), len(points)), 0.0 if any(orders) else float(self.value))

    def derivative_bound(self, orders: Sequence[int]) -> float:
        return abs(self.value) if not any(orders) else 0.0

    def lower(self, mu: Real) -> Real:
        return np.full(len(mu), float(self.value))

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(**config)


@dataclass(frozen=True)
class Bump(Smooth):
    """`g = base + height exp(-|x - c|² / (2 width²))` with the centre c = (mu_1, ..., mu_dim), the first parameters.

    `∂^β` in c is a product of Hermite functions: `height Π_i width^{-β_i} He_{β_i}(t_i) exp(-t_i²/2)` with
    t = (x - c) / width.
    """

    kind: ClassVar[str] = "bump-function"
    base: float = 1.0
    height: float = 1.0
    width: float = 0.25

    def __post_init__(self) -> None:
        if not (self.width > 0 and np.isfinite([self.base, self.height, self.width]).all()):
            raise InputError(f"got {self}; give finite numbers and a width above zero")

    def values(self, points: Real, mu: Real) -> Real:
        # one square and one exponential for each point: `derivative` is slower
        distance = (points[:, 0] - mu[:, :1]) ** 2
        for i in range(1, points.shape[1]):
            distance += (points[:, i] - mu[:, i : i + 1]) ** 2
        distance *= -0.5 / self.width**2
        np.exp(distance, out=distance)
        distance *= self.height
        distance += self.base
        return distance

    def derivative(self, points: Real, mu: Real, orders: Sequence[int]) -> Real:
        dim = points.shape[1]
        if any(orders[dim:]):
            return np.zeros((len(mu), len(points)))
        return self._product(points, mu, orders[:dim]) + (0.0 if any(orders) else self.base)

    def _product(self, points: Real, mu: Real, orders: Sequence[int]) -> Real:
        result = np.full((len(mu), len(points)), float(self.height))
        for i, order in enumerate(orders):
            t = (points[:, i] - mu[:, i, None]) / self.width
            coefficients = [0.0] * order + [self.width**-order]
            result *= np.polynomial.hermite_e.hermeval(t, coefficients) * np.exp(-0.5 * t * t)
        return result

    def derivative_bound(self, orders: Sequence[int]) -> float:
        total = abs(self.height)
        for order in orders:
            total *= _CRAMER * sqrt(factorial(order)) / self.width**order if order else 1.0
        return total + (0.0 if any(orders) else abs(self.base))

    def lower(self, mu: Real) -> Real:
        return np.full(len(mu), self.base + min(self.height, 0.0))

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(**config)


@dataclass(frozen=True)
class Reciprocal(Function):
    """`g = 1 / |x - c|` with the centre c = (mu_1, ..., mu_dim); finite where the centre is outside the domain.

    The example of Grepl, Maday, Nguyen and Patera, ESAIM: M2AN 41 (2007), section 2.4.
    """

    kind: ClassVar[str] = "reciprocal-function"

    def values(self, points: Real, mu: Real) -> Real:
        dim = points.shape[1]
        return 1.0 / np.sqrt(((points[None] - mu[:, None, :dim]) ** 2).sum(axis=2))

    def to_parts(self) -> Parts:
        return Parts({}, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls()
