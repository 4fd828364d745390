"""A multigrid V-cycle whose stencils are parameters."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.base import Cost, LinearMap, MapShape, by_parts
from nwidth.linmaps.stencil import ENDS, End, Ends, GridLevel, levels


class VCycle(LinearMap):
    """`f ↦ u`, one V-cycle for `A u = f` from u = 0, linear in f (He, Liu and Xu 2024, algorithm 1).

    On every grid from fine to coarse, with stencils of its own:
    smooth `u ← u + S_i (f - A u)` (`smoothing[0]` times), restrict `f_coarse = R (f - A u)`, correct
    `u ← u + P u_coarse`, and smooth again with further stencils (`smoothing[1]` times).

    `channels`: (C_out, C_in): f has C_in channels and u has C_out on every grid. `grid`: the grid that the map is
    prepared for; `forward` works on every grid (`at` prepares another) with the same stencils *per point*: on a grid
    twice as fine they reach half as far. `depth`: number of grids, 1 or more, of any size (see `stencil.levels`).
    `ends`: 'zero' (Dirichlet), 'mirror' (Neumann) or 'periodic', a word for all, or a pair (low, high) for every axis.
    `kernel`: points of a stencil per axis, odd, at least 3.

    Parameters: `((C_out C_in) (1 + pre + post) + C_in² + C_out²) kernel^d` per grid, less on the coarsest. Entries
    start as normals with variance 1 over the number of terms in each sum, the corrections a third of it.

    Gauge: on every coarse grid f and u may be taken in another basis of the channels: `(depth - 1) (C_in² + C_out²)`
    numbers. (That is all on grids that see the whole stencils, unless one channel meets several in one dimension.)

    Input `(B, C_in, *grid)`, output `(B, C_out, *grid)`. Raises InputError for an input with other channels or axes.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        grid: tuple[int, ...],
        depth: int,
        *,
        ends: End | Sequence[tuple[End, End]] = "zero",
        smoothing: tuple[int, int] = (1, 1),
        kernel: int = 3,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self.channels, self.grid, self.depth, self.kernel = tuple(channels), tuple(grid), depth, kernel
        self.ends = as_ends(ends, len(grid))
        self.smoothing = tuple(smoothing)
        _check(self.grid, depth, self.smoothing, kernel)
        out, inp = channels
        pre, post = smoothing

        def stencils(rows: int, columns: int, count: int, share: float = 1.0) -> nn.ParameterList:
            shape = (rows, columns, *(kernel,) * len(grid))
            scale = share * (columns * kernel ** len(grid)) ** -0.5
            return nn.ParameterList(nn.Parameter(scale * torch.randn(shape, dtype=dtype)) for _ in range(count))

        coarsest_uses_a = pre + post > 1
        self.a = stencils(inp, out, depth if coarsest_uses_a else depth - 1, 1 / 3)
        self.s = nn.ModuleList(stencils(out, inp, pre + post) for _ in range(depth))
        self.r = stencils(inp, inp, depth - 1)
        self.p = stencils(out, out, depth - 1)

    @property
    def shape(self) -> MapShape:
        """((C_out, *grid), (C_in, *grid))."""
        out, inp = self.channels
        return (out, *self.grid), (inp, *self.grid)

    @property
    def gauge(self) -> int:
        """Dimension of the sets of parameters that are one map."""
        return (self.depth - 1) * sum(c**2 for c in self.channels)

    def at(self, grid: tuple[int, ...]) -> "VCycle":
        """The map on another grid; the parameters are shared, not copied."""
        other = VCycle((1, 1), grid, 1, ends=self.ends, smoothing=(1, 0), kernel=self.kernel)
        other.channels, other.depth, other.smoothing = self.channels, self.depth, self.smoothing
        other.a, other.s, other.r, other.p = self.a, self.s, self.r, self.p
        return other

    def forward(self, x: Tensor) -> Tensor:
        """`u` for `f`, on any grid."""
        grids = self._levels(x, self.channels[1])
        return by_parts(lambda f: self._cycle(grids, 0, f), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The steps in reverse order, each transposed."""
        grids = self._levels(y, self.channels[0])
        return by_parts(lambda u: self._reversed(grids, 0, u), y)

    def cost(self, batch: int = 1) -> Cost:
        """All stencils, on the grid that the map is prepared for."""
        total = Cost(0, 0)
        for number, level in enumerate(levels(self.grid, self.ends, self.kernel, self.depth)):
            smoothers = self._smoothers(number)
            residuals = len(smoothers) - 1
            for s in smoothers:
                total += level.smooth.cost(s, batch)
            if number + 1 < self.depth:
                residuals += 1
                total += level.restrict.cost(self.r[number], batch) + level.prolong.cost(self.p[number], batch)
            for _ in range(residuals):
                total += level.smooth.cost(self.a[number], batch)
        return total

    def _cycle(self, grids: tuple[GridLevel, ...], number: int, f: Tensor) -> Tensor:
        level, smoothers, pre = grids[number], self._smoothers(number), self.smoothing[0]
        u = level.smooth.apply(smoothers[0], f)
        for s in smoothers[1:pre]:
            u = u + level.smooth.apply(s, f - level.smooth.apply(self.a[number], u))
        if number + 1 < self.depth:
            rest = f - level.smooth.apply(self.a[number], u)
            coarse = self._cycle(grids, number + 1, level.restrict.apply(self.r[number], rest))
            u = u + level.prolong.apply(self.p[number], coarse)
        for s in smoothers[pre:]:
            u = u + level.smooth.apply(s, f - level.smooth.apply(self.a[number], u))
        return u

    def _reversed(self, grids: tuple[GridLevel, ...], number: int, u: Tensor) -> Tensor:
        """What u asks of f: after `u ← u + M (f - A u)` comes `f ← f + Mᵀ u, u ← u - Aᵀ Mᵀ u`."""
        level, smoothers, pre = grids[number], self._smoothers(number), self.smoothing[0]
        f = u.new_zeros(u.shape[0], self.channels[1], *level.grid)
        for s in reversed(smoothers[pre:]):
            t = level.smooth.transposed(s, u)
            f, u = f + t, u - level.smooth.transposed(self.a[number], t)
        if number + 1 < self.depth:
            t = self._reversed(grids, number + 1, level.prolong.transposed(self.p[number], u))
            t = level.restrict.transposed(self.r[number], t)
            f, u = f + t, u - level.smooth.transposed(self.a[number], t)
        for s in reversed(smoothers[1:pre]):
            t = level.smooth.transposed(s, u)
            f, u = f + t, u - level.smooth.transposed(self.a[number], t)
        return f + level.smooth.transposed(smoothers[0], u)

    def _smoothers(self, number: int) -> list[Tensor]:
        return list(cast(nn.ParameterList, self.s[number]))

    def _levels(self, x: Tensor, channels: int) -> tuple[GridLevel, ...]:
        dim = len(self.ends)
        if x.ndim != 2 + dim or x.shape[1] != channels:
            axes = ", ".join(f"n{j + 1}" for j in range(dim))
            raise InputError(f"got a tensor of shape {tuple(x.shape)}, expected (B, {channels}, {axes})")
        return levels(tuple(int(n) for n in x.shape[2:]), self.ends, self.kernel, self.depth)


def as_ends(ends: End | Sequence[tuple[End, End]], dim: int) -> Ends:
    """A pair of words for each axis. Raises InputError for what cannot be read."""
    pairs = ((ends, ends),) * dim if isinstance(ends, str) else tuple((low, high) for low, high in ends)
    words = [w for pair in pairs for w in pair]
    mixed = any((low == "periodic") != (high == "periodic") for low, high in pairs)
    if len(pairs) != dim or mixed or any(w not in ENDS for w in words):
        raise InputError(
            f"ends = {ends!r} for {dim} axes; give {', '.join(map(repr, ENDS))}, or a pair (low, high) for each axis, "
            "with 'periodic' at both ends or none"
        )
    return pairs


def _check(grid: tuple[int, ...], depth: int, smoothing: tuple[int, ...], kernel: int) -> None:
    if len(grid) not in (1, 2, 3) or min(grid) < 1:
        raise InputError(f"grid {grid}; expected 1 to 3 axes with at least one point each")
    if depth < 1 or len(smoothing) != 2 or smoothing[0] < 1 or smoothing[1] < 0:
        raise InputError(
            f"depth {depth}, smoothing {smoothing}; expected one grid or more, and (before, after) with at least one "
            "smoothing before"
        )
    if kernel < 3 or kernel % 2 == 0:
        raise InputError(f"kernel = {kernel}; expected an odd number of points, at least 3")
