"""A linear map whose tensor is in Tucker form: short axes, a core, long axes again."""

from collections.abc import Sequence
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
from nwidth.linmaps.convert import to_dense
from nwidth.linmaps.decompositions import TuckerForm, tucker, within_budget

#: Entries that are decomposed at most (128 MB in double precision).
_MOST = 1 << 24


class Tucker(Approximant):
    """`y = (U_1 ⊗ ⋯ ⊗ U_p) G (V_1 ⊗ ⋯ ⊗ V_q)ᵀ x` (Tucker 1966), from `(n_1, …, n_q)` to `(m_1, …, m_p)`.

    `ranks`: (those of the outputs, those of the inputs), one per axis, 1 to its length. Parameters: `core
    (Π r_out, Π r_in)`, `outward[i] (m_i, r_i)`, `inward[j] (n_j, r_j)`. Every factor is free up to an invertible r x r
    matrix that the core takes back: `gauge = Σ r²`. Raises InputError for ranks that do not fit, or another input.
    """

    def __init__(
        self,
        outputs: int | tuple[int, ...],
        inputs: int | tuple[int, ...],
        ranks: tuple[tuple[int, ...], tuple[int, ...]],
        *,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self._outputs = (outputs,) if isinstance(outputs, int) else tuple(outputs)
        self._inputs = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        for what, sizes, given in (("outputs", self._outputs, ranks[0]), ("inputs", self._inputs, ranks[1])):
            if len(sizes) != len(given) or any(not 1 <= r <= n for r, n in zip(given, sizes, strict=False)):
                raise InputError(f"Tucker: ranks {given} of the {what} {sizes}; expected one per axis, 1 to its length")
        self.outward = _factors(self._outputs, ranks[0], dtype)
        self.inward = _factors(self._inputs, ranks[1], dtype)
        scale = prod(self._inputs) ** -0.5
        self.core = nn.Parameter(scale * torch.randn(prod(ranks[0]), prod(ranks[1]), dtype=dtype))

    @property
    def shape(self) -> MapShape:
        """(output shape, input shape)."""
        return self._outputs, self._inputs

    @property
    def gauge(self) -> int:
        """`Σ r²` over all factors."""
        return sum(f.shape[1] ** 2 for f in (*self.outward, *self.inward))

    def forward(self, x: Tensor) -> Tensor:
        """Shorten the axes, apply the core, lengthen the axes."""
        check_input(x, self._inputs)
        return by_parts(lambda v: _applied(v, list(self.inward), self.core, list(self.outward)), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The same backwards."""
        check_input(y, self._outputs)
        return by_parts(lambda v: _applied(v, list(self.outward), self.core.T, list(self.inward)), y)

    def cost(self, batch: int = 1) -> Cost:
        """One product per factor, the last axis first, and one with the core."""
        size, total = self.core.itemsize, Cost(0, 0)
        lengths = list(self._inputs)
        for axis in reversed(range(len(lengths))):
            n, r = self.inward[axis].shape
            total += product_cost(batch * prod(lengths) // n, n, r, size)
            lengths[axis] = r
        total += product_cost(batch, self.core.shape[1], self.core.shape[0], size)
        lengths = [f.shape[1] for f in self.outward]
        for axis in reversed(range(len(lengths))):
            n, r = self.outward[axis].shape
            total += product_cost(batch * prod(lengths) // r, r, n, size)
            lengths[axis] = n
        return total

    @classmethod
    def approximate(cls, source: LinearMap, goal: Goal) -> Self:
        """From all entries, in double precision: see `decompositions.tucker`.

        Raises InputError for complex entries, more than 2^24 entries, one axis on either side (that is a matrix of low
        rank: LowRank), or a budget below ranks of 1.
        """
        outputs, inputs = source.shape
        tensor = entries(source).reshape(*outputs, *inputs)
        if goal.tol is not None:
            form = tucker(tensor, goal.tol)
        else:
            form = within_budget(lambda tol: tucker(tensor, tol, sweeps=0), lambda f: f.size, goal.budget or 0)
            form = _polished(tensor, form)
        cut = len(outputs)
        ranks = tuple(f.shape[1] for f in form.factors)
        dtype, device = placement(source)
        made = cls(outputs, inputs, (ranks[:cut], ranks[cut:]), dtype=dtype).to(device)
        with torch.no_grad():
            for factor, found in zip((*made.outward, *made.inward), form.factors, strict=True):
                factor.copy_(found)
            made.core.copy_(form.core.reshape(made.core.shape))
        return made


def entries(source: LinearMap) -> Tensor:
    """The matrix of a map in double precision on the processor.

    Raises InputError for complex entries, more than 2^24 of them, or one axis on either side.
    """
    outputs, inputs = source.shape
    if len(outputs) == len(inputs) == 1:
        raise InputError("a map from one axis to one axis is a matrix, not a tensor; use LowRank, or give shape=")
    if prod(outputs) * prod(inputs) > _MOST:
        raise InputError(f"{prod(outputs)} x {prod(inputs)} entries are too many to decompose; at most {_MOST}")
    matrix = to_dense(source).detach()
    if matrix.is_complex():
        raise InputError("this map has complex entries; tensors of real numbers cannot hold them, use Dense or LowRank")
    return matrix.to("cpu", torch.float64)


def _polished(tensor: Tensor, form: TuckerForm) -> TuckerForm:
    """Two sweeps of orthogonal iteration at the ranks of `form`."""
    return tucker(tensor, 0.0, sweeps=2, ranks=tuple(f.shape[1] for f in form.factors))


def _factors(sizes: tuple[int, ...], ranks: tuple[int, ...], dtype: torch.dtype) -> nn.ParameterList:
    return nn.ParameterList(
        nn.Parameter(torch.randn(n, r, dtype=dtype) * r**-0.5) for n, r in zip(sizes, ranks, strict=True)
    )


def _applied(x: Tensor, inward: Sequence[Tensor], core: Tensor, outward: Sequence[Tensor]) -> Tensor:
    for axis in reversed(range(len(inward))):
        x = _along(x, inward[axis], axis + 1)
    x = (x.reshape(len(x), -1) @ core.T).reshape(len(x), *(f.shape[1] for f in outward))
    for axis in reversed(range(len(outward))):
        x = _along(x, outward[axis].T, axis + 1)
    return x


def _along(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """`(…, n, …)` to `(…, r, …)` by a matrix `(n, r)`, as one product."""
    moved = x.movedim(axis, -1)
    product = moved.reshape(-1, matrix.shape[0]) @ matrix
    return product.reshape(*moved.shape[:-1], matrix.shape[1]).movedim(-1, axis)
