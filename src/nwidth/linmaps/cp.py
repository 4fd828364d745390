"""A linear map whose tensor is a sum of products of vectors (CP): two long products, one number per term between."""

from typing import Self

import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.base import (
    Approximant,
    Cost,
    Goal,
    LinearMap,
    MapShape,
    by_parts,
    check_input,
    placement,
    product_cost,
)
from nwidth.linmaps.decompositions import cp_within, khatri_rao
from nwidth.linmaps.tucker import entries


class CP(Approximant):
    """`y = Σ_r (u_1r ⊗ ⋯ ⊗ u_pr) ⟨v_1r ⊗ ⋯ ⊗ v_qr, x⟩` (Hitchcock 1927), from `(n_1, …, n_q)` to `(m_1, …, m_p)`.

    Parameters: `outward[i] (m_i, rank)`, `inward[j] (n_j, rank)`. In every term the scales of the vectors are free up
    to their product: `gauge = rank (p + q - 1)`. Raises InputError for a rank below 1, or another input.
    """

    def __init__(
        self,
        outputs: int | tuple[int, ...],
        inputs: int | tuple[int, ...],
        rank: int,
        *,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self._outputs = (outputs,) if isinstance(outputs, int) else tuple(outputs)
        self._inputs = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        if rank < 1:
            raise InputError(f"CP: rank {rank}; expected 1 or more")
        self.outward, self.inward = (
            nn.ParameterList(nn.Parameter(torch.randn(n, rank, dtype=dtype)) for n in sizes)
            for sizes in (self._outputs, self._inputs)
        )
        with torch.no_grad():
            for factor in self.inward:
                factor.mul_(len(factor) ** -0.5)
            self.inward[0].mul_(rank**-0.5)

    @property
    def rank(self) -> int:
        """Number of terms."""
        return int(self.inward[0].shape[1])

    @property
    def shape(self) -> MapShape:
        """(output shape, input shape)."""
        return self._outputs, self._inputs

    @property
    def gauge(self) -> int:
        """One scale per term for every factor but one."""
        return self.rank * (len(self._outputs) + len(self._inputs) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """All inner products at once, then all sums."""
        check_input(x, self._inputs)
        return by_parts(lambda v: self._applied(v, self.inward, self.outward, self._outputs), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The same backwards."""
        check_input(y, self._outputs)
        return by_parts(lambda v: self._applied(v, self.outward, self.inward, self._inputs), y)

    def cost(self, batch: int = 1) -> Cost:
        """Two products with the products of the vectors; these are formed without a matrix product."""
        (rows, columns), size = (torch.Size(side).numel() for side in self.shape), self.inward[0].itemsize
        return product_cost(batch, columns, self.rank, size) + product_cost(batch, self.rank, rows, size)

    @staticmethod
    def _applied(x: Tensor, inward: nn.ParameterList, outward: nn.ParameterList, shape: tuple[int, ...]) -> Tensor:
        terms = x.flatten(1) @ khatri_rao(list(inward))
        return (terms @ khatri_rao(list(outward)).T).reshape(len(x), *shape)

    @classmethod
    def approximate(cls, source: LinearMap, goal: Goal) -> Self:
        """From all entries, by alternating least squares in double precision: see `decompositions.cp`.

        A local minimum that depends on the seed. Raises InputError as `Tucker.approximate` does.
        """
        outputs, inputs = source.shape
        tensor = entries(source).reshape(*outputs, *inputs)
        found = cp_within(tensor, goal.tol, goal.budget, seed=goal.seed)
        dtype, device = placement(source)
        made = cls(outputs, inputs, found[0].shape[1], dtype=dtype).to(device)
        with torch.no_grad():
            for factor, values in zip((*made.outward, *made.inward), found, strict=True):
                factor.copy_(values)
        return made
