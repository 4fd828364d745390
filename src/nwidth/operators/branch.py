"""Branch networks: parameters, or fields at fixed sensors, to a row of numbers."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal

from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.operators.frame import Frame
from nwidth.operators.places import Axis, axes_of, resample
from nwidth.operators.unet import PaddedConvolution, ResidualBlock

#: 'auto': convolutions for fields on a grid, a perceptron for everything else.
BranchChoice = Literal["auto", "dense", "convolution"]
#: Convolutions halve the sensor grid until no axis has more values than this.
_COARSEST = 4


@dataclass(frozen=True)
class Sensors:
    """Where a branch reads its input: `(B, C, *grid)` on a grid (resampled to it linearly), or `(B, P)` as it comes.

    `grid` is () for parameters in a row that are no field; with a grid, a row of P numbers holds P / prod(grid) fields.
    """

    channels: int
    grid: tuple[int, ...]
    axes: tuple[Axis, ...]
    in_a_row: bool

    @classmethod
    def of(cls, frame: Frame, grid: tuple[int, ...]) -> "Sensors":
        """The sensors of these snapshots. Raises InputError where a row of parameters is no field on `grid`."""
        inp = frame.channels[1]
        if frame.encoding.layout == "channels":
            return cls(inp, grid, axes_of(frame.space, frame.dim), False)
        if grid and inp % prod(grid):
            raise InputError(f"{inp} parameters in a row are no fields on {grid} sensors; leave the grid out")
        plain: Axis = "node"
        return cls(inp // prod(grid), grid, (plain,) * len(grid), True)

    @property
    def size(self) -> int:
        """How many numbers are read."""
        return self.channels * prod(self.grid)

    def read(self, x: Tensor) -> Tensor:
        """What the sensors see, `(B, C, *sensors)`, or `(B, P)` without a grid."""
        if self.in_a_row:
            return x.reshape(x.shape[0], self.channels, *self.grid) if self.grid else x
        return resample(x, self.axes, self.grid)


class Branch(nn.Module):
    """Input as the network gets it to `(B, K)`: a perceptron, behind convolutions where the input is a field.

    `zero`: the last layer starts at zero.
    """

    def __init__(self, sensors: Sensors, out: int, width: int, depth: int, convolution: bool, zero: bool = False):
        super().__init__()
        self.sensors = sensors
        self.convolutions = nn.Sequential(*_convolutions(sensors)) if convolution else nn.Identity()
        inp = _left(sensors) if convolution else sensors.size
        self.perceptron = perceptron((inp, *(width,) * depth, out))
        if zero:
            for parameter in self.perceptron[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, *grid)` on any grid, or `(B, P)`, to `(B, K)`."""
        return self.perceptron(self.convolutions(self.sensors.read(x)).flatten(1))


def perceptron(widths: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with GELU between them."""
    layers: list[nn.Module] = []
    for inp, out in pairwise(widths):
        layers += [nn.Linear(inp, out), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def uses_convolution(choice: BranchChoice, grid: tuple[int, ...]) -> bool:
    """Whether the branch has convolutions. Raises InputError where these are asked for and there is no grid."""
    if choice == "convolution" and not grid:
        raise InputError(
            "branch='convolution' needs parameters that are fields on a grid; for a field in a row of numbers say how "
            "it lies: sensors=(32, 32)"
        )
    return choice != "dense" and bool(grid) and len(grid) <= 3


def _halved(grid: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The sensor grid, and every grid after another halving."""
    grids = [grid]
    while max(grids[-1]) > _COARSEST:
        grids.append(tuple((n + 1) // 2 for n in grids[-1]))
    return grids


def _widths(sensors: Sensors) -> list[int]:
    return [min(16 * 2**level, 64) for level in range(len(_halved(sensors.grid)))]


def _left(sensors: Sensors) -> int:
    return _widths(sensors)[-1] * prod(_halved(sensors.grid)[-1])


def _convolutions(sensors: Sensors) -> list[nn.Module]:
    """A first convolution, then residual blocks with a halving between them."""
    widths = _widths(sensors)
    layers: list[nn.Module] = [PaddedConvolution((widths[0], sensors.channels), sensors.axes, "replicate")]
    for inp, out in pairwise(widths):
        layers += [
            ResidualBlock((inp, inp), sensors.axes, "replicate"),
            PaddedConvolution((out, inp), sensors.axes, "replicate", stride=2),
        ]
    return [*layers, nn.GELU()]
