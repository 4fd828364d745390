"""The U-Net as a fitter: the convolutional baseline that every operator has to beat."""

from dataclasses import dataclass, field
from math import gcd, log2, prod
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.operators.architecture import Architecture, OperatorFitter
from nwidth.operators.fitting import BoundaryChoice
from nwidth.operators.frame import Frame
from nwidth.operators.network import piece_size
from nwidth.operators.places import Axis, axes_of, coordinate_channels, coordinates, is_periodic, resample
from nwidth.surrogates.training import Training

#: What stands outside the grid: the outermost value again, its mirror image, or zero. Periodic axes go on anyway.
Padding = Literal["replicate", "reflect", "zeros"]
#: At another resolution: 'resample' to the training grid and back, or the same stencils 'as is'.
Elsewhere = Literal["resample", "as is"]


class PaddedConvolution(nn.Module):
    """A 3^d convolution `(B, C, *grid)` to `(B, C', *grid)`, or to every second value, with padding per axis."""

    def __init__(self, channels: tuple[int, int], axes: tuple[Axis, ...], padding: Padding, stride: int = 1):
        super().__init__()
        out, inp = channels
        self.modes = tuple("circular" if is_periodic(axis) else padding for axis in axes)
        zeros = set(self.modes) == {"zeros"}
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(axes) - 1]
        self.convolution = kind(inp, out, 3, stride=stride, padding=1 if zeros else 0)
        self.padded = not zeros

    def forward(self, x: Tensor) -> Tensor:
        """`⌈n / stride⌉` values per axis: value k of the output lies where value `stride · k` of the input does."""
        return self.convolution(pad_by_one(x, self.modes) if self.padded else x)


def pad_by_one(x: Tensor, modes: tuple[str, ...]) -> Tensor:
    """One more value at both ends of every grid axis of `(B, C, *grid)`; any size, also 1."""
    for axis, mode in enumerate(modes, start=2):
        n = x.shape[axis]
        if mode == "zeros":
            below = above = torch.zeros_like(x.narrow(axis, 0, 1))
        else:
            inner = 1 if mode == "reflect" and n > 1 else 0
            first, last = (n - 1, 0) if mode == "circular" else (inner, n - 1 - inner)
            below, above = x.narrow(axis, first, 1), x.narrow(axis, last, 1)
        x = torch.cat([below, x, above], dim=axis)
    return x


def doubled(x: Tensor, grid: tuple[int, ...], axes: tuple[Axis, ...]) -> Tensor:
    """The opposite of taking every second value: `(B, C, *coarse)` to `(B, C, *grid)`, linear in between.

    Value 2k of the result *is* value k of x, for even and odd sizes alike, so that nothing moves; a last value without
    a right neighbour repeats its left one, or lies half way to the first where the axis is periodic.
    """
    for number, (axis, size) in enumerate(zip(axes, grid, strict=True), start=2):
        n = x.shape[number]
        beyond = x.narrow(number, 0 if is_periodic(axis) else n - 1, 1)
        right = torch.cat([x.narrow(number, 1, n - 1), beyond], dim=number)
        both = torch.stack([x, (x + right) / 2], dim=number + 1).flatten(number, number + 1)
        x = both.narrow(number, 0, size)
    return x


