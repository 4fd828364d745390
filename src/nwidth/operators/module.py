"""A network with its normalisation and its boundary values: from physical input to physical output."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.core.arrays import Array
from nwidth.operators.boundary import bubble

#: 'free': no values are prescribed. 'fixed': the same Dirichlet values for all parameters. 'given': Dirichlet values
#: that depend on the parameters; continued inside, they follow the network's own input channel by channel.
BoundaryKind = Literal["free", "fixed", "given"]


class Standardise(nn.Module):
    """`(x - mean) / deviation` for every channel; a channel that does not vary is only shifted."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("deviation", torch.ones(channels, dtype=torch.float64))

    def fit(self, mean: Array, deviation: Array) -> None:
        """Set mean and deviation `(C,)`."""
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0)))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, ...)` to the same shape."""
        shape = (-1, *(1,) * (x.ndim - 2))
        return (x - self.mean.to(x.dtype).view(shape)) / self.deviation.to(x.dtype).view(shape)


class OperatorModule(nn.Module):
    """`u = g + s b w(x)` where Dirichlet values g are prescribed, `u = m + s w(x)` where none are.

    w is the network applied to the standardised input `(B, C_in, *grid)` or `(B, P)`; s and m are the deviation and
    the mean of the training fields per channel, b is the bubble of `boundary.py` and g a field that continues the
    prescribed values inside. Output `(B, C_out, *grid)` in physical units.
    """

    scale: Tensor
    shift: Tensor
    lift: Tensor

    def __init__(
        self,
        network: nn.Module,
        channels: tuple[int, int],
        boundary: BoundaryKind = "free",
        lift_shape: tuple[int, ...] = (),
    ):
        super().__init__()
        out, inp = channels
        self.network, self.boundary, self.channels = network, boundary, channels
        self.standardise = Standardise(inp)
        self.register_buffer("scale", torch.ones(out, dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(out, dtype=torch.float64))
        if boundary == "fixed":
            self.register_buffer("lift", torch.zeros(out, *lift_shape, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Physical input to physical output, in the precision of the input."""
        inp = self.channels[1]
        w = self.raw(x[:, :inp])
        return self.finish(w, x[:, inp:].reshape_as(w) if self.boundary == "given" else None)

    def raw(self, x: Tensor) -> Tensor:
        """The network's own output for its own input, `(B, C_out, *grid)`; `(B, N)` counts as one channel."""
        w = self.network(self.standardise(x))
        return w.unsqueeze(1) if w.ndim == 2 else w

    def finish(self, w: Tensor, given: Tensor | None = None) -> Tensor:
        """`g + s b w` or `m + s w` in the precision of w; `given` holds g where it depends on the parameters."""
        shape = (-1, *(1,) * (w.ndim - 2))
        scaled = self.scale.to(w.dtype).view(shape) * w
        if self.boundary == "free":
            return self.shift.to(w.dtype).view(shape) + scaled
        grid = tuple(w.shape[2:])
        lift = self._lift_on(grid).to(w.dtype) if given is None else given
        return lift + bubble(grid, w.dtype, w.device) * scaled

    def scaled(self, u: Tensor, given: Tensor | None = None) -> Tensor:
        """What the network's own output would be for the fields u: `(u - m) / s`, or `(u - g) / s` without the bubble.

        Division by the bubble, which vanishes on the boundary, is left to those who need it.
        """
        shape = (-1, *(1,) * (u.ndim - 2))
        if self.boundary == "free":
            level: Tensor = self.shift.to(u.dtype).view(shape)
        else:
            level = self._lift_on(tuple(u.shape[2:])).to(u.dtype) if given is None else given.to(u.dtype)
        return (u - level) / self.scale.to(u.dtype).view(shape)

    def _lift_on(self, grid: tuple[int, ...]) -> Tensor:
        """The fixed Dirichlet values on a grid, linear between the nodes of the one they are stored on."""
        if tuple(self.lift.shape[1:]) == grid:
            return self.lift
        mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(grid)]
        return nn.functional.interpolate(self.lift[None], size=grid, mode=mode, align_corners=True)[0]
