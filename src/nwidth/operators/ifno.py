"""The implicit Fourier neural operator: one layer applied again and again."""

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

from torch import Tensor, nn

from nwidth.operators.architecture import Architecture
from nwidth.operators.boundaries.architecture import BoundaryArchitecture
from nwidth.operators.boundaries.axes import AxisSeries, Series
from nwidth.operators.boundaries.fitter import SeriesFitter
from nwidth.operators.boundaries.network import LiftedNetwork, fourier_layer
from nwidth.operators.fitting import BoundaryChoice
from nwidth.operators.frame import Frame
from nwidth.operators.network import piece_size
from nwidth.surrogates.training import Training


class ImplicitNetwork(LiftedNetwork):
    """`v_0 = P x`,   `v_(l+1) = v_l + L σ(v_l)` (the first step without σ),   `w = Q v_n`.

    One layer `L v = W v + K v + b` serves all steps, as in an iteration for `L σ(v) = 0` that starts at the lifted
    input (You, Zhang, Ross, Lee and Yu 2022, equation 10, with the activation before the layer): depth costs time, not
    parameters. P lifts the input and the coordinates to `width` channels, Q is a perceptron with one hidden layer at
    each node, σ is GELU.

    Input `(B, C_in, *grid)`, output `(B, C_out, *grid)` on any grid, always the same function.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        modes: tuple[int, ...],
        width: int,
        steps: int,
        axes: tuple[AxisSeries, ...],
        coordinates: bool = True,
    ):
        super().__init__(channels, width, axes, coordinates)
        self.steps = steps
        self.layer = fourier_layer(width, modes, axes)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, *grid)` to `(B, C_out, *grid)`."""
        v = self.lifted(x)
        transform = self.layer.spectral.transform(tuple(x.shape[2:]))  # type: ignore[union-attr, operator]
        for step in range(self.steps):
            v = v + self.layer(v, transform, activated=step > 0)
        return self.projected(v)


@dataclass(frozen=True)
class ImplicitArchitecture(BoundaryArchitecture):
    """Sizes of an `ImplicitNetwork`."""

    kind: ClassVar[str] = "implicit-network"

    modes: tuple[int, ...]
    width: int
    steps: int
    coordinates: bool = True

    def build(self, frame: Frame) -> nn.Module:
        """A network with fresh parameters."""
        network = ImplicitNetwork(frame.channels, self.modes, self.width, self.steps, self.series, self.coordinates)
        return self.bounded(network, frame)

    def piece(self, grid: tuple[int, ...]) -> int:
        """Samples per piece of a batch, so that activations stay in cache."""
        return piece_size(prod(grid), self.width)


@dataclass(frozen=True)
class IFNO(SeriesFitter):
    """Implicit Fourier neural operator `a ↦ u` for fields on a grid (You et al. 2022), see `ImplicitNetwork`.

    One Fourier layer is applied `steps` times: the parameters of one layer, at the time of an FNO of that depth.
    `modes`: frequencies per axis. `width`: channels. `padding`, `series`, `coordinates`, `zero_flux`, `boundary`: as in
    `FNO`. `Training(optimiser="muon")` suits it.
    """

    counts: ClassVar[tuple[str, ...]] = ("width", "steps")
    modes: int | tuple[int, ...] = 12
    width: int = 24
    steps: int = 8
    padding: float = 0.125
    series: Series = "auto"
    coordinates: bool = True
    zero_flux: bool = False
    boundary: BoundaryChoice = "auto"
    training: Training = field(default_factory=Training)

    def architecture(self, frame: Frame) -> Architecture:
        """Modes and series for every axis. Raises InputError for words that do not suit the space."""
        bounds = self.bounds(frame, zero_flux=self.zero_flux)
        return ImplicitArchitecture(
            **bounds._asdict(),
            modes=self.modes_for(frame),
            width=self.width,
            steps=self.steps,
            coordinates=self.coordinates,
        )
