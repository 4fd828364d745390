"""Leading singular vectors of any linear map: from its matrix or, if large, from products with random vectors."""

from collections.abc import Callable
from math import ceil, prod
from typing import NamedTuple

import torch
from torch import Tensor

from nwidth.linmaps.base import Goal, LinearMap, placement
from nwidth.linmaps.compose import reshape
from nwidth.linmaps.convert import to_dense

#: Up to this many rows or columns, the matrix is formed and decomposed.
DIRECT = 1024
_BLOCK = 32


class Triples(NamedTuple):
    """`A ≈ U diag(s) Vᴴ` in double precision: U `(N_out, k)`, s `(k,)` falling, V `(N_in, k)`.

    `rest` estimates what is left, `‖A - U diag(s) Vᴴ‖_F`.
    """

    u: Tensor
    s: Tensor
    v: Tensor
    rest: float

    def cut(self, rank: int) -> "Triples":
        """The first `rank` of them."""
        rest = (self.rest**2 + float(self.s[rank:].square().sum())) ** 0.5
        return Triples(self.u[:, :rank], self.s[:rank], self.v[:, :rank], rest)


def leading(source: LinearMap, goal: Goal, numbers_per_rank: int) -> Triples:
    """As many triples as the goal asks for, at least one; each costs `numbers_per_rank` parameters.

    Small maps: the singular value decomposition, which is optimal (Eckart, Young, Mirsky). Large maps: an adaptive
    range finder (Halko, Martinsson, Tropp 2011, algorithm 4.2, in blocks), whose estimate of the rest comes from
    random vectors that the range has not seen, or, for a given rank, two steps of subspace iteration (algorithm 4.4).
    """
    rank = None if goal.budget is None else max(1, goal.budget // numbers_per_rank)
    flat = reshape(source, (prod(source.shape[0]),), (prod(source.shape[1]),))
    if min(flat.shape[0][0], flat.shape[1][0]) <= DIRECT:
        found = _direct(flat)
    elif rank is None:
        found = _by_range(flat, *_adaptive_range(flat, 0.3 * (goal.tol or 0.0), goal.seed))
    else:
        found = _by_range(flat, *_fixed_range(flat, rank + max(10, rank // 4), goal.seed))
    return found.cut(min(rank, len(found.s)) if rank is not None else rank_for(found, goal.tol or 0.0))


def rank_for(found: Triples, tol: float) -> int:
    """The smallest rank whose relative error in the Frobenius norm is at most `tol`, at least 1."""
    left = torch.cat([found.s.square().flip(0).cumsum(0).flip(0), found.s.new_zeros(1)]) + found.rest**2
    good = left <= tol**2 * left[0]
    return max(1, int(good.nonzero()[0])) if bool(good.any()) else len(found.s)


def _direct(flat: LinearMap) -> Triples:
    u, s, vh = torch.linalg.svd(_double(to_dense(flat).detach()), full_matrices=False)
    return Triples(u, s, vh.mH, 0.0)


def _by_range(flat: LinearMap, q: Tensor, rest: float) -> Triples:
    """The decomposition of `Q Qᴴ A`, from one product of the adjoint with the columns of Q."""
    dtype, _ = placement(flat)
    backwards = _double(_like(q.T, dtype, flat.adjoint))  # rows (Aᴴ q_i)ᵀ = q_iᵀ conj(A)
    u, s, vh = torch.linalg.svd(backwards.conj(), full_matrices=False)
    return Triples(q @ u, s, vh.mH, rest)


def _adaptive_range(flat: LinearMap, tol: float, seed: int) -> tuple[Tensor, float]:
    """An orthonormal basis Q with `‖A - Q Qᴴ A‖_F <= tol ‖A‖_F` as far as fresh random vectors can tell."""
    dtype, device = placement(flat)
    rows, columns = flat.shape[0][0], flat.shape[1][0]
    generator = torch.Generator().manual_seed(seed)
    q, norm = torch.zeros(rows, 0, dtype=torch.float64, device=device), 0.0
    while True:
        omega = torch.randn(_BLOCK, columns, generator=generator, dtype=torch.float64).to(device)
        y = _double(_like(omega, dtype, flat)).T
        q = q.to(y.dtype)
        norm = norm or float(torch.linalg.matrix_norm(y)) / _BLOCK**0.5
        y = _off(q, _off(q, y))
        rest = float(torch.linalg.matrix_norm(y)) / _BLOCK**0.5
        room = min(rows, columns) - q.shape[1]
        if rest <= max(tol, 8 * float(torch.finfo(dtype).eps)) * norm or room == 0:
            return q, rest
        q = torch.cat([q, torch.linalg.qr(_off(q, torch.linalg.qr(y).Q[:, :room])).Q], dim=1)


def _fixed_range(flat: LinearMap, rank: int, seed: int) -> tuple[Tensor, float]:
    """Two steps of subspace iteration; nothing is known of what is left (0)."""
    dtype, device = placement(flat)
    rows, columns = flat.shape[0][0], flat.shape[1][0]
    size = min(rank, rows, columns)
    omega = torch.randn(size, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q = torch.linalg.qr(_double(_like(omega.to(device), dtype, flat)).T).Q
    for _ in range(2):
        w = torch.linalg.qr(_double(_like(q.T, dtype, flat.adjoint)).T).Q
        q = torch.linalg.qr(_double(_like(w.T, dtype, flat)).T).Q
    return q, 0.0


def _off(q: Tensor, y: Tensor) -> Tensor:
    """The part of y off the range of Q."""
    return y - q @ (q.mH @ y)


def _like(x: Tensor, dtype: torch.dtype, apply: Callable[[Tensor], Tensor]) -> Tensor:
    """Products in the map's own precision, in pieces."""
    working = dtype.to_complex() if x.is_complex() else dtype
    pieces = x.to(working).tensor_split(max(1, ceil(len(x) / 256)))
    return torch.cat([apply(p.contiguous()) for p in pieces])


def _double(x: Tensor) -> Tensor:
    return x.to(torch.complex128 if x.is_complex() else torch.float64)
