"""Stencils on a grid and between a grid and the next coarser one, with their adjoints, for any size and boundary.

A value beyond an end is 0 ("zero": the ends of the array are the neighbours of a Dirichlet boundary), the value as far
inside ("mirror": the ends lie on a Neumann boundary) or the one a period away ("periodic").
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from nwidth.linmaps.base import Cost

End: TypeAlias = Literal["zero", "mirror", "periodic"]
ENDS: tuple[End, ...] = ("zero", "mirror", "periodic")
#: The low and the high end of every axis.
Ends: TypeAlias = tuple[tuple[End, End], ...]

_DIRECT: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@dataclass(frozen=True)
class Reach:
    """Positions `first, ..., last` along an axis of `size` values: where each is read (-1: it is zero)."""

    size: int
    places: tuple[int, ...]

    @cached_property
    def inside(self) -> tuple[int, int] | None:
        """Zeros to add (or, negative, values to drop) at both ends, where nothing else happens."""
        real = [p for p in self.places if p >= 0]
        low = next(i for i, p in enumerate(self.places) if p >= 0)
        if real != list(range(real[0], real[0] + len(real))) or -1 in self.places[low : low + len(real)]:
            return None
        return low - real[0], len(self.places) - low - len(real) - (self.size - 1 - real[-1])


@lru_cache(maxsize=1024)  # a pure function of a few numbers, asked for at every call of a network
def reach(size: int, first: int, last: int, low: End, high: End) -> Reach:
    """Which values stand at the positions from `first` to `last`, outside the axis too."""
    return Reach(size, tuple(_place(position, size, low, high) for position in range(first, last + 1)))


def _place(position: int, size: int, low: End, high: End) -> int:
    if low == "periodic":
        return position % size
    while not 0 <= position < size:
        if (low if position < 0 else high) == "zero":
            return -1
        if size == 1:
            return 0
        position = -position if position < 0 else 2 * (size - 1) - position
    return position


def extend(x: Tensor, reaches: tuple[Reach, ...]) -> Tensor:
    """The values at all positions, `(B, C, *sizes)` to `(B, C, *lengths)`."""
    padding: list[int] = []
    for axis, r in enumerate(reaches, start=2):
        if r.inside is None:
            index, real = _index(r, x)
            x = x.index_select(axis, index)
            x = x if real is None else x * _along(real, axis, x)
        padding = [*(r.inside or (0, 0)), *padding]
    return F.pad(x, padding) if any(padding) else x


def gather(y: Tensor, reaches: tuple[Reach, ...]) -> Tensor:
    """The adjoint of `extend`: every value collects what was read from it."""
    for axis, r in enumerate(reaches, start=2):
        if r.inside is None:
            index, real = _index(r, y)
            y = y if real is None else y * _along(real, axis, y)
            y = y.new_zeros(*y.shape[:axis], r.size, *y.shape[axis + 1 :]).index_add(axis, index, y)
    padding = [-p for r in reversed(reaches) for p in (r.inside or (0, 0))]
    return F.pad(y, padding) if any(padding) else y


def _index(r: Reach, like: Tensor) -> tuple[Tensor, Tensor | None]:
    places = torch.tensor(r.places, device=like.device)
    return places.clamp_min(0), (places >= 0).to(like.dtype) if -1 in r.places else None


def _along(values: Tensor, axis: int, like: Tensor) -> Tensor:
    return values.view(-1, *(1,) * (like.ndim - axis - 1))


@dataclass(frozen=True)
class Stencil:
    """`y_i = Σ_j w_j x_(start + stride i + j)`: from a grid to one of `count` points per axis."""

    reaches: tuple[Reach, ...]
    stride: int

    @cached_property
    def padding(self) -> tuple[int, ...] | None:
        """Zeros at both ends of each axis, where these are all that is added: a convolution adds them by itself."""
        sides = [r.inside for r in self.reaches]
        equal = [s[0] for s in sides if s is not None and s[0] == s[1] >= 0]
        return tuple(equal) if len(equal) == len(sides) else None

    def apply(self, weight: Tensor, x: Tensor) -> Tensor:
        """`weight (C_out, C_in, *kernel)`."""
        convolve = _DIRECT[len(self.reaches)]
        if self.padding is not None:  # training is nearly twice as fast as with zeros that are written first
            return convolve(x, weight, stride=self.stride, padding=self.padding)
        return convolve(extend(x, self.reaches), weight, stride=self.stride)

    def transposed(self, weight: Tensor, y: Tensor) -> Tensor:
        """The adjoint."""
        return gather(_TRANSPOSED[len(self.reaches)](y, weight, stride=self.stride), self.reaches)

    def cost(self, weight: Tensor, batch: int) -> Cost:
        """Cost of `apply`."""
        out, inp, *kernel = weight.shape
        written = [(len(r.places) - k) // self.stride + 1 for r, k in zip(self.reaches, kernel, strict=True)]
        read = [len(r.places) if self.padding is None else r.size for r in self.reaches]
        return convolution_cost(weight, batch * prod(written), batch * (inp * prod(read) + out * prod(written)))


@dataclass(frozen=True)
class Spread:
    """`y_(start + 2 i + j) += w_j x_i`: from a coarse grid to all points of the fine one."""

    reaches: tuple[Reach, ...]
    start: tuple[int, ...]
    fine: tuple[int, ...]

    def apply(self, weight: Tensor, x: Tensor) -> Tensor:
        """`weight (C_in, C_out, *kernel)`."""
        y = _TRANSPOSED[len(self.reaches)](extend(x, self.reaches), weight, stride=2)
        for axis, (start, n) in enumerate(zip(self.start, self.fine, strict=True), start=2):
            y = y.narrow(axis, -start, n)
        return y

    def transposed(self, weight: Tensor, y: Tensor) -> Tensor:
        """The adjoint."""
        y = F.pad(y, self._around(weight))
        return gather(_DIRECT[len(self.reaches)](y, weight, stride=2), self.reaches)

    def cost(self, weight: Tensor, batch: int) -> Cost:
        """Cost of `apply`."""
        inp, out, *kernel = weight.shape
        read = [len(r.places) for r in self.reaches]
        written = [2 * (n - 1) + k for n, k in zip(read, kernel, strict=True)]
        return convolution_cost(weight, batch * prod(read), batch * (inp * prod(read) + out * prod(written)))

    def _around(self, weight: Tensor) -> list[int]:
        """What the spread reaches beyond the fine grid, in the order of `F.pad`."""
        sides: list[int] = []
        for r, k, start, n in zip(self.reaches, weight.shape[2:], self.start, self.fine, strict=True):
            sides = [-start, 2 * (len(r.places) - 1) + k + start - n, *sides]
        return sides


def convolution_cost(weight: Tensor, points: int, moved: int) -> Cost:
    """Cost of a convolution: every entry of the kernel meets `points` points."""
    return Cost(2 * points * weight.numel(), (weight.numel() + moved) * weight.itemsize)


@dataclass(frozen=True)
class GridLevel:
    """A grid with its stencils: on itself, to the next coarser grid and back."""

    grid: tuple[int, ...]
    coarse: tuple[int, ...]
    smooth: Stencil
    restrict: Stencil
    prolong: Spread


@lru_cache(maxsize=256)  # a pure function of a few numbers, asked for at every call of a network
def levels(grid: tuple[int, ...], ends: Ends, kernel: int, count: int) -> tuple[GridLevel, ...]:
    """`count` grids from fine to coarse, each with every second point of the one before it.

    Along an axis whose low end is "zero" these are the points 1, 3, 5, ... (the boundary is point -1), otherwise
    0, 2, 4, ...: grids of 2^k - 1 points between Dirichlet boundaries, of 2^k + 1 with both ends, and periodic ones of
    2^k are nested without remainder; any other size works too. One point stays one point.
    """
    found: list[GridLevel] = []
    while len(found) < count:
        found.append(_level(grid, ends, kernel // 2))
        grid = found[-1].coarse
    return tuple(found)


def _level(grid: tuple[int, ...], ends: Ends, half: int) -> GridLevel:
    starts = tuple(int(low == "zero" and n > 1) for n, (low, _) in zip(grid, ends, strict=True))
    coarse = tuple((n - s + 1) // 2 for n, s in zip(grid, starts, strict=True))
    axes = list(zip(grid, coarse, starts, ends, strict=True))
    here = tuple(reach(n, -half, n - 1 + half, *e) for n, _, _, e in axes)
    down = tuple(reach(n, s - half, s + 2 * (c - 1) + half, *e) for n, c, s, e in axes)
    firsts = [-((half + s) // 2) for s in starts]
    up = tuple(reach(c, f, (n - 1 + half - s) // 2, *e) for (n, c, s, e), f in zip(axes, firsts, strict=True))
    begin = tuple(s + 2 * f - half for s, f in zip(starts, firsts, strict=True))
    return GridLevel(grid, coarse, Stencil(here, 1), Stencil(down, 2), Spread(up, begin, grid))