class ResidualBlock(nn.Module):
    """`x ↦ S x + K₂ σ(N₂ K₁ σ(N₁ x))`: group normalisation N, GELU σ, convolutions K of size 3^d and S of size 1^d."""

    def __init__(self, channels: tuple[int, int], axes: tuple[Axis, ...], padding: Padding):
        super().__init__()
        out, inp = channels
        self.first_norm, self.second_norm = normalisation(inp), normalisation(out)
        self.first = PaddedConvolution((out, inp), axes, padding)
        self.second = PaddedConvolution((out, out), axes, padding)
        self.shortcut = nn.Identity() if inp == out else pointwise((out, inp), len(axes))
        nn.init.zeros_(self.second.convolution.weight)  # a block starts as its shortcut: deep networks train at once

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, *grid)` to `(B, C', *grid)`."""
        v = self.first(F.gelu(self.first_norm(x)))
        return self.shortcut(x) + self.second(F.gelu(self.second_norm(v)))


def normalisation(channels: int) -> nn.GroupNorm:
    """Group normalisation in up to 8 groups of 2 channels or more: per sample, answers do not depend on the batch."""
    return nn.GroupNorm(gcd(8, channels // 2) or 1, channels)


def pointwise(channels: tuple[int, int], dim: int) -> nn.Module:
    """A 1^d convolution."""
    out, inp = channels
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dim - 1](inp, out, 1)


class UNetwork(nn.Module):
    """Encoder and decoder with shortcuts between equal resolutions; `(B, C_in, *grid)` to `(B, C_out, *grid)`.

    Level l = 0 ... L works on every 2^l-th value with `2^l width` channels: residual blocks, a convolution of stride 2
    on the way down; on the way up linear interpolation (`doubled`), the encoder's values of the level beside it, a
    residual block. The input is joined by the coordinates (sine and cosine along periodic axes).
    """

    def __init__(self, channels: tuple[int, int], axes: tuple[Axis, ...], sizes: "UNetArchitecture"):
        super().__init__()
        out, inp = channels
        self.axes, self.grid, self.elsewhere = axes, sizes.grid, sizes.elsewhere
        widths = [sizes.width * 2**level for level in range(sizes.levels + 1)]

        def block(out: int, inp: int) -> ResidualBlock:
            return ResidualBlock((out, inp), axes, sizes.padding)

        def stack(width: int) -> nn.Sequential:
            return nn.Sequential(*(block(width, width) for _ in range(sizes.blocks)))

        self.lift = PaddedConvolution((widths[0], inp + coordinate_channels(axes)), axes, sizes.padding)
        self.encoder = nn.ModuleList(stack(width) for width in widths)
        pairs = list(zip(widths[1:], widths[:-1], strict=True))
        self.down = nn.ModuleList(PaddedConvolution((wide, w), axes, sizes.padding, stride=2) for wide, w in pairs)
        self.decoder = nn.ModuleList(block(w, w + wide) for wide, w in pairs)
        self.last = nn.Sequential(normalisation(widths[0]), nn.GELU(), pointwise((out, widths[0]), len(axes)))

    def forward(self, x: Tensor) -> Tensor:
        """On the training grid as it is; elsewhere as `elsewhere` says."""
        grid = tuple(x.shape[2:])
        if grid == self.grid or self.elsewhere == "as is":
            return self.on_its_grid(x)
        return resample(self.on_its_grid(resample(x, self.axes, self.grid)), self.axes, grid)

    def on_its_grid(self, x: Tensor) -> Tensor:
        """The convolutions on the grid of x, of any size."""
        given = coordinates(self.axes, tuple(x.shape[2:]), x)
        v = self.lift(torch.cat([x, given.expand(x.shape[0], *given.shape)], dim=1))
        kept = []
        for number, level in enumerate(self.encoder):
            v = level(self.down[number - 1](v) if number else v)
            kept.append(v)
        for level, fine in reversed(list(zip(self.decoder, kept[:-1], strict=True))):
            v = level(torch.cat([fine, doubled(v, tuple(fine.shape[2:]), self.axes)], dim=1))
        return self.last(v)


@dataclass(frozen=True)
class UNetArchitecture(Architecture):
    """Sizes of a U-Net and the grid that it is trained on."""

    kind: ClassVar[str] = "unet"

    grid: tuple[int, ...]
    width: int
    levels: int
    blocks: int
    padding: Padding
    elsewhere: Elsewhere

    def build(self, frame: Frame) -> UNetwork:
        """A network with fresh parameters; axes as the space has them."""
        return UNetwork(frame.channels, axes_of(frame.space, frame.dim), self)

    def piece(self, grid: tuple[int, ...]) -> int:
        """Samples per piece of a batch, so that activations stay in cache."""
        return piece_size(prod(grid), 2 * self.width)


@dataclass(frozen=True)
class UNet(OperatorFitter):
    """U-Net `a ↦ u` for fields on a grid in 1 to 3 dimensions (Ronneberger, Fischer, Brox 2015), see `UNetwork`.

    In the form that is hard to beat: residual blocks with group normalisation and GELU, linear interpolation upwards
    (Gupta and Brandstetter 2023). `width`: channels at the finest level, doubled at each of `levels` coarser ones
    (fewer where less than 4 values per axis would be left); `blocks` per level of the encoder. `padding`: what stands
    outside the grid; periodic directions go on as they are. Any grid size, odd ones included: every second value is
    taken and interpolated from in place, nothing is cropped or moved.

    A U-Net is *not* the same function at other resolutions: its stencils span grid cells, not lengths. With
    `elsewhere='resample'` a surrogate `.at(space)` answers through the grid it was trained on (input and output
    interpolated linearly: a useful answer, no finer than the training grid); 'as is' runs the stencils on the new grid.

    Raises InputError for sizes that make no sense and fields without a grid.
    """

    width: int = 16
    levels: int = 4
    blocks: int = 1
    padding: Padding = "replicate"
    elsewhere: Elsewhere = "resample"
    boundary: BoundaryChoice = "auto"
    training: Training = field(default_factory=lambda: Training(rate=2e-3))

    def __post_init__(self) -> None:
        checks = {
            "width": (self.width >= 1, "1 or more"),
            "levels": (self.levels >= 0, "0 or more"),
            "blocks": (self.blocks >= 1, "1 or more"),
            "padding": (self.padding in ("replicate", "reflect", "zeros"), "'replicate', 'reflect' or 'zeros'"),
            "elsewhere": (self.elsewhere in ("resample", "as is"), "'resample' or 'as is'"),
            "boundary": (self.boundary in ("auto", "free"), "'auto' or 'free'"),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise InputError(f"UNet: {name} is {getattr(self, name)!r}; expected {expected}")

    def architecture(self, frame: Frame) -> UNetArchitecture:
        """As many levels as leave 4 values per axis. Raises InputError for more than three axes."""
        if frame.dim > 3:
            raise InputError(f"UNet: fields on a grid with {frame.dim} axes; it takes 1 to 3")
        levels = min(self.levels, max(0, int(log2(max(1, (min(frame.grid) - 1) / 3)))))
        return UNetArchitecture(frame.grid, self.width, levels, self.blocks, self.padding, self.elsewhere)
