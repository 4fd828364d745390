"""A spectral convolution with a low-rank weight, computed in the order of contraction that costs least."""

from itertools import product
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from nwidth.core.errors import InputError
from nwidth.linmaps import reduced
from nwidth.linmaps.base import Cost, LinearMap, MapShape, by_parts, product_cost
from nwidth.linmaps.fourier import Mixing, TruncatedFourier
from nwidth.linmaps.spectral_weights import Factors, SpectralWeights, times
from nwidth.linmaps.transform import Method, Transform, transform

#: Operations that take as long as moving one byte: what makes products with thin matrices slow.
_BALANCE = 4
#: The order of contraction is chosen for this many samples, so that it does not depend on how a batch is cut.
_TYPICAL = 16


class Order(NamedTuple):
    """Where channels are reduced and restored: at the nodes (True) or at the frequencies (False).

    `inward` at the nodes: only r_in channels are analysed; `outward` at the nodes: only r_out are synthesised. `whole`:
    the weight is multiplied out first, for ranks so high that this is cheaper.
    """

    inward: bool
    outward: bool
    whole: bool = False


class Sizes(NamedTuple):
    """What the cost of a contraction depends on."""

    batch: int
    channels: tuple[int, int]
    ranks: tuple[int, int]
    diagonal: bool
    points: int
    frequencies: int
    itemsize: int

    @classmethod
    def of(cls, factors: Factors, prepared: Transform, batch: int) -> "Sizes":
        """Of one application."""
        inp, r_in = factors.inward.shape
        r_out, out = factors.outward.shape
        count = len(factors.real) if prepared.rows is None else len(prepared.rows)
        return cls(
            batch, (out, inp), (r_out, r_in), factors.diagonal, prod(prepared.grid), count, factors.inward.itemsize
        )


