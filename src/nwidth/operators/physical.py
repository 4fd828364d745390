"""A surrogate as one torch module: parameters by name in, fields out."""

from copy import deepcopy
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.tensors import to_array, to_tensor
from nwidth.linmaps import TruncatedFourier
from nwidth.operators.boundary import boundary_mask
from nwidth.operators.module import OperatorModule
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.surrogates.training import Encoding

#: The input that carries prescribed values which depend on the parameters.
BOUNDARY = "boundary"


class PhysicalModule(nn.Module):
    """`forward(mu)`: what `surrogate.predict` computes, in single precision and real arithmetic, on one grid.

    Parameters are `(B, ...)`; a complex one has a last axis for its real and imaginary part. The fields come out as
    `(B, *shape)`, complex ones as channels `(B, 2 C, *grid)`.
    """

    def __init__(
        self,
        module: OperatorModule,
        encoding: Encoding,
        shape: tuple[int, ...],
        grid: tuple[int, ...],
        fields: frozenset[str],
    ):
        super().__init__()
        self.module, self.encoding, self.shape, self.grid, self.on_grid = module, encoding, shape, grid, fields

    @classmethod
    def of(cls, surrogate: NeuralSurrogate, mu: Mu) -> Self:
        """A copy of the surrogate's network in single precision; `mu` shows the shapes of the parameters."""
        if BOUNDARY in surrogate.encoding.names:
            raise InputError(f"a parameter is called {BOUNDARY!r}, which names the prescribed values; rename it")
        module = exportable(surrogate.module)
        encoding, grid = surrogate.encoding, surrogate.encoding.grid_of(surrogate.space)
        return cls(module, encoding, surrogate.space.shape, grid, frozenset(_fields(encoding, mu, grid)))

    def forward(self, mu: dict[str, Tensor]) -> Tensor:
        """The fields for a batch of parameters."""
        parts = [self._part(name, mu[name]) for name in self.encoding.names]
        w = self.module.raw(torch.cat(parts, dim=1))
        given = transfinite(mu[BOUNDARY]) if self.module.boundary == "given" else None
        y = self.module.finish(w, given)
        return y if self.encoding.complex_fields else y.reshape(y.shape[0], *self.shape)

    def inputs(self, surrogate: NeuralSurrogate, mu: Mu) -> dict[str, Tensor]:
        """What `forward` takes for these parameters."""
        arrays = {name: _real(mu[name]) for name in self.encoding.names}
        lift = surrogate.boundary_values(mu)
        return {name: to_tensor(a) for name, a in (arrays if lift is None else arrays | {BOUNDARY: lift}).items()}

    def expected(self, surrogate: NeuralSurrogate, mu: Mu) -> Array:
        """The surrogate's own answers, as this module gives them."""
        fields = surrogate.predict(mu).field
        return self.encoding.fields(fields) if self.encoding.complex_fields else fields

    def _part(self, name: str, values: Tensor) -> Tensor:
        """One parameter as channels on the grid, or as entries of a row."""
        if self.encoding.layout == "vector":
            return values.flatten(1) if values.ndim > 1 else values.unsqueeze(1)
        if name in self.on_grid:
            return values.reshape(values.shape[0], -1, *self.grid)
        row = values.reshape(values.shape[0], -1, *(1,) * len(self.grid))
        return row.expand(-1, -1, *self.grid)


class NetworkModule(nn.Module):
    """`forward({"x": x})`: a surrogate's own module in single precision and real arithmetic, on one grid."""

    def __init__(self, module: OperatorModule):
        super().__init__()
        self.module = exportable(module)

    def forward(self, mu: dict[str, Tensor]) -> Tensor:
        """`(B, C_in, *grid)` or `(B, P)` to `(B, C_out, *grid)`, in physical units."""
        y: Tensor = self.module(mu["x"])
        return y

    def inputs(self, grid: tuple[int, ...], rows: int) -> dict[str, Tensor]:
        """Normal random numbers with the mean and deviation of the training data."""
        standardise, generator = self.module.standardise, torch.Generator().manual_seed(0)
        means, deviations = [standardise.mean], [standardise.deviation]
        if self.module.boundary == "given":
            means, deviations = [*means, self.module.shift], [*deviations, self.module.scale]
        mean, deviation = torch.cat(means), torch.cat(deviations)
        shape = (-1, *(1,) * len(grid))
        noise = torch.randn(rows, len(mean), *grid, generator=generator, dtype=torch.float64)
        return {"x": (mean.view(shape) + deviation.view(shape) * noise).float()}

    def expected(self, inputs: dict[str, Tensor]) -> Array:
        """What the module itself answers."""
        with torch.no_grad():
            return to_array(self(inputs))


def exportable(module: OperatorModule) -> OperatorModule:
    """A copy that is fixed, in single precision, and transforms by real products."""
    copy = deepcopy(module).cpu().eval()
    copy.network.float()
    copy.requires_grad_(False)
    for part in copy.modules():
        if isinstance(part, TruncatedFourier):
            part.method = "matrix"  # an FFT would need complex numbers
    return copy


def _fields(encoding: Encoding, mu: Mu, grid: tuple[int, ...]) -> list[str]:
    """The parameters that are fields on the grid."""
    if encoding.layout == "vector":
        return []
    if encoding.on_grid is not None:
        return list(encoding.on_grid)
    return [name for name in encoding.names if mu[name].ndim - 1 == len(grid)]


def _real(values: Array) -> Array:
    """Real and imaginary part of a complex parameter after the batch axis, as the encoding orders them."""
    return np.stack([values.real, values.imag], axis=1) if values.dtype.kind == "c" else values


def transfinite(traces: Tensor) -> Tensor:
    """`boundary.transfinite` for tensors `(B, C, *grid)`: boundary values continued inside."""
    grid = tuple(traces.shape[2:])
    mask = torch.from_numpy(boundary_mask(grid)).to(traces.device)
    rest = torch.where(mask, traces, torch.zeros((), dtype=traces.dtype, device=traces.device))
    lift = torch.zeros_like(rest)
    for axis, n in enumerate(grid, start=2):
        x = torch.linspace(0, 1, n, dtype=traces.dtype, device=traces.device).reshape(
            -1, *(1,) * (len(grid) + 1 - axis)
        )
        between = (1 - x) * rest.narrow(axis, 0, 1) + x * rest.narrow(axis, n - 1, 1)
        lift, rest = lift + between, rest - between
    return torch.where(mask, traces, lift)
