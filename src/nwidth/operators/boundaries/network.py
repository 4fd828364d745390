"""The network of the Fourier neural operator with the series that each axis of the grid asks for."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nwidth.linmaps.series import SeriesTransform, TruncatedSeries
from nwidth.operators.block import FourierLayer
from nwidth.operators.boundaries.axes import AxisSeries
from nwidth.operators.pointwise import perceptron, split


class SeriesLayer(nn.Module):
    """`L v = W v + K v + b` for grid-first tensors `(*grid, B, width)`, K a map in a product of bases."""

    def __init__(self, width: int, modes: tuple[int, ...], axes: tuple[AxisSeries, ...]):
        super().__init__()
        bases = tuple(axis.basis(m) for axis, m in zip(axes, modes, strict=True))
        self.spectral = TruncatedSeries((width, width), bases, tuple(2 * m + 2 for m in modes))
        self.pointwise = nn.Linear(width, width)
        for parameter in self.spectral.parameters():
            nn.init.normal_(parameter, std=0.3 / width)  # as FourierLayer

    def forward(self, v: Tensor, transform: SeriesTransform, *, activated: bool = False) -> Tensor:
        """`L v`, or `L σ(v)`; the last product of the synthesis adds to the pointwise part in place."""
        v, y, _ = split(v, self.pointwise.weight, self.pointwise.bias, None, None, activated=activated)
        return self.spectral.convolve(v, transform, onto=y)


class LiftedNetwork(nn.Module):
    """What comes before and after the layers of a Fourier network: P and Q.

    P lifts the input, and the coordinates where `coordinates`, to `width` channels; Q is a perceptron with one hidden
    layer of `hidden` channels at each node.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        width: int,
        axes: tuple[AxisSeries, ...],
        coordinates: bool,
        hidden: int | None = None,
    ):
        super().__init__()
        out, inp = channels
        self.axes, self.coordinates = axes, coordinates
        extra = sum(axis.coordinate_count for axis in axes) if coordinates else 0
        self.lift = nn.Linear(inp + extra, width)
        self.hidden = nn.Linear(width, hidden or width)
        self.project = nn.Linear(hidden or width, out)

    def lifted(self, x: Tensor) -> Tensor:
        """`P x`: `(B, C_in, *grid)` to `(*grid, B, width)`."""
        return lifted(x, self.lift, self.axes if self.coordinates else ())

    def projected(self, v: Tensor) -> Tensor:
        """`Q v`: `(*grid, B, width)` to `(B, C_out, *grid)`."""
        hidden, out = (self.hidden.weight, self.hidden.bias), (self.project.weight, self.project.bias)
        return perceptron(v, hidden, out).movedim((-2, -1), (0, 1))


class SeriesNetwork(LiftedNetwork):
    """`w = Q ∘ L_n ∘ σ ∘ L_(n-1) ∘ ... ∘ σ ∘ L_1 ∘ P`,   `L v = W v + K v + b`, as `FourierNetwork`.

    K expands functions along each axis as `axes` says. P lifts the input and the coordinates: 2x - 1 along an axis with
    two ends, cos 2πx and sin 2πx along a periodic one. With `coordinates=False` it lifts the input alone: on a periodic
    grid the network then commutes with translations, exactly.

    Input `(B, C_in, *grid)`, output `(B, C_out, *grid)` on any grid, always the same function.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        modes: tuple[int, ...],
        width: int,
        layers: int,
        axes: tuple[AxisSeries, ...],
        coordinates: bool = True,
    ):
        super().__init__(channels, width, axes, coordinates)
        self.layers = nn.ModuleList(fourier_layer(width, modes, axes) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, *grid)` to `(B, C_out, *grid)`."""
        v = self.lifted(x)
        transform = self.layers[0].spectral.transform(tuple(x.shape[2:]))  # type: ignore[union-attr, operator]
        for number, layer in enumerate(self.layers):
            v = layer(v, transform, activated=number > 0)
        return self.projected(v)


def fourier_layer(width: int, modes: tuple[int, ...], axes: tuple[AxisSeries, ...]) -> nn.Module:
    """The layer whose series suit the axes: by one transform of a torus, or axis by axis."""
    if all(axis.word == "periodic" for axis in axes):
        one_period: Any = None
        return FourierLayer(width, modes, tuple(2 * m for m in modes), one_period)
    return SeriesLayer(width, modes, axes)


def lifted(x: Tensor, lift: nn.Linear, axes: tuple[AxisSeries, ...]) -> Tensor:
    """Input and coordinates in more channels, `(B, C, *grid)` to `(*grid, B, width)`."""
    v = x.movedim((0, 1), (-2, -1))
    if axes:
        coordinates = coordinates_on(tuple(x.shape[2:]), axes, x).unsqueeze(-2)
        v = torch.cat([v, coordinates.expand(*v.shape[:-1], -1)], dim=-1)
    return F.linear(v, lift.weight, lift.bias)


def coordinates_on(grid: tuple[int, ...], axes: tuple[AxisSeries, ...], like: Tensor) -> Tensor:
    """The coordinate channels on a grid, `(*grid, channels)`."""
    channels = []
    for number, (axis, n) in enumerate(zip(axes, grid, strict=True)):
        shape = [n if a == number else 1 for a in range(len(grid))]
        channels += [line.reshape(shape).expand(grid) for line in axis.coordinates(n, like)]
    return torch.stack(channels, dim=-1)
