"""Where the values of a grid lie, as networks see it: coordinates, and linear interpolation between grids."""

from math import pi
from typing import Literal

import torch
from torch import Tensor

from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.torus import Torus

#: Values of an axis on (0, 1): 'node' with both ends, 'cell' in the middles of cells; periodic axes from 0 on without
#: the end, or in the middles.
Axis = Literal["node", "cell", "periodic", "periodic cell"]


def axes_of(space: FunctionSpace, dim: int) -> tuple[Axis, ...]:
    """What each of the `dim` grid axes of a space is; nodes with both ends where the space does not say."""
    plain: Axis = "node"
    around: Axis = "periodic"
    if isinstance(space, Torus):
        return (around,) * dim
    if isinstance(space, Grid):
        if space.centring == "cell":
            plain, around = "cell", "periodic cell"
        return tuple(around if axis.periodic else plain for axis in space.directions)
    return (plain,) * dim


def places(axis: Axis, size: int, dtype: torch.dtype = torch.float64, device: torch.device | None = None) -> Tensor:
    """Coordinates of `size` values on (0, 1)."""
    index = torch.arange(size, dtype=dtype, device=device)
    if axis == "node":
        return index / max(size - 1, 1)
    return (index if axis == "periodic" else index + 0.5) / size


def is_periodic(axis: Axis) -> bool:
    """Whether the last value is a neighbour of the first."""
    return axis in ("periodic", "periodic cell")


def coordinates(axes: tuple[Axis, ...], grid: tuple[int, ...], like: Tensor) -> Tensor:
    """Coordinates on a grid as channels `(K, *grid)`: `2x - 1`, or `sin 2πx, cos 2πx` along a periodic axis."""
    channels = []
    for number, (axis, size) in enumerate(zip(axes, grid, strict=True)):
        x = places(axis, size, like.dtype, like.device)
        lines = (torch.sin(2 * pi * x), torch.cos(2 * pi * x)) if is_periodic(axis) else (2 * x - 1,)
        shape = [size if other == number else 1 for other in range(len(grid))]
        channels += [line.view(shape).expand(grid) for line in lines]
    return torch.stack(channels)


def coordinate_channels(axes: tuple[Axis, ...]) -> int:
    """How many channels `coordinates` has."""
    return sum(2 if is_periodic(axis) else 1 for axis in axes)


def interpolation(axis: Axis, old: int, new: int) -> Tensor:
    """The matrix `(new, old)` of linear interpolation; beyond the outermost middles of cells the line goes on."""
    if old == 1:
        return torch.ones(new, 1, dtype=torch.float64)
    first = float(places(axis, old)[0])
    place = (places(axis, new) - first) * (old - 1 if axis == "node" else old)
    left = place.floor().long()
    if not is_periodic(axis):
        left = left.clamp(0, old - 2)
    share = place - left
    rows = torch.arange(new)
    matrix = torch.zeros(new, old, dtype=torch.float64)
    matrix.index_put_((rows, left % old), 1 - share, accumulate=True)
    matrix.index_put_((rows, (left + 1) % old), share, accumulate=True)
    return matrix


def resample(x: Tensor, axes: tuple[Axis, ...], grid: tuple[int, ...]) -> Tensor:
    """Fields `(..., *old)` at the places of another grid, linear in each direction; the same tensor on its own grid."""
    lead = x.ndim - len(axes)
    for number, (axis, size) in enumerate(zip(axes, grid, strict=True)):
        old = x.shape[lead + number]
        if old != size:
            matrix = interpolation(axis, old, size).to(x)
            x = torch.movedim(torch.movedim(x, lead + number, -1) @ matrix.T, -1, lead + number)
    return x
