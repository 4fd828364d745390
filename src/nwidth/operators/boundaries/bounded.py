"""A network whose values or fluxes at some ends of the domain are right by construction."""

import torch
from torch import Tensor, nn

from nwidth.linmaps.basis import Points
from nwidth.operators.boundaries.ends import Ends, ends_bubble, ends_lift, ends_mask, without_flux
from nwidth.operators.fitting import FromData


class Bounded(nn.Module, FromData):
    """`w = g + b N(x)` with b = 0 at the ends `dirichlet`, and without flux at the ends `flux`.

    g continues the values that all training samples have there; where samples differ, nothing is imposed. (Grids with
    Dirichlet values on the whole boundary have them imposed by `OperatorModule`, in double precision and also where
    they depend on the parameters; this is for the others.) `grid`: where g is stored; other grids interpolate it.
    """

    lift: Tensor
    active: Tensor

    def __init__(
        self, inner: nn.Module, out: int, grid: tuple[int, ...], points: tuple[Points, ...], dirichlet: Ends, flux: Ends
    ):
        super().__init__()
        self.inner, self.points, self.dirichlet, self.flux = inner, points, dirichlet, flux
        if dirichlet:
            self.register_buffer("lift", torch.zeros(out, *grid))
            self.register_buffer("active", torch.zeros(()))

    def adapt(self, x: Tensor, y: Tensor) -> None:
        """Take the values at the Dirichlet ends from the samples, if they are the same in all."""
        if isinstance(self.inner, FromData):
            self.inner.adapt(x, y)
        if not self.dirichlet:
            return
        mask = torch.from_numpy(ends_mask(tuple(y.shape[2:]), self.dirichlet)).to(y.device)
        if bool((y[..., mask] == y[:1, ..., mask]).all()):
            lift = ends_lift(y[0].double().cpu().numpy(), self.dirichlet)
            self.lift.copy_(torch.from_numpy(lift))
            self.active.fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, *grid)` to `(B, C_out, *grid)`."""
        w = self.inner(x)
        if self.dirichlet:
            grid = tuple(w.shape[2:])
            b = 1 - self.active * (1 - ends_bubble(grid, self.dirichlet, w))
            w = self.lift_on(grid) + b * w
        return without_flux(w, self.flux, self.points) if self.flux else w

    def lift_on(self, grid: tuple[int, ...]) -> Tensor:
        """g on a grid, linear between the nodes of the one it is stored on."""
        if tuple(self.lift.shape[1:]) == grid:
            return self.lift
        mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(grid)]
        return nn.functional.interpolate(self.lift[None], size=grid, mode=mode, align_corners=True)[0]
