"""The network of the tensorised Fourier neural operator: spectral weights in Tucker, CP or tensor-train form."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from nwidth.linmaps.spectral_ranks import Factorization, weights_of
from nwidth.linmaps.spectral_weights import Factors, SpectralWeights
from nwidth.linmaps.tensor_fourier import convolve
from nwidth.linmaps.transform import Transform, transform
from nwidth.operators.boundaries.axes import AxisSeries
from nwidth.operators.boundaries.network import LiftedNetwork
from nwidth.operators.pointwise import fusible, split

#: What goes past a spectral map at each node: a matrix of channels, or one factor per channel.
Bypass: TypeAlias = Literal["matrix", "factors"]


class TensorLayer(nn.Module):
    """`L v = W v + K v + b` for grid-first tensors `(*grid, B, width)`; of `σ(v)` where `activated`.

    The weight of K is handed to `forward`: layers may share one tensor.
    """

    def __init__(self, width: int, bypass: Bypass):
        super().__init__()
        start = torch.randn(width, width) * (3 * width) ** -0.5 if bypass == "matrix" else torch.ones(width)
        self.weight, self.bias = nn.Parameter(start), nn.Parameter(torch.zeros(width))

    def forward(self, v: Tensor, factors: Factors, prepared: Transform, *, activated: bool) -> Tensor:
        """`L v`, or `L σ(v)`."""
        v, y, _ = split(v, self.weight, self.bias, None, None, activated=activated)
        return convolve(v, prepared, factors, onto=y) if fusible(v) else y + convolve(v, prepared, factors)


class TensorNetwork(LiftedNetwork):
    """`w = Q ∘ L_n ∘ σ ∘ L_(n-1) ∘ ... ∘ σ ∘ L_1 ∘ P`,   `L v = W v + K v + b`, K with a low-rank weight.

    As `FourierNetwork`, with spectral weights in the form `factorization`. `joint` >= 1: the weights of all layers are
    slices of one tensor of this rank over layers (Kossaifi et al. 2023, section 4); 0: each layer has its own.
    `axes`: a Fourier series along each axis, all periodic or all padded. `hidden`: channels inside Q.

    Input `(B, C_in, *grid)`, output `(B, C_out, *grid)` on any grid, always the same function.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        modes: tuple[int, ...],
        width: int,
        layers: int,
        factorization: Factorization,
        ranks: tuple[int, ...],
        axes: tuple[AxisSeries, ...],
        *,
        joint: int = 0,
        bypass: Bypass = "matrix",
        hidden: int | None = None,
        coordinates: bool = True,
    ):
        super().__init__(channels, width, axes, coordinates, hidden)
        together = layers if joint else 1
        self.weights = nn.ModuleList(
            weights_of(
                factorization,
                (width, width),
                modes,
                ranks,
                layers=together,
                joint=joint,
                scale=0.3 / width,  # as FourierLayer
            )
            for _ in range(1 if joint else layers)
        )
        self.layers = nn.ModuleList(TensorLayer(width, bypass) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, *grid)` to `(B, C_out, *grid)`."""
        v = self.lifted(x)
        prepared = self.transform(tuple(x.shape[2:]))
        for number, layer in enumerate(self.layers):
            v = layer(v, self.factors(number), prepared, activated=number > 0)
        return self.projected(v)

    def factors(self, layer: int) -> Factors:
        """The spectral weight of one layer."""
        joint = len(self.weights) < len(self.layers)
        weights: SpectralWeights = self.weights[0 if joint else layer]  # type: ignore[assignment]
        return weights.factors(layer if joint else 0)

    def transform(self, grid: tuple[int, ...]) -> Transform:
        """The transform that all layers share on a grid."""
        periodic = all(axis.word == "periodic" for axis in self.axes)
        period = None if periodic else tuple(1 + axis.padding for axis in self.axes)
        modes = self.weights[0].modes
        return transform(grid, modes, period, dtype=self.lift.weight.dtype, device=self.lift.weight.device)  # type: ignore[arg-type]


def parameter_parts(network: nn.Module) -> dict[str, int]:
    """Where the parameters of a network are: name of the part -> real numbers."""
    return {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
