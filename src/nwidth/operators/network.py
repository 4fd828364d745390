"""The network of the Fourier neural operator (Li et al. 2021), in real arithmetic and the same at every resolution."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nwidth.linmaps import TruncatedFourier
from nwidth.linmaps.transform import Transform
from nwidth.operators.block import FourierLayer
from nwidth.operators.pointwise import perceptron


class FourierNetwork(nn.Module):
    """`w = Q ∘ L_n ∘ σ ∘ L_(n-1) ∘ ... ∘ σ ∘ L_1 ∘ P`,   `L v = W v + K v + b`.

    P lifts the input and the coordinates (scaled to [-1, 1]) to `width` channels, K is a truncated Fourier map with
    `modes` frequencies per axis, W mixes the channels at each node, σ is GELU, and Q is a perceptron with one hidden
    layer of `width` channels at each node. Grids hold both ends of the domain; `padding`, a fraction of the domain,
    is added to the period of the Fourier series (physical, so that it is the same at every resolution).

    Input `(B, C_in, *grid)`, output `(B, C_out, *grid)` on any grid. Inside, tensors are grid first, `(*grid, B, C)`:
    the 1x1 convolutions are then single matrix products and the transforms need no copies.
    """

    def __init__(self, channels: tuple[int, int], modes: tuple[int, ...], width: int, layers: int, padding: float):
        super().__init__()
        out, inp = channels
        period = (1 + padding,) * len(modes)
        grid = tuple(2 * m for m in modes)
        self.lift = nn.Linear(inp + len(modes), width)
        self.layers = nn.ModuleList(FourierLayer(width, modes, grid, period) for _ in range(layers))
        self.hidden = nn.Linear(width, width)
        self.project = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, *grid)` to `(B, C_out, *grid)`."""
        v = self._lifted(x)
        transform = self.transform(tuple(x.shape[2:]))
        for number, layer in enumerate(self.layers):
            v = layer(v, transform, activated=number > 0)
        hidden, out = (self.hidden.weight, self.hidden.bias), (self.project.weight, self.project.bias)
        return perceptron(v, hidden, out).movedim((-2, -1), (0, 1))

    def transform(self, grid: tuple[int, ...]) -> Transform:
        """The transform that all layers share on a grid."""
        first = next(m for m in self.modules() if isinstance(m, TruncatedFourier))
        return first.transform(grid)

    def _lifted(self, x: Tensor) -> Tensor:
        """Input and coordinates in `width` channels, `(*grid, B, width)`; the coordinates are the same in a batch."""
        lines = [torch.linspace(-1, 1, n, dtype=x.dtype, device=x.device) for n in x.shape[2:]]
        return F.linear(with_coordinates(x, lines), self.lift.weight, self.lift.bias)


def with_coordinates(x: Tensor, lines: Sequence[Tensor]) -> Tensor:
    """`(B, C, *grid)` and the coordinates of each axis as one grid-first tensor, `(*grid, B, C + d)`."""
    v = x.movedim((0, 1), (-2, -1))
    if not lines:
        return v
    coordinates = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1).unsqueeze(-2)
    return torch.cat([v, coordinates.expand(*v.shape[:-1], -1)], dim=-1)


def piece_size(points: int, width: int) -> int:
    """Samples per piece of a batch so that a few activations of one layer stay in cache (about 4 MB each)."""
    return max(1, 1_000_000 // (points * width))
