"""Dirichlet values that a network cannot miss: `u = g + b w` with b = 0 on the boundary, exactly."""

from functools import reduce

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Array, Mask


def bubble(grid: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """`b(x) = Π_j 4 x_j (1 - x_j)` at the nodes of the unit cube: 1 in the middle, exactly 0 on the boundary."""
    lines = [torch.arange(n, dtype=torch.float64, device=device) / (n - 1) for n in grid]
    return reduce(lambda b, x: b[..., None] * (4 * x * (1 - x)), lines, torch.ones((), device=device)).to(dtype)


def boundary_mask(grid: tuple[int, ...]) -> Mask:
    """The nodes on the boundary."""
    mask = np.ones(grid, dtype=bool)
    mask[(slice(1, -1),) * len(grid)] = False
    return mask


def transfinite(traces: Array, dim: int) -> Array:
    """Fields that continue the boundary values of `traces (..., *grid)` smoothly inside; the interior is not read.

    Transfinite interpolation `I - Π_j (I - P_j)`, P_j linear between the two faces of axis j (Gordon and Hall 1973).
    """
    grid = traces.shape[traces.ndim - dim :]
    mask = boundary_mask(grid)
    rest = np.where(mask, traces, 0.0)
    lift = np.zeros_like(rest)
    for axis in range(traces.ndim - dim, traces.ndim):
        n = traces.shape[axis]
        x = (np.arange(n) / (n - 1)).reshape(-1, *(1,) * (traces.ndim - axis - 1))
        between = (1 - x) * rest.take([0], axis) + x * rest.take([-1], axis)
        lift, rest = lift + between, rest - between
    return np.where(mask, traces, lift)
