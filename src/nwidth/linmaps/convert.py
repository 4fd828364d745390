"""Functions of any linear map."""

from math import prod

import torch
from torch import Tensor

from nwidth.linmaps.base import LinearMap


def to_dense(linear_map: LinearMap, piece: int = 256) -> Tensor:
    """The matrix `(N_out, N_in)` of a map, from its products with unit vectors, `piece` at a time."""
    out_shape, in_shape = linear_map.shape
    parameter = next(linear_map.parameters())
    size = prod(in_shape)
    columns = []
    for first in range(0, size, piece):
        units = torch.zeros(min(piece, size - first), size, dtype=parameter.dtype, device=parameter.device)
        units[torch.arange(len(units)), first + torch.arange(len(units))] = 1
        columns.append(linear_map(units.reshape(-1, *in_shape)).reshape(len(units), prod(out_shape)))
    return torch.cat(columns).T
