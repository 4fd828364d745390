"""The factorised Fourier neural operator: spectral maps along one axis at a time, in deep residual networks."""

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

from torch import Tensor, nn

from nwidth.linmaps.factorised import AxisTransform, FactorisedSeries
from nwidth.operators.architecture import Architecture
from nwidth.operators.boundaries.architecture import BoundaryArchitecture
from nwidth.operators.boundaries.axes import AxisSeries, Series
from nwidth.operators.boundaries.fitter import SeriesFitter
from nwidth.operators.boundaries.network import LiftedNetwork
from nwidth.operators.fitting import BoundaryChoice
from nwidth.operators.frame import Frame
from nwidth.operators.network import piece_size
from nwidth.operators.pointwise import perceptron
from nwidth.surrogates.training import Training


class FactorisedLayer(nn.Module):
    """`L v = v + W₂ σ(W₁ K v + b₁) + b₂` for grid-first tensors `(*grid, B, width)`, K a sum of maps along the axes.

    `forward` may write over v: the derivatives need K v alone.
    """

    def __init__(self, width: int, expansion: int, spectral: FactorisedSeries):
        super().__init__()
        self.spectral = spectral
        self.inner = nn.Linear(width, expansion * width)
        self.outer = nn.Linear(expansion * width, width)

    def forward(self, v: Tensor, transform: tuple[AxisTransform, ...]) -> Tensor:
        """`L v`."""
        hidden, out = (self.inner.weight, self.inner.bias), (self.outer.weight, self.outer.bias)
        # of a view that is written over, autograd would know the values beside it, but not the way to K v
        rest = v.clone() if v._is_view() else v
        return perceptron(self.spectral.convolve(v, transform), hidden, out, onto=rest)


class FactorisedNetwork(LiftedNetwork):
    """`w = Q ∘ L_n ∘ ... ∘ L_1 ∘ P` with factorised layers (Tran, Mathews, Xie and Ong 2023, equations 4 and 7).

    P lifts the input and the coordinates to `width` channels, Q is a perceptron with one hidden layer at each node.
    With `shared` all layers have the same spectral map. σ is GELU; a second σ, after W₂, is left out, as it is in the
    authors' program: without it a layer can lower a value as easily as raise it.

    Input `(B, C_in, *grid)`, output `(B, C_out, *grid)` on any grid, always the same function.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        modes: tuple[int, ...],
        width: int,
        layers: int,
        axes: tuple[AxisSeries, ...],
        *,
        expansion: int = 2,
        shared: bool = False,
        coordinates: bool = True,
    ):
        super().__init__(channels, width, axes, coordinates)
        spectral = [_spectral(width, modes, axes) for _ in range(1 if shared else layers)]
        self.layers = nn.ModuleList(
            FactorisedLayer(width, expansion, spectral[0 if shared else number]) for number in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, *grid)` to `(B, C_out, *grid)`."""
        v = self.lifted(x)
        transform = self.layers[0].spectral.transform(tuple(x.shape[2:]))  # type: ignore[union-attr, operator]
        for layer in self.layers:
            v = layer(v, transform)
        return self.projected(v)


def _spectral(width: int, modes: tuple[int, ...], axes: tuple[AxisSeries, ...]) -> FactorisedSeries:
    bases = tuple(axis.basis(m) for axis, m in zip(axes, modes, strict=True))
    return FactorisedSeries((width, width), bases, tuple(2 * m + 2 for m in modes))


@dataclass(frozen=True)
class FactorisedArchitecture(BoundaryArchitecture):
    """Sizes of a `FactorisedNetwork`."""

    kind: ClassVar[str] = "factorised-network"

    modes: tuple[int, ...]
    width: int
    layers: int
    expansion: int
    shared: bool
    coordinates: bool

    def build(self, frame: Frame) -> nn.Module:
        """A network with fresh parameters."""
        network = FactorisedNetwork(
            frame.channels,
            self.modes,
            self.width,
            self.layers,
            self.series,
            expansion=self.expansion,
            shared=self.shared,
            coordinates=self.coordinates,
        )
        return self.bounded(network, frame)

    def piece(self, grid: tuple[int, ...]) -> int:
        """Samples per piece of a batch, so that activations stay in cache."""
        return piece_size(prod(grid), self.width)


@dataclass(frozen=True)
class FFNO(SeriesFitter):
    """Factorised Fourier neural operator `a ↦ u` for fields on a grid (Tran et al. 2023), see `FactorisedNetwork`.

    Spectral maps act along one axis at a time: their parameters grow with the number of modes, not with its power, so
    that many modes, 3-D fields and deep networks stay small. `modes`: frequencies per axis. `width`: channels.
    `expansion`: hidden channels of the perceptrons over `width`. `shared`: one spectral map for all layers.
    `padding`, `series`, `coordinates`, `zero_flux`, `boundary`: as in `FNO`.
    """

    counts: ClassVar[tuple[str, ...]] = ("width", "layers", "expansion")
    modes: int | tuple[int, ...] = 16
    width: int = 32
    layers: int = 6
    expansion: int = 2
    shared: bool = False
    padding: float = 0.125
    series: Series = "auto"
    coordinates: bool = True
    zero_flux: bool = False
    boundary: BoundaryChoice = "auto"
    training: Training = field(default_factory=Training)

    def architecture(self, frame: Frame) -> Architecture:
        """Modes and series for every axis. Raises InputError for words that do not suit the space."""
        bounds = self.bounds(frame, zero_flux=self.zero_flux)
        return FactorisedArchitecture(
            **bounds._asdict(),
            modes=self.modes_for(frame),
            width=self.width,
            layers=self.layers,
            expansion=self.expansion,
            shared=self.shared,
            coordinates=self.coordinates,
        )
