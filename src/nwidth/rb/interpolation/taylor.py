"""A bound of the interpolation error for every parameter of a box, from finitely many parameters.

With the interpolation operator I (linear, Lebesgue constant Λ), a parameter τ and d = mu - τ, Taylor's theorem in mu at
every x gives

    ‖g(mu) - I g(mu)‖_∞ <=   Σ_{|β| < p} |d^β| / β! ‖∂^β g(τ) - I ∂^β g(τ)‖_∞
                           + (1 + Λ) Σ_{|β| = p} |d^β| / β! max |∂^β g|.

The norms on the right are computed once, for the τ of a grid; a query takes the nearest τ and the best order up to p.
Reference: Eftang, Grepl and Patera, "A posteriori error bounds for the empirical interpolation method", C. R. Acad.
Sci. Paris, Ser. I 348 (2010), 575-579; there with the largest distance to the grid for all mu.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import factorial, prod
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.problems.functions import Smooth
from nwidth.rb.interpolation.interpolant import Interpolant
from nwidth.rb.rounding import EPS, gamma
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.box import Box

#: What evaluating a closed form may be wrong by, relative to the bound of its size.
EVALUATION = 64 * EPS
#: Numbers held at a time while the grid is worked off.
_PIECE = 2_000_000


@dataclass(frozen=True, eq=False)
class BoxBound(Storable):
    """Bounds of `max |g - I g|` over the points for every parameter in `low <= mu <= high (P,)`.

    `errors (T, multi-indices below order p)` at the centres of a grid with `levels` cells per direction, `sizes`:
    bounds of `|∂^β g|` for all multi-indices up to p, in the order of `indices`; `gain`: 1 + Λ; `floor`: rounding of a
    query.
    """

    kind: ClassVar[str] = "box-bound"

    low: Real
    high: Real
    levels: int
    order: int
    errors: Real
    sizes: Real
    gain: float
    floor: float

    @classmethod
    def prepare(
        cls, function: Smooth, part: Interpolant, points: Real, parameters: ParameterSpace, levels: int, order: int
    ) -> "BoxBound":
        """From a grid of `levels`^P parameters. Raises InputError for parameters that are no box, or no grid."""
        if not isinstance(parameters, Box):
            raise InputError(f"got {type(parameters).__name__}; a bound for a box of parameters needs a Box")
        if levels < 1 or order < 1:
            raise InputError(f"levels is {levels} and order {order}; both must be at least 1")
        low, high = np.array(parameters.low, dtype=float), np.array(parameters.high, dtype=float)
        grid = _centres(low, high, levels)
        below = [beta for beta in indices(len(low), order) if sum(beta) < order]
        errors = np.stack([_largest(function, part, points, grid, beta) for beta in below], axis=1)
        sizes = np.array([function.derivative_bound(beta) for beta in indices(len(low), order)])
        errors += (1 + part.lebesgue) * EVALUATION * sizes[: len(below)]
        absolute = float((np.abs(part.operator) @ np.abs(part.basis)).sum(axis=0).max())
        floor = (gamma(2 * part.terms + 4) * absolute + (1 + part.lebesgue) * EVALUATION) * sizes[0]
        return cls(low, high, levels, order, errors, sizes, (1 + part.lebesgue) * (1 + 1e-9), float(floor))

    def evaluate(self, table: Real) -> Real:
        """The bound for parameters `(B, P)`; +inf outside the box."""
        cell = (self.high - self.low) / self.levels
        inside = np.all((table >= self.low) & (table <= self.high), axis=1)
        place = np.clip(np.floor((np.where(inside[:, None], table, self.low) - self.low) / cell), 0, self.levels - 1)
        # a distance that is rounded up: cells and centres are rounded numbers themselves
        scale = 8 * EPS * (np.abs(self.low) + np.abs(self.high))
        distance = np.abs(table - (self.low + (place + 0.5) * cell)) + scale
        row = np.ravel_multi_index(tuple(place.T.astype(np.int64)), (self.levels,) * len(self.low))
        powers = np.stack([(distance**beta).prod(axis=1) / weight for beta, weight in self._taylor], axis=1)
        known = powers[:, : self.errors.shape[1]] * self.errors[row]
        best = np.full(len(table), np.inf)
        for p in range(1, self.order + 1):
            rest = powers[:, self._degrees == p] @ self.sizes[self._degrees == p]
            total = known[:, self._degrees[: known.shape[1]] < p].sum(axis=1) + self.gain * rest
            best = np.minimum(best, total)
        return np.where(inside, best * (1 + 1e-9) + self.floor, np.inf)

    @cached_property
    def constant(self) -> float:
        """The bound for the whole box at once: the largest distance to the worst τ."""
        half = (self.high - self.low) / self.levels / 2 * (1 + 1e-9)
        weights = np.array([np.prod(half**beta) / weight for beta, weight in self._taylor])
        below = self.errors.shape[1]
        worst = (self.errors * weights[:below]).sum(axis=1).max()
        top = self._degrees == self.order
        return float(worst + self.gain * (weights[top] @ self.sizes[top]) + self.floor)

    @cached_property
    def _taylor(self) -> list[tuple[Array, float]]:
        """Multi-indices with their factorials."""
        found = indices(len(self.low), self.order)
        return [(np.array(beta), float(prod(factorial(b) for b in beta))) for beta in found]

    @cached_property
    def _degrees(self) -> Array:
        return np.array([sum(beta) for beta in indices(len(self.low), self.order)])

    def to_parts(self) -> Parts:
        """All numbers."""
        config = {name: getattr(self, name) for name in ("levels", "order", "gain", "floor")}
        return Parts(config, {name: getattr(self, name) for name in _ARRAYS}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The bounds again."""
        low, high, errors, sizes = (np.array(arrays[name]) for name in _ARRAYS)
        return cls(low, high, config["levels"], config["order"], errors, sizes, config["gain"], config["floor"])


_ARRAYS = ("low", "high", "errors", "sizes")


def indices(dim: int, order: int) -> list[tuple[int, ...]]:
    """All multi-indices of degree up to `order`, by degree."""
    found = [beta for beta in product(range(order + 1), repeat=dim) if sum(beta) <= order]
    return sorted(found, key=lambda beta: (sum(beta), beta))


def _centres(low: Real, high: Real, levels: int) -> Real:
    """Centres of the cells, `(levels^P, P)`, the last direction fastest."""
    axes = [a + (np.arange(levels) + 0.5) * ((b - a) / levels) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(low))


def _largest(function: Smooth, part: Interpolant, points: Real, grid: Real, beta: Sequence[int]) -> Real:
    """`max |∂^β g - I ∂^β g|` at each parameter of the grid, rounding of the sum included, `(T,)`."""
    step = max(1, _PIECE // len(points))
    largest = []
    for first in range(0, len(grid), step):
        values = function.derivative(points, grid[first : first + step], beta)
        coefficients = part.interpolate(values[:, part.points])
        error = np.abs(values - coefficients @ part.basis).max(axis=1)
        scale = np.abs(values).max(axis=1) * _absolute(part)
        largest.append(error + gamma(2 * part.terms + 4) * scale)
    return np.concatenate(largest)


def _absolute(part: Interpolant) -> float:
    return 1.0 + float((np.abs(part.operator) @ np.abs(part.basis)).sum(axis=0).max())
