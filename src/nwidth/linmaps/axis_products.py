"""A matrix along the middle axis of `(before, n, after)`: how every axis of a grid-first tensor is transformed."""

import torch
from torch import Tensor


def product_along(matrix: Tensor, t: Tensor, onto: Tensor | None = None) -> Tensor:
    """`(before, columns, after)` to `(before, rows, after)`, added to `onto` (any shape of that size) where given.

    Written over `onto`, unless a graph is recorded or autocast chooses the precision.
    """
    if onto is None:
        return (matrix @ t[0])[None] if len(t) == 1 else torch.matmul(matrix, t)
    before = onto.view(len(t), len(matrix), -1)
    if torch.compiler.is_compiling() or _autocast(t.device.type):
        return before + torch.matmul(matrix, t)
    return before.baddbmm_(matrix.expand(len(t), -1, -1), t)


def _autocast(device: str) -> bool:
    return device != "meta" and torch.is_autocast_enabled(device)
