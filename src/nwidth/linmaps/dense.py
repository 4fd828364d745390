"""A dense matrix: the reference of every structured kind."""

from math import prod
from typing import Self

import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.base import Approximant, Cost, Goal, LinearMap, MapShape, apply_matrix, matrix_cost, placement
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
        return apply_matrix(self.real, self.imag, x, self._inputs, self._outputs)

    def adjoint(self, y: Tensor) -> Tensor:
        """`Wᴴ y`."""
        imag = None if self.imag is None else -self.imag.T
        return apply_matrix(self.real.T, imag, y, self._outputs, self._inputs)

    def cost(self, batch: int = 1) -> Cost:
        """One product for real entries, two real products with twice the rows for complex ones."""
        return matrix_cost(self.real, self.imag, batch)

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