class TensorFourier(LinearMap):
    """`(A v)(x) = Σ_{|k_j| < m_j} W_k v̂_k e^{2πi k·x/P}`, `TruncatedFourier` with a low-rank W (one layer).

    `weights`: the parameters (`TuckerWeights`, `CPWeights`, `TensorTrainWeights`); `grid`, `period`, `method`: as for
    `TruncatedFourier`. Every grid is accepted. Input `(B, C_in, *grid)`, output `(B, C_out, *grid)`. The parameters are
    redundant by the exact gauge of the form, `weights.gauge` directions.

    Raises InputError for an input with other channels or dimensions.
    """

    def __init__(
        self,
        weights: SpectralWeights,
        grid: tuple[int, ...],
        *,
        period: tuple[float, ...] | None = None,
        method: Method = "auto",
    ):
        super().__init__()
        if not len(weights.modes) == len(grid) == len(period or grid):
            raise InputError(f"modes {weights.modes}, grid {grid}, period {period}: give one entry per axis")
        self.weights, self.grid, self.period, self.method = weights, tuple(grid), period, method

    @property
    def shape(self) -> MapShape:
        """((C_out, *grid), (C_in, *grid))."""
        out, inp = self.weights.channels
        return (out, *self.grid), (inp, *self.grid)

    def transform(self, grid: tuple[int, ...]) -> Transform:
        """The transform of this map for a grid."""
        first = next(self.weights.parameters())
        modes = self.weights.modes
        return transform(grid, modes, self.period, dtype=first.dtype, device=first.device, method=self.method)

    def forward(self, x: Tensor) -> Tensor:
        """`A x`, on any grid."""
        grid = self._grid_of(x, self.weights.channels[1])
        if not len(x):
            return x.new_zeros(0, self.weights.channels[0], *grid)
        prepared, factors = self.transform(grid), self.weights.factors()
        return by_parts(lambda v: _channels_first(convolve(_grid_first(v), prepared, factors)), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """`Aᵀ y`, `(B, C_out, *grid)` to `(B, C_in, *grid)`."""
        grid = self._grid_of(y, self.weights.channels[0])
        if not len(y):
            return y.new_zeros(0, self.weights.channels[1], *grid)
        prepared, factors = self.transform(grid).transposed(), self.weights.factors().transposed()
        return by_parts(lambda v: _channels_first(convolve(_grid_first(v), prepared, factors)), y)

    def cost(self, batch: int = 1) -> Cost:
        """The products that make the factors, the thin ones with the channel factors, both transforms, the mixing."""
        prepared = self.transform(self.grid)
        factors = self.weights.factors()
        order = best_order(Sizes.of(factors, prepared, _TYPICAL), prepared)
        total = cost_of(order, Sizes.of(factors, prepared, batch), prepared)
        for rows, inner, columns, copies in self.weights.preparation():
            total += product_cost(rows, inner, columns, factors.inward.itemsize, copies)
        return total

    def dense(self) -> TruncatedFourier:
        """The same map with its weight multiplied out."""
        first = next(self.weights.parameters())
        whole = TruncatedFourier(
            self.weights.channels,
            self.weights.modes,
            self.grid,
            period=self.period,
            method=self.method,
            dtype=first.dtype,
        ).to(first.device)
        with torch.no_grad():
            real, imag = self.weights.factors().dense()
            whole.real.copy_(real)
            whole.imag.copy_(imag)
        return whole

    def _grid_of(self, x: Tensor, channels: int) -> tuple[int, ...]:
        if x.ndim != 2 + len(self.grid) or x.shape[1] != channels:
            axes = ", ".join(f"n{j + 1}" for j in range(len(self.grid)))
            raise InputError(f"got a tensor of shape {tuple(x.shape)}, expected (B, {channels}, {axes})")
        return tuple(x.shape[2:])


def _grid_first(x: Tensor) -> Tensor:
    """`(B, C, *grid)` to `(*grid, B, C)`."""
    return x.movedim((0, 1), (-2, -1)).contiguous()


def _channels_first(v: Tensor) -> Tensor:
    """`(*grid, B, C)` to `(B, C, *grid)`."""
    return v.movedim((-2, -1), (0, 1))


def cost_of(order: Order, sizes: Sizes, prepared: Transform) -> Cost:
    """Products of one application in this order, without those that make the factors."""
    (out, inp), (r_out, r_in), batch, size = sizes.channels, sizes.ranks, sizes.batch, sizes.itemsize
    rows = 2 * sizes.frequencies * batch
    if order.whole:
        left = Cost(0, 0) if sizes.diagonal else product_cost(inp, r_in, r_out, size, 2 * sizes.frequencies - 1)
        whole = product_cost((2 * sizes.frequencies - 1) * inp, r_out, out, size)
        return left + whole + prepared.cost(batch * inp, batch * out, size) + _mixing(sizes, inp, out)
    if order.inward:
        total = reduced.analysis_cost(batch, inp, r_in, prepared, size)
    else:
        total = reduced.one_way(prepared, batch * inp, 0, size) + product_cost(rows, inp, r_in, size)
    if order.outward:
        total += reduced.synthesis_cost(batch, out, r_out, prepared, size)
    else:
        total += reduced.one_way(prepared, 0, batch * out, size) + product_cost(rows, r_out, out, size)
    return total if sizes.diagonal else total + _mixing(sizes, r_in, r_out)


def _mixing(sizes: Sizes, inp: int, out: int) -> Cost:
    per_part = (2 * sizes.batch, inp, out, sizes.itemsize)
    return product_cost(*per_part, sizes.frequencies) + product_cost(*per_part, sizes.frequencies - 1)


def best_order(sizes: Sizes, prepared: Transform) -> Order:
    """The cheapest order, one byte moved counted as `_BALANCE` operations."""
    orders = [Order(*sides) for sides in product((True, False), repeat=2)] + [Order(False, False, whole=True)]

    def time(order: Order) -> int:
        cost = cost_of(order, sizes, prepared)
        return cost.flops + _BALANCE * cost.bytes

    return min(orders, key=time)


def convolve(
    v: Tensor, prepared: Transform, factors: Factors, *, order: Order | None = None, onto: Tensor | None = None
) -> Tensor:
    """`A v` for grid-first tensors, `(*grid, B, C_in)` to `(*grid, B, C_out)`; `onto`: added to (and written over)."""
    order = order or best_order(Sizes.of(factors, prepared, _TYPICAL), prepared)
    factors = factors.at(prepared.rows)
    if order.whole:
        return prepared.synthesise(_mixed(prepared.analyse(v), *factors.dense()), onto)
    c = reduced.analyse(v, factors.inward, prepared) if order.inward else times(prepared.analyse(v), factors.inward)
    mixed = _scaled(c, factors) if factors.diagonal else _mixed(c, factors.real, factors.imag)
    if order.outward:
        return reduced.synthesise(mixed, factors.outward, prepared, onto)
    return prepared.synthesise(times(mixed, factors.outward), onto)


def _mixed(c: Tensor, real: Tensor, imag: Tensor) -> Tensor:
    """`(H + 1, 2, B, r_in)` times a complex matrix per frequency, all in the precision that autocast wants."""
    if torch.is_autocast_enabled(c.device.type):
        wanted = torch.get_autocast_dtype(c.device.type)
        c, real, imag = c.to(wanted), real.to(wanted), imag.to(wanted)
    return Mixing.apply(c, real, imag)


def _scaled(c: Tensor, factors: Factors) -> Tensor:
    """`(H + 1, 2, B, R)` times a complex number per frequency and channel; at k = 0 there is no imaginary part.

    `(a + ib)(W + iV) = (aW - bV) + i(bW + aV)`.
    """
    by_real, by_imag = c * factors.real[:, None, None], c[1:] * factors.imag[:, None, None]
    turned = torch.stack([-by_imag[:, 1], by_imag[:, 0]], dim=1)
    return torch.cat([by_real[:1], by_real[1:] + turned])
