"""Functions of any linear map: its matrix, the distance of two maps, another kind of map in its place."""

import math
from collections.abc import Callable
from math import prod
from typing import TypeVar

import torch
from torch import Tensor

from nwidth.core.errors import InputError, WorkError
from nwidth.linmaps.base import Approximant, Goal, LinearMap, MapShape, placement
from nwidth.linmaps.compose import reshape

Kind = TypeVar("Kind", bound=Approximant)

#: Up to this many rows or columns, errors are computed from all products with unit vectors.
EXACT = 4096
#: Random products for the error of larger maps, and the probability that the result is below the true error.
PROBES, RISK = 256, 1e-6
_PIECE = 256


def to_dense(linear_map: LinearMap, piece: int = _PIECE) -> Tensor:
    """The matrix `(N_out, N_in)` of a map, from its products with unit vectors, `piece` at a time."""
    out_shape, in_shape = linear_map.shape
    dtype, device = placement(linear_map)
    size = prod(in_shape)
    columns = []
    for first in range(0, size, piece):
        units = torch.zeros(min(piece, size - first), size, dtype=dtype, device=device)
        units[torch.arange(len(units)), first + torch.arange(len(units))] = 1
        columns.append(linear_map(units.reshape(-1, *in_shape)).reshape(len(units), prod(out_shape)))
    return torch.cat(columns).T


@torch.no_grad()
def relative_error(approximation: LinearMap, source: LinearMap, *, seed: int = 0) -> float:
    """`‖A - B‖_F / ‖A‖_F` for the map A = `source`: exact up to `EXACT` rows or columns.

    For larger maps, an upper bound from 256 products with random vectors that holds with probability 1 - 1e-6. For
    Gaussian g_1, ..., g_k, `Σ ‖E g_i‖² / k` is at most (1 - t) ‖E‖_F² with probability `((1 - t) e^t)^(k/2)` or less,
    and at least (1 + t) ‖E‖_F² with probability `((1 + t) e^-t)^(k/2)` or less (Chernoff; all singular values but one
    zero is the worst case). Raises InputError for maps of different sizes.
    """
    sizes = [tuple(prod(side) for side in m.shape) for m in (approximation, source)]
    if sizes[0] != sizes[1]:
        raise InputError(f"the maps are of sizes {sizes[0]} and {sizes[1]} (rows, columns); their distance needs equal")
    if is_exact(source):
        return _distance(approximation, source, None)
    generator = torch.Generator().manual_seed(seed)
    return _distance(approximation, source, generator) * _inflation()


def is_exact(source: LinearMap) -> bool:
    """Whether `relative_error` is exact for maps of this size."""
    return min(prod(side) for side in source.shape) <= EXACT


def goal_within(source: LinearMap, goal: Goal) -> Goal:
    """The goal with the tolerance that a *measured* error must meet so that its bound meets the goal."""
    if goal.tol is None or is_exact(source):
        return goal
    return Goal(tol=goal.tol / (1.1 * _inflation()), seed=goal.seed)


def convert(
    source: LinearMap,
    kind: type[Kind],
    tol: float | None = None,
    *,
    budget: int | None = None,
    shape: MapShape | None = None,
    seed: int = 0,
) -> tuple[Kind, float]:
    """A map of another kind in place of `source`, and its relative error in the Frobenius norm (see `relative_error`).

    `tol`: the smallest map of the kind within this error. `budget`: the closest one with so many parameters. `shape`:
    ((outputs), (inputs)) that the new map is to have, for kinds that work along axes; the same sizes, row-major.

    Raises WorkError, with the achieved error, where the tolerance is missed; InputError for a kind that does not
    apply, or for both or neither of `tol` and `budget`.
    """
    goal = Goal(tol, budget, seed)
    seen = source if shape is None else reshape(source, *shape)
    with torch.no_grad():
        found = kind.approximate(seen, goal_within(seen, goal))
        error = relative_error(found, seen, seed=seed + 1)
    if tol is not None and not error <= tol + rounding(source):
        raise WorkError(
            f"{kind.__name__} reaches a relative error of {error:.3g} in the Frobenius norm, {tol:.3g} was asked for; "
            "raise the tolerance, choose another kind, or see nw.linmaps.compress"
        )
    return found, error


def rounding(source: LinearMap) -> float:
    """The error that the factors' own rounding makes: what a tolerance of zero means."""
    return 64 * float(torch.finfo(placement(source)[0]).eps)


def _distance(approximation: LinearMap, source: LinearMap, generator: torch.Generator | None) -> float:
    """Ratio of Frobenius norms over unit vectors of the smaller side (no generator), or over random inputs."""
    out, inp = source.shape
    backwards = generator is None and prod(out) < prod(inp)
    size = PROBES if generator is not None else prod(out if backwards else inp)
    apart = norm = 0.0
    for first in range(0, size, _PIECE):
        x = _inputs(source, out if backwards else inp, first, min(_PIECE, size - first), generator)
        y, z = (m.adjoint(x) if backwards else m(x) for m in (source, _Flat(approximation, source)))
        apart += float((y - z).abs().double().square().sum())
        norm += float(y.abs().double().square().sum())
    return math.sqrt(apart / norm) if norm > 0 else math.sqrt(apart)


def _inputs(
    source: LinearMap, shape: tuple[int, ...], first: int, count: int, generator: torch.Generator | None
) -> Tensor:
    dtype, device = placement(source)
    if generator is not None:
        return torch.randn(count, *shape, generator=generator, dtype=torch.float64).to(device, dtype)
    units = torch.zeros(count, prod(shape), dtype=dtype, device=device)
    units[torch.arange(count), first + torch.arange(count)] = 1
    return units.reshape(count, *shape)


class _Flat:
    """A map of the same size as another, taking and giving tensors of the other's shapes and type."""

    def __init__(self, linear_map: LinearMap, like: LinearMap):
        self.linear_map, self.like = linear_map, like
        self.dtype = placement(linear_map)[0]

    def __call__(self, x: Tensor) -> Tensor:
        y = self.linear_map(x.to(self.dtype).reshape(-1, *self.linear_map.shape[1]))
        return y.reshape(-1, *self.like.shape[0])

    def adjoint(self, y: Tensor) -> Tensor:
        x = self.linear_map.adjoint(y.to(self.dtype).reshape(-1, *self.linear_map.shape[0]))
        return x.reshape(-1, *self.like.shape[1])


def _inflation() -> float:
    """Measured ratio to the bound that holds with probability 1 - RISK: numerator from below, norm from above."""
    share = math.log(RISK / 2) * 2 / PROBES  # log of (1 -+ t) e^(+-t)
    low = _root(lambda t: math.log1p(-t) + t - share, 0.0, 1 - 1e-12)
    high = _root(lambda t: math.log1p(t) - t - share, 0.0, 100.0)
    return math.sqrt((1 + high) / (1 - low))


def _root(f: Callable[[float], float], low: float, high: float) -> float:
    """The zero of a falling function, by bisection."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) > 0 else (low, middle)
    return high
