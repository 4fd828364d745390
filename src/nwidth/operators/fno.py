"""The Fourier neural operator as a fitter and a surrogate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar, Self

from nwidth.core.arrays import Array
from nwidth.operators.architecture import Architecture, OperatorSurrogate
from nwidth.operators.boundaries.architecture import SeriesArchitecture
from nwidth.operators.boundaries.axes import Series
from nwidth.operators.boundaries.fitter import SeriesFitter
from nwidth.operators.fitting import BoundaryChoice, Fitted
from nwidth.operators.frame import Frame
from nwidth.operators.network import FourierNetwork, piece_size
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.training import Training


@dataclass(frozen=True)
class FourierArchitecture(Architecture):
    """Sizes of a Fourier network."""

    kind: ClassVar[str] = "fourier-network"

    modes: tuple[int, ...]
    width: int
    layers: int
    padding: float

    def build(self, frame: Frame) -> FourierNetwork:
        """A network with fresh parameters."""
        return FourierNetwork(frame.channels, self.modes, self.width, self.layers, self.padding)

    def piece(self, grid: tuple[int, ...]) -> int:
        """Samples per piece of a batch, so that activations stay in cache."""
        return piece_size(prod(grid), self.width)


class FNOSurrogate(OperatorSurrogate):
    """A trained Fourier neural operator. The same weights are the same function on every grid, odd sizes included."""

    kind: ClassVar[str] = "fno"

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The surrogate again; files of version 1 keep the sizes in `config["network"]`."""
        if "architecture" not in children:
            children = {**children, "architecture": FourierArchitecture.from_parts(config["network"], {}, {})}
        return super().from_parts(config, arrays, children)


@dataclass(frozen=True)
class FNO(SeriesFitter):
    """Fourier neural operator `a ↦ u` for fields on a grid (Li et al. 2021), see `FourierNetwork`.

    `modes`: frequencies per axis (one number serves all); more sharpen the answer and cost time. `width`: channels.
    Parameters may be fields on the grid, scalars and vectors together.

    `series`: how functions are expanded, for all axes or one word per axis. 'auto' takes the word from the space:
    'periodic' (period exactly the domain) on a torus and along periodic axes of a grid, 'cosine' where the flux is
    prescribed at both ends, else 'padded', a Fourier series whose period is longer by `padding`, a fraction of the
    domain. 'sine' and 'chebyshev' are there to be asked for. All have 2 modes - 1 functions per axis and channel.

    `boundary='auto'` makes prescribed (Dirichlet) values exact by construction; 'free' lets the network predict them.
    `zero_flux` takes the slope at ends with prescribed flux out of the answer, exactly; use it only where that flux is
    zero. `coordinates=False` hides the place from the network: on a periodic grid it then commutes with translations.

    Good values for 1,000 samples on 64 x 64 cells: 20 epochs. Where coefficients jump, many modes and a narrow network
    pay (two-valued Darcy, relative error in energy and L², equal time: 24 modes and width 16: 3.3 and 0.8 %; 16 and
    24: 4.6 and 0.8 %), more so with `Training(augment="square")` where the equation has the symmetries of the square.
    """

    modes: int | tuple[int, ...] = 16
    width: int = 24
    layers: int = 4
    padding: float = 0.125
    series: Series = "auto"
    coordinates: bool = True
    zero_flux: bool = False
    boundary: BoundaryChoice = "auto"
    training: Training = field(default_factory=Training)

    def architecture(self, frame: Frame) -> Architecture:
        """Modes and series for every axis. Raises InputError for words that do not suit the space."""
        modes = self.modes_for(frame)
        bounds = self.bounds(frame, zero_flux=self.zero_flux)
        if self.coordinates and bounds.plain:
            return FourierArchitecture(modes, self.width, self.layers, self.padding)
        return SeriesArchitecture(
            **bounds._asdict(), modes=modes, width=self.width, layers=self.layers, coordinates=self.coordinates
        )

    def _surrogate(self, snapshots: Snapshots, fitted: Fitted, architecture: Architecture) -> FNOSurrogate:
        return FNOSurrogate(snapshots.parameters, snapshots.space, fitted, architecture)
