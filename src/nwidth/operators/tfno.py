"""The tensorised Fourier neural operator (Kossaifi et al. 2023) as a fitter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar, Literal

from torch import nn

from nwidth.core.errors import InputError
from nwidth.linmaps.spectral_ranks import FACTORIZATIONS, Factorization, ranks_for
from nwidth.operators.boundaries.architecture import BoundaryArchitecture
from nwidth.operators.boundaries.axes import AxisSeries, series_of
from nwidth.operators.boundaries.ends import Ends, dirichlet_ends
from nwidth.operators.boundaries.fitter import SeriesFitter
from nwidth.operators.fitting import BoundaryChoice
from nwidth.operators.frame import Frame
from nwidth.operators.network import piece_size
from nwidth.operators.tensor_network import Bypass, TensorNetwork
from nwidth.spaces.grid import Grid
from nwidth.surrogates.training import Training


@dataclass(frozen=True)
class TensorArchitecture(BoundaryArchitecture):
    """Sizes of a `TensorNetwork`."""

    kind: ClassVar[str] = "tensor-network"

    modes: tuple[int, ...]
    width: int
    layers: int
    factorization: Factorization
    ranks: tuple[int, ...]
    joint: int = 0
    bypass: Bypass = "matrix"
    hidden: int | None = None
    coordinates: bool = True

    def build(self, frame: Frame) -> nn.Module:
        """A network with fresh parameters."""
        return self.bounded(self.network(frame.channels), frame)

    def network(self, channels: tuple[int, int]) -> TensorNetwork:
        """The network without imposed values, for (out, in) channels."""
        return TensorNetwork(
            channels,
            self.modes,
            self.width,
            self.layers,
            self.factorization,
            self.ranks,
            self.series,
            joint=self.joint,
            bypass=self.bypass,
            hidden=self.hidden,
            coordinates=self.coordinates,
        )

    def piece(self, grid: tuple[int, ...]) -> int:
        """Samples per piece of a batch, so that activations stay in cache."""
        return piece_size(prod(grid), self.width)


@dataclass(frozen=True)
class TFNO(SeriesFitter):
    """Tensorised Fourier neural operator `a ↦ u` for fields on a grid (Kossaifi et al. 2023), see `TensorNetwork`.

    `modes`: frequencies per axis; `width`: channels. `rank`: the share of the spectral parameters of the same FNO, or
    ranks: (r_in, r_out) or (r_in, r_out, one per axis) for 'tucker', d + 1 of them for 'tt', (R,) for 'cp'.
    A share goes to the channels first: fewer channels are transformed and mixed, so that fewer parameters are also less
    time. `joint`: 0, each layer has a weight of its own; 1 or more, the weights of all layers are slices of one tensor
    of this rank over layers. `bypass='factors'` replaces the matrix of channels past each spectral map by one number
    per channel; `hidden`: channels inside the last perceptron (None: `width`): both matter in networks of a few
    thousand parameters. `padding`, `coordinates`, `boundary`: as in `FNO`; `series`: 'auto', 'periodic' or 'padded'.
    """

    modes: int | tuple[int, ...] = 16
    width: int = 32
    layers: int = 4
    rank: float | tuple[int, ...] = 0.1
    factorization: Factorization = "tucker"
    joint: int = 0
    bypass: Bypass = "matrix"
    hidden: int | None = None
    padding: float = 0.125
    series: Literal["auto", "periodic", "padded"] = "auto"
    coordinates: bool = True
    boundary: BoundaryChoice = "auto"
    training: Training = field(default_factory=Training)

    def checks(self) -> Mapping[str, tuple[bool, str]]:
        """Of ranks and forms too."""
        share = not isinstance(self.rank, tuple | list)
        return {
            **super().checks(),
            "rank": (not share or 0 < self.rank <= 1, "a share between 0 and 1, or a tuple of ranks"),  # type: ignore[operator]
            "factorization": (self.factorization in FACTORIZATIONS, "'tucker', 'cp' or 'tt'"),
            "joint": (self.joint >= 0, "0 (layers of their own) or a rank over layers"),
            "bypass": (self.bypass in ("matrix", "factors"), "'matrix' or 'factors'"),
            "hidden": (self.hidden is None or self.hidden >= 1, "1 or more, or None"),
            "series": (self.series in ("auto", "periodic", "padded"), "'auto', 'periodic' or 'padded'"),
        }

    def architecture(self, frame: Frame) -> TensorArchitecture:
        """Modes, ranks and series for every axis. Raises InputError for ranks or series that do not apply."""
        modes, channels = self.modes_for(frame), (self.width, self.width)
        space = frame.space
        whole = isinstance(space, Grid) and space.inside
        dirichlet: Ends = () if self.boundary == "free" or whole else dirichlet_ends(space)
        found = TensorArchitecture(
            axes=tuple((a.word, a.points, a.padding) for a in self._axes(frame)),
            dirichlet=dirichlet,
            flux=(),
            grid=frame.grid,
            modes=modes,
            width=self.width,
            layers=self.layers,
            factorization=self.factorization,
            ranks=self._ranks(channels, modes),
            joint=self.joint,
            bypass=self.bypass,
            hidden=self.hidden,
            coordinates=self.coordinates,
        )
        found.network(frame.channels)  # ranks that do not fit are refused here
        return found

    def _ranks(self, channels: tuple[int, int], modes: tuple[int, ...]) -> tuple[int, ...]:
        if isinstance(self.rank, int | float):
            return ranks_for(self.factorization, channels, modes, self.rank)
        return tuple(self.rank)

    def _axes(self, frame: Frame) -> tuple[AxisSeries, ...]:
        """Periodic along all axes, or padded along all."""
        natural = {axis.word for axis in series_of(frame.space, frame.dim, "auto", self.padding)}
        word = self.series if self.series != "auto" else "periodic" if natural == {"periodic"} else "padded"
        axes = series_of(frame.space, frame.dim, word, self.padding)
        if word == "padded" and any(axis.points != "node" for axis in axes):
            raise InputError("TFNO: this grid has its values inside the cells; use FNO or FFNO there")
        return axes
