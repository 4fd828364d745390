"""A grid cut into overlapping windows, with coarser views of what lies around, and put together again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class AxisPatches:
    """How one axis of n values is cut into `count` patches of equal windows.

    Patch i answers for the nodes from `⌊i N / count⌋` on (N spacings, so that sizes need not be divisible); its window
    begins `halo` (a fraction of the axis) before and has an odd number of nodes, the same for all patches. Beyond the
    ends a periodic axis begins again, another one is mirrored.
    """

    count: int
    halo: float
    periodic: bool

    def spacings(self, n: int) -> int:
        """Spacings of n values."""
        return n if self.periodic else n - 1

    def margin(self, n: int) -> int:
        """Nodes of the halo on one side."""
        return math.ceil(self.halo * self.spacings(n) - 1e-9)

    def window(self, n: int) -> int:
        """Nodes of a window, odd."""
        return 2 * math.ceil(self.spacings(n) / (2 * self.count)) + 2 * self.margin(n) + 1

    def starts(self, n: int) -> Indices:
        """The first node that each patch answers for, and the end."""
        firsts = np.arange(self.count + 1) * self.spacings(n) // self.count
        firsts[-1] = n
        return firsts

    def nodes(self, n: int, level: int) -> Indices:
        """The node behind each value of each window, `(count, window)`; level l has every 2^l-th, centred alike."""
        middle = (self.window(n) - 1) // 2
        places = (np.arange(self.window(n)) - middle) * 2**level + middle - self.margin(n)
        return self.inside(self.starts(n)[:-1, None] + places, n)

    def inside(self, nodes: Indices, n: int) -> Indices:
        """Nodes beyond the ends, continued."""
        if self.periodic:
            return nodes % n
        turned = nodes % (2 * (n - 1))
        return np.asarray(np.minimum(turned, 2 * (n - 1) - turned))

    def owners(self, n: int) -> Indices:
        """Where each node's answer stands among all values of all windows, `(n,)`."""
        starts = self.starts(n)
        patch = np.searchsorted(starts[1:], np.arange(n), side="right")
        return np.asarray(patch * self.window(n) + np.arange(n) - starts[patch] + self.margin(n))

    def smoothed(self, x: Tensor, axis: int, stride: int) -> Tensor:
        """Means of neighbours `stride` nodes apart with weights 1/4, 1/2, 1/4 (full weighting of multigrid)."""
        n = x.shape[axis]
        beside = [_taken(x, axis, self.inside(np.arange(n) + step, n)) for step in (-stride, stride)]
        return 0.5 * x + 0.25 * (beside[0] + beside[1])


def cut(x: Tensor, axes: Sequence[AxisPatches], level: int = 0) -> Tensor:
    """Windows of `(B, C, *grid)`: `(B Π count, C, *window)`, the patches of a sample one after the other."""
    d = len(axes)
    for axis, patches in enumerate(axes, start=2):
        x = _taken(x, axis, patches.nodes(x.shape[axis], level).ravel())
    sizes = [size for a, patches in enumerate(axes, 2) for size in (patches.count, x.shape[a] // patches.count)]
    x = x.reshape(*x.shape[:2], *sizes)
    order = [0, *range(2, 2 + 2 * d, 2), 1, *range(3, 3 + 2 * d, 2)]
    return x.permute(order).flatten(0, d)


def levels_of(x: Tensor, axes: Sequence[AxisPatches], levels: int) -> Tensor:
    """Windows of `levels + 1` resolutions as channels, `(B Π count, (levels + 1) C, *window)`.

    Level l sees an area 2^l times as wide, with every 2^l-th value of the smoothed field.
    """
    found = [cut(x, axes)]
    for level in range(1, levels + 1):
        for axis, patches in enumerate(axes, start=2):
            x = patches.smoothed(x, axis, 2 ** (level - 1))
        found.append(cut(x, axes, level))
    return torch.cat(found, dim=1)


def joined(y: Tensor, axes: Sequence[AxisPatches], grid: Sequence[int]) -> Tensor:
    """`(B, C, *grid)` from answers in windows `(B Π count, C, *window)`: each node from the one patch that owns it."""
    d = len(axes)
    y = y.reshape(-1, *(patches.count for patches in axes), *y.shape[1:])
    order = [0, 1 + d, *(axis for j in range(d) for axis in (1 + j, 2 + d + j))]
    y = y.permute(order)
    y = y.reshape(y.shape[0], y.shape[1], *(y.shape[2 + 2 * j] * y.shape[3 + 2 * j] for j in range(d)))
    for axis, (patches, n) in enumerate(zip(axes, grid, strict=True), start=2):
        y = _taken(y, axis, patches.owners(n))
    return y


def _taken(x: Tensor, axis: int, places: Indices) -> Tensor:
    return x.index_select(axis, torch.from_numpy(np.ascontiguousarray(places)).to(x.device))
