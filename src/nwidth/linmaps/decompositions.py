"""Tensors in low-rank form: Tucker by truncated singular values, tensor trains, CP by alternating least squares."""

from collections.abc import Callable, Sequence
from math import prod, sqrt
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from nwidth.core.errors import InputError

Found = TypeVar("Found")

#: Steps of bisection for a budget.
_BISECTIONS = 24


class TuckerForm(NamedTuple):
    """`T[i, j, …] = Σ core[a, b, …] factors[0][i, a] factors[1][j, b] ⋯` with orthonormal columns."""

    core: Tensor
    factors: tuple[Tensor, ...]

    @property
    def size(self) -> int:
        """Numbers in core and factors."""
        return self.core.numel() + sum(f.numel() for f in self.factors)


def tucker(
    tensor: Tensor, tol: float, *, ranks: Sequence[int] = (), sweeps: int = 2, keep: Sequence[int] = ()
) -> TuckerForm:
    """A Tucker form with `‖T - T̃‖_F <= tol ‖T‖_F`, of ranks found mode by mode, or of given `ranks`.

    The modes in `keep` are left as they are, with the identity as factor.

    Sequentially truncated higher-order singular values (Vannieuwenhoven, Vandebril and Meerbergen 2012): each mode may
    drop `tol² / d` of the energy, and what is left is never larger; then `sweeps` of orthogonal iteration at these
    ranks (De Lathauwer, De Moor and Vandewalle 2000), which only lower the error.
    """
    allowed = (tol * float(torch.linalg.vector_norm(tensor))) ** 2 / max(tensor.ndim - len(keep), 1)
    core, factors = tensor, []
    for mode in range(tensor.ndim):
        if mode in keep:
            factors.append(torch.eye(tensor.shape[mode]).to(tensor))
            continue
        left, values = _left(core, mode)
        left = left[:, : ranks[mode] if ranks else _rank(values, allowed)]
        core = _along(core, left.T, mode)
        factors.append(left)
    for _ in range(sweeps if tensor.ndim > 1 else 0):
        factors = _improved(tensor, factors, keep)
        core = tensor
        for mode, factor in enumerate(factors):
            core = core if mode in keep else _along(core, factor.T, mode)
    return TuckerForm(core, tuple(factors))


def tensor_train(tensor: Tensor, tol: float, *, ranks: Sequence[int] = ()) -> list[Tensor]:
    """Cars `(r_(k-1), n_k, r_k)` with `‖T - G_1 ⋯ G_d‖_F <= tol ‖T‖_F`, or of ranks that are at most `ranks`.

    TT-SVD (Oseledets 2011, algorithm 1).
    """
    allowed = (tol * float(torch.linalg.vector_norm(tensor))) ** 2 / max(tensor.ndim - 1, 1)
    cars: list[Tensor] = []
    rest, rank = tensor.reshape(1, -1), 1
    for n in tensor.shape[:-1]:
        left, values, right = torch.linalg.svd(rest.reshape(rank * n, -1), full_matrices=False)
        keep = min(ranks[len(cars)], len(values)) if ranks else _rank(values, allowed)
        cars.append(left[:, :keep].reshape(rank, n, keep))
        rest, rank = values[:keep, None] * right[:keep], keep
    return [*cars, rest.reshape(rank, tensor.shape[-1], 1)]


def cp(tensor: Tensor, rank: int, *, sweeps: int = 200, seed: int = 0, start: Sequence[Tensor] = ()) -> list[Tensor]:
    """Factors `(n_k, rank)` of a sum of `rank` products that is close to T, by alternating least squares.

    Each sweep solves for one factor after the other (Kolda and Bader 2009, figure 3.3), with a little Tikhonov
    regularisation, because best approximations need not exist. It finds a local minimum: another `seed` may find a
    better one. `start`: factors of a smaller rank to begin with. The columns of all factors have equal norms.
    """
    generator = torch.Generator().manual_seed(seed)
    norm, factors = float(torch.linalg.vector_norm(tensor)), []
    for mode, n in enumerate(tensor.shape):
        drawn = torch.randn(n, rank, generator=generator, dtype=torch.float64).to(tensor) / sqrt(n)
        if start:
            drawn[:, : start[mode].shape[1]] = start[mode]
        factors.append(drawn)
    unfolded = [tensor.movedim(mode, 0).reshape(n, -1) for mode, n in enumerate(tensor.shape)]
    error = norm
    for _ in range(sweeps):
        for mode in range(tensor.ndim):
            others = [f for other, f in enumerate(factors) if other != mode]
            factors[mode] = _least_squares(unfolded[mode] @ khatri_rao(others), others)
            factors = _balanced(factors)
        before, error = error, _cp_error(unfolded[0], factors)
        if before - error <= 1e-6 * norm:
            break
    return factors


