"""A network of Fourier blocks on a periodic grid: the structure of neuraloperator's FNO, in real arithmetic."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nwidth.linmaps import TruncatedFourier
from nwidth.operators.block import FourierBlock, Perceptron, Skip
from nwidth.operators.network import with_coordinates


class BlockNetwork(nn.Module):
    """`w = Q ∘ B_n ∘ σ ∘ ... ∘ σ ∘ B_1 ∘ P` with `B v = M(σ(K v + S v + b)) + T v` (without this σ in B_n).

    P and Q are perceptrons at each node with `lifting` and `projection` hidden channels; P also sees the coordinates
    `j / n` where `coordinates`. K is a truncated Fourier map with frequencies `|k_j| < modes[j]`, M a perceptron with
    `hidden` channels, S and T are of the kinds `skip` and `gate`, σ is GELU.

    Input `(B, C_in, *grid)`, output `(B, C_out, *grid)` on any periodic grid, odd sizes included, as the same function.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        modes: tuple[int, ...],
        width: int = 32,
        layers: int = 4,
        *,
        lifting: int = 64,
        projection: int = 64,
        hidden: int = 16,
        skip: Skip = "linear",
        gate: Skip = "gate",
        bias: bool = True,
        coordinates: bool = True,
    ):
        super().__init__()
        out, inp = channels
        self.coordinates = coordinates
        grid = tuple(2 * m for m in modes)
        self.lift = Perceptron((width, inp + (len(modes) if coordinates else 0)), lifting)
        self.blocks = nn.ModuleList(
            FourierBlock(
                TruncatedFourier((width, width), modes, grid),
                width,
                hidden,
                skip=skip,
                gate=gate,
                bias=bias,
                open_end=number == layers - 1,
            )
            for number in range(layers)
        )
        self.project = Perceptron((out, width), projection)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, *grid)` to `(B, C_out, *grid)`."""
        grid = tuple(x.shape[2:])
        v = self.lift(with_coordinates(x, self._lines(x, grid)))
        first = next(m for m in self.modules() if isinstance(m, TruncatedFourier))
        transform = first.transform(grid)
        for number, block in enumerate(self.blocks):
            v = block(v, transform, activated=number > 0)
        return self.project(v).movedim((-2, -1), (0, 1))

    def _lines(self, x: Tensor, grid: tuple[int, ...]) -> Sequence[Tensor]:
        if not self.coordinates:
            return []
        return [torch.arange(n, dtype=x.dtype, device=x.device) / n for n in grid]
