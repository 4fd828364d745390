"""A Fourier transform together with fewer channels: reduce and analyse, synthesise and restore.

Results with few columns are what matrix products are slowest at (8 columns of 32 take 3.7 times as long as 8 rows:
MKL, AVX-512, single precision). So the reduced channels stand first here, `(r, n_1, n_2 ⋯ B)`, until the first axis is
transformed; what is left then is small enough to be put in order.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from nwidth.linmaps.base import Cost, product_cost
from nwidth.linmaps.half_space import Fold
from nwidth.linmaps.transform import MatrixTransform, Transform


def analyse(v: Tensor, inward: Tensor, prepared: Transform) -> Tensor:
    """Coefficients `(H + 1, 2, B, r)` of `v inward`, from `(*grid, B, C)` and `(C, r)`."""
    grid, batch, rank = prepared.grid, v.shape[-2], inward.shape[1]
    flat = v.reshape(-1, len(inward))
    u = Reduce.apply(flat, inward) if _by_hand(v) else inward.T @ flat.T
    if not isinstance(prepared, MatrixTransform) or len(grid) == 1:
        return prepared.analyse(u.T.contiguous().view(*grid, batch, rank))
    first = prepared.analysis[0]
    t = torch.bmm(first.expand(rank, -1, -1), u.view(rank, grid[0], -1))
    t, done = t.view(rank, -1, batch).permute(1, 2, 0).contiguous(), len(first)
    for matrix in prepared.analysis[1:]:
        t = torch.bmm(matrix.expand(done, -1, -1), t.view(done, matrix.shape[1], -1))
        done *= len(matrix)
    return Fold.apply(t.view(done, -1), *prepared.folds).view(-1, 2, batch, rank)


def synthesise(c: Tensor, outward: Tensor, prepared: Transform, onto: Tensor | None = None) -> Tensor:
    """`(*grid, B, C)` from coefficients `(H + 1, 2, B, r)` and `(r, C)`; added to `onto`, which is written over."""
    grid, (_, _, batch, rank) = prepared.grid, c.shape
    shape = (*grid, batch, outward.shape[1])
    if not isinstance(prepared, MatrixTransform) or len(grid) == 1:
        u = prepared.synthesise(c).reshape(-1, rank).T
    else:
        t = Fold.apply(c.reshape(-1, batch * rank), prepared.doubled[1], prepared.doubled[0])
        done = len(t)
        for matrix in reversed(prepared.synthesis[1:]):
            done //= matrix.shape[1]
            t = torch.bmm(matrix.expand(done, -1, -1), t.view(done, matrix.shape[1], -1))
        last = prepared.synthesis[0]
        t = t.view(-1, batch, rank).permute(2, 0, 1).reshape(rank, last.shape[1], -1)
        u = torch.bmm(last.expand(rank, -1, -1), t).view(rank, -1)
    if onto is not None:
        return RestoredOnto.apply(onto, u, outward)
    return (Restored.apply(u, outward) if _by_hand(u) else u.T @ outward).view(shape)


def _by_hand(x: Tensor) -> bool:
    """Whether derivatives are written by hand: not where a graph is recorded, nor under autocast."""
    return not torch.compiler.is_compiling() and not torch.is_autocast_enabled(x.device.type)


class Reduce(torch.autograd.Function):
    """`(v inward)ᵀ`, from `(n, C)` and `(C, r)` to `(r, n)`; derivatives with the reduced channels first as well."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, inward: Tensor) -> Tensor:
        """One product."""
        ctx.save_for_backward(v, inward)
        return inward.T @ v.T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """One product for each; differentiable."""
        v, inward = ctx.saved_tensors
        by_v, by_inward = ctx.needs_input_grad
        return grads[0].T @ inward.T if by_v else None, (grads[0] @ v).T if by_inward else None


class Restored(torch.autograd.Function):
    """`uᵀ outward`, from `(r, n)` and `(r, C)` to `(n, C)`."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, outward: Tensor) -> Tensor:
        """One product."""
        ctx.save_for_backward(u, outward)
        return u.T @ outward

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced channels first again."""
        u, outward = ctx.saved_tensors
        return outward @ grads[0].T, u @ grads[0]


class RestoredOnto(torch.autograd.Function):
    """`onto + uᵀ outward` written over `onto`, of which `(n, C)` is a view."""

    @staticmethod
    def forward(ctx: Any, onto: Tensor, u: Tensor, outward: Tensor) -> Tensor:
        """The sum."""
        ctx.save_for_backward(u, outward)
        ctx.mark_dirty(onto)
        onto.view(-1, outward.shape[1]).addmm_(u.T, outward)
        return onto

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradient itself, and those of the product."""
        u, outward = ctx.saved_tensors
        flat = grads[0].reshape(-1, outward.shape[1])
        return grads[0], outward @ flat.T, u @ flat


def analysis_cost(batch: int, channels: int, rank: int, prepared: Transform, itemsize: int) -> Cost:
    """The products of `analyse`."""
    thin = product_cost(rank, channels, prod(prepared.grid) * batch, itemsize)
    if not isinstance(prepared, MatrixTransform) or len(prepared.grid) == 1:
        return thin + one_way(prepared, batch * rank, 0, itemsize)
    return thin + _axes_cost([tuple(a.shape) for a in prepared.analysis], batch, rank, itemsize)


def synthesis_cost(batch: int, channels: int, rank: int, prepared: Transform, itemsize: int) -> Cost:
    """The products of `synthesise`."""
    thin = product_cost(prod(prepared.grid) * batch, rank, channels, itemsize)
    if not isinstance(prepared, MatrixTransform) or len(prepared.grid) == 1:
        return thin + one_way(prepared, 0, batch * rank, itemsize)
    turned = [(a.shape[1], a.shape[0]) for a in prepared.synthesis]
    return thin + _axes_cost(turned, batch, rank, itemsize, back=True)


def one_way(prepared: Transform, columns_in: int, columns_out: int, itemsize: int) -> Cost:
    """The cost of an analysis or of a synthesis alone: `Transform.cost` counts the matrices of both."""
    both, idle = prepared.cost(columns_in, columns_out, itemsize), prepared.cost(0, 0, itemsize)
    return Cost(both.flops, both.bytes - idle.bytes // 2)


def _axes_cost(sizes: Sequence[tuple[int, ...]], batch: int, rank: int, itemsize: int, *, back: bool = False) -> Cost:
    """Products along axes of (frequencies, nodes), the leading one for every channel alone; `back`: transposed."""
    total, done = Cost(0, 0), 1
    for axis, (many, nodes) in enumerate(sizes):
        rest = prod(n for _, n in sizes[axis + 1 :]) * batch
        copies, columns = (rank, rest) if axis == 0 else (done, rest * rank)
        rows, inner = (nodes, many) if back else (many, nodes)
        total += product_cost(rows, inner, columns, itemsize, copies)
        done *= many
    return total
