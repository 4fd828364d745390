"""The linear map of a spectral convolution: truncated Fourier transform, channel mixing per frequency, inverse."""

from typing import Any

import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.base import Cost, LinearMap, MapShape, by_parts, product_cost
from nwidth.linmaps.half_space import frequencies
from nwidth.linmaps.transform import Method, Transform, transform


class TruncatedFourier(LinearMap):
    """`(A v)(x) = Σ_{|k_j| < m_j} W_k v̂_k e^{2πi k·x/P}` with `W_{-k} = conj W_k`, so that real stays real.

    Parameters: `real (H + 1, C_in, C_out)` and `imag (H, C_in, C_out)`, one frequency of each pair {k, -k} and a real
    matrix at k = 0: `C_in C_out Π (2 m_j - 1)` numbers, none redundant on a grid that carries all frequencies.

    `channels`: (C_out, C_in). `modes`: m_j per axis. `grid`: the grid that the map is prepared for; `forward` works on
    every grid (`at` prepares another), always as the same function: a grid drops the frequencies at and above its
    Nyquist frequency, and the result is exact for input that it resolves. `period`: see `transform`; None is a
    periodic grid. Input `(B, C_in, *grid)`, output `(B, C_out, *grid)`.

    Raises InputError for an input with other channels or dimensions.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        modes: tuple[int, ...],
        grid: tuple[int, ...],
        *,
        period: tuple[float, ...] | None = None,
        method: Method = "auto",
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        if not len(modes) == len(grid) == len(period or grid) or min(*modes, *grid) < 1 or min(period or (1,)) < 1:
            raise InputError(
                f"modes {modes}, grid {grid}, period {period}: give one entry per axis; modes and points >= 1, period "
                ">= 1 (in lengths of the domain)"
            )
        self.channels, self.modes, self.grid = tuple(channels), tuple(modes), tuple(grid)
        self.period, self.method = period, method
        out, inp = channels
        half = len(frequencies(self.modes)) - 1
        scale = inp**-0.5
        self.real = nn.Parameter(scale * torch.randn(half + 1, inp, out, dtype=dtype))
        self.imag = nn.Parameter(scale * torch.randn(half, inp, out, dtype=dtype))

    @property
    def shape(self) -> MapShape:
        """((C_out, *grid), (C_in, *grid))."""
        out, inp = self.channels
        return (out, *self.grid), (inp, *self.grid)

    def at(self, grid: tuple[int, ...]) -> "TruncatedFourier":
        """The map on another grid; the parameters are shared, not copied."""
        other = TruncatedFourier((1, 1), self.modes, grid, period=self.period, method=self.method)
        other.channels, other.real, other.imag = self.channels, self.real, self.imag
        return other

    def transform(self, grid: tuple[int, ...]) -> Transform:
        """The transform of this map for a grid: a value to hold where many maps or calls share it."""
        return transform(
            grid, self.modes, self.period, dtype=self.real.dtype, device=self.real.device, method=self.method
        )

    def forward(self, x: Tensor) -> Tensor:
        """`A x`, `(B, C_in, *grid)` to `(B, C_out, *grid)`, on any grid."""
        prepared = self.transform(self._grid_of(x, self.channels[1]))
        return by_parts(lambda v: _channels_first(self.convolve(_grid_first(v), prepared)), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """`Aᵀ y`, `(B, C_out, *grid)` to `(B, C_in, *grid)`."""
        prepared = self.transform(self._grid_of(y, self.channels[0])).transposed()
        real, imag = self.real.mT, -self.imag.mT
        return by_parts(lambda v: _channels_first(_convolve(_grid_first(v), prepared, real, imag, None)), y)

    def convolve(
        self, v: Tensor, prepared: Transform, constant: Tensor | None = None, onto: Tensor | None = None
    ) -> Tensor:
        """`onto + A v + constant` for grid-first tensors, `(*grid, B, C_in)` to `(*grid, B, C_out)`.

        `constant (C_out,)`; `onto`: contiguous `(*grid, B, C_out)`, which is written over.
        """
        return _convolve(v, prepared, self.real, self.imag, constant, onto)

    def cost(self, batch: int = 1) -> Cost:
        """Both transforms and the mixing, on the grid that the map is prepared for."""
        prepared = self.transform(self.grid)
        out, inp = self.channels
        count, size = len(self.real) if prepared.rows is None else len(prepared.rows), self.real.itemsize
        mixing = product_cost(2 * batch, inp, out, size, count) + product_cost(2 * batch, inp, out, size, count - 1)
        return prepared.cost(batch * inp, batch * out, size) + mixing

    def _grid_of(self, x: Tensor, channels: int) -> tuple[int, ...]:
        if x.ndim != 2 + len(self.modes) or x.shape[1] != channels:
            axes = ", ".join(f"n{j + 1}" for j in range(len(self.modes)))
            raise InputError(f"got a tensor of shape {tuple(x.shape)}, expected (B, {channels}, {axes})")
        return tuple(x.shape[2:])


def _grid_first(x: Tensor) -> Tensor:
    """`(B, C, *grid)` to `(*grid, B, C)`."""
    return x.movedim((0, 1), (-2, -1)).contiguous()


def _channels_first(v: Tensor) -> Tensor:
    """`(*grid, B, C)` to `(B, C, *grid)`."""
    return v.movedim((-2, -1), (0, 1))


def _convolve(
    v: Tensor, prepared: Transform, real: Tensor, imag: Tensor, constant: Tensor | None, onto: Tensor | None = None
) -> Tensor:
    if prepared.rows is not None:
        real, imag = real[prepared.rows], imag[prepared.rows[1:] - 1]
    c = prepared.analyse(v)
    mixed = Mixing.apply(c, real.to(c.dtype), imag.to(c.dtype))  # under autocast, coefficients come in half precision
    if constant is not None:  # a constant function is the frequency zero
        mixed = torch.cat([mixed[:1] + constant, mixed[1:]])
    return prepared.synthesise(mixed, onto)


class Mixing(torch.autograd.Function):
    """`c_k ↦ c_k (R_k + i I_k)` with coefficients `(H + 1, 2, B, C)`, R for all k, I for all but k = 0.

    By hand because autograd would copy all coefficients several times.
    """

    @staticmethod
    def forward(ctx: Any, c: Tensor, real: Tensor, imag: Tensor) -> Tensor:
        """(a + ib)(R + iI) = (aR - bI) + i(bR + aI); at k = 0, I = 0."""
        ctx.save_for_backward(c, real, imag)
        return _mixed(c, real, imag)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """By the conjugate transposed weights, and the products of coefficients; itself differentiable."""
        c, real, imag = ctx.saved_tensors
        g = grads[0]
        rows, turned = _by_frequency(g), _by_frequency(torch.stack([g[1:, 1], -g[1:, 0]], dim=1))
        before = _by_frequency(c).mT
        back = Mixing.apply(g, real.mT, -imag.mT) if torch.is_grad_enabled() else _mixed(g, real.mT, -imag.mT)
        return back, torch.bmm(before, rows), torch.bmm(before[1:], turned)


def _mixed(c: Tensor, real: Tensor, imag: Tensor) -> Tensor:
    y = torch.bmm(_by_frequency(c), real).unflatten(1, c.shape[1:3])
    by_imag = torch.bmm(_by_frequency(c[1:]), imag).unflatten(1, c.shape[1:3])
    y[1:, 0].sub_(by_imag[:, 1])
    y[1:, 1].add_(by_imag[:, 0])
    return y


def _by_frequency(c: Tensor) -> Tensor:
    """`(K, 2, B, C)` to `(K, 2 B, C)`."""
    return c.flatten(1, 2)
