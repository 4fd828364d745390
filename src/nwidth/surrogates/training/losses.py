"""Relative errors of every sample; the mean over a batch is the loss."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

#: (prediction, target), both `(B, C, ...)`, to the error of every sample, `(B,)`.
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def relative_lp(p: float = 2.0) -> Loss:
    """`‖v - u‖_p / ‖u‖_p` over all values of a sample."""

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        error = torch.linalg.vector_norm((prediction - target).flatten(1), ord=p, dim=1)
        return error / torch.linalg.vector_norm(target.flatten(1), ord=p, dim=1)

    return loss


def relative_h1(lengths: tuple[float, ...]) -> Loss:
    """`‖v - u‖_H1 / ‖u‖_H1` on a grid with both ends, `‖v‖²_H1 = Σ h^d (|v|² + |∇_h v|²)`.

    Differences of neighbours stand for the gradient, so that the error at grid scale counts as it does in the energy
    norm. `lengths`: the sides of the domain, one per axis; fields are `(B, C, *grid)`.
    """

    def squared(v: Tensor) -> Tensor:
        total = v.square().flatten(1).sum(dim=1)
        for axis, length in enumerate(lengths, start=2):
            spacing = length / (v.shape[axis] - 1)
            total = total + v.diff(dim=axis).square().flatten(1).sum(dim=1) / spacing**2
        return total

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        return (squared(prediction - target) / squared(target)).sqrt()

    return loss
