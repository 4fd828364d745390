"""A dense matrix: the reference of every structured kind."""

from math import prod
from typing import Self

import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.base import Approximant, Cost, Goal, LinearMap, MapShape, by_parts, placement, product_cost
from nwidth.linmaps.convert import to_dense


class Dense(Approximant):
    """`y = W x` with all `N_out · N_in` entries free; complex entries are held as two real parameters.

    `outputs`, `inputs`: shapes of one sample, flattened in row-major order. Entries start as independent normals of
    variance `1/N_in`. Raises InputError for an input of another shape.
    """

    def __init__(
        self,
        outputs: int | tuple[int, ...],
        inputs: int | tuple[int, ...],
        *,
        complex_entries: bool = False,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self._outputs = (outputs,) if isinstance(outputs, int) else tuple(outputs)
        self._inputs = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        size = prod(self._outputs), prod(self._inputs)
        scale = size[1] ** -0.5
        self.real = nn.Parameter(scale * torch.randn(size, dtype=dtype))
        self.imag = nn.Parameter(scale * torch.randn(size, dtype=dtype)) if complex_entries else None

    @property
    def shape(self) -> MapShape:
        """(output shape, input shape)."""
        return self._outputs, self._inputs

    def forward(self, x: Tensor) -> Tensor:
        """`W x`."""
        return self._apply_matrix(self.real, self.imag, x, self._inputs, self._outputs)

    def adjoint(self, y: Tensor) -> Tensor:
        """`Wᴴ y`."""
        imag = None if self.imag is None else -self.imag.T
        return self._apply_matrix(self.real.T, imag, y, self._outputs, self._inputs)

    def cost(self, batch: int = 1) -> Cost:
        """One product for real entries, two real products with twice the rows for complex ones."""
        rows, columns = self.real.shape
        if self.imag is None:
            return product_cost(batch, columns, rows, self.real.itemsize)
        return product_cost(2 * batch, columns, rows, self.real.itemsize, copies=2)

    @classmethod
    def approximate(cls, source: LinearMap, goal: Goal) -> Self:
        """Every entry, whatever the goal. Raises InputError for a budget below their number."""
        entries = to_dense(source).detach()
        numbers = entries.numel() * (2 if entries.is_complex() else 1)
        if goal.budget is not None and numbers > goal.budget:
            raise InputError(f"a dense matrix of this size has {numbers} parameters, the budget is {goal.budget}")
        dtype, device = placement(source)
        made = cls(*source.shape, complex_entries=entries.is_complex(), dtype=dtype).to(device)
        made.real.data.copy_(entries.real)
        if made.imag is not None:
            made.imag.data.copy_(entries.imag)
        return made

    @staticmethod
    def _apply_matrix(
        real: Tensor, imag: Tensor | None, x: Tensor, given: tuple[int, ...], result: tuple[int, ...]
    ) -> Tensor:
        if tuple(x.shape[1:]) != given:
            raise InputError(f"got input of shape {tuple(x.shape)}, expected (B, {', '.join(map(str, given))})")
        flat = x.reshape(len(x), -1)
        if imag is None:
            return by_parts(lambda part: part @ real.T, flat).reshape(-1, *result)
        parts = torch.cat([flat.real, flat.imag if flat.is_complex() else torch.zeros_like(flat)])
        with_real, with_imag = (parts @ real.T).tensor_split(2), (parts @ imag.T).tensor_split(2)
        y = torch.complex(with_real[0] - with_imag[1], with_real[1] + with_imag[0])
        return y.reshape(-1, *result)
