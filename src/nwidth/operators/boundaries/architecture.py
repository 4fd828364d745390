"""The stored sizes of a network in series that suit the boundary."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, NamedTuple

from torch import nn

from nwidth.core.errors import InputError
from nwidth.operators.architecture import Architecture
from nwidth.operators.boundaries.axes import AxisSeries, Series, series_of
from nwidth.operators.boundaries.bounded import Bounded
from nwidth.operators.boundaries.ends import Ends, dirichlet_ends, zero_flux_ends
from nwidth.operators.boundaries.network import SeriesNetwork
from nwidth.operators.frame import Frame
from nwidth.operators.network import piece_size
from nwidth.spaces.grid import Grid


@dataclass(frozen=True)
class BoundaryArchitecture(Architecture):
    """What every axis needs: its series as (word, points, padding), and the ends where something is imposed.

    `dirichlet`, `flux`: one pair (low, high) per axis, or none at all; `grid`: where imposed values are stored.
    """

    axes: tuple[tuple[str, str, float], ...]
    dirichlet: Ends
    flux: Ends
    grid: tuple[int, ...]

    @property
    def series(self) -> tuple[AxisSeries, ...]:
        """The series along each axis."""
        return tuple(AxisSeries(*axis) for axis in self.axes)  # type: ignore[arg-type]

    def bounded(self, network: nn.Module, frame: Frame) -> nn.Module:
        """The network with what is imposed at the ends."""
        if not (self.dirichlet or self.flux):
            return network
        points = tuple(axis.points for axis in self.series)
        return Bounded(network, frame.channels[0], self.grid, points, self.dirichlet, self.flux)


class BoundaryOptions(NamedTuple):
    """The fields of `BoundaryArchitecture`, chosen for a space."""

    axes: tuple[tuple[str, str, float], ...]
    dirichlet: Ends
    flux: Ends
    grid: tuple[int, ...]

    @property
    def plain(self) -> bool:
        """Padded Fourier series on grids with both ends and nothing imposed: what `FourierNetwork` does."""
        usual = all(word == "padded" and points == "node" for word, points, _ in self.axes)
        return usual and not (self.dirichlet or self.flux)


def boundary_options(frame: Frame, series: Series, padding: float, *, free: bool, zero_flux: bool) -> BoundaryOptions:
    """What the boundary of a space asks for.

    Dirichlet values on the whole boundary are left to `OperatorModule`. Raises InputError for a zero flux where no end
    has a prescribed flux.
    """
    space = frame.space
    axes = tuple((a.word, a.points, a.padding) for a in series_of(space, frame.dim, series, padding))
    whole = isinstance(space, Grid) and space.inside
    dirichlet: Ends = () if free or whole else dirichlet_ends(space)
    flux = zero_flux_ends(space) if zero_flux else ()
    if zero_flux and not flux:
        raise InputError(
            f"zero_flux=True, but no end of {space} has a prescribed flux; say so in the space, "
            'e.g. Grid(cells, boundary="neumann"), or leave zero_flux out'
        )
    return BoundaryOptions(axes, dirichlet, flux, frame.grid)


def modes_of(modes: int | tuple[int, ...], dim: int, name: str) -> tuple[int, ...]:
    """Modes for every axis. Raises InputError for another number of axes."""
    chosen = (modes,) * dim if isinstance(modes, int) else tuple(modes)
    if len(chosen) != dim:
        raise InputError(f"{name}: modes {chosen} for a grid with {dim} axes; give one number, or one per axis")
    return chosen


@dataclass(frozen=True)
class SeriesArchitecture(BoundaryArchitecture):
    """Sizes of a `SeriesNetwork`."""

    kind: ClassVar[str] = "series-network"

    modes: tuple[int, ...]
    width: int
    layers: int
    coordinates: bool = True

    def build(self, frame: Frame) -> nn.Module:
        """A network with fresh parameters."""
        network = SeriesNetwork(frame.channels, self.modes, self.width, self.layers, self.series, self.coordinates)
        return self.bounded(network, frame)

    def piece(self, grid: tuple[int, ...]) -> int:
        """Samples per piece of a batch, so that activations stay in cache."""
        return piece_size(prod(grid), self.width)