def khatri_rao(factors: Sequence[Tensor]) -> Tensor:
    """Products of the rows of all factors, `(Π n, r)`, row-major."""
    found = factors[0]
    for factor in factors[1:]:
        found = (found.unsqueeze(1) * factor).flatten(0, 1)
    return found


def within_budget(make: Callable[[float], Found], size: Callable[[Found], int], budget: int) -> Found:
    """The form of the smallest tolerance with at most `budget` numbers. Raises InputError where there is none."""
    low, high = 0.0, 4.0  # every mode may drop everything: ranks of 1
    best = make(high)
    if size(best) > budget:
        raise InputError(f"the smallest form has {size(best)} parameters, the budget is {budget}")
    exact = make(low)
    if size(exact) <= budget:
        return exact
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2 if low > 1e-3 else max(high / 4, sqrt(max(low, 1e-16) * high))
        found = make(middle)
        low, high, best = (low, middle, found) if size(found) <= budget else (middle, high, best)
    return best


def _left(tensor: Tensor, mode: int) -> tuple[Tensor, Tensor]:
    """Left singular vectors and values of an unfolding."""
    unfolded = tensor.movedim(mode, 0).flatten(1)
    left, values, _ = torch.linalg.svd(unfolded, full_matrices=False)
    return left, values


def _rank(values: Tensor, allowed: float) -> int:
    """The smallest rank, at least 1, whose dropped energy is allowed."""
    tail = values.square().flip(0).cumsum(0).flip(0)
    return max(1, int((tail > allowed).sum()))


def _along(tensor: Tensor, matrix: Tensor, mode: int) -> Tensor:
    """`matrix` applied along one mode."""
    return torch.tensordot(matrix, tensor, dims=([1], [mode])).movedim(0, mode)


def _improved(tensor: Tensor, factors: list[Tensor], keep: Sequence[int]) -> list[Tensor]:
    """Every factor the best for the others."""
    new = list(factors)
    for mode, factor in enumerate(factors):
        if mode in keep:
            continue
        reduced = tensor
        for other, f in enumerate(new):
            reduced = reduced if other == mode or other in keep else _along(reduced, f.T, other)
        new[mode] = _left(reduced, mode)[0][:, : factor.shape[1]]
    return new


def _least_squares(right: Tensor, others: Sequence[Tensor]) -> Tensor:
    """The factor whose normal equations have the Hadamard product of the others' Gram matrices."""
    gram = torch.ones_like(others[0].T @ others[0])
    for factor in others:
        gram = gram * (factor.T @ factor)
    shift = 1e-10 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    found: Tensor = torch.linalg.solve(gram + shift, right.T).T
    return found


def _balanced(factors: list[Tensor]) -> list[Tensor]:
    """The same terms with equal norms in all factors."""
    norms = [torch.linalg.vector_norm(f, dim=0).clamp_min(1e-300) for f in factors]
    mean = torch.stack(norms).log().mean(dim=0).exp()
    return [f * (mean / n) for f, n in zip(factors, norms, strict=True)]


def _cp_error(unfolded: Tensor, factors: Sequence[Tensor]) -> float:
    return float(torch.linalg.vector_norm(unfolded - factors[0] @ khatri_rao(factors[1:]).T))


def tensor_of(form: TuckerForm) -> Tensor:
    """The tensor of a Tucker form."""
    found = form.core
    for mode, factor in enumerate(form.factors):
        found = _along(found, factor, mode)
    return found


def cp_within(
    tensor: Tensor, tol: float | None, budget: int | None, *, seed: int = 0, sweeps: int = 200
) -> list[Tensor]:
    """CP factors within a tolerance (the rank grows by a third, or 1, at a time) or a budget (its largest rank).

    Where no rank up to that of the exact form reaches the tolerance, the last one. Raises InputError for a budget
    below rank 1.
    """
    per_term, norm = sum(tensor.shape), float(torch.linalg.vector_norm(tensor))
    if budget is not None:
        if budget < per_term:
            raise InputError(f"CP of rank 1 has {per_term} parameters, the budget is {budget}")
        return cp(tensor, budget // per_term, seed=seed, sweeps=sweeps)
    limit, rank = tensor.numel() // max(tensor.shape), 1
    factors: list[Tensor] = []
    unfolded = tensor.reshape(len(tensor), prod(tensor.shape[1:]))
    while True:
        factors = cp(tensor, rank, seed=seed, sweeps=sweeps, start=factors)
        if _cp_error(unfolded, factors) <= (tol or 0.0) * norm or rank >= limit:
            return factors
        rank = min(limit, rank + max(1, rank // 3))
