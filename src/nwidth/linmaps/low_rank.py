"""A matrix of low rank, as the product of two thin ones."""

from math import prod
from typing import Self

import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.base import Approximant, Cost, Goal, LinearMap, MapShape, apply_matrix, matrix_cost, placement
from nwidth.linmaps.singular import leading


class LowRank(Approximant):
    """`y = U Vᵀ x` with U `(N_out, r)` and V `(N_in, r)`; complex entries are held as two real parameters each.

    `outputs`, `inputs`: shapes of one sample, flattened in row-major order. Entries of the product start with variance
    `1/N_in`.

    Gauge: U M and V M⁻ᵀ are the same map for every invertible M, so that `r²` of the `r (N_out + N_in)` numbers are
    redundant (`2 r²` with complex entries). They are kept, because every way to remove them for good breaks down
    somewhere: fixing r rows of U to the identity divides by a block that training can make singular.

    Raises InputError for a rank outside 1 to min(N_out, N_in), and for an input of another shape.
    """

    def __init__(
        self,
        outputs: int | tuple[int, ...],
        inputs: int | tuple[int, ...],
        rank: int,
        *,
        complex_entries: bool = False,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self._outputs = (outputs,) if isinstance(outputs, int) else tuple(outputs)
        self._inputs = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        rows, columns = prod(self._outputs), prod(self._inputs)
        if not 1 <= rank <= min(rows, columns):
            raise InputError(f"rank is {rank}; expected 1 to {min(rows, columns)} for a matrix {rows} x {columns}")

        def entries(size: int, scale: float) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(size, rank, dtype=dtype))

        self.left, self.right = entries(rows, rank**-0.5), entries(columns, columns**-0.5)
        self.left_imag = entries(rows, rank**-0.5) if complex_entries else None
        self.right_imag = entries(columns, columns**-0.5) if complex_entries else None

    @property
    def shape(self) -> MapShape:
        """(output shape, input shape)."""
        return self._outputs, self._inputs

    @property
    def rank(self) -> int:
        """Columns of U and V."""
        return self.left.shape[1]

    @property
    def gauge(self) -> int:
        """Dimension of the sets of parameters that are one map."""
        return self.rank**2 * (1 if self.left_imag is None else 2)

    def forward(self, x: Tensor) -> Tensor:
        """`U (Vᵀ x)`."""
        imag = None if self.right_imag is None else self.right_imag.T
        inner = apply_matrix(self.right.T, imag, x, self._inputs, (self.rank,))
        return apply_matrix(self.left, self.left_imag, inner, (self.rank,), self._outputs)

    def adjoint(self, y: Tensor) -> Tensor:
        """`conj(V) (Uᴴ y)`."""
        left_imag = None if self.left_imag is None else -self.left_imag.T
        right_imag = None if self.right_imag is None else -self.right_imag
        inner = apply_matrix(self.left.T, left_imag, y, self._outputs, (self.rank,))
        return apply_matrix(self.right, right_imag, inner, (self.rank,), self._inputs)

    def cost(self, batch: int = 1) -> Cost:
        """The two products."""
        return matrix_cost(self.right.T, self.right_imag, batch) + matrix_cost(self.left, self.left_imag, batch)

    @classmethod
    def approximate(cls, source: LinearMap, goal: Goal) -> Self:
        """The leading singular vectors, with the root of each singular value on both sides.

        Optimal up to 1,024 rows or columns, randomised beyond (see `nwidth.linmaps.singular.leading`). Raises
        InputError for a budget below rank one.
        """
        rows, columns = (prod(side) for side in source.shape)
        complex_entries = next(iter(_one_product(source))).is_complex()
        per_rank = (rows + columns) * (2 if complex_entries else 1)
        if goal.budget is not None and goal.budget < per_rank:
            raise InputError(f"rank one has {per_rank} parameters at this size, the budget is {goal.budget}")
        found = leading(source, goal, per_rank)
        dtype, device = placement(source)
        made = cls(*source.shape, len(found.s), complex_entries=complex_entries, dtype=dtype).to(device)
        root = found.s.sqrt()
        made._set(found.u * root, found.v.conj() * root)
        return made

    def _set(self, left: Tensor, right: Tensor) -> None:
        """U and V."""
        with torch.no_grad():
            for parameter, values in ((self.left, left), (self.right, right)):
                parameter.copy_(values.real)
            if self.left_imag is not None and self.right_imag is not None:
                self.left_imag.copy_(left.imag)
                self.right_imag.copy_(right.imag)


def _one_product(source: LinearMap) -> Tensor:
    """`A 0`, which says of what type the entries are."""
    dtype, device = placement(source)
    return source(torch.zeros(1, *source.shape[1], dtype=dtype, device=device))
