"""Values and fluxes at some ends of some axes that a network cannot miss: `u = g + b w`, and w without its slope."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Mask, Real
from nwidth.linmaps.basis import FourierBasis, Points
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.grid import Grid

#: For each axis, whether its low and its high end are meant.
Ends = tuple[tuple[bool, bool], ...]


def dirichlet_ends(space: FunctionSpace) -> Ends:
    """The ends with prescribed values at nodes; none where values belong to the middles of cells."""
    if not isinstance(space, Grid) or space.centring == "cell":
        return ()
    ends = tuple((d.low == "dirichlet", d.high == "dirichlet") for d in space.directions)
    return ends if any(map(any, ends)) else ()


def zero_flux_ends(space: FunctionSpace) -> Ends:
    """The ends with a prescribed flux."""
    if not isinstance(space, Grid):
        return ()
    ends = tuple((d.low == "neumann", d.high == "neumann") for d in space.directions)
    return ends if any(map(any, ends)) else ()


def ends_mask(grid: tuple[int, ...], ends: Ends) -> Mask:
    """The nodes on these ends."""
    mask = np.zeros(grid, dtype=bool)
    for axis, (low, high) in enumerate(ends):
        line = np.zeros(grid[axis], dtype=bool)
        line[0], line[-1] = low, high
        mask |= line.reshape([-1 if a == axis else 1 for a in range(len(grid))])
    return mask


def ends_bubble(grid: tuple[int, ...], ends: Ends, like: Tensor) -> Tensor:
    """`b(x) = Π_j b_j(x_j)`, exactly 0 on these ends and nowhere else, with largest value 1.

    b_j is 4x(1 - x) for two ends, x(2 - x) for the low end alone and 1 - x² for the high one: the slope at the free
    end is zero, so that a network of zero flux keeps it.
    """
    lines = []
    for n, (low, high) in zip(grid, ends, strict=True):
        x = torch.arange(n, dtype=torch.float64, device=like.device) / (n - 1)
        y = 1 - x
        line = 4 * x * y if low and high else x * (2 - x) if low else y * (1 + x) if high else torch.ones_like(x)
        lines.append(line)
    start = torch.ones((), dtype=torch.float64, device=like.device)
    return reduce(lambda b, line: b[..., None] * line, lines, start).to(like.dtype)


def ends_lift(traces: Real, ends: Ends) -> Real:
    """Fields `(..., *grid)` that continue the values of `traces` on these ends inside; the rest is not read.

    Transfinite interpolation `I - Π_j (I - P_j)` (Gordon and Hall 1973), P_j linear between two ends of axis j or
    constant from one.
    """
    dim = len(ends)
    grid = traces.shape[traces.ndim - dim :]
    mask = ends_mask(grid, ends)
    rest = np.where(mask, traces, 0.0)
    lift = np.zeros_like(rest)
    for number, (low, high) in enumerate(ends):
        if not (low or high):
            continue
        axis = traces.ndim - dim + number
        x = np.linspace(0, 1, grid[number]).reshape(-1, *(1,) * (dim - number - 1))
        share = x if low and high else np.full_like(x, float(high))
        between = (1 - share) * rest.take([0], axis) + share * rest.take([-1], axis)
        lift, rest = lift + between, rest - between
    return np.where(mask, traces, lift)


def end_slope_weights(points: Points, n: int) -> Real:
    """Weights of the first three values for the derivative at the low end of an axis, exact for quadratics, `(3,)`."""
    x = FourierBasis(1, points).places(n)[:3]
    powers = np.stack([np.ones(3), x, x**2])
    return np.asarray(np.linalg.solve(powers, np.array([0.0, 1.0, 0.0])))


def without_flux(w: Tensor, ends: Ends, points: Sequence[Points]) -> Tensor:
    """Fields `(B, C, *grid)` less their slopes at these ends, spread by cubics: `w - Σ w'(end) ψ_end`.

    The one-sided difference of second order at these ends is then zero to round-off. ψ is 0 at both ends, has slope 1
    at its own end and 0 at the other. Axes are treated in turn: differences along different axes commute.
    """
    for number, (low, high) in enumerate(ends):
        if low or high:
            axis = w.ndim - len(ends) + number
            slopes, spread = (
                torch.from_numpy(m).to(w.device, w.dtype)
                for m in _flux_matrices(points[number], w.shape[axis], low, high)
            )
            lines = w.movedim(axis, -1)
            w = (lines - (lines @ slopes) @ spread).movedim(-1, axis)
    return w


def _flux_matrices(points: Points, n: int, low: bool, high: bool) -> tuple[Real, Real]:
    """Slopes `(n, ends)` of a line of values, and what to subtract for them `(ends, n)`."""
    x = FourierBasis(1, points).places(n)
    weights, psi = np.zeros(n), x * (1 - x) ** 2
    weights[:3] = end_slope_weights(points, n)
    rows = [weights] * low + [-weights[::-1]] * high
    cubics = [psi] * low + [-psi[::-1]] * high
    slopes, spread = np.stack(rows, axis=1), np.stack(cubics)
    # differences of cubics are not exactly their slopes on a grid
    return slopes, np.asarray(np.linalg.solve(spread @ slopes, spread), dtype=np.float64)
