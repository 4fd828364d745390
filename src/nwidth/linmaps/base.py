"""The protocol of a structured linear map."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

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


def by_parts(apply: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A map with real entries, applied to the real and to the imaginary part of a complex input."""
    if not x.is_complex():
        return apply(x)
    return torch.complex(apply(x.real), apply(x.imag))


def product_cost(rows: int, inner: int, columns: int, itemsize: int, copies: int = 1) -> Cost:
    """Cost of `copies` products `(rows, inner) @ (inner, columns)`."""
    moved = rows * inner + inner * columns + rows * columns
    return Cost(2 * copies * rows * inner * columns, copies * moved * itemsize)
