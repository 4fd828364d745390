"""The protocol of a structured linear map."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeAlias

import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError

#: (shape of one output, shape of one input), both without the batch axis.
MapShape: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


class Cost(NamedTuple):
    """What one application costs: floating-point operations of its matrix products, and the bytes they move.

    A multiplication with its addition counts 2; bytes are the operands read and the results written.
    """

    flops: int
    bytes: int

    def __add__(self, other: object) -> "Cost":
        if not isinstance(other, Cost):
            return NotImplemented
        return Cost(self.flops + other.flops, self.bytes + other.bytes)


class LinearMap(nn.Module, ABC):
    """`y = A x` for batches `x (B, *in)`, with A held by real parameters of which none is redundant.

    Different parameters give different maps, so that counting parameters means something; a state dict holds the
    parameters and nothing else. A map with real entries takes complex input part by part.
    """

    @property
    @abstractmethod
    def shape(self) -> MapShape:
        """(output shape, input shape) of one sample."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """`A x`, `(B, *in)` to `(B, *out)`."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """`Aᴴ y` in the Euclidean inner product, `(B, *out)` to `(B, *in)`."""

    @abstractmethod
    def cost(self, batch: int = 1) -> Cost:
        """What `forward` costs for a batch."""


@dataclass(frozen=True)
class Goal:
    """What an approximation B of a map A is to reach: one of the two, and the seed of its random products.

    `tol`: `‖A - B‖_F <= tol ‖A‖_F`. `budget`: B has at most so many real parameters. Raises InputError for both,
    neither, or values out of range.
    """

    tol: float | None = None
    budget: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.tol is None) == (self.budget is None):
            raise InputError(f"got tol={self.tol}, budget={self.budget}; give a tolerance or a budget of parameters")
        if self.tol is not None and not 0 <= self.tol < 1:
            raise InputError(f"tol = {self.tol}; expected a relative error, at least 0 and below 1")
        if self.budget is not None and self.budget < 1:
            raise InputError(f"budget = {self.budget}; expected a number of parameters, 1 or more")


class Approximant(LinearMap):
    """A kind that can be made to approximate any other map: what `convert` and `compress` build on.

    A new kind inherits this and is entered in `nwidth.linmaps.compress.CANDIDATES`, or is handed to `compress`.
    """

    @classmethod
    @abstractmethod
    def approximate(cls, source: LinearMap, goal: Goal) -> Self:
        """A map of this kind with the shape of `source`, on its device and of its floating-point type.

        With `goal.tol`: the smallest whose error is known to be within the tolerance, or, where no size of this kind
        comes so close, the closest. With `goal.budget`: the closest within the budget. The caller measures the error:
        it is not returned. Raises InputError where the kind does not apply to maps of this shape (`compress` then
        passes it over), or where its smallest member exceeds the budget.
        """


def parameter_count(linear_map: nn.Module) -> int:
    """Real numbers among the parameters."""
    return sum(p.numel() for p in linear_map.parameters())


def placement(linear_map: nn.Module) -> tuple[torch.dtype, torch.device]:
    """Floating-point type and device of a map: those of its first parameter, or else of its first buffer."""
    for tensor in (*linear_map.parameters(), *linear_map.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype, tensor.device
    return torch.get_default_dtype(), torch.device("cpu")


def check_input(x: Tensor, shape: tuple[int, ...]) -> None:
    """InputError for a tensor that is not `(B, *shape)`."""
    if tuple(x.shape[1:]) != shape or x.ndim == 0:
        raise InputError(f"got a tensor of shape {tuple(x.shape)}, expected (B, {', '.join(map(str, shape))})")


def by_parts(apply: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A map with real entries, applied to the real and to the imaginary part of a complex input."""
    if not x.is_complex():
        return apply(x)
    return torch.complex(apply(x.real), apply(x.imag))


def product_cost(rows: int, inner: int, columns: int, itemsize: int, copies: int = 1) -> Cost:
    """Cost of `copies` products `(rows, inner) @ (inner, columns)`."""
    moved = rows * inner + inner * columns + rows * columns
    return Cost(2 * copies * rows * inner * columns, copies * moved * itemsize)


def apply_matrix(
    real: Tensor, imag: Tensor | None, x: Tensor, given: tuple[int, ...], result: tuple[int, ...]
) -> Tensor:
    """`(W + iV) x` for W = `real`, V = `imag`, from `(B, *given)` to `(B, *result)`, in real products."""
    check_input(x, given)
    flat = x.reshape(len(x), real.shape[1])
    if imag is None:
        return by_parts(lambda part: part @ real.T, flat).reshape(len(x), *result)
    parts = torch.cat([flat.real, flat.imag if flat.is_complex() else torch.zeros_like(flat)])
    with_real, with_imag = (parts @ real.T).tensor_split(2), (parts @ imag.T).tensor_split(2)
    y = torch.complex(with_real[0] - with_imag[1], with_real[1] + with_imag[0])
    return y.reshape(len(x), *result)


def matrix_cost(real: Tensor, imag: Tensor | None, batch: int) -> Cost:
    """Cost of `apply_matrix` to real input: one product, or two with twice the rows for complex entries."""
    rows, columns = real.shape
    if imag is None:
        return product_cost(batch, columns, rows, real.itemsize)
    return product_cost(2 * batch, columns, rows, real.itemsize, copies=2)
