"""A linear map whose tensor is a train of small tensors, one for each pair of output and input axis."""

from math import prod
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
from nwidth.linmaps.decompositions import tensor_train, within_budget
from nwidth.linmaps.tucker import entries


class TensorTrain(Approximant):
    """`A[(i_1 ⋯ i_d), (j_1 ⋯ j_d)] = G_1[i_1, j_1] ⋯ G_d[i_d, j_d]`, products of matrices (Oseledets 2010, section 3).

    Also called matrix product operator. As many output as input axes. `ranks`: (r_1, ..., r_(d-1)), each at most what
    the axes on either side can carry. Parameters: `cars[k] (r_(k-1), m_k, n_k, r_k)`. Neighbours are free up to an
    invertible r x r matrix: `gauge = Σ r²`. Raises InputError for other numbers of axes or ranks, or another input.
    """

    def __init__(
        self,
        outputs: tuple[int, ...],
        inputs: tuple[int, ...],
        ranks: tuple[int, ...],
        *,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self._outputs, self._inputs = tuple(outputs), tuple(inputs)
        if len(outputs) != len(inputs):
            raise InputError(
                f"a tensor train needs as many output as input axes, got {tuple(outputs)} and {tuple(inputs)}; "
                "give shape= to convert, with axes of length 1 where there are none"
            )
        pairs = [m * n for m, n in zip(self._outputs, self._inputs, strict=True)]
        limits = [min(prod(pairs[:k]), prod(pairs[k:])) for k in range(1, len(pairs))]
        if len(ranks) != len(limits) or any(not 1 <= r <= most for r, most in zip(ranks, limits, strict=False)):
            raise InputError(f"tensor train: ranks {tuple(ranks)}; expected {len(limits)} of them, 1 to {limits}")
        bonds = (1, *ranks, 1)
        self.cars = nn.ParameterList(
            nn.Parameter(torch.randn(left, m, n, right, dtype=dtype) * (n * left) ** -0.5)
            for left, m, n, right in zip(bonds[:-1], self._outputs, self._inputs, bonds[1:], strict=True)
        )

    @property
    def shape(self) -> MapShape:
        """(output shape, input shape)."""
        return self._outputs, self._inputs

    @property
    def gauge(self) -> int:
        """`Σ r²` over the bonds between cars."""
        return sum(car.shape[0] ** 2 for car in list(self.cars)[1:])

    def forward(self, x: Tensor) -> Tensor:
        """One car after the other."""
        check_input(x, self._inputs)
        return by_parts(lambda v: _applied(v, list(self.cars)), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The cars with outputs and inputs exchanged."""
        check_input(y, self._outputs)
        return by_parts(lambda v: _applied(v, [car.transpose(1, 2) for car in self.cars]), y)

    def cost(self, batch: int = 1) -> Cost:
        """One product per car."""
        total, done = Cost(0, 0), 1
        for k, car in enumerate(self.cars):
            left, m, n, right = car.shape
            rest = prod(self._inputs[k + 1 :])
            total += product_cost(batch * done * rest, left * n, m * right, car.itemsize)
            done *= m
        return total

    @classmethod
    def approximate(cls, source: LinearMap, goal: Goal) -> Self:
        """From all entries, in double precision, by TT-SVD: see `decompositions.tensor_train`.

        Raises InputError for different numbers of axes, and as `Tucker.approximate` does.
        """
        outputs, inputs = source.shape
        cls(outputs, inputs, (1,) * (len(inputs) - 1))  # refuses what does not apply
        d = len(inputs)
        order = [axis for k in range(d) for axis in (k, d + k)]
        pairs = [m * n for m, n in zip(outputs, inputs, strict=True)]
        tensor = entries(source).reshape(*outputs, *inputs).permute(order).reshape(pairs)
        if goal.tol is not None:
            found = tensor_train(tensor, goal.tol)
        else:
            found = within_budget(
                lambda tol: tensor_train(tensor, tol), lambda cars: sum(c.numel() for c in cars), goal.budget or 0
            )
        dtype, device = placement(source)
        made = cls(outputs, inputs, tuple(c.shape[2] for c in found[:-1]), dtype=dtype).to(device)
        with torch.no_grad():
            for car, values in zip(made.cars, found, strict=True):
                car.copy_(values.reshape(car.shape))
        return made


def _applied(x: Tensor, cars: list[Tensor]) -> Tensor:
    """`t (B, m_1 ⋯ m_(k-1), r, n_k, rest)` by one product per car."""
    batch, sizes, done = len(x), x.shape[1:], 1
    t = x.reshape(batch, 1, 1, *sizes)
    for k, car in enumerate(cars):
        left, m, n, right = car.shape
        rest = prod(sizes[k + 1 :])
        flat = t.reshape(batch, done, left, n, rest).permute(0, 1, 4, 2, 3).reshape(batch * done * rest, left * n)
        product = flat @ car.permute(0, 2, 1, 3).reshape(left * n, m * right)
        t = product.reshape(batch, done, rest, m, right).permute(0, 1, 3, 4, 2)
        done *= m
    return t.reshape(batch, *(car.shape[1] for car in cars))
